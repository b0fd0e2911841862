"""Memory that is short for a moment: the interpreter refuses one allocation after the other, in all that moves rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.scripts import python
from tests.support.slabs import SlabBench


@pytest.mark.sample(3)
@pytest.mark.parametrize("call", ["pump", "flush", "sync"])
@pytest.mark.parametrize("kind", ["rows", "columns", "kept"])
@pytest.mark.parametrize("armed", [True, False], ids=["slab", "list"])
def test_whatever_is_refused_each_row_is_written_once_and_counted(
    *, armed: bool, kind: str, call: str, tmp_path: Path
) -> None:
    pytest.importorskip("_testcapi", reason="only CPython's own tests can refuse an allocation")
    script = f"""
    from tests.support.no_memory import refuse_each
    refuse_each({str(tmp_path)!r}, armed={armed}, kind={kind!r}, call={call!r})
    print("whole")
    """
    assert python(script, tmp_path) == "whole\n"


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
