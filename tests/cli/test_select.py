"""Finding experiments under a root, and the one that somebody means."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ml_dash.cli.select import find_experiment
from ml_dash.errors import InvalidArgumentError
from ml_dash.storage.standing import is_experiment
from ml_dash.storage.survey import survey

as_anybody = pytest.mark.skipif(
    getattr(os, "geteuid", int)() == 0, reason="nothing is forbidden to the superuser"
)


def experiment(root: Path, prefix: str) -> Path:
    directory = root / prefix
    (directory / "journal").mkdir(parents=True)
    return directory


def prefixes(root: Path) -> list[str]:
    return [located.prefix for located in survey(str(root)).experiments]


def found(name: str, root: Path) -> str:
    return find_experiment(name, str(root)).prefix


def complaint(name: str, root: Path) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        find_experiment(name, str(root))
    return str(caught.value)


def test_experiments_are_found_at_any_depth_and_inside_one_another(tmp_path: Path) -> None:
    """An experiment does not hide those below it."""
    for prefix in ("b/p/one", "a/p/one/two/three", "a/p/one"):
        experiment(tmp_path, prefix)
    assert prefixes(tmp_path) == ["a/p/one", "a/p/one/two/three", "b/p/one"]


def test_what_an_experiment_keeps_for_itself_is_not_searched(tmp_path: Path) -> None:
    """Its files may hold anything, a copy of another experiment for instance."""
    experiment(tmp_path, "a/p/one")
    experiment(tmp_path, "a/p/one/files/copy")
    assert prefixes(tmp_path) == ["a/p/one"]


def test_a_hidden_directory_is_not_searched(tmp_path: Path) -> None:
    """No prefix has a segment with a leading dot, and a `.git` or `.venv` is large."""
    experiment(tmp_path, ".venv/p/one")
    assert prefixes(tmp_path) == []


def test_an_owner_or_a_project_may_be_called_journal(tmp_path: Path) -> None:
    """A directory with directories in it is no journal."""
    experiment(tmp_path, "journal/p/one")
    experiment(tmp_path, "a/journal/one")
    assert prefixes(tmp_path) == ["a/journal/one", "journal/p/one"]


def test_links_that_form_a_loop_end(tmp_path: Path) -> None:
    """Every directory is visited once."""
    directory = experiment(tmp_path, "a/p/one")
    (tmp_path / "a" / "p" / "up").symlink_to(tmp_path)
    (directory / "self").symlink_to(directory)
    (tmp_path / "a" / "x").symlink_to(tmp_path / "a" / "y")
    (tmp_path / "a" / "y").symlink_to(tmp_path / "a" / "x")
    assert prefixes(tmp_path) == ["a/p/one"]


def test_an_experiment_behind_a_link_that_leads_out_is_told_of_and_found_in_ones_own_root(
    tmp_path: Path,
) -> None:
    """A large one may lie on another disk; but a link in a root of somebody else's may lead anywhere."""
    experiment(tmp_path / "disk", "one")
    (tmp_path / "root" / "a").mkdir(parents=True)
    link = tmp_path / "root" / "a" / "p"
    link.symlink_to(tmp_path / "disk")
    found = survey(str(tmp_path / "root"))
    assert (found.experiments, list(found.refused)) == ([], [str(link)])
    assert "name that directory itself" in found.refused[str(link)]
    assert prefixes(link) == ["one"]
    assert [each.prefix for each in survey(str(tmp_path / "root"), is_own=True).experiments] == ["a/p/one"]


def test_an_experiment_with_two_names_has_the_one_without_a_link(tmp_path: Path) -> None:
    """Wherever the link sorts to."""
    experiment(tmp_path, "b/p/one")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "c").symlink_to(tmp_path / "b")
    assert prefixes(tmp_path) == ["b/p/one"]


def test_a_root_that_is_an_experiment_has_the_name_that_it_stored(tmp_path: Path) -> None:
    """There is no path from the root to tell it."""
    directory = experiment(tmp_path, "one")
    assert prefixes(directory) == ["one"]
    (directory / "experiment.json").write_text(json.dumps({"prefix": "a/p/one"}))
    assert prefixes(directory) == ["a/p/one"]
    (directory / "experiment.json").write_text("[broken")
    assert prefixes(directory) == ["one"]


