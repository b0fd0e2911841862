"""Scripts in interpreters of their own, and the journals that they leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ml_dash.journal.blocks import block_rows
from ml_dash.query.journal_view import JournalView
from ml_dash.series import Kind, Series
from ml_dash.storage.recovery import catch_up
from tests.support.project import PROJECT

PREFIX = "alice/vision/resnet"
"""The experiment of most scripts here."""
TRAIN = Series(Kind.METRIC, "train")
LOGS = Series(Kind.LOG, None)
RUNS = Series(Kind.RUN, None)
DEADLINE = 60.0
"""Seconds after which a process counts as hanging. Not a measure of speed: the machine may be busy."""


def metric(name: str | None) -> Series:
    """Return the series of a metric."""
    return Series(Kind.METRIC, name)


class Finished(NamedTuple):
    """What became of a script."""

    returncode: int
    stdout: str
    stderr: str


class Journal:
    """The journal of one experiment as it lies on disk."""

    def __init__(self, root: Path, prefix: str = PREFIX) -> None:
        self.directory = root / prefix
        catch_up(str(self.directory))  # what dead processes have left, as every reader of ours does
        self.view = JournalView(str(self.directory / "journal"))
        self.view.refresh()

    @property
    def status(self) -> str | None:
        """The run's status by its rows."""
        return self.view.run().status

    @property
    def writers(self) -> int:
        """How many processes wrote it."""
        return len(self.view.index.writers)

    def rows(self, series: Series = TRAIN) -> list[dict[str, Any]]:
        """Return the fields of all rows, in order; fails where any of the journal is damaged."""
        self.view.refresh()
        found = [
            fields
            for _, block in self.view.index.blocks(series)
            for fields in block_rows(block, 0, block.count)
        ]
        assert self.view.index.damage == []
        return found

    def values(self, field: str, series: Series = TRAIN) -> list[Any]:
        """Return one field of all rows, in order."""
        return [row[field] for row in self.rows(series)]

    def messages(self) -> list[str]:
        """Return the texts of the log messages, in order."""
        return self.values("message", LOGS)

    def ends(self) -> list[str]:
        """Return the statuses of all end rows, in order."""
        return [row["status"] for row in self.rows(RUNS) if row["event"] == "end"]


class Scripts:
    """Runs scripts in fresh interpreters, in a directory of their own.

    Args:
        home: the working directory; journals lie in ``.dash`` below it.
        python: the interpreter.
        environ: the environment of every script.
    """

    def __init__(self, home: Path, python: str = sys.executable, environ: Mapping[str, str] = {}) -> None:
        self.home = home
        self.python = python
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ML_DASH_")}
        # The home of a user who has nothing of ours in it. Faults are told with all threads' stacks: see `finish`.
        self.environ = {
            **inherited,
            "HOME": str(home),
            "PYTHONPATH": str(PROJECT),  # this tree, whichever one is installed
            "PYTHONFAULTHANDLER": "1",
            "ML_DASH_QUIET": "1",  # what a run says of itself, and captures, has tests of its own
            "ML_DASH_CAPTURE": "0",
            **environ,
        }
        self._count = 0

    def run(
        self,
        text: str,
        *arguments: str,
        env: Mapping[str, str] = {},
        options: Sequence[str] = (),
        via: Literal["file", "-c", "-m", "stdin"] = "file",
        deadline: float = DEADLINE,
    ) -> Finished:
        """Run a script to its end; see `start`."""
        process = self.start(text, *arguments, env=env, options=options, via=via)
        return finish(process, textwrap.dedent(text) if via == "stdin" else None, deadline=deadline)

    def start(
        self,
        text: str,
        *arguments: str,
        env: Mapping[str, str] = {},
        options: Sequence[str] = (),
        via: Literal["file", "-c", "-m", "stdin"] = "file",
        launcher: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a script.

        Args:
            text: the script; common indentation is taken off.
            *arguments: its command line.
            env: more environment variables.
            options: the interpreter's own options.
            via: how the interpreter gets it. For ``"stdin"`` the caller writes it there.
            launcher: a command that starts the command line which follows it.
        """
        self._count += 1
        name = f"script{self._count}"
        text = textwrap.dedent(text)
        (self.home / f"{name}.py").write_text(text)
        how = {"file": [f"{name}.py"], "-c": ["-c", text], "-m": ["-m", name], "stdin": ["-"]}[via]
        return subprocess.Popen(
            [*launcher, self.python, *options, *how, *arguments],
            cwd=self.home,
            env={**self.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,  # so that `expect_line` takes no byte more than its line
            start_new_session=True,
        )

    def journal(self, prefix: str = PREFIX) -> Journal:
        """Read an experiment's journal."""
        return Journal(self.home / ".dash", prefix)


def finish(
    process: subprocess.Popen[bytes], text: str | None = None, *, deadline: float = DEADLINE
) -> Finished:
    """Wait for a process to end; one that hangs fails the test with the stacks of its threads."""
    try:
        stdout, stderr = process.communicate(None if text is None else text.encode(), timeout=deadline)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGABRT)
        stdout, stderr = _last_words(process)
        message = f"still running after {deadline} s.\nstdout:\n{stdout.decode()}\nstderr:\n{stderr.decode()}"
        raise AssertionError(message) from None
    finally:
        end_session(process)
    return Finished(process.returncode, stdout.decode(), stderr.decode())


def _last_words(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    try:
        return process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        # its children hold the pipes
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()


def end_session(process: subprocess.Popen[Any]) -> None:
    """Kill whatever is left of a process and its children, which have a session of their own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def expect_line(process: subprocess.Popen[bytes]) -> str:
    """Return the next line that a process prints; fails where it ends first."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        finished = finish(process)
        raise AssertionError(f"ended with {finished.returncode} before it said anything:\n{finished.stderr}")
    return line.decode().strip()
