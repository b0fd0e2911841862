"""A channel whose rows wait in a slab: what interrupts it, what it lacks, and what it does when that is full."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ml_dash.events.column_event import ColumnEvent
from ml_dash.journal.blocks import Column
from ml_dash.pipeline import queue as queue_module
from ml_dash.pipeline.channel import Channel
from ml_dash.series import Kind, Series
from ml_dash.settings import DEVICE_LINGER, EXPOSED_LINGER, LINGER
from ml_dash.slabs.layout import MARK
from ml_dash.spawning import start_thread
from ml_dash.storage.recovery import recover
from ml_dash.values.pack import pack, pack_event
from tests.support.fake_torch import install
from tests.support.serving import until
from tests.support.slabs import WRITER, SlabBench, at_each_line, log, recovered, rows_in

HANDLERS = 1_000_000
"""Numbers from here on are those of rows that a signal handler logs."""


def is_exact(channel: Channel) -> bool:
    counted = channel.counters()
    return counted.logged == counted.acknowledged + counted.pending + sum(counted.dropped.values())


def columns(bench: SlabBench, numbers: list[int]) -> ColumnEvent:
    times = np.array(numbers, np.int64) + 10**18
    return ColumnEvent(bench.train, times, [Column("n", "i", None, np.array(numbers))])


@pytest.mark.parametrize("kind", ["plain", "columns", "kept"])
@pytest.mark.parametrize("every", [35, 36, 42, 53, 57, 66, 73, 96])
def test_a_signal_handler_may_log_at_any_line(kind: str, every: int, tmp_path: Path) -> None:
    """Or a finalizer: in the middle of a region's end, of a collection of what waits, of a frame."""
    bench = SlabBench(tmp_path, regions=3)
    channel = bench.channel
    mine = itertools.count(HANDLERS)
    logged: list[int] = []

    def handle() -> None:
        number = next(mine)
        if kind == "columns":
            channel.queue.put_columns(columns(bench, [number]))
        elif kind == "kept":
            channel.queue.keep(bench.event(number))
        else:
            log(channel, bench.event(number))
        logged.append(number)

    with at_each_line(handle, every):
        for start in range(0, 300, 50):
            bench.log(*range(start, start + 50))
            channel.pump()
            channel.counters()
    channel.flush()

    found = bench.found()
    assert [number for number in found if number < HANDLERS] == list(range(300))
    handled = [number for number in found if number >= HANDLERS]
    assert sorted(handled) == logged
    if kind != "kept":
        assert handled == logged
    assert len(logged) > 20
    counted = channel.counters()
    assert (counted.logged, counted.pending) == (len(found), 0)
    channel.queue.leave_slab()
    channel.close()
    assert not bench.path.exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EMFILE, errno.ENOMEM])
