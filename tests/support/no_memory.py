"""A process in which the interpreter refuses one allocation after the other, in all that moves rows.

A process of its own, since it refuses them to all threads: of pytest and of other tests, too.
"""

from __future__ import annotations

import _testcapi  # type: ignore[import-not-found]  # only CPython's own tests need it
import contextlib
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ml_dash.events.column_event import ColumnEvent
from ml_dash.journal.blocks import Column
from tests.support.slabs import SlabBench

LAST = 700
"""The number of the last allocation that is refused: no call here takes so many."""
ROWS = 12


@contextlib.contextmanager
def without_memory(at: int) -> Iterator[None]:
    """Refuse the allocation with this number in the block."""
    _testcapi.set_nomemory(at, at + 1)
    try:
        yield
    finally:
        _testcapi.remove_mem_hooks()


def put(bench: SlabBench, kind: str, numbers: Iterator[int]) -> None:
    mine = list(itertools.islice(numbers, ROWS))
    if kind == "columns":
        times = np.array(mine, np.int64) + 10**18
        bench.channel.queue.put_columns(
            ColumnEvent(bench.train, times, [Column("n", "i", None, np.array(mine))])
        )
    elif kind == "kept":
        for number in mine:
            bench.channel.queue.keep(bench.event(number))
    else:
        bench.log(*mine)


def refuse_each(place: str, *, armed: bool, kind: str, call: str) -> None:
    """Refuse every third allocation of a call, in the process that this is called in, and look what is written."""
    logging.disable()  # what is told at a refusal takes memory as well
    bench = SlabBench(Path(place), armed=armed)
    channel = bench.channel
    numbers = itertools.count()
    for at in range(0, LAST, 3):
        put(bench, kind, numbers)
        if call == "sync":
            channel.pump()
        channel.health.urge()
        with contextlib.suppress(MemoryError), without_memory(at):
            getattr(channel, call)()
        counted = channel.counters()
        assert counted.logged == ROWS * (at // 3 + 1)
        assert counted.logged == counted.acknowledged + counted.pending
    channel.flush()
    logged = next(numbers)
    found = bench.found()
    # those to be kept go first, where they are in memory since the slab was full
    assert (sorted(found) if kind == "kept" else found) == list(range(logged))
    assert channel.counters().acknowledged == logged
