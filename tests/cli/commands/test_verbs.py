"""`ml-dash rm`, `restore`, `trash`, `mv`, `tag`, `note`, `diff` and `best`: the same in a root and at a server."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from ml_dash.places.local_changes import LocalChanges
from ml_dash.places.remote_changes import RemoteChanges
from ml_dash.server.runner import EmbeddedServer
from tests.support.seen import TOKEN
from tests.support.shell import Finished, invoke

SWEEP = ["alice/sweep/a", "alice/sweep/b", "alice/sweep/c"]


@dataclass(frozen=True)
class Place:
    """A root or a server with a small sweep, and the option that names it."""

    option: list[str]
    arguments: dict[str, object]

    def run(self, *words: str) -> Finished:
        return invoke(*words, *self.option)

    def out(self, *words: str) -> str:
        done = self.run(*words)
        assert done.code == 0, done
        return done.out

    def experiment(self, prefix: str, **arguments: object) -> Experiment:
        return Experiment(prefix, echo=False, **self.arguments, **arguments)  # type: ignore[arg-type]

    def left(self) -> list[str]:
        """Which experiments there are."""
        done = self.run("rm", "--filter", "owner:alice", "--dry-run")
        return done.out.split() if done.code == 0 else []


def fill(place: Place) -> None:
    for at, prefix in enumerate(SWEEP):
        with place.experiment(prefix, tags=["sweep"], capture=False).run as exp:
            exp.params.set(lr=0.1 * (at + 1), model="resnet")
            for step in range(3):
                exp.metrics("val").log(step=step, acc=(step + at) / 10, odd=step)
            exp.flush()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(data=tmp_path / "server", admin_token=TOKEN).start()
    yield server
    server.stop()


@pytest.fixture(params=["root", "server"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    if request.param == "root":
        place = Place([], {"dash_root": ".dash"})
    else:
        url = request.getfixturevalue("server").url
        monkeypatch.setenv("ML_DASH_API_URL", url)
        place = Place(["--url", url], {"dash_url": url, "dash_root": None})
    fill(place)
    return place


@pytest.mark.sample(2)
def test_deleted_experiments_are_listed_and_come_back(place: Place) -> None:
    said = place.out("rm", SWEEP[0])
    assert f"restore {SWEEP[0]}" in said
    assert place.left() == SWEEP[1:]
    listed = json.loads(place.out("trash", "--json"))
    assert [each["prefix"] for each in listed] == SWEEP[:1]
    assert SWEEP[0] in place.out("trash")
    assert place.run("rm", SWEEP[0]).code != 0

    place.out("rm", "alice/sweep/*", "--yes")
    assert place.left() == []
    assert place.out("restore", SWEEP[1], "--to", "alice/sweep/d") == "alice/sweep/d is back\n"
    place.out("restore", "*", "--yes")
    assert place.left() == [SWEEP[0], SWEEP[2], "alice/sweep/d"]
    assert place.run("trash").err.startswith("nothing in the trash")
    assert "lists all" in place.run("restore", "nothing*").err


@pytest.mark.sample(2)
def test_of_many_it_is_said_how_many_they_are_and_nothing_is_done_unasked(place: Place) -> None:
    for words in (["alice/**"], ["--filter", "tag:sweep lr<0.25"], [*SWEEP[:2]]):
        refused = place.run("rm", *words)
        assert refused.code == 2
        assert SWEEP[0] in refused.err
        count = 3 if words == ["alice/**"] else 2
        assert f"delete {count} experiments?" in refused.err
        listed = place.run("rm", *words, "-n")
        assert (listed.code, listed.out.split()) == (0, SWEEP[:count])
    assert place.left() == SWEEP
    place.out("rm", "--filter", "lr>0.25", "-y")
    assert place.left() == SWEEP[:2]


def test_a_filter_leaves_of_what_is_named_what_it_asks_for(place: Place) -> None:
    for words, count in (
        (["alice/sweep/*", "--filter", "lr<0.25"], 2),
        ([*SWEEP, "--filter", "lr<0.15"], 1),
    ):
        for verb in (["rm"], ["tag", "--add", "some"], ["note", "-m", "text"]):
            assert place.out(*verb, *words, "-n").split() == SWEEP[:count]
    nothing = place.run("rm", SWEEP[2], "--filter", "lr<0.25", "--yes")
    assert (nothing.code, nothing.out) == (2, "")
    assert place.out("best", "alice/sweep/*", "val/acc", "--filter", "lr<0.15").split()[3:] == [
        *SWEEP[:1],
        "0.2",
        "2",
    ]


def test_an_empty_filter_is_not_taken_for_all(place: Place) -> None:
    for words in (["rm", "--filter", "", "--yes"], ["tag", "--filter", " ", "--add", "some", "--yes"]):
        refused = place.run(*words)
        assert (refused.code, "--filter is empty" in refused.err) == (2, True)
    assert place.out("rm", "--filter", "**", "-n").split() == SWEEP


@pytest.mark.sample(2)
def test_a_pattern_means_names_as_they_are_whatever_they_have_in_them(place: Place) -> None:
    names = ["alice/my run/lr=0.1, x", "alice/my/run 1", "alice/odd/lr=0.2"]
    for name in names:
        with place.experiment(name, capture=False).run as exp:
            exp.metrics("val").log(acc=0.5)
            exp.flush()
    for pattern, meant in (
        ("alice/my run*", []),
        ("alice/my run/*", names[:1]),
        ("alice/my/run *", names[1:2]),
        ("alice/odd/lr=0.*", names[2:]),
        ("lr=0.1, *", names[:1]),
        ("alice/**/lr=[0-9].*", [names[0], names[2]]),
    ):
        done = place.run("rm", pattern, "-n")
        assert (done.code, done.out.splitlines()) == ((0, meant) if meant else (2, [])), pattern
        ranked = place.run("best", pattern, "val/acc", "--json")
        assert (ranked.code == 0) == bool(meant), ranked
        assert [each["prefix"] for each in json.loads(ranked.out or "[]")] == meant
    assert "is meant by that" in place.run("best", "alice/none/*", "val/acc").err


@pytest.mark.sample(2)
def test_what_was_deleted_comes_back_by_the_last_part_of_its_name(place: Place) -> None:
    for prefix in ("alice/other/a", "alice/sweep/a/deep"):
        with place.experiment(prefix, capture=False).run as exp:
            exp.flush()
    place.out("rm", "alice/sweep/a/deep", "alice/sweep/a", "alice/other/a", "--yes")
    refused = place.run("restore", "a")
    assert (refused.code, "alice/other/a" in refused.err, SWEEP[0] in refused.err) == (2, True, True)
    assert place.out("restore", "alice/sweep/*", "--yes") == f"{SWEEP[0]} is back\n"
    assert place.out("restore", "a", "--to", "alice/other/b") == "alice/other/b is back\n"
    assert place.out("restore", "deep") == "alice/sweep/a/deep is back\n"
    assert place.run("restore", "deep").code != 0


def test_what_cannot_be_done_to_one_holds_up_no_other(place: Place) -> None:
    exp = place.experiment("alice/sweep/b").run.start()
    exp.flush()
    done = place.run("rm", "alice/**", "--yes")
    assert done.code == 1
    assert "goes on" in done.err
    assert place.left() == ["alice/sweep/b"]
    assert place.run("rm", "alice/sweep/b").code == 1
    place.out("rm", "alice/sweep/b", "--force")
    assert place.left() == []
    exp.run.complete()


@pytest.mark.sample(2)
def test_moved_one_by_one_or_below_another_name(place: Place) -> None:
    assert place.out("mv", SWEEP[0], "alice/final/best") == f"{SWEEP[0]} -> alice/final/best\n"
    place.out("mv", "alice/sweep/*", "alice/old/", "--yes")
    assert place.left() == ["alice/final/best", "alice/old/b", "alice/old/c"]
    for words, said in (
        (["alice/old/b", "alice/old/c"], "there is an experiment"),
        (["alice/old/*", "alice/x/y"], "end it with a slash"),
        (["alice/old/none", "alice/x/y"], "none"),
        (["alice/old/b", "alice/x/../y"], ".."),
    ):
        refused = place.run("mv", *words, "--yes")
        assert refused.code != 0
        assert said in refused.err
    place.out("mv", "alice/final/best", "alice/other/b")
    refused = place.run("mv", "alice/*/b", "alice/new/", "--yes")
    assert (refused.code, "would both be" in refused.err) == (2, True)
    assert place.left() == ["alice/old/b", "alice/old/c", "alice/other/b"]


@pytest.mark.sample(2)
def test_tags_and_notes_of_one_and_of_many(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert place.out("tag", SWEEP[0]) == f"{SWEEP[0]}: sweep\n"
    place.out("tag", "alice/**", "-a", "kept", "-r", "sweep", "--yes")
    assert place.out("tag", SWEEP[0]) == f"{SWEEP[0]}: kept\n"
    assert place.out("tag", SWEEP[0], "--set", "x", "--set", "y") == f"{SWEEP[0]}: x, y\n"
    assert place.out("tag", SWEEP[0], "--set", "") == f"{SWEEP[0]}: \n"
    assert place.run("tag", SWEEP[0], "-a", "x" * 2000).code == 2
    assert place.run("rm", "--filter", "tag:kept", "-n").out.split() == SWEEP[1:]

    assert place.out("note", SWEEP[0]) == ""
    place.out("note", SWEEP[0], "-m", "**diverges**")
    place.out("note", SWEEP[0], "--append", "-m", "after 3 epochs")
    assert place.out("note", SWEEP[0]) == "**diverges**\n\nafter 3 epochs\n"
    (tmp_path / "text.md").write_text("from a file\n")
    place.out("note", "--filter", "tag:kept", "--file", "text.md", "--yes")
    assert place.out("note", *SWEEP[1:]) == "".join(f"{each}:\nfrom a file\n" for each in SWEEP[1:])
    editor = tmp_path / "editor.py"
    editor.write_text("import sys; open(sys.argv[1], 'a').write(' edited')")
    monkeypatch.setenv("EDITOR", f"{sys.executable} {editor}")
    monkeypatch.delenv("VISUAL", raising=False)
    place.out("note", SWEEP[1], "--edit")
    assert place.out("note", SWEEP[1]) == "from a file edited\n"
    monkeypatch.setenv("EDITOR", "no-such-editor")
    assert "set EDITOR" in place.run("note", SWEEP[1], "--edit").err
    place.out("note", SWEEP[1], "-m", "")
    assert place.out("note", SWEEP[1]) == ""
    assert place.run("note", SWEEP[1], "-m", "x", "--edit").code == 2


def test_a_readme_is_printed_and_changed(place: Place) -> None:
    assert place.out("readme", SWEEP[0]) == ""
    assert place.out("readme", SWEEP[0], "-m", "# Sweep") == f"{SWEEP[0]}: described\n"
    place.out("readme", SWEEP[0], "--append", "-m", "of rates")
    assert place.out("readme", SWEEP[0]) == "# Sweep\n\nof rates\n"
    assert place.out("note", SWEEP[0]) == "", "which is another text"


@pytest.mark.parametrize("what", ["note", "readme"])
def test_of_two_who_edit_a_text_the_second_is_told_and_keeps_his_words(
    what: str, place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """While somebody writes in an editor, another one has written."""
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    real = subprocess.run

    def run(command: list[str], **how: Any) -> Any:
        if command[0] != "editor":
            return real(command, **how)
        Path(command[-1]).write_text("mine")
        place.out(what, SWEEP[0], "-m", "theirs")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setenv("EDITOR", "editor")
    monkeypatch.setattr(subprocess, "run", run)
    refused = place.run(what, SWEEP[0], "--edit")
    assert (refused.code, "changed meanwhile" in refused.err) == (1, True)
    (kept,) = tmp_path.glob(f"ml-dash-{what}-*.md")
    assert (kept.read_text(), str(kept) in refused.err) == ("mine", True)
    assert place.out(what, SWEEP[0]) == "theirs\n"


@pytest.mark.parametrize("what", ["note", "readme"])
def test_of_two_who_append_at_once_nothing_is_lost(
    what: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at what there is and the writing, another one appends."""
    changes = RemoteChanges if "--url" in place.option else LocalChanges
    read = getattr(changes, f"read_{what}")

    def read_and_wait(self: Any, prefix: str) -> str | None:
        before: str | None = read(self, prefix)
        monkeypatch.setattr(changes, f"read_{what}", read)
        place.out(what, prefix, "--append", "-m", "theirs")
        return before

    place.out(what, SWEEP[0], "-m", "first")
    monkeypatch.setattr(changes, f"read_{what}", read_and_wait)
    refused = place.run(what, SWEEP[0], "--append", "-m", "mine")
    assert (refused.code, "changed meanwhile" in refused.err) == (1, True)
    assert place.out(what, SWEEP[0]) == "first\n\ntheirs\n"
    place.out(what, SWEEP[0], "--append", "-m", "mine")
    assert place.out(what, SWEEP[0]) == "first\n\ntheirs\n\nmine\n"