def test_where_no_further_region_can_be_had_the_first_two_will_do(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller must not wait for room on that file system: it may never come. It writes."""
    monkeypatch.setattr(queue_module, "_PATIENCE", 0.0)
    bench = SlabBench(tmp_path, regions=8)
    bench.log(*range(10))
    full = OSError(code, "none is left")

    def refuse(*_: int) -> None:
        raise full

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    bench.log(*range(10, 600))
    monkeypatch.undo()

    assert bench.channel.queue.kind == "shared memory"
    assert bench.channel.counters().logged == 600
    bench.channel.flush()
    assert bench.found() == list(range(600))


def test_a_name_for_which_there_is_no_room_is_used_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody who came after a death could tell what its rows are."""
    bench = SlabBench(tmp_path)
    bench.log(*range(5))

    def refuse(*_: int) -> None:
        raise OSError(errno.ENOSPC, "none is left")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    for number in range(2000):
        bench.channel.series_id(Kind.METRIC, f"{number:050}")
    assert bench.channel.queue.kind == "memory"
    bench.log(*range(5, 10))
    bench.channel.flush()
    assert bench.found() == list(range(10))


def test_thousands_of_names_have_room(tmp_path: Path) -> None:
    """Rows of the last one are known by it after a death."""
    bench = SlabBench(tmp_path / "live")
    names = [f"{number:050}" for number in range(5000)]
    numbers = [bench.channel.series_id(Kind.METRIC, name) for name in names]
    for number in (numbers[0], numbers[-1]):
        log(bench.channel, pack([number, 1, {"n": number}]))
    place = bench.die(tmp_path / "dead")

    assert bench.channel.queue.kind == "shared memory"
    assert recovered(place) is not None
    for name, number in ((names[0], numbers[0]), (names[-1], numbers[-1])):
        assert rows_in(place / "experiment", Series(Kind.METRIC, name)) == [number]


def test_a_row_whose_mark_has_no_room_is_known_to_be_whole(tmp_path: Path) -> None:
    """Also where the worker has gone to sleep meanwhile, so that callers write by another name."""
    bench = SlabBench(tmp_path / "live")
    queue = bench.channel.queue
    size = len(bench.event(0, 1))
    bench.log(0, padding=1 + 4096 - size - len(MARK) - size - 2)
    write = queue.write
    write(bench.event(1, 1))
    with pytest.raises(ValueError, match="data out of range"):
        write(MARK)
    queue.limit = 0
    queue._aim()
    assert queue.write != write

    queue.end_event(write)

    place = bench.die(tmp_path / "dead")
    assert recovered(place) is not None
    assert rows_in(place / "experiment") == [0, 1]
    assert queue.limit == queue.capacity, "the worker sleeps on"


def test_a_row_that_no_slab_can_hold_is_in_the_journal_when_its_call_returns(tmp_path: Path) -> None:
    """However much waits before it: here more than is written at a time."""
    bench = SlabBench(tmp_path / "live", regions=8)
    for number in range(200):
        bench.channel.queue.put_columns(columns(bench, [number]))
    bench.log(200, padding=10_000)

    assert bench.found() == list(range(201))


def test_a_child_lets_go_of_a_slab_that_numpy_looks_at(tmp_path: Path) -> None:
    """It was forked while another thread encoded: that thread's view is never freed, and nobody may write there."""
    bench = SlabBench(tmp_path)
    bench.log(*range(5))
    write = bench.channel.queue.write
    view = np.frombuffer(bench.slab.region(1), np.uint8)

    bench.channel.reset("0123456789abcdf0-2f-00000002")

    with pytest.raises(ValueError, match=r"out of range|closed"):
        write(b"x")
    assert bench.channel.queue.slab is None
    assert bench.path.exists()
    del view
    bench.log(7)
    bench.channel.flush()
    assert bench.found() == [7]


@pytest.mark.parametrize("overflow", ["drop", "block"])
def test_rows_that_find_the_slab_full(overflow: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they may be dropped, the list takes some, behind the slab; else they wait, and in the end write."""
    monkeypatch.setattr(queue_module, "_PATIENCE", 0.0)
    bench = SlabBench(tmp_path, regions=3, overflow=overflow, queue_events=50)
    bench.log(*range(1000))

    counted = bench.channel.counters()
    assert counted.logged == 1000
    assert is_exact(bench.channel)
    bench.channel.flush()
    found = bench.found()
    dropped = bench.channel.counters().dropped
    assert found == sorted(set(found))
    if overflow == "drop":
        assert dropped == {"overflow": 1000 - len(found)}
        assert len(found) > 200
    else:
        assert (len(found), dropped) == (1000, {})


@pytest.mark.parametrize(
    "holds", ["the queue's lock", "the channel's lock", "the turn", "a thread of ours", "something else"]
)
def test_a_row_put_in_the_middle_of_what_makes_room_waits_for_none(
    holds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a signal handler's, or a finalizer's: the worker waits for what the interrupted call has."""
    if holds == "something else":
        monkeypatch.setattr(queue_module, "_LONGEST", 0.1)
    monkeypatch.setattr(
        Channel, "pump", lambda *_, **__: False
    )  # as if the worker, and whoever stands in, waited
    bench = SlabBench(tmp_path, regions=2)
    channel = bench.channel
    channel.queue.limit = channel.queue.capacity
    number = 0
    while channel.queue.slab is not None and (not channel.queue.slab.has_full_region or number % 10):
        bench.log(number)
        number += 1

    def put() -> None:
        blocks: dict[str, contextlib.AbstractContextManager[object]] = {
            "the queue's lock": channel.queue._lock,
            "the channel's lock": channel._lock,
            "the turn": channel.turns.begin(),
        }
        with blocks.get(holds, contextlib.nullcontext()):
            bench.log(*range(number, number + 500))

    if holds == "a thread of ours":
        thread = start_thread(put, "finalizer")
    else:
        thread = threading.Thread(target=put, daemon=True)
        thread.start()
    assert thread is not None
    if holds == "something else":  # each waits, and no longer than that
        until(lambda: len(bench.put) > number + 210, "some calls have returned")
    else:
        thread.join(30)
        assert not thread.is_alive()
    assert is_exact(channel)
    monkeypatch.undo()
    thread.join(30)
    channel.flush()
    assert bench.found() == list(range(number + 500))


def test_rows_of_one_thread_stay_in_order_wherever_they_wait(tmp_path: Path) -> None:
    """Some in the slab, some by their columns, some too long, some with the disk away."""
    bench = SlabBench(tmp_path, regions=3, queue_events=2000)
    channel = bench.channel
    kinds = itertools.cycle([1, 1, 1, 30, 1, 200, 1])
    number = 0
    while number < 2000:
        count = next(kinds)
        if count == 30:
            channel.queue.put_columns(columns(bench, list(range(number, number + 30))))
        elif count == 200:
            channel.queue.disk_failed()
            bench.log(*range(number, number + 200))
            channel.queue.disk_works()
        else:
            bench.log(number, padding=5000 if number % 5 == 0 else 0)
        if number % 11 == 0:
            channel.pump()
        number += count
    channel.flush()

    assert bench.found() == list(range(number))
    assert channel.counters().logged == number


def test_what_a_hook_logs_in_the_middle_of_a_fork_is_the_processs_own(tmp_path: Path) -> None:
    """The worker may go to sleep, or be woken, at that moment: the child must not write into its parent's slab."""
    bench = SlabBench(tmp_path)
    queue = bench.channel.queue
    bench.log(0)
    queue.before_fork()
    queue.rest()
    queue.work()
    assert queue.write == queue._write_after_fork
    bench.log(1)
    queue.after_fork()
    bench.log(2)
    bench.channel.flush()

    assert bench.found() == [0, 1, 2]
    assert queue.write == bench.slab.write


def test_a_fork_that_ends_leaves_that_of_another_thread_alone(tmp_path: Path) -> None:
    """Else the child of the second would write into its parent's slab."""
    bench = SlabBench(tmp_path)
    queue = bench.channel.queue
    bench.log(0)
    queue.before_fork()
    other = threading.Thread(target=queue.before_fork)
    other.start()
    other.join()
    queue.after_fork()
    bench.log(1)
    assert queue.write == queue._write_after_fork
    queue._forks.clear()  # the other thread's own end
    queue.after_fork()
    assert queue.write == bench.slab.write
    bench.log(2)
    bench.channel.flush()
    assert bench.found() == [0, 1, 2]


def test_sixteen_threads_find_room_in_a_small_slab_and_stay_in_order(tmp_path: Path) -> None:
    """While one who writes clears its regions."""
    bench = SlabBench(tmp_path, regions=3)
    channel = bench.channel
    series = [channel.series_id(Kind.METRIC, str(number)) for number in range(16)]

    def work(number: int) -> None:
        for step in range(300):
            log(channel, pack([series[number], step, {"n": step}]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        channel.pump()
    channel.flush()

    for number in range(16):
        assert rows_in(bench.directory, Series(Kind.METRIC, str(number))) == list(range(300))
    counted = channel.counters()
    assert (counted.logged, counted.pending, counted.dropped) == (16 * 300, 0, {})
    assert channel._slab.place[0] > 3, "no region was used again: this has tested nothing"


def test_rows_on_a_device_hold_up_nobody_but_what_is_behind_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker takes what has come, and waits for no device; a flush does. All rows stay in order."""
    torch = install(monkeypatch)
    bench = SlabBench(tmp_path)
    channel = bench.channel
    value = torch.tensor(0.0, device=0)
    stream = torch.busy()
    for number in range(9):
        if number % 3:
            bench.log(number)
        else:
            log(channel, pack_event(bench.train, 10**18 + number, {"n": value.fill_(number)})[0])
        if number == 0:
            stream.run()  # it has come to the first one
            torch.busy(pieces=3)
    value.fill_(-1)

    assert channel.pump(wait=False)
    assert not channel.pump(wait=False)
    assert channel.backlog
    assert bench.found() == [0, 1, 2]
    counters = channel.counters()
    assert (counters.logged, counters.pending, counters.on_devices) == (9, 9, 2)
    torch.cuda.run()
    for _ in range(
        3
    ):  # one row has no event behind it: its stream is asked when two looks have found nothing new
        channel.pump(wait=False)
    channel.flush()
    assert bench.found() == list(range(9))
    assert channel.counters().on_devices == 0
    assert torch.cuda.waited == []


def test_a_flush_waits_for_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whichever thread that is done; rows that it has in its hands are still counted as on a device."""
    torch = install(monkeypatch)
    bench = SlabBench(tmp_path)
    stream = torch.busy()
    for number in range(3):
        log(bench.channel, pack_event(bench.train, 10**18, {"n": torch.tensor(number, device=0)})[0])
    seen: list[int] = []
    stream.give(lambda: seen.append(bench.channel.counters().on_devices))
    flush = threading.Thread(target=bench.channel.flush)
    flush.start()
    flush.join()
    assert seen == [3]
    assert bench.found() == [0, 1, 2]
    counters = bench.channel.counters()
    assert (counters.durable, counters.on_devices) == (3, 0)


def test_rows_on_a_device_are_looked_for_more_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in no shared memory. The first one has the worker look; from then on it knows."""
    torch = install(monkeypatch)
    woken: list[None] = []
    bench = SlabBench(tmp_path)
    channel = bench.channel
    monkeypatch.setattr(channel.queue, "_wake", lambda: woken.append(None))

    def log_one(number: int) -> None:
        torch.busy()
        log(channel, pack_event(bench.train, 10**18, {"n": torch.tensor(number, device=0)})[0])

    bench.log(0)
    assert (channel.linger, len(woken)) == (LINGER, 0)
    for number in range(1, 4):
        log_one(number)
        assert (channel.linger, len(woken)) == (DEVICE_LINGER, 1)
    torch.cuda.run()
    channel.pump()
    assert (channel.linger, len(woken)) == (DEVICE_LINGER, 1)  # more of them are likely
    log_one(4)
    assert len(woken) == 1
    torch.cuda.run()
    channel.pump()
    channel.pump()
    assert channel.linger == LINGER
    channel.queue.leave_slab()
    assert channel.linger == EXPOSED_LINGER
    channel.flush()
    assert bench.found() == list(range(5))


def in_a_thread(work: Callable[[], None]) -> None:
    """Do it in another thread, to its end."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_a_run_that_begins_while_another_one_s_slab_is_made_takes_its_place_from_none(tmp_path: Path) -> None:
    """Two objects of one experiment, each in a thread: a second slab would have the first one's name."""

    def begin_another() -> None:
        while_making.pop()()
        bench.channel.resume("unused", is_shared=True)
        bench.channel.open_slab()
        bench.log(0, 1)

    while_making = [lambda: None]
    bench = SlabBench(
        tmp_path / "live", armed=False, make=lambda: in_a_thread(begin_another) if while_making else None
    )
    bench.channel.open_slab()
    bench.log(2, 3)
    bench.channel.pump()
    bench.log(4, 5)
    place = bench.die(tmp_path / "dead")

    assert bench.channel.queue.kind == "shared memory"
    assert os.listdir(bench.queue_dir) == [bench.path.name]
    assert recovered(place) is not None
    assert rows_in(place / "experiment") == list(range(6))
    bench.channel.flush()
    assert bench.found() == list(range(6))
    assert is_exact(bench.channel)
    assert bench.channel.counters().logged == 6


def test_a_slab_that_is_made_for_a_writer_that_writes_no_more_is_not_used(tmp_path: Path) -> None:
    """Its rows would be looked for in the journal of that one."""
    later, latest = "f" + WRITER[1:], "ff" + WRITER[2:]

    def begin_behind_another_process() -> None:
        while_making.pop()()
        journal = bench.directory / "journal"
        journal.mkdir(parents=True, exist_ok=True)
        (journal / f"{later}-000001.mldj").touch()
        bench.channel.resume(latest, is_shared=False)

    while_making = [lambda: None]
    make = lambda: in_a_thread(begin_behind_another_process) if while_making else None  # noqa: E731
    bench = SlabBench(tmp_path / "live", armed=False, make=make)
    bench.channel.open_slab()
    assert os.listdir(bench.queue_dir) == []
    bench.log(*range(5))
    assert bench.channel.writer_id == latest
    assert os.listdir(bench.queue_dir) == [f"{latest}.slab"]
    place = bench.die(tmp_path / "dead")
    assert recover(str(place / "queue" / f"{latest}.slab"), str(place / "experiment")) is not None
    assert rows_in(place / "experiment") == list(range(5))
    bench.channel.flush()
    assert bench.found() == list(range(5))


def test_a_run_that_begins_while_the_last_one_s_rows_are_written_gets_a_slab_when_they_are(
    tmp_path: Path,
) -> None:
    bench = SlabBench(tmp_path)
    channel = bench.channel
    bench.log(*range(5))
    channel.queue.leave_slab()
    channel.resume("unused", is_shared=False)
    bench.log(*range(5, 10))
    assert channel.queue.kind == "memory"
    channel.flush()
    bench.log(*range(10, 15))
    assert channel.queue.kind == "shared memory"
    assert bench.path.exists()
    channel.flush()
    assert bench.found() == list(range(15))
    assert is_exact(channel)


def test_what_closes_a_journal_takes_no_slab_from_a_run_that_has_begun_meanwhile(tmp_path: Path) -> None:
    """A thread ends the last run, and another one begins the next, before the worker closes the file."""
    bench = SlabBench(tmp_path)
    channel = bench.channel
    bench.log(*range(5))
    channel.flush()
    channel.queue.leave_slab()
    channel.resume("unused", is_shared=False)
    channel.open_slab()
    channel.close()
    bench.log(*range(5, 10))
    assert channel.queue.kind == "shared memory"
    channel.flush()
    assert bench.found() == list(range(10))


def test_a_row_that_is_put_without_a_lock_while_a_slab_is_emptied_stays(tmp_path: Path) -> None:
    """By a thread that found no slab, and comes to the list when one was made, used and given up."""
    bench = SlabBench(tmp_path)
    bench.log(*range(5))
    queue, late = bench.channel.queue, itertools.count(5)
    queue.leave_slab()
    with at_each_line(lambda: queue.events.append(bench.event(next(late))), every=2):
        queue.forget_slab()
    assert next(late) > 10
    bench.channel.flush()
    assert sorted(bench.found()) == list(range(next(late) - 1))
