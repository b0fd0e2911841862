"""Rows lost by SIGKILL: processes that log are killed at random moments, and what they leave is held against the calls.

    python benchmarks/kills.py [KILLS]

Each process counts, in memory that it shares with this one, the calls of each of its threads that have returned. After
its death the journal must hold the rows of all of these, each once and in order; and of each thread at most one more,
whose call was about to return. Everything else is counted as lost, twice or out of order.

The processes are forked from this one, which has imported everything and started nothing.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, NoReturn

import numpy as np

from ml_dash import Experiment
from ml_dash.query.journal_view import JournalView
from ml_dash.series import Kind, Series
from ml_dash.slabs.place import QUEUE_DIR
from ml_dash.storage.recovery import catch_up

KILLS = 1000
LONGEST = 0.25
"""Seconds from a process's first row to its death, at most."""
_PREFIX = "alice/kills/run"
_SHARED = "/dev/shm"
_PATIENCE = 120.0  # seconds after which a process that has logged nothing counts as hanging


class Shape(NamedTuple):
    """How a process logs: in how many threads, and how long each waits after a row, in seconds."""

    name: str
    threads: int
    pause: float = 0.0


SHAPES = (
    Shape("1 thread, full speed", 1),
    Shape("4 threads, full speed", 4),
    Shape("16 threads, full speed", 16),
    Shape("1 thread, 1 ms a step", 1, 0.001),
)


class Toll(NamedTuple):
    """What killing has cost: how many kills, rows whose calls had returned, and what was not as it should be."""

    kills: int = 0
    rows: int = 0
    recovered: int = 0
    lost: int = 0
    twice: int = 0
    disordered: int = 0

    def __add__(self, other: object) -> Toll:
        return Toll(*map(sum, zip(self, other, strict=True))) if isinstance(other, Toll) else NotImplemented


def kill_one(shape: Shape, root: str, seconds: float) -> Toll:
    """Have a process log, kill it so many seconds after its first row, and hold its journal against its calls."""
    # Set by one copy of eight bytes each, which no kill can tear; `struct` would put zeros there first.
    counts = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
    child = os.fork()
    if not child:
        try:
            _log_until_killed(shape, root, counts)
        finally:
            os._exit(1)
    deadline = time.monotonic() + _PATIENCE
    while not any(counts) and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) != -signal.SIGKILL or not any(counts):
        raise RuntimeError(f"a process that should have logged until it was killed has not: status {status}")
    directory = os.path.join(root, _PREFIX)
    recovered = sum(found.rows for found in catch_up(directory))
    view = JournalView(os.path.join(directory, "journal"))
    view.refresh()
    if view.index.damage:
        raise RuntimeError(f"the journal is damaged: {view.index.damage}")
    toll = Toll(kills=1, recovered=recovered)
    for thread in range(shape.threads):
        toll += _held_against(view, _series(thread), counts[thread])
    return toll


def _held_against(view: JournalView, series: Series, returned: int) -> Toll:
    steps = np.asarray(view.to_numpy(series)["step"] if view.index.count(series) else (), np.int64)
    different = np.unique(steps)
    lost = max(returned, int(different[-1]) + 1 if len(different) else 0) - len(different)
    beyond = max(0, int(different[-1]) - returned) if len(different) else 0
    return Toll(
        rows=returned,
        lost=lost,
        twice=len(steps) - len(different),
        disordered=int((np.diff(steps) < 0).sum()) + beyond,
    )


def _series(thread: int) -> Series:
    return Series(Kind.METRIC, f"thread{thread}")


def _log_until_killed(shape: Shape, root: str, counts: memoryview) -> NoReturn:
    exp = Experiment(_PREFIX, dash_root=root, echo=False).run.start()

    def log(thread: int) -> NoReturn:
        metric = exp.metrics(_series(thread).name)
        step = 0
        while True:
            metric.log(step=step, loss=step * 0.5)
            step += 1
            counts[thread] = step
            if shape.pause:
                time.sleep(shape.pause)

    for thread in range(1, shape.threads):
        threading.Thread(target=log, args=(thread,), daemon=True).start()
    log(0)


@contextmanager
def _apart() -> Iterator[str]:
    """Yield a directory for journals; slabs have one of their own, where no other process looks for some."""
    before = dict(os.environ)
    above = _SHARED if os.path.isdir(_SHARED) else None
    with tempfile.TemporaryDirectory() as root, tempfile.TemporaryDirectory(dir=above) as queues:
        os.environ.update({"ML_DASH_QUIET": "1", QUEUE_DIR: queues})
        try:
            yield root
        finally:
            os.environ.clear()
            os.environ.update(before)


def kill_many(shape: Shape, kills: int, moments: random.Random) -> Toll:
    """Kill so many processes of one shape; return the sum of what that has cost."""
    toll = Toll()
    for _ in range(kills):
        with _apart() as root:
            toll += kill_one(shape, root, moments.uniform(0, LONGEST))
    return toll


def main(kills: int) -> int:
    """Kill processes of all shapes, and print a table of what that has cost; return 1 where it has cost anything."""
    moments = random.Random("kills")
    print("| | kills | rows whose calls had returned | recovered from memory | lost | twice | out of order |")
    print("|---|--:|--:|--:|--:|--:|--:|", flush=True)
    total = Toll()
    for number, shape in enumerate(SHAPES):
        share = kills // len(SHAPES) + (number < kills % len(SHAPES))
        toll = kill_many(shape, share, moments)
        print("|", " | ".join([shape.name, *(f"{value:,}" for value in toll)]), "|", flush=True)
        total += toll
    print("|", " | ".join(["all", *(f"{value:,}" for value in total)]), "|")
    return int(total.lost + total.twice + total.disordered > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else KILLS))