def test_lists_have_notes_and_readmes(place: Place) -> None:
    with place.experiment("alice/told/x", readme="Baseline", capture=False).run as exp:
        exp.flush()
    place.out("note", SWEEP[0], "-m", "diverges")
    listed = {each["prefix"]: each for each in json.loads(place.out("ls", "--json"))}
    assert {prefix: each["note"] for prefix, each in listed.items() if each["note"]} == {SWEEP[0]: "diverges"}
    assert {prefix: each["readme"] for prefix, each in listed.items() if each["readme"]} == {
        "alice/told/x": "Baseline"
    }
    assert "diverges" in place.out("ls", "-c", "note", "--filter", "note:diverges")


@pytest.mark.sample(2)
def test_two_experiments_beside_one_another(place: Place) -> None:
    found = json.loads(place.out("diff", SWEEP[0], SWEEP[2], "--json"))
    assert (found["a"], found["b"]) == (SWEEP[0], SWEEP[2])
    assert found["params"] == {"lr": {"a": 0.1, "b": pytest.approx(0.3)}}
    assert found["metrics"] == {
        "val/acc": {"a": {"last": 0.2, "best": 0.2}, "b": {"last": 0.4, "best": 0.4}},
    }
    lines = place.out("diff", SWEEP[0], SWEEP[2]).splitlines()
    assert lines[0].split() == ["params", SWEEP[0], SWEEP[2]]
    assert ["best(val/acc)", "0.2", "0.4"] in [line.split() for line in lines]
    assert "model" not in place.out("diff", SWEEP[0], SWEEP[2])
    assert "model" in place.out("diff", SWEEP[0], SWEEP[2], "--all")
    assert place.run("diff", SWEEP[0], "alice/none/none").code != 0


