"""`ml-dash import`, and what other commands say of trees that were not written by this ML-Dash."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.server.runner import EmbeddedServer
from tests.cli.commands.offline import server
from tests.support.project import PROJECT
from tests.support.public_trees import RUN, content, metric, tree
from tests.support.shell import invoke, succeed

__all__ = ["server"]  # the fixture


def test_an_import_says_what_it_brings_in_and_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To a root of its own unless it is told another one; the second time there is nothing new."""
    theirs = tree(tmp_path)
    monkeypatch.chdir(tmp_path)
    code, out, err = invoke("import", "ml-dash", theirs)
    lines = out.splitlines()
    assert lines[0] == f"{theirs / RUN} -> {RUN}: 17 rows, 3 messages, 2 entries, 4 files, parameters"
    assert lines[1] == f"{theirs / 'two/parts'} -> two/parts/parts: 1 row"
    assert (
        lines[2]
        == "`ml-dash ls .dash-imported` lists what is there; read and go on with dash_root='.dash-imported'"
    )
    # of one value no more than its text can be stored
    assert (code, err.count("\n")) == (1, 1)
    assert "'big' is stored as its text" in err
    assert succeed("import", "ml-dash", theirs).startswith("nothing new\n")
    assert "UNKNOWN" in succeed("ls", ".dash-imported", "--status", "unknown")
    assert "UNKNOWN" in succeed("show", RUN, "--root", ".dash-imported")


def test_one_run_may_get_another_name(tmp_path: Path) -> None:
    theirs, root = tree(tmp_path), tmp_path / "ours"
    succeed("import", "ml-dash", theirs / "two", "--root", root, "--as", "bob/vision/first")
    assert content(root, "bob/vision/first")["metrics"].startswith("{'m': [{'v': 1,")
    code, _, err = invoke("import", "ml-dash", theirs, "--as", "a/b/c")
    assert (code, "there are 2" in err) == (2, True)


def test_other_formats_have_commands_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the options that each needs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ML_DASH_USER", "zoe")
    (tmp_path / "a.csv").write_text("t,x,y\n5,1,2\n")
    (tmp_path / "b.jsonl").write_text('{"t": 5, "x": 1, "y": 2}\n')
    for kind, name in (("csv", "a"), ("jsonl", "b")):
        told = succeed("import", kind, f"{name}.{kind}", "--columns", "x, y", "--time", "t", "--metric", "m")
        assert told.splitlines()[0] == f"{name}.{kind} -> zoe/{tmp_path.name}/{name}: 1 row"
        (row,) = metric(tmp_path / ".dash-imported", "m", f"zoe/{tmp_path.name}/{name}")
        assert row == {"x": 1, "y": 2, "_ts": 5.0}
    logs = PROJECT / "tests" / "importers" / "data" / "tensorboard" / "keras"
    told = succeed("import", "tensorboard", logs, "--under", "a/b", "--root", "tb")
    assert told.splitlines()[0] == f"{logs} -> a/b/b: 4 rows, 1 message"


def test_what_is_refused_is_told_and_the_rest_brought_in(tmp_path: Path) -> None:
    theirs, root = tree(tmp_path), tmp_path / "ours"
    with Experiment(RUN, dash_root=root, echo=False).run:
        pass
    code, out, err = invoke("import", "ml-dash", theirs, "--root", root)
    assert code == 1
    assert f"{theirs / RUN}: not brought in: " in err
    assert "two/parts/parts: 1 row" in out


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("ls",), 0),
        (("verify", "--root"), 0),
        (("sync",), 2),
        (("show", "run-1", "--root"), 2),
        (("show", "nothing", "--root"), 2),
        (("tail", RUN, "--root"), 2),
    ],
)
def test_commands_say_whose_a_tree_is_that_they_find_nothing_in(
    tmp_path: Path, command: tuple[str, ...], code: int
) -> None:
    """And how it is brought in: it looks as if all were lost."""
    theirs = tree(tmp_path)
    exit_code, out, err = invoke(*command, theirs)
    assert exit_code == code
    assert f"2 directories under {str(theirs)!r}" in err
    assert f"`ml-dash import ml-dash {theirs}`" in err
    assert out == ""


def test_a_mixed_root_is_listed_and_the_rest_is_told(tmp_path: Path) -> None:
    theirs = tree(tmp_path)
    with Experiment("alice/vision/mine", dash_root=theirs, echo=False).run:
        pass
    code, out, err = invoke("ls", theirs)
    assert code == 0
    assert "alice/vision/mine  COMPLETED" in out
    assert err.startswith("Note: 2 directories under")
    _, _, err = invoke("show", "run-1", "--root", theirs)
    assert "that this ML-Dash has written" in err
    assert "ml-dash import" not in invoke("show", "nothing", "--root", theirs)[2]


@pytest.mark.slow
def test_what_was_imported_goes_to_a_server_whole(server: EmbeddedServer, tmp_path: Path) -> None:
    """As what was logged here does; a second import and a second sync add what is new, and that alone."""
    theirs, root = tree(tmp_path), tmp_path / "ours"
    server.start()
    invoke("import", "ml-dash", theirs, "--root", root)
    assert f"{RUN} -> {server.url}: 32 events sent, 3 files sent" in succeed("sync", root, "--to", server.url)
    with (theirs / RUN / "metrics/train/data.jsonl").open("a") as file:
        file.write('{"data": {"loss": 0.5}, "createdAt": "2026-11-29T20:35:00Z"}\n')
    invoke("import", "ml-dash", theirs, "--root", root)
    assert f"{RUN} -> {server.url}: 1 event sent, 32 events already there" in succeed(
        "sync", root, "--to", server.url
    )
    here, there = Experiment(RUN, dash_root=root), Experiment(RUN, dash_url=server.url, dash_root=None)
    assert there.metrics("train").read() == here.metrics("train").read()
    assert there.params.get() == here.params.get()
    assert there.files.list() == here.files.list()
    assert there.files("models/w.bin").read_bytes() == bytes(range(256)) * 2
    assert there.status().status is None
