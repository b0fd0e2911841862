"""A process that has imported everything and started nothing, and forks servers and clients that can be killed.

Run as a script it reads one JSON request a line and answers each with a line. ``{"do": "serve", …}``,
``{"do": "upload", …}`` and ``{"do": "sync", …}`` start a child and tell its process id;
``{"do": "kill", "pid": …}`` kills one with SIGKILL.
So a server is born in milliseconds, and may die a thousand deaths.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, cast, final

from tests.support.project import PROJECT

__all__ = ["Nursery", "Served"]


class Served(NamedTuple):
    """A server process."""

    pid: int
    url: str


@final
class Nursery:
    """Has children of the warm process born and killed."""

    def __enter__(self) -> Nursery:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.warm"],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def serve(self, **settings: Any) -> Served:
        """Start a server with these settings, and return when it listens."""
        said = self._ask(do="serve", settings=settings)
        assert said["url"], "the server did not start"
        return Served(said["pid"], said["url"])

    def upload(self, job: tuple[Any, ...]) -> int:
        """Start a client as a run has it, and return its process id."""
        return cast("int", self._ask(do="upload", job=job)["pid"])

    def sync(self, job: tuple[Any, ...]) -> int:
        """Start a client that is one ``ml-dash sync`` after the other, and return its process id."""
        return cast("int", self._ask(do="sync", job=job)["pid"])

    def kill(self, pid: int) -> None:
        """Kill a child, and return when it is dead. It must have lived until then."""
        assert self._ask(do="kill", pid=pid)["signal"] == signal.SIGKILL, "a child had ended by itself"

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return cast("dict[str, Any]", json.loads(self._process.stdout.readline()))


def _fork(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            sys.stderr.flush()
            os._exit(1)
    return child


def _serve(request: dict[str, Any]) -> dict[str, Any]:
    from ml_dash.server.runner import RunningServer, serve
    from ml_dash.server.settings import ServerSettings

    reader, writer = os.pipe()

    def ready(server: RunningServer) -> None:
        os.write(writer, server.url.encode())
        os.close(writer)

    def work() -> None:
        os.close(reader)
        asyncio.run(serve(ServerSettings(**request["settings"]), ready))

    pid = _fork(work)
    os.close(writer)
    with os.fdopen(reader) as said:
        return {"pid": pid, "url": said.read()}


def _upload(request: dict[str, Any]) -> dict[str, Any]:
    from tests.chaos.uploading import Job, upload

    return {"pid": _fork(lambda: asyncio.run(upload(Job(*request["job"]))))}


def _sync(request: dict[str, Any]) -> dict[str, Any]:
    from tests.chaos.uploading import Job, sync_for_ever

    return {"pid": _fork(lambda: asyncio.run(sync_for_ever(Job(*request["job"]))))}


def _kill(request: dict[str, Any]) -> dict[str, Any]:
    os.kill(request["pid"], signal.SIGKILL)
    _, status = os.waitpid(request["pid"], 0)
    return {"signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None}


def main() -> None:
    """Answer requests until there are no more; nobody survives that."""
    import logging

    logging.disable()
    for name in ("ml_dash.server.runner", "ml_dash.server.db.migrate", "tests.chaos.uploading", "numpy"):
        importlib.import_module(name)
    assert threading.active_count() == 1
    children: set[int] = set()
    answers = {"serve": _serve, "upload": _upload, "sync": _sync, "kill": _kill}
    for line in sys.stdin:
        request = json.loads(line)
        answer = answers[request["do"]](request)
        children ^= {answer.get("pid", request.get("pid"))}
        print(json.dumps(answer), flush=True)
    for child in children:
        _kill({"pid": child})


if __name__ == "__main__":
    main()