def test_the_best_value_of_one_and_the_best_of_many(place: Place) -> None:
    assert place.out("best", SWEEP[0], "val/acc") == "0.2 at step 2\n"
    assert place.out("best", SWEEP[0], "val/acc", "--mode", "min") == "0.0 at step 0\n"
    found = json.loads(place.out("best", "alice/sweep/*", "val/acc", "--json"))
    assert [(each["prefix"], each["value"], each["step"]) for each in found] == [
        (prefix, pytest.approx(value), 2) for prefix, value in zip(SWEEP[::-1], (0.4, 0.3, 0.2), strict=True)
    ]
    lines = place.out("best", "*", "val/acc", "--filter", "lr<0.25", "--lines", "1").splitlines()
    assert [line.split()[0] for line in lines] == ["experiment", SWEEP[1]]
    for words, said in (
        ([SWEEP[0], "val/odd"], "--mode max"),
        ([SWEEP[0], "val/ac"], "did you mean val/acc"),
        (["alice/**", "val/ac"], "did you mean val/acc"),
    ):
        refused = place.run("best", *words)
        assert (refused.code, said in refused.err) == (2, True), refused


def test_a_filter_that_cannot_be_understood_is_told_and_nothing_is_done(place: Place) -> None:
    for text in ("lrr<0.1", "lr<", "nosuch("):
        refused = place.run("rm", "--filter", text, "--yes")
        assert (refused.code, refused.out) == (2, "")
    assert place.run("rm").code == 2
    assert place.left() == SWEEP


