"""A server in a process of its own, which can be held still: its sockets stay open, and it answers nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

from tests.support.processes import end_session
from tests.support.project import PROJECT
from tests.support.seen import TOKEN

__all__ = ["FreezableServer", "server_process"]


@final
class FreezableServer:
    """A running ``ml-dash server``.

    Attributes:
        url: where it listens.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url = self._read_url()

    def freeze(self) -> None:
        """Have it do nothing until `thaw`."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        self._process.send_signal(signal.SIGCONT)

    def _read_url(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("Listening on "):
                return line.removeprefix("Listening on ").strip()
        raise AssertionError("the server ended before it listened")


@contextmanager
def server_process(data: Path) -> Iterator[FreezableServer]:
    """Run a server on a free port; it is killed in the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ml_dash.cli", "server", "--port", "0", "--data", str(data)],
        cwd=PROJECT,
        env={**os.environ, "ML_DASH_ADMIN_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield FreezableServer(process)
    finally:
        end_session(process)
        assert process.stdout is not None
        process.stdout.close()
