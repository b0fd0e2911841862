"""Whoever goes through a root passes the file of summaries by: it is no experiment, and nobody checks or imports it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.storage.survey import survey
from tests.storage.summaries.looks import LaterClock, opened, shown
from tests.support.public_trees import bring_in, tree
from tests.support.shell import invoke
from tests.support.small_runs import write_run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root of one experiment, of which summaries are kept, with the rubbish of a damaged file."""
    with Experiment("alice/p/a", dash_root=str(tmp_path / "dash"), echo=False).run as exp:
        exp.metrics("train").log(loss=1.0)
    opened(tmp_path / "dash").look()
    (tmp_path / "dash/.summaries/000000000000.v1.1.sqlite3-journal").write_bytes(b"rubbish")
    return tmp_path / "dash"


@pytest.mark.parametrize(
    "command", [("verify",), ("verify", "--json"), ("ls", "--json"), ("verify", "--repair")]
)
def test_commands_over_a_root_say_the_same_with_it_and_without(root: Path, command: tuple[str, ...]) -> None:
    kept = invoke(*command, root)
    shutil.rmtree(root / ".summaries")
    bare = invoke(*command, root)
    assert kept == bare
    assert kept.code == 0


def test_a_survey_finds_nothing_in_it(root: Path) -> None:
    (root / ".summaries/journal").mkdir()
    (root / ".summaries/experiment.json").write_text("{}")
    found = survey(str(root))
    assert ([each.prefix for each in found.experiments], found.refused, found.strange) == (
        ["alice/p/a"],
        {},
        [],
    )


def test_a_foreign_tree_is_listed_and_imported_and_nothing_is_put_into_it(tmp_path: Path) -> None:
    theirs = tree(tmp_path)
    before = sorted(theirs.rglob("*"))
    listed = invoke("ls", theirs)
    assert "ml-dash import ml-dash" in listed.err
    assert sorted(theirs.rglob("*")) == before
    root = tmp_path / "dash"
    assert bring_in(theirs, root)
    index = opened(root)
    index.look()
    first = shown(index)
    assert first.keys() == {each.prefix for each in survey(str(root)).experiments}
    assert all(each.rows for each in first.values() if each.metrics)


def test_what_is_imported_again_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into an experiment that had ended: the import marks it."""
    theirs, root = tree(tmp_path), tmp_path / "dash"
    bring_in(theirs, root)
    index = opened(root, clock=LaterClock())
    index.look()
    monkeypatch.setattr("ml_dash.storage.summaries.looking.CHECKED_LEAST", 0)
    monkeypatch.setattr("ml_dash.storage.summaries.looking._CHECKED_SECONDS", 0.0)
    rows = {each.prefix: each.rows for each in shown(index).values()}
    grown = next(path for path in theirs.rglob("data.jsonl") if path.parent.name == "train")
    last = grown.read_text().splitlines()[-1]
    with grown.open("a") as file:
        file.write(last.replace('"index": 0', '"index": 1') + "\n")
    bring_in(theirs, root)
    index.look()
    assert sum(each.rows for each in shown(index).values()) == sum(rows.values()) + 1


def test_links_that_lead_out_are_the_owner_s_alone(tmp_path: Path) -> None:
    """A script follows them in its own root, a command in none: of what one has found the other says nothing."""
    write_run(tmp_path / "dash", "alice/p/a")
    write_run(tmp_path / "outside", "p/b")
    os.symlink(tmp_path / "outside", tmp_path / "dash/linked")
    for _ in range(2):
        own, other = opened(tmp_path / "dash", is_own=True), opened(tmp_path / "dash")
        own.look()
        look = other.look()
        assert shown(own).keys() == {"alice/p/a", "linked/p/b"}
        assert shown(other).keys() == {"alice/p/a"}
        assert list(look.refused) == [str(tmp_path / "dash/linked")]
    assert own.look().opened == 0
