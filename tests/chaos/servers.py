"""Servers that are stopped or killed, and started again with the same data: three kinds, the last one true to life."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

from ml_dash.server.runner import EmbeddedServer
from tests.chaos.line import bound_socket
from tests.chaos.warm import Nursery
from tests.support.project import PROJECT

TOKEN = "mld_" + "c" * 43
"""The admin token of all of them."""


class Host(Protocol):
    """A server's machine.

    Attributes:
        end: what `stop` does, in words.
    """

    end: str

    def start(self) -> str:
        """Start the server, and return its URL when it listens."""
        ...

    def stop(self) -> None:
        """End it; nothing if it does not run."""
        ...


class Embedded:
    """In this process; it is given the time to finish what it accepted."""

    end = "servers stopped"

    def __init__(self, data: Path, settings: dict[str, Any]) -> None:
        self._server = EmbeddedServer(data=data, admin_token=TOKEN, **settings)

    def start(self) -> str:
        return self._server.start().url

    def stop(self) -> None:
        self._server.stop()


class Forked:
    """A child of the warm process; it is killed. It listens at another port each time."""

    end = "servers killed"

    def __init__(self, data: Path, settings: dict[str, Any], nursery: Nursery) -> None:
        self._settings = {"data": str(data), "port": 0, "admin_token": TOKEN, **settings}
        self._nursery = nursery
        self._pid: int | None = None

    def start(self) -> str:
        self._pid, url = self._nursery.serve(**self._settings)
        return url

    def stop(self) -> None:
        if self._pid is not None:
            self._nursery.kill(self._pid)
            self._pid = None


class Program:
    """What users start: the command, in a process of its own, at one port; it is killed."""

    end = "programs killed"

    def __init__(self, data: Path) -> None:
        self._data = data
        self._holder = bound_socket(0)  # nobody else is given this port
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        port = str(self._holder.getsockname()[1])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ml_dash.cli", "server", "--port", port, "--data", str(self._data)],
            cwd=PROJECT,
            env={**os.environ, "ML_DASH_ADMIN_TOKEN": TOKEN},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("Listening on "):
                return line.split()[2]
        raise AssertionError(f"the server ended with {self._process.wait()} before it listened")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def close(self) -> None:
        """Let go of the port."""
        self.stop()
        self._holder.close()


SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    # so that few rows are enough for objects in the blob store, and for their being merged
    {"object_bytes": 1_000, "compact_rows": 20, "upkeep_interval": 0.05},
)


def host_of(seed: int, home: Path, template: Path, nursery: Nursery) -> Host:
    """Set up a server for a story: one of each kind, with one of some settings."""
    data = home / "server"
    shutil.copytree(template, data)
    settings = SETTINGS[seed // 2 % 2]
    return Forked(data, settings, nursery) if seed % 2 else Embedded(data, settings)
