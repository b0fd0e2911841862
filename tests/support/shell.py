"""Ways to run the command: within the test, in a process of its own, and on a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from typer.testing import CliRunner

from ml_dash.cli.app import app
from tests.support.project import PROJECT

COMMAND = [sys.executable, "-m", "ml_dash.cli"]
SECONDS = 30
"""What a process may take on a machine that is busy with other things."""


class Finished(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str


def invoke(*arguments: str | Path) -> Finished:
    """Run the command in this process."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Finished(result.exit_code, result.stdout, result.stderr)


def succeed(*arguments: str | Path) -> str:
    """Run the command in this process and return its output; nothing else may have been said."""
    done = invoke(*arguments)
    assert (done.code, done.err) == (0, "")
    return done.out


def environment(**changes: str) -> dict[str, str]:
    """The environment without what would change how output looks."""
    ours = ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "LINES")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    root = str(PROJECT)
    return {**kept, "PYTHONPATH": root, "PYTHONIOENCODING": "utf-8", "TERM": "xterm", "TZ": "UTC", **changes}


def shell(*arguments: str | Path, cwd: Path | None = None, **env: str) -> Finished:
    """Run the command in a process of its own, with pipes."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        cwd=cwd,
        env=environment(**env),
        timeout=SECONDS,
        check=False,
    )
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


def on_terminal(*arguments: str | Path, columns: int, **env: str) -> str:
    """Run the command on a terminal of this width, and return what it wrote there."""
    return written_on_terminal([*COMMAND, *map(str, arguments)], columns, environment(**env))


def written_on_terminal(
    command: Sequence[str], columns: int, env: Mapping[str, str], typed: bytes = b""
) -> str:
    """Run any command on a terminal of this width, and return what it wrote there."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    os.write(ours, typed)
    written = b""
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
    except OSError:
        pass  # how Linux says that nobody has the other end any more
    finally:
        os.close(ours)
        process.wait(SECONDS)
    return written.decode().replace("\r\n", "\n")


def wait_for(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; it must within the time that a process may take."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
