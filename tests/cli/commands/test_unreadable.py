"""Where something cannot be read, every command says what, goes on with the rest, and ends with 1."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias

import pytest

from ml_dash import Experiment
from ml_dash.errors import MLDashError
from ml_dash.server.runner import EmbeddedServer
from tests.cli.commands.offline import log_offline, server, steps_at
from tests.support.shell import invoke
from tests.support.unreadable import forbidden, locked, no_descriptors, unreadable

__all__ = ["server"]  # the fixture

Refuses: TypeAlias = Callable[[Path], AbstractContextManager[None]]


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("journal/*.mldj"))


@pytest.mark.slow
def test_sync_sends_the_other_experiments(server: EmbeddedServer) -> None:
    """Nor does one whose start cannot be read, which says where it was to be sent, count as of local mode."""
    log_offline(server.url, "alice/p/hidden")
    log_offline(server.url, "alice/p/open")
    server.start()
    (segment,) = segments(Path(".dash/alice/p/hidden"))

    with unreadable(segment):
        done = invoke("sync")
        alone = invoke("sync", ".dash/alice/p/hidden")

    assert (done.code, alone.code) == (1, 1)
    for said in (done.err, alone.err):
        assert f"cannot read '{segment}'" in said
        assert "local mode" not in said
        assert "nothing to send" not in said
    assert steps_at(server, "alice/p/open") == list(range(300))
    assert invoke("sync").code == 0
    assert steps_at(server, "alice/p/hidden") == list(range(300))


@pytest.mark.slow
def test_sync_sends_the_other_writers_of_an_experiment(server: EmbeddedServer) -> None:
    log_offline(server.url, "alice/p/exp")
    log_offline(server.url, "alice/p/exp")
    server.start()
    first, _ = segments(Path(".dash/alice/p/exp"))

    for options in ([], ["--to", server.url]):
        with unreadable(first):
            done = invoke("sync", "--patience", "0", *options)
        assert done.code == 1
        assert "cannot be read" in done.err
        assert steps_at(server, "alice/p/exp") == list(range(300))
    assert invoke("sync").code == 0
    assert len(steps_at(server, "alice/p/exp")) == 600


@pytest.mark.parametrize("place", [".dash", ".dash/alice", ".dash/alice/p/exp", "config/outbox"])
def test_sync_does_not_say_that_there_is_nothing_to_send(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Whoever removes the runs after that would lose them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", "config")
    Path("config/outbox/one").mkdir(parents=True)
    Path(".dash/alice/p/exp/journal").mkdir(parents=True)
    with forbidden(Path(place)):
        done = invoke("sync")
    assert done.code == 1
    assert "cannot read" in done.err
    assert "Permission denied" in done.err
    assert "nothing to send" not in done.err


@pytest.mark.parametrize("command", [["ls"], ["verify"], ["sync"]])
def test_a_root_that_cannot_be_read_is_not_empty(tmp_path: Path, command: list[str]) -> None:
    with forbidden(tmp_path):
        done = invoke(*command, tmp_path)
    assert done.code == 1
    assert f"cannot read {str(tmp_path)!r}: Permission denied" in done.err


@pytest.mark.parametrize("command", ["show", "tail", "files", "verify"])
def test_an_experiment_in_a_directory_that_cannot_be_read_is_not_unknown(root: Path, command: str) -> None:
    """The message says what could not be looked into."""
    with forbidden(root / "alice"):
        done = invoke(command, "first", "--root", root)
    assert done.code == 1
    assert f"cannot read {str(root / 'alice')!r}" in done.err


@pytest.mark.parametrize("refuses", [unreadable, locked])
@pytest.mark.parametrize(
    "command", [["ls"], ["show", "first"], ["tail", "first"], ["export", "first"], ["files", "first"]]
)
def test_a_segment_that_cannot_be_read_is_neither_damaged_nor_lost(
    root: Path, command: list[str], refuses: Refuses
) -> None:
    (segment,) = segments(root / "alice/vision/first")
    where = [root] if command == ["ls"] else ["--root", root]
    with refuses(segment):
        done = invoke(*command, *where)
    assert done.code == 1
    assert "cannot be read" in done.err
    assert "what is in it is left out" in done.err
    assert "lost" not in done.err
    assert not any("alice" in line and "NOT STARTED" in line for line in done.out.splitlines())
    assert invoke(*command, *where).code == 0


@pytest.mark.parametrize("refuses", [unreadable, locked])
@pytest.mark.parametrize("options", [[], ["--repair", "--force"]], ids=["check", "repair"])
def test_verify_calls_it_unreadable_and_repairs_nothing(
    root: Path, options: list[str], refuses: Refuses
) -> None:
    (segment,) = segments(root / "alice/vision/first")
    before = segment.read_bytes()
    with refuses(segment):
        done = invoke("verify", "first", "--root", root, *options)
    assert done.code == 1
    assert "unreadable" in done.out
    assert "cannot be read" in done.out
    for word in ("lost", "damaged", "torn", "written", "not a complete frame", "no file has"):
        assert word not in done.out
    assert segment.read_bytes() == before
    assert invoke("verify", "first", "--root", root).code == 0


@pytest.mark.parametrize(
    "command", [["ls"], ["show", "first"], ["tail", "first"], ["export", "first"], ["verify", "first"]]
)
def test_a_command_without_descriptors_says_so(root: Path, command: list[str]) -> None:
    """And that nothing is damaged: it can be read when there are some."""
    where = [root] if command == ["ls"] else ["--root", root]
    invoke(*command, *where)  # so that everything is imported
    with no_descriptors():
        done = invoke(*command, *where)
    assert done.code == 1
    assert "Too many open files" in done.err + done.out
    assert "lost" not in done.err + done.out
    assert invoke(*command, *where).code in {0, 1 if command == ["ls"] else 0}


def test_a_blob_that_cannot_be_read_is_not_sent_and_not_given_up(server: EmbeddedServer) -> None:
    """The others are sent; it is sent when it can be read."""
    exp = Experiment("alice/p/exp", dash_url=server.url, dash_root=".dash", echo=False)
    with exp.run:
        hidden = exp.files.save_text("hidden", to="hidden.txt")
        exp.files.save_text("open", to="open.txt")
    server.start()
    blob = Path(exp.directory, "files", hidden["checksum"][:2], hidden["checksum"])

    with unreadable(blob):
        done = invoke("sync", "--patience", "0")

    assert done.code == 1
    assert "cannot be read" in done.err
    there = Experiment("alice/p/exp", dash_url=server.url, dash_root=None, echo=False)
    assert there.files("open.txt").read_text() == "open"
    assert invoke("sync").code == 0
    assert there.files("hidden.txt").read_text() == "hidden"


COMMANDS = [["ls"], *([name, "first"] for name in ("show", "tail", "export", "files", "verify")), ["sync"]]


@pytest.mark.parametrize("name", ["journal/0-0-000001.mldj", "experiment.json", "parameters.json"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_pipe_in_a_root_holds_nothing_up(root: Path, command: list[str], name: str) -> None:
    """It may come from somebody else, and nobody ever writes into it."""
    pipe = root / "alice/vision/first" / name
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)

    done = invoke(*command, *([root] if command[0] in {"ls", "sync"} else ["--root", root]))

    assert done.code in {0, 1}
    if name.endswith(".mldj"):
        assert done.code == (0 if command == ["files", "first"] else 1) or str(pipe) in done.err + done.out


def test_a_link_in_the_place_of_a_blob_is_not_followed_to_the_users_own_files(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    """Who sends a root of somebody else's sends what was saved there, and nothing that the links in it lead to."""
    own = tmp_path / "own.key"
    own.write_text("a secret")
    exp = Experiment("alice/p/exp", dash_url=server.url, dash_root=".dash", echo=False)
    with exp.run:
        saved = exp.files.save_text("a secret", to="shared.txt")
    blob = Path(exp.directory, "files", saved["checksum"][:2], saved["checksum"])
    blob.unlink()
    blob.symlink_to(own)
    server.start()

    done = invoke("sync", "--patience", "0")

    assert done.code == 1
    assert "links are not followed" in done.err
    there = Experiment("alice/p/exp", dash_url=server.url, dash_root=None, echo=False)
    with pytest.raises(MLDashError):
        there.files("shared.txt").read_bytes()
