"""A root that somebody sent: each command says what it does not read, and of which file, and goes on with the rest."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.errors import JournalDamageWarning
from ml_dash.server.runner import EmbeddedServer
from tests.cli.commands.offline import log_offline, server, steps_at
from tests.support.shell import invoke
from tests.support.strangers import deep_values, long_frame

__all__ = ["server"]  # the fixture

COMMANDS = [["ls"], *([name, "first"] for name in ("show", "tail", "export", "files", "verify")), ["sync"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_long_frame_is_named_and_left_out(root: Path, command: list[str]) -> None:
    path = long_frame(root / "alice/vision/first")

    done = invoke(*command, *([root] if command[0] in {"ls", "sync"} else ["--root", root]))

    said = done.err + done.out
    if command[0] in {"show", "tail", "export", "verify"}:
        assert done.code == 1
        assert path.name in said.replace("\n", "")
        assert "ML_DASH_FRAME_BYTES" in said


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_values_of_any_depth_are_shown(root: Path, command: list[str]) -> None:
    """Or left out; none of them ends a command, as a recursion would."""
    deep_values(root / "alice/vision/first")

    for options in ([], ["--json"]) if command[0] in {"ls", "show", "files"} else ([],):
        done = invoke(*command, *options, *([root] if command[0] in {"ls", "sync"} else ["--root", root]))
        assert done.code in {0, 1}, done.err


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 900 + "1" + "}" * 900, "x"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_side_file_that_is_none_is_not_believed(root: Path, command: list[str], content: str) -> None:
    directory = root / "alice/vision/first"
    (directory / "experiment.json").write_text(content)
    if content == "x":
        os.truncate(directory / "experiment.json", 200 << 30)

    done = invoke(*command, *([root] if command[0] in {"ls", "sync"} else ["--root", root]))

    assert done.code == 0
    exp = Experiment("alice/vision/first", dash_root=root, echo=False)
    assert exp.readme == "ResNet\non CIFAR"


def test_a_run_begins_beside_what_strangers_left(root: Path) -> None:
    long_frame(root / "alice/vision/first")
    exp = Experiment("alice/vision/first", dash_root=root, echo=False)
    with warnings.catch_warnings(record=True) as told, exp.run:
        warnings.simplefilter("always")
        exp.metrics("mine").log(step=1)
        exp.metrics("train").read()
        assert len(exp.metrics("mine").read()["data"]) == 1
    assert {warning.category for warning in told} == {JournalDamageWarning}
    assert "ML_DASH_FRAME_BYTES" in str(told[0].message)


@pytest.mark.slow
def test_sync_stops_at_a_long_frame_and_sends_all_others(server: EmbeddedServer) -> None:
    """It is whole, and another setting, or version, may send it: so no empty one goes in its place."""
    log_offline(server.url, "alice/p/exp")
    path = long_frame(Path(".dash/alice/p/exp"))
    server.start()

    done = invoke("sync", "--patience", "0")

    assert done.code == 1
    assert path.name in done.err.replace("\n", "") + done.out.replace("\n", "")
    assert steps_at(server, "alice/p/exp") == list(range(300))
