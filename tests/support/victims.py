"""Processes that log until they are killed, and the one that forks and kills them.

Run as a script it reads one JSON request a line, ``{"shape", "root", "seconds", "env"}``, lets a child log in that
shape for so long, kills it with SIGKILL, and answers with what the child had reported by then: for each thread of
the child the number of rows for which `flush()` had returned, and for each tick of the child's yardstick how
many rows each thread had logged before it.

The children are forked from a process that has imported everything and started nothing, so that one is born in
milliseconds.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from ml_dash import Experiment

ROWS_A_FLUSH = 50
THREADS = 4
EXPERIMENTS = 3
LINGER = 0.01
"""Seconds; the yardstick ticks at the same pace as the worker."""

Log: TypeAlias = Callable[[int], Any]


class Reporter:
    """Tells the parent what has been done. A write to a pipe survives the writer's death."""

    def __init__(self, pipe: int, root: str) -> None:
        self._pipe = pipe
        self._root = root
        self._logged: dict[str, int] = {}

    def loop(
        self,
        name: str,
        log: Log,
        flush: Callable[[], Any] | None,
        *,
        pause: float = 0.0,
        every: int = ROWS_A_FLUSH,
    ) -> None:
        """Log row after row, and flush now and then, until the end of this process."""
        for step in _count():
            log(step)
            self._logged[name] = step + 1
            if pause:
                time.sleep(pause)
            if flush is not None and step % every == every - 1:
                flush()
                self._tell("flushed", {name: step + 1})

    def measure(self) -> None:
        """Be the yardstick: sleep as the worker does, write and sync a file beside its own, and tell it.

        Rows that were logged many of its ticks ago and are not on disk have waited for longer than a linger,
        however busy the machine is: a thread like the worker has come to its turn each time.
        """
        file = os.open(os.path.join(self._root, "yardstick"), os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        while True:
            time.sleep(LINGER)
            logged = dict(self._logged)
            os.write(file, b"tick")
            os.fsync(file)
            self._tell("tick", logged)

    def _tell(self, what: str, counts: dict[str, int]) -> None:
        os.write(self._pipe, json.dumps([what, counts]).encode() + b"\n")


def _count() -> Iterator[int]:
    step = 0
    while True:
        yield step
        step += 1


def row(step: int) -> dict[str, Any]:
    """Return the fields of a row, which follow from its number."""
    return {"step": step, "loss": step * 0.5, "accuracy": 1 / (step + 1)}


def mixed_row(step: int) -> dict[str, Any]:
    """Return the fields of a row whose shape changes from one to the next."""
    values = [step, step / 3, str(step), None, step % 2 == 0, {"inner": [step, "x"]}, float("inf")]
    return {"step": step, f"field{step % 3}": values[step % len(values)]}


def _tight(start: Callable[..., Experiment], reporter: Reporter) -> None:
    exp = start()
    metric = exp.metrics("train")
    reporter.loop("train", lambda step: metric.log(**row(step)), exp.flush)


def _paced(start: Callable[..., Experiment], reporter: Reporter) -> None:
    exp = start()
    metric = exp.metrics("train")
    reporter.loop("train", lambda step: metric.log(**row(step)), exp.flush, pause=0.0002)


def _threads(start: Callable[..., Experiment], reporter: Reporter) -> None:
    exp = start()

    def run(name: str) -> None:
        reporter.loop(name, lambda step: exp.metrics(name).log(**row(step)), exp.flush, pause=0.0001)

    _together(run, [f"thread{number}" for number in range(THREADS)])


def _mixed(start: Callable[..., Experiment], reporter: Reporter) -> None:
    exp = start()

    def log(step: int) -> None:
        exp.params.set(step=step, nested={"half": step / 2})
        exp.log(f"step {step}", level="warn" if step % 2 else "info", step=step)
        exp.metrics.log(train=mixed_row(step))

    reporter.loop("train", log, exp.flush, pause=0.0002)


def _several(start: Callable[..., Experiment], reporter: Reporter) -> None:
    def run(name: str) -> None:
        exp = start(f"alice/vision/{name}")
        reporter.loop(name, lambda step: exp.metrics(name).log(**row(step)), exp.flush, pause=0.0001)

    _together(run, [f"run{number}" for number in range(EXPERIMENTS)])


def _unflushed(start: Callable[..., Experiment], reporter: Reporter) -> None:
    metric = start().metrics("train")
    reporter.loop("train", lambda step: metric.log(**row(step)), None, pause=0.0005)


def _through(start: Callable[..., Experiment], reporter: Reporter) -> None:
    """Report every row as soon as its call has returned, without a flush."""
    metric = start().metrics("train")
    reporter.loop("train", lambda step: metric.log(**row(step)), lambda: None, every=1)


def content(step: int) -> bytes:
    """Return the content of a file, which follows from its number: some small, some of many blocks."""
    return f"content {step}".encode() * (50_000 if step % 3 == 0 else 1)


def _files(start: Callable[..., Experiment], reporter: Reporter) -> None:
    exp = start()
    files = exp.files("models")
    reporter.loop(
        "files", lambda step: files.save_blob(content(step), to=f"{step:06d}.bin"), exp.flush, every=5
    )


def _together(run: Callable[[str], None], names: list[str]) -> None:
    threads = [threading.Thread(target=run, args=(name,), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


SHAPES = {
    "tight": _tight,
    "paced": _paced,
    "threads": _threads,
    "mixed": _mixed,
    "several": _several,
    "unflushed": _unflushed,
    "through": _through,
    "files": _files,
}


def _live(request: dict[str, Any], pipe: int) -> None:
    """Be the child."""
    os.environ.update(request["env"])
    reporter = Reporter(pipe, request["root"])
    threading.Thread(target=reporter.measure, daemon=True).start()

    def start(prefix: str = "alice/vision/resnet") -> Experiment:
        return Experiment(prefix, dash_root=request["root"], echo=False).run.start()

    SHAPES[request["shape"]](start, reporter)


def _kill_one(request: dict[str, Any]) -> dict[str, Any]:
    """Let a child live for a while, kill it, and return what it reported."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            _live(request, writer)
        finally:
            os._exit(1)
    os.close(writer)
    said = _read_until(reader, time.monotonic() + request["seconds"])
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    said += _read_until(reader, None)
    os.close(reader)
    reports = [json.loads(line) for line in said.splitlines()]
    flushed: dict[str, int] = {}
    for what, counts in reports:
        if what == "flushed":
            flushed |= counts
    ticks = [counts for what, counts in reports if what == "tick"]
    return {"signal": os.WTERMSIG(status), "flushed": flushed, "ticks": ticks}


def _read_until(pipe: int, deadline: float | None) -> bytes:
    """Read what comes until a time, or to the end."""
    said = b""
    while deadline is None or (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([pipe], [], [], None if deadline is None else left)
        if ready:
            data = os.read(pipe, 65536)
            if not data:
                break
            said += data
    return said


def main() -> None:
    """Answer requests until there are no more."""
    # Everything that a child would import, but nothing is started.
    for name in (
        *(
            "anyio._backends._asyncio",
            "anyio.to_thread",
            "numpy",
            "msgspec.msgpack",
            "ml_dash.query.journal_view",
        ),
        *("ml_dash.sdk.files.manager", "ml_dash.sdk.files.saving", "ml_dash.storage.recovery"),
    ):
        importlib.import_module(name)
    assert threading.active_count() == 1
    for line in sys.stdin:
        print(json.dumps(_kill_one(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
