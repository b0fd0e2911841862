"""Rows that wait in a slab, where one write of the journal fails, or a row goes another way."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ml_dash.journal.index import JournalIndex
from ml_dash.pipeline import mover as mover_module
from ml_dash.pipeline.channel import Channel
from ml_dash.pipeline.counters import Counters
from ml_dash.series import Kind, Series
from ml_dash.settings import Settings
from ml_dash.slabs.layout import MARK
from ml_dash.slabs.slab import Slab
from ml_dash.storage import recovery as recovery_module
from ml_dash.storage.recovery import recover
from ml_dash.values.pack import pack
from tests.support.simulated_clock import SimulatedClock
from tests.support.simulated_disk import SimulatedDisk
from tests.support.weather import Weather

TRAIN = Series(Kind.METRIC, "train")
WRITER = "0123456789abcdef-1f-00000001"


class Bench:
    """A process with a small slab, on a disk that does what the test says."""

    def __init__(self, place: Path, seed: int = 0) -> None:
        place.mkdir()
        self.place = place
        self.clock = SimulatedClock()
        self.disk = SimulatedDisk(random.Random(seed), self.clock)
        self.channel = Channel(
            "exp",
            WRITER,
            Settings(),
            lambda: None,
            make_slab=self._make_slab,
            clock=self.clock,
            disk=self.disk,
        )
        self.train = self.channel.series_id(*TRAIN)

    def _make_slab(self, writer_id: str, directory: str, frame: int) -> Slab:
        return Slab(str(self.place), writer_id, directory, frame, regions=3, region_bytes=4096)

    def event(self, time: int, size: int = 1) -> bytes:
        return pack([self.train, time, {"a": "x" * size}])

    def read(self) -> list[int]:
        """Return the times of all rows that are in the journal."""
        index = JournalIndex(self.channel.journal, disk=self.disk)
        index.refresh()
        assert not index.damage
        return [int(time) for _, block in index.blocks(TRAIN) for time in block.times]

    def die_and_recover(self) -> None:
        """Lose the process's memory; the next one comes, on a disk that works."""
        self.disk.clear_up()
        slab = self.channel.queue.slab
        assert slab is not None
        slab.forsake()
        assert recover(slab.path, "exp", self.disk) is not None


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "slabs")


def test_a_row_too_long_for_the_slab_is_in_the_journal_when_its_call_returns(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many rows wait before it, that are safe: it must not take one slice of them for all."""
    monkeypatch.setattr(mover_module, "SLICE", 3)
    for time in range(10):
        bench.channel.queue.put(bench.event(time))
    bench.channel.queue.put(bench.event(10, size=5000))
    assert bench.read() == list(range(11))


def test_a_row_that_a_hook_logs_in_a_fork_is_in_the_journal_when_that_is_over(bench: Bench) -> None:
    """It may not be copied into memory that the child shares."""
    queue = bench.channel.queue
    queue.put(bench.event(0))
    queue.before_fork()
    queue.put(bench.event(1))
    queue.after_fork()
    assert bench.read() == [0, 1]


@pytest.mark.parametrize("is_removed", [False, True])
def test_a_thread_that_looked_up_how_to_write_in_a_fork_loses_no_row_when_it_comes_late(
    bench: Bench, *, is_removed: bool
) -> None:
    """It is not the forking one, and knows nothing of it. Meanwhile the run may have ended, and the slab gone."""
    queue = bench.channel.queue
    queue.put(bench.event(0))
    queue.before_fork()
    write = queue.write
    queue.after_fork()
    if is_removed:
        bench.channel.flush()
        queue.leave_slab()
        bench.channel.close()
        assert queue.slab is None
    write(bench.event(1))
    write(MARK)
    assert bench.channel.counters().logged == 2
    if is_removed:
        bench.channel.flush()
    else:
        bench.die_and_recover()
    assert bench.read() == [0, 1]


@pytest.mark.parametrize("writes", [1, 2])
@pytest.mark.parametrize("seed", range(8))
def test_rows_of_a_frame_that_may_not_be_there_stay_in_the_slab(
    tmp_path: Path, seed: int, writes: int
) -> None:
    """A write fails halfway, and nothing tells how far: the process goes on, for a frame more, and dies."""
    bench = Bench(tmp_path / "slabs", seed)
    bench.channel.queue.put(bench.event(0))
    bench.channel.flush()
    for time in range(1, writes + 1):
        bench.channel.queue.put(bench.event(time))
        bench.disk.weather = Weather(write=1.0, size=1.0)
        bench.channel.pump()
        bench.clock.advance(1.1)
    bench.die_and_recover()
    assert bench.read() == list(range(writes + 1))


@pytest.mark.parametrize("seed", range(8))
def test_rows_of_a_recovered_frame_that_may_not_be_there_stay_in_the_slab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """The next one who comes finds them."""
    monkeypatch.setattr(recovery_module, "_SLICE", 5)
    bench = Bench(tmp_path / "slabs", seed)
    for time in range(20):
        bench.channel.queue.put(bench.event(time))
    slab = bench.channel.queue.slab
    assert slab is not None
    slab.forsake()
    bench.disk.weather = Weather(write=1.0, size=1.0)
    assert recover(slab.path, "exp", bench.disk) is None
    bench.disk.clear_up()
    assert recover(slab.path, "exp", bench.disk) is not None
    assert bench.read() == list(range(20))


@pytest.mark.parametrize("seed", range(8))
def test_a_slab_made_behind_a_frame_that_may_not_be_there_leaves_no_gap(tmp_path: Path, seed: int) -> None:
    """That frame had nothing of the slab's, and its number is free where it is not there."""
    bench = Bench(tmp_path / "slabs", seed)
    bench.channel.put_control({"event": "heartbeat"})
    bench.disk.weather = Weather(write=1.0, size=1.0)
    bench.channel.pump()
    bench.channel.queue.put(bench.event(0))
    bench.die_and_recover()
    assert bench.read() == [0]


@pytest.mark.parametrize("kind", ["more than was thought", "cannot be stored"])
def test_the_law_holds_at_any_moment_at_which_others_may_look(bench: Bench, kind: str) -> None:
    """Also when rows turn out to be more, or fewer, than was thought when they were taken."""
    channel = bench.channel
    channel.queue.put(bench.event(0))
    if kind == "cannot be stored":
        channel.queue.put(pack([bench.train, "no time", {}]))
    else:  # two threads that write at the same moment may leave two marks behind two events
        for data in (bench.event(1), bench.event(2), MARK, MARK):
            channel.queue.write(data)
    seen: list[Counters] = []

    def look() -> None:
        if channel._lock.acquire(blocking=False):
            seen.append(channel.counters())
            channel._lock.release()

    with ThreadPoolExecutor(1) as other:
        sys.setprofile(lambda *_: other.submit(look).result())
        try:
            channel.flush()
        finally:
            sys.setprofile(None)
    assert len(seen) > 100
    for at in seen:
        assert at.logged == at.acknowledged + at.pending + sum(at.dropped.values())
    counters = channel.counters()
    expected = (2, 1) if kind == "cannot be stored" else (3, 3)
    assert (counters.logged, counters.acknowledged) == expected