def test_a_root_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Not silently empty: it is most often a wrong directory."""
    with pytest.raises(InvalidArgumentError, match="nowhere"):
        survey(str(tmp_path / "nowhere"))


@as_anybody
def test_a_directory_that_may_not_be_read_is_reported(tmp_path: Path) -> None:
    """The others are listed all the same."""
    experiment(tmp_path, "a/p/one")
    secret = experiment(tmp_path, "b/p/two").parent
    secret.chmod(0)
    try:
        result = survey(str(tmp_path))
    finally:
        secret.chmod(0o755)
    assert [located.prefix for located in result.experiments] == ["a/p/one"]
    assert list(result.refused) == [str(secret)]


@pytest.mark.parametrize("name", ["a/p/deep/one", "a/p/deep/one/", "/a/p/deep/one", "one", "deep/one"])
def test_an_experiment_has_its_prefix_and_the_last_parts_of_it(tmp_path: Path, name: str) -> None:
    """As long as no other ends so."""
    experiment(tmp_path, "a/p/deep/one")
    experiment(tmp_path, "a/p/deep/other-one")
    assert found(name, tmp_path) == "a/p/deep/one"


def test_a_prefix_has_the_same_short_forms_as_in_a_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`a/b` is `a/b/b`, and `x` is the user's in `scratch`, even where another ends so."""
    monkeypatch.setenv("ML_DASH_USER", "me")
    for prefix in ("a/b/b", "me/scratch/x", "you/scratch/x"):
        experiment(tmp_path, prefix)
    assert found("a/b", tmp_path) == "a/b/b"
    assert found("x", tmp_path) == "me/scratch/x"


def test_a_whole_prefix_wins_over_the_end_of_another(tmp_path: Path) -> None:
    """What is written out is meant."""
    experiment(tmp_path, "p/one/x")
    experiment(tmp_path, "a/p/one/x")
    assert found("p/one/x", tmp_path) == "p/one/x"


def test_an_experiment_may_be_given_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute or not, with its journal's directory or without."""
    directory = experiment(tmp_path, "a/p/one")
    monkeypatch.chdir(tmp_path / "a")
    for path in (directory, directory / "journal", "p/one", "./p/one/", "p/../p/one/journal/"):
        assert found(str(path), tmp_path) == "a/p/one"
    monkeypatch.chdir(directory)
    assert found(".", tmp_path) == "a/p/one"
    monkeypatch.chdir(directory / "journal")
    assert found(".", tmp_path) == "a/p/one"


def test_a_path_outside_of_the_root_has_the_stored_prefix(tmp_path: Path) -> None:
    """An experiment that was copied away is still what it says it is."""
    directory = experiment(tmp_path / "copies", "one")
    (directory / "experiment.json").write_text(json.dumps({"prefix": "a/p/one"}))
    (tmp_path / "root").mkdir()
    assert found(str(directory), tmp_path / "root") == "a/p/one"


def test_an_ambiguous_name_lists_what_it_may_be(tmp_path: Path) -> None:
    """With as much as is needed to choose."""
    experiment(tmp_path, "a/p/one")
    experiment(tmp_path, "b/p/one")
    assert "a/p/one, b/p/one" in complaint("one", tmp_path)
    for number in range(20):
        experiment(tmp_path, f"c/{number:02}/one")
    assert "22 experiments: a/p/one, b/p/one, c/00/one, c/01/one, c/02/one and 17 more" in complaint(
        "one", tmp_path
    )


@pytest.mark.parametrize("name", ["a/vision/resnte", "resnte", "vision/resnte", "resn"])
def test_an_unknown_name_lists_those_that_come_near(tmp_path: Path, name: str) -> None:
    """Whether the whole prefix was given or the end of it."""
    experiment(tmp_path, "a/vision/resnet")
    experiment(tmp_path, "a/nlp/bert")
    message = complaint(name, tmp_path)
    assert "did you mean a/vision/resnet?" in message
    assert "bert" not in message


def test_an_unknown_name_that_is_like_no_other_says_where_to_look(tmp_path: Path) -> None:
    """Likewise where there are no experiments at all."""
    assert "--root" in complaint("one", tmp_path)
    experiment(tmp_path, "a/p/zzz")
    assert "did you mean" not in complaint("one", tmp_path)
    assert "--root" in complaint("one", tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["", "/", "..", ".", "a//b", "\x1b[2J", "a\\b", "x" * 5000, "\ud800"])
def test_a_name_that_no_experiment_can_have_is_unknown_like_others(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other error, and no search outside of the root."""
    experiment(tmp_path, "root/a/p/one")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "there is no experiment" in complaint(name, tmp_path / "root")


def test_a_directory_without_a_journal_is_no_experiment(tmp_path: Path) -> None:
    """A file of that name does not make it one."""
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "journal").write_text("")
    assert not is_experiment(str(tmp_path / "one"))
    assert not is_experiment(str(tmp_path / "nowhere"))