def test_what_is_not_there_is_a_wrong_name(place: Place) -> None:
    for words in (["rm"], ["tag", "--add", "x"], ["note", "-m", "x"], ["restore"], ["best"], ["mv"]):
        more = ["val/acc"] if words == ["best"] else ["alice/new/x"] if words == ["mv"] else []
        refused = place.run(words[0], "alice/sweep/none", *more, *words[1:])
        assert (refused.code, "alice/sweep/none" in refused.err) == (2, True), refused
    assert " ".join(["`ml-dash trash", *place.option]) in place.run("restore", "alice/sweep/none").err


def test_only_a_root_is_emptied_from_here(place: Place) -> None:
    place.out("rm", SWEEP[0])
    done = place.run("trash", "--empty", "--yes")
    if place.option:
        assert (done.code, "--keep-deleted" in done.err) == (2, True)
    else:
        assert (done.code, done.err) == (0, "1 experiment removed for good\n")
        assert place.run("trash").out == ""


def test_who_moves_what_a_server_has_is_told_what_it_is_called_there(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    monkeypatch.setenv("ML_DASH_API_URL", server.url)
    monkeypatch.chdir(tmp_path)
    with Experiment("alice/p/a", dash_url=server.url, echo=False).run as exp:
        exp.metrics("train").log(step=0)
        exp.flush()
    done = invoke("mv", "alice/p/a", "alice/p/b")
    assert done.code == 0
    assert f"if that is alice/p/a, `ml-dash mv alice/p/a alice/p/b --url {server.url}`" in done.err
    again = invoke("mv", "alice/p/b", "alice/p/b")
    assert (again.code, again.out, again.err) == (0, "alice/p/b is called so already\n", "")
    assert invoke("mv", "alice/p/a", "alice/p/b", "--url", server.url).code == 0
    assert invoke("sync").code == 0
    assert server.store is not None
    with server.store.database.read() as connection:
        assert connection.exec_driver_sql("SELECT prefix, metric_rows FROM experiments").all() == [
            ("alice/p/b", 1)
        ]
    handed_over = invoke("mv", "alice/p/b", "bob/p/b")
    # a server would refuse that
    assert (handed_over.code, "stays with its owner" in handed_over.err) == (0, True)
    assert "ml-dash mv" not in handed_over.err
