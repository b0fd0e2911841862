"""The demo's processes: a server and a training, which are started, watched, killed, and never left running."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from docs.examples.digits_checks import DemoError, Kill
from docs.examples.digits_witness import witness_path

TIME_LIMIT = 100.0
"""Seconds that a training process may take."""
_START_LIMIT = 60.0
_STOP_LIMIT = 40.0
_POLL_SECONDS = 0.002
_SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "digits.py")


class Children:
    """All processes that the demo starts: what still runs when the block is left is killed.

    They have a session of their own, so that Ctrl-C reaches the demo alone, which ends them.
    """

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Children:  # noqa: PYI034 - typing has no Self before Python 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], output: str | None = None
    ) -> subprocess.Popen[bytes]:
        """Start Python with these arguments.

        Args:
            arguments: What follows ``python``.
            environment: What is set beside our own environment.
            output: The file to which its output is appended; None leaves it where ours goes.
        """
        with contextlib.ExitStack() as files:
            out = None if output is None else files.enter_context(open(output, "ab"))
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=None if out is None else subprocess.STDOUT,
                start_new_session=True,
            )
            self._processes.append(process)
        return process


class Server:
    """``ml-dash server`` in a process of its own, which can be killed and started again: same port, same data.

    Args:
        children: Who ends it in any case.
        directory: Below this it keeps its data and its log.
        token: Its admin token.
    """

    def __init__(self, children: Children, directory: str, token: str) -> None:
        self.data = os.path.join(directory, "server")
        self.log = os.path.join(directory, "server.log")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._children = children
        self._token = token
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it, wait until it answers, and return when that was, in seconds since the epoch."""
        options = ["server", f"--port={self.port}", f"--data={self.data}"]
        process = self._children.start(
            ["-m", "ml_dash.cli", *options], {"ML_DASH_ADMIN_TOKEN": self._token}, self.log
        )
        deadline = time.monotonic() + _START_LIMIT
        while not answers(self.port):
            if process.poll() is not None:
                raise DemoError(f"the server does not start: {last_line(self.log)}")
            if time.monotonic() > deadline:
                raise DemoError(f"the server does not answer within {_START_LIMIT:.0f} s: look at {self.log}")
            time.sleep(0.02)
        self._process = process
        return time.time()

    def kill(self) -> float:
        """Kill it with SIGKILL; return when that was, in seconds since the epoch."""
        process = self._running()
        killed_at = time.time()
        process.kill()
        process.wait()
        return killed_at

    def stop(self) -> None:
        """Ask it to end (SIGTERM), and see that it does so in order."""
        process = self._running()
        process.terminate()
        code = process.wait(_STOP_LIMIT)
        if code != 0 and os.name == "posix":
            raise DemoError(f"the server did not stop in order, but with status {code}: look at {self.log}")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise DemoError(f"the server has ended by itself: {last_line(self.log)}")
        return self._process


class Training:
    """A training process.

    Args:
        children: Who ends it in any case.
        directory: The experiment's, where its witness lies.
        options: What the script is told.
        attempt: Which attempt it is.
    """

    def __init__(self, children: Children, directory: str, options: Sequence[str], attempt: int) -> None:
        # The matrices are small: threads would mostly wait for each other. And the demo itself tells how it goes.
        environment = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "ML_DASH_QUIET": "1"}
        self._process = children.start([_SCRIPT, *options, f"--attempt={attempt}"], environment)
        self._deadline = time.monotonic() + TIME_LIMIT
        self._witness = Watch(witness_path(directory, attempt))

    def reach(self, step: int) -> None:
        """Wait until it has come to a step."""
        while self._witness.step() < step:
            if self._process.poll() is not None and self._witness.step() < step:
                raise DemoError(f"the training ended by itself before step {step}: look at its output above")
            if time.monotonic() > self._deadline:
                raise DemoError(f"the training did not come to step {step} in {TIME_LIMIT:.0f} s")
            time.sleep(_POLL_SECONDS)

    def kill(self) -> Kill:
        """Kill it with SIGKILL."""
        if self._process.poll() is not None:
            raise DemoError("the training ended before it could be killed: look at its output above")
        killed_at = time.time()
        self._process.kill()
        self._process.wait()
        return Kill(killed_at, self._process.pid)

    def finish(self) -> None:
        """Wait for its end, which should be a good one."""
        try:
            code = self._process.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise DemoError(f"the training did not end within {TIME_LIMIT:.0f} s") from None
        if code != 0:
            raise DemoError(f"the second training failed with status {code}: look at its output above")


class Watch:
    """Follows a witness as it grows."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._read = 0
        self._step = -1

    def step(self) -> int:
        """Return the newest step in it; -1 where there is none yet."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._read)
                new = file.read()
        except FileNotFoundError:
            return self._step
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        for record in map(json.loads, whole.splitlines()):
            self._step = record.get("step", self._step)
        return self._step


def sync(children: Children, directory: str) -> None:
    """Run ``ml-dash sync`` for one experiment."""
    output = os.path.join(directory, "sync.log")
    _finish(children.start(["-m", "ml_dash.cli", "sync", directory], {}, output), "ml-dash sync", output)


def answers(port: int) -> bool:
    """Say whether a server of ours answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/api/v1/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_port() -> int:
    """Return a port that nobody listens on.

    It is not one of those that the system lends to outgoing connections: while the server is down, one of these might
    take its port.
    """
    for port in random.sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise DemoError("no port between 20000 and 32000 is free on 127.0.0.1")


def last_line(path: str) -> str:
    """Return the last line that a process has written."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().split("\n")
    except OSError:
        lines = []
    return next((line.strip() for line in reversed(lines) if line.strip()), f"{path} is empty")


def train_small(children: Children, rate: str, prefix: str, root: str) -> None:
    """Run the small example to its end; what it says goes where ours does."""
    process = children.start([os.path.join(os.path.dirname(_SCRIPT), "small.py"), rate, prefix, root], {})
    _finish(process, "docs/examples/small.py")


def _finish(process: subprocess.Popen[bytes], name: str, output: str | None = None) -> None:
    """Wait for the success of a process, whose output is in a file, or above."""
    place = "its output above" if output is None else output
    try:
        code = process.wait(TIME_LIMIT)
    except subprocess.TimeoutExpired:
        raise DemoError(f"{name} did not end within {TIME_LIMIT:.0f} s: look at {place}") from None
    if code != 0:
        reason = place if output is None else last_line(output)
        raise DemoError(f"{name} failed with status {code}: {reason}")
