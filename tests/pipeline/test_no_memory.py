"""Memory that is short for a moment: the interpreter refuses one allocation after the other, in all that moves rows.

In a process of its own, since the interpreter refuses them to all of its threads: of pytest and of other tests, too.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_dash.events.column_event import ColumnEvent
from ml_dash.journal.blocks import Column
from tests.support.scripts import python
from tests.support.slabs import SlabBench

_testcapi: Any = pytest.importorskip("_testcapi", reason="only CPython's own tests can refuse an allocation")

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


@pytest.mark.sample(3)
@pytest.mark.parametrize("call", ["pump", "flush", "sync"])
@pytest.mark.parametrize("kind", ["rows", "columns", "kept"])
@pytest.mark.parametrize("armed", [True, False], ids=["slab", "list"])
def test_whatever_is_refused_each_row_is_written_once_and_counted(
    *, armed: bool, kind: str, call: str, tmp_path: Path
) -> None:
    script = f"""
    from tests.pipeline.test_no_memory import refuse_each
    refuse_each({str(tmp_path)!r}, armed={armed}, kind={kind!r}, call={call!r})
    print("whole")
    """
    assert python(script, tmp_path) == "whole\n"


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


@pytest.mark.parametrize("limit", [64, 65, 200])
def test_a_batch_for_which_memory_is_too_short_is_encoded_a_few_at_a_time(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under `ulimit -v`: what is encoded together is in memory twice, as objects."""
    from ml_dash.events import batch

    encode = batch.Batcher.blocks
    sizes: list[int] = []

    def blocks(batcher: batch.Batcher, items: Any, series: Any) -> Any:
        rows = sum(getattr(item, "rows", 1) for item in items)
        if rows > limit:
            raise MemoryError
        sizes.append(rows)
        return encode(batcher, items, series)

    monkeypatch.setattr(batch.Batcher, "blocks", blocks)
    bench = SlabBench(tmp_path, region_bytes=1 << 16)
    bench.log(*range(1000))
    bench.channel.flush()
    assert bench.found() == list(range(1000))
    assert max(sizes) <= limit
    assert bench.channel.counters().acknowledged == 1000
