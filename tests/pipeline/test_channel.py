"""A channel on a disk and a clock that do what the test says: what is written, counted, said, and tried again."""

from __future__ import annotations

import errno
import logging
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ml_dash.events.batch import Batcher
from ml_dash.events.column_event import ColumnEvent
from ml_dash.journal.blocks import Column
from ml_dash.journal.index import JournalIndex
from ml_dash.journal.verify import verify
from ml_dash.pipeline import channel as channel_module, queue as queue_module
from ml_dash.pipeline.channel import Channel
from ml_dash.pipeline.counters import Counters
from ml_dash.query.journal_view import JournalView
from ml_dash.series import Kind, Series
from ml_dash.settings import Settings
from ml_dash.values.pack import pack
from tests.support.simulated_clock import SimulatedClock
from tests.support.simulated_disk import InterruptError, SimulatedDisk
from tests.support.weather import Weather

TRAIN = Series(Kind.METRIC, "train")
RUN = Series(Kind.RUN, None)
WRITER = "0123456789abcdef-1f-00000001"
CHILD = "0123456789abcdf0-2f-00000002"
UNSYNCED_BYTES = 16 * 1024 * 1024


class ChannelBench:
    """A channel, and what it stands on."""

    def __init__(self, *, is_alone: Callable[[], bool] = lambda: False, **settings: Any) -> None:
        self.clock = SimulatedClock()
        self.disk = SimulatedDisk(random.Random(0), self.clock)
        self.woken = 0
        self.on_wake: Callable[[], object] = lambda: None
        self.channel = Channel(
            "exp",
            WRITER,
            Settings(**settings),
            self._wake,
            is_alone=is_alone,
            clock=self.clock,
            disk=self.disk,
        )
        self.train = self.channel.series_id(*TRAIN)

    def _wake(self) -> None:
        self.woken += 1
        self.on_wake()

    def put(self, *numbers: int, series: int | None = None) -> None:
        """Log a row for each number, with that time."""
        for number in numbers:
            self.channel.queue.put(pack([self.train if series is None else series, number, {"n": number}]))

    def put_columns(self, first: int, rows: int) -> None:
        """Log so many rows at once."""
        numbers = np.arange(first, first + rows)
        columns = [Column("n", "i", None, numbers)]
        self.channel.queue.put_columns(ColumnEvent(self.train, numbers, columns))

    def read(self, series: Series = TRAIN) -> list[int]:
        """The field `n` of what a reader finds, warnings about damage being errors."""
        with self.disk.calm():
            rows = JournalView("exp/journal", disk=self.disk).read(series, limit=1_000_000)
        return [row["data"]["n"] for row in rows["data"]]

    def counters(self) -> Counters:
        """The counters, once the law is found to hold; of rows alone, and wherever they wait."""
        counters = self.channel.counters()
        assert counters.logged == counters.durable + counters.pending + sum(counters.dropped.values())
        return counters._replace(pending_files=0, pending_blob_bytes=0, unsafe=0, on_devices=0)

    def let_a_second_pass(self) -> None:
        self.clock.advance(1.01)


@pytest.fixture
def bench() -> ChannelBench:
    return ChannelBench()


@pytest.fixture
def small() -> ChannelBench:
    """A queue of ten events."""
    return ChannelBench(queue_events=10)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def is_failing(bench: ChannelBench) -> bool:
    return bench.channel.failing


# --- rows that are too large


def test_rows_that_are_too_many_for_a_frame_go_into_several(caplog: pytest.LogCaptureFixture) -> None:
    """In their order, each counted when all are written; and what no frame holds is left out, and said."""
    bench = ChannelBench(frame_bytes=2000)
    for number in range(100):
        bench.channel.queue.put(pack([bench.train, number, {"n": number, "text": "x" * 100}]))
    bench.channel.queue.put(pack([bench.train, 100, {"n": 100, "text": "x" * 2000}]))
    bench.put(101)
    bench.channel.flush()
    assert bench.read() == [*range(100), 101]
    assert bench.counters() == Counters(logged=102, durable=101, acknowledged=101, dropped={"malformed": 1})
    assert max(len(frame.data) for frame in bench.disk.frames_of(WRITER)) <= 2000
    assert (
        caplog.text.count("2,080 bytes are more than the 2,000 of a frame: save what is as large as a file")
        == 1
    )


@pytest.mark.parametrize("rows", [0, 1, 40])
def test_what_a_run_says_of_itself_and_no_frame_holds_is_no_row_that_was_dropped(
    rows: int, caplog: pytest.LogCaptureFixture
) -> None:
    """It was not logged, and does not count; what was goes on, and what else the run says."""
    bench = ChannelBench(frame_bytes=2000)
    bench.channel.put_control({"event": "start"})
    bench.channel.put_control({"event": "update", "readme": "x" * 2000})
    bench.put(*range(rows))
    bench.channel.flush()
    assert bench.read() == list(range(rows))
    assert bench.counters() == Counters(logged=rows, durable=rows, acknowledged=rows)
    assert "what is as large as a file" in caplog.text
    with bench.disk.calm():
        view = JournalView("exp/journal", disk=bench.disk)
        view.refresh()
        assert view.index.count(RUN) == 1


def test_what_goes_into_several_frames_is_written_though_an_fsync_has_to_come_in_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Since not more than so much may be written and not durable: by a reader's call, and by a worker's rounds."""
    monkeypatch.setattr(channel_module, "_UNSYNCED_BYTES", 3000)
    bench = ChannelBench(frame_bytes=2000, sync_interval=0.0)
    for first in (0, 50):
        for number in range(first, first + 50):
            bench.channel.queue.put(pack([bench.train, number, {"n": number, "text": "x" * 100}]))
        if first == 0:
            bench.channel.write_queued()
            continue
        for _ in range(20):
            while bench.channel.backlog and bench.channel.pump():
                pass
            if bench.channel.wants_sync:
                bench.channel.sync()
    assert bench.read() == list(range(100))
    assert bench.counters() == Counters(logged=100, durable=100, acknowledged=100)


def test_what_goes_into_several_frames_is_there_once_though_the_disk_fails_in_between() -> None:
    bench = ChannelBench(frame_bytes=2000)
    for number in range(50):
        bench.channel.queue.put(pack([bench.train, number, {"n": number, "text": "x" * 100}]))
    while bench.channel.pump() and bench.channel.writer.written_seq < 2:
        pass
    assert bench.channel.writer.written_seq == 2
    bench.disk.weather = Weather(write=1.0)
    bench.channel.flush()
    assert bench.counters().pending == 50
    bench.disk.clear_up()
    bench.let_a_second_pass()
    bench.channel.flush()
    assert bench.read() == list(range(50))
    assert bench.counters() == Counters(logged=50, durable=50, acknowledged=50)


# --- a disk that works


def test_what_is_put_is_pending_until_an_fsync_has_returned_behind_it(bench: ChannelBench) -> None:
    bench.put(1, 2, 3)
    assert bench.counters() == Counters(logged=3, pending=3)

    bench.channel.pump()
    counters = bench.counters()
    assert (counters.durable, counters.pending) == (0, 3)
    assert counters.pending_bytes > 0
    assert bench.read() == [1, 2, 3]

    bench.channel.sync()
    assert bench.counters() == Counters(logged=3, durable=3, acknowledged=3)


def test_run_rows_are_written_with_the_others_and_not_counted(bench: ChannelBench) -> None:
    bench.channel.put_control({"n": 7})
    bench.put(1)
    bench.channel.flush()
    assert (bench.read(RUN), bench.read()) == ([7], [1])
    assert bench.counters() == Counters(logged=1, durable=1, acknowledged=1)


def test_settle_lets_a_reader_find_everything_without_waiting_for_an_fsync(bench: ChannelBench) -> None:
    bench.put(*range(20_000))
    bench.channel.write_queued()
    assert bench.read() == list(range(20_000))
    assert bench.counters().durable == 0


def test_a_queue_that_is_full_waits_for_a_disk_that_is_only_slow(
    small: ChannelBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "_WAIT", 0.0)
    small.disk.weather = Weather(seconds=5.0)
    small.on_wake = small.channel.pump
    small.put(*range(100))
    assert small.counters().dropped == {}
    small.channel.flush()
    assert small.read() == list(range(100))


def test_a_queue_that_is_full_drops_the_newest_where_that_was_asked_for() -> None:
    bench = ChannelBench(queue_events=10, overflow="drop")
    bench.put(*range(25))
    counters = bench.counters()
    assert (counters.pending, counters.dropped) == (10, {"overflow": 15})
    bench.channel.flush()
    assert bench.read() == list(range(10))
    assert bench.counters().durable == 10


def test_flush_ends_when_rows_that_it_waited_for_are_dropped(
    small: ChannelBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread may be about to drop the row that did not fit, just when `flush` counts what waits."""
    small.put(*range(10))
    small.channel.queue.events.append(pack([small.train, 10, {"n": 10}]))
    looks = 0

    pump = small.channel.pump

    def drop_and_pump() -> bool:
        nonlocal looks
        looks += 1
        if looks == 1:
            small.channel.queue._drop_newest("overflow")
        assert looks < 50
        return pump()

    monkeypatch.setattr(small.channel, "pump", drop_and_pump)
    small.channel.post_snapshot("side.json", lambda: b"{}")
    small.channel.flush()
    assert looks
    assert small.counters() == Counters(logged=11, durable=10, acknowledged=10, dropped={"overflow": 1})
    assert bytes(small.disk.files["exp/side.json"].data) == b"{}"


def test_rows_that_come_as_columns_are_counted_and_read_as_rows_in_order(bench: ChannelBench) -> None:
    bench.put(0, 1)
    bench.put_columns(2, 100)
    bench.channel.put_control({"n": 7})
    bench.put_columns(102, 98)
    bench.put(200)
    assert bench.counters() == Counters(logged=201, pending=201)
    bench.channel.pump()  # those before the columns
    assert bench.read() == [0, 1]
    bench.channel.flush()
    assert (bench.read(RUN), bench.read()) == ([7], list(range(201)))
    assert bench.counters() == Counters(logged=201, durable=201, acknowledged=201)


def test_columns_that_a_disk_refuses_wait_and_are_dropped_as_rows(small: ChannelBench) -> None:
    small.disk.weather = Weather(free=20)
    for number in range(30):
        small.put_columns(number * 100, 100)
    small.channel.pump()
    for number in range(30, 40):
        small.put_columns(number * 100, 100)
    assert small.counters().dropped["disk"] % 100 == 0
    lost = small.counters().dropped["disk"]
    small.disk.weather = Weather()
    small.let_a_second_pass()
    small.channel.flush()
    assert len(small.read()) == 4000 - lost
    assert small.counters().durable == 4000 - lost


def test_a_forked_child_has_none_of_the_columns_that_waited(bench: ChannelBench) -> None:
    bench.put_columns(0, 100)
    bench.channel.reset(CHILD)
    assert bench.channel.counters() == Counters()
    bench.put_columns(0, 50)
    bench.channel.flush()
    assert bench.read() == list(range(50))


# --- a full disk


def test_a_full_disk_costs_rows_only_at_capacity_and_one_warning(
    small: ChannelBench, caplog: pytest.LogCaptureFixture
) -> None:
    """The training goes on, the warning names the remedy, and when space returns so does everything that waited."""
    small.put(1, 2)
    small.channel.flush()
    small.disk.weather = Weather(free=20)
    small.put(3, 4)
    for _ in range(5):
        assert not small.channel.pump()
        small.let_a_second_pass()
    assert is_failing(small)
    assert small.channel.health.last_error == "[Errno 28] No space left on device"
    assert small.counters().dropped == {}

    small.put(*range(5, 25))
    counters = small.counters()
    # 3 and 4 wait outside of the queue, in the batch that could not be written.
    assert (counters.pending, counters.dropped) == (12, {"disk": 10})
    (warning,) = said(caplog)
    assert "exp/journal cannot be written ([Errno 28] No space left on device)" in warning
    assert "up to 10 events wait" in warning
    assert "free space" in warning
    caplog.clear()

    small.disk.clear_up()
    small.let_a_second_pass()
    small.channel.flush()
    assert not small.channel.failing
    (warning,) = said(caplog)
    assert warning == "The journal in exp/journal can be written again; 10 events were dropped meanwhile."
    assert small.read() == list(range(1, 15))
    assert small.counters() == Counters(logged=24, durable=14, acknowledged=14, dropped={"disk": 10})


def test_segments_before_and_after_a_full_disk_are_intact(small: ChannelBench) -> None:
    """A torn frame is followed by a new segment, so that nothing is damaged and nothing is written twice."""
    small.put(1, 2)
    small.channel.pump()
    small.disk.weather = Weather(free=50)
    small.put(3)
    small.channel.pump()
    small.disk.clear_up()
    small.let_a_second_pass()
    small.channel.flush()
    small.put(4)
    small.channel.flush()
    report = verify("exp/journal", disk=small.disk)
    assert (report.frames, report.rows, report.damage) == (3, 4, ())
    assert list(report.torn.values()) == [50]
    assert len(small.disk.files) == 2
    assert small.disk.copies_of(WRITER) == 1


def test_every_outage_is_said_once(small: ChannelBench, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        small.disk.weather = Weather(write=1.0, create=1.0)
        small.put(number)
        for _ in range(4):
            small.channel.flush()
        small.disk.clear_up()
        small.channel.flush()
    assert [("cannot be written" in message) for message in said(caplog)] == [True, False] * 3


def test_a_disk_that_refuses_is_tried_again_once_a_second(bench: ChannelBench) -> None:
    bench.disk.weather = Weather(create=1.0)
    bench.put(1)
    tries = []
    for _ in range(101):
        if bench.channel.backlog:
            bench.channel.pump()
        tries.append(bench.disk.seen["create"])
        bench.clock.advance(0.1)
    assert 9 <= tries[-1] <= 12


def test_run_rows_survive_an_outage(small: ChannelBench) -> None:
    small.disk.weather = Weather(create=1.0)
    small.channel.put_control({"n": 1})
    small.channel.pump()
    small.channel.put_control({"n": 2})
    small.put(*range(30))
    small.disk.clear_up()
    small.channel.flush()
    assert small.read(RUN) == [1, 2]


def test_flush_tries_at_once_what_waits_for_the_next_try(bench: ChannelBench) -> None:
    """At exit nobody comes back in a second."""
    bench.disk.weather = Weather(create=1.0)
    bench.put(1)
    bench.channel.pump()
    bench.disk.clear_up()
    bench.channel.flush()
    assert bench.counters() == Counters(logged=1, durable=1, acknowledged=1)


def test_flush_returns_from_a_disk_that_refuses(bench: ChannelBench) -> None:
    bench.disk.weather = Weather(create=1.0)
    bench.put(1)
    bench.channel.flush()
    assert bench.channel.failing
    assert bench.counters() == Counters(logged=1, pending=1)


def test_a_batch_without_rows_does_not_prove_that_the_disk_works(bench: ChannelBench) -> None:
    bench.put(1)
    bench.channel.pump()
    bench.disk.weather = Weather(sync=1.0)
    bench.channel.sync()
    bench.channel.queue.put(b"\xc1")
    bench.let_a_second_pass()
    bench.channel.pump()
    assert bench.channel.failing


# --- an fsync that fails


def test_rows_whose_fsync_failed_are_not_acknowledged_and_written_again(bench: ChannelBench) -> None:
    bench.put(1, 2)
    bench.channel.pump()
    bench.disk.weather = Weather(sync=1.0)
    bench.channel.sync()
    assert bench.channel.failing
    assert bench.counters().durable == 0

    bench.disk.clear_up()
    bench.channel.flush()
    bench.disk.cut_power()
    assert bench.read() == [1, 2]
    assert bench.counters() == Counters(logged=2, durable=2, acknowledged=2)


def test_a_sync_that_succeeds_ends_an_outage_although_nothing_is_logged_any_more(bench: ChannelBench) -> None:
    """Else a run would leave no more signs of life, and be taken for dead."""
    bench.put(1)
    bench.channel.pump()
    bench.disk.weather = Weather(sync=1.0)
    bench.channel.sync()
    bench.disk.clear_up()
    bench.let_a_second_pass()
    assert bench.channel.wants_sync
    bench.channel.sync()
    assert not bench.channel.failing


def test_a_sync_that_ends_an_outage_is_followed_by_what_waited_in_the_queue(
    bench: ChannelBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flush that first has to make room for unsynced bytes does not stop there."""
    monkeypatch.setattr(channel_module, "_UNSYNCED_BYTES", 100)
    bench.put(1, 2)
    bench.channel.pump()
    bench.disk.weather = Weather(sync=1.0)
    bench.channel.sync()
    bench.put(3)
    bench.disk.clear_up()
    bench.let_a_second_pass()
    bench.channel.flush()
    assert bench.counters() == Counters(logged=3, durable=3, acknowledged=3)


def test_a_failing_fsync_is_tried_again_once_a_second_however_much_waits(
    bench: ChannelBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every try writes everything that is not durable anew, so that trying all the time would fill the disk."""
    monkeypatch.setattr(channel_module, "_UNSYNCED_BYTES", 100)
    bench.disk.weather = Weather(sync=1.0)
    bench.put(1, 2)
    bench.channel.pump()
    for _ in range(101):
        if bench.channel.wants_sync:
            bench.channel.sync()
        bench.clock.advance(0.1)
    assert 9 <= bench.disk.seen["sync"] <= 12


@pytest.mark.slow
def test_what_is_not_durable_takes_16_mib_at_most(bench: ChannelBench) -> None:
    """Behind that and a slice the rows wait in the queue, which is bounded itself."""
    bench = ChannelBench(queue_bytes=64 * 1024 * 1024)
    bench.disk.weather = Weather(sync=1.0)
    text = "x" * 100_000
    for number in range(300):
        bench.channel.queue.put(pack([bench.train, number, {"n": number, "text": text}]))
    for _ in range(20):
        while bench.channel.pump():
            pass
        bench.channel.sync()
        bench.let_a_second_pass()
    assert UNSYNCED_BYTES <= bench.counters().pending_bytes < UNSYNCED_BYTES + 5 * 1024 * 1024
    assert len(bench.channel.queue) > 50

    bench.disk.clear_up()
    bench.channel.flush()
    assert bench.counters() == Counters(logged=300, durable=300, acknowledged=300)
    assert bench.read() == list(range(300))


# --- rows that cannot be stored

MALFORMED = {
    "not msgpack": b"\xc1",
    "not an event": pack(None),
    "cut off": pack([0, 1, {"n": 1}])[:-1],
    "of an unknown series": pack([99, 1, {"n": 1}]),
    "without fields": pack([0, 1, 2.0]),
    "without a time": pack([0, None, {"n": 1}]),
    "of a time beyond int64": pack([0, 2**63, {"n": 1}]),
    "with a field whose name is no string": pack([0, 1, {7: 1.0}]),
}


@pytest.mark.parametrize("others", [3, 300])
@pytest.mark.parametrize("event", MALFORMED.values(), ids=MALFORMED)
def test_an_event_that_cannot_be_stored_is_counted_and_takes_no_other_with_it(
    bench: ChannelBench, event: bytes, others: int, caplog: pytest.LogCaptureFixture
) -> None:
    """No manager puts such an event; a defect in one must not cost the rows of all others."""
    bench.channel.put_control({"n": 1})
    bench.put(*range(others))
    bench.channel.queue.put(event)
    bench.put(*range(others, 2 * others))
    bench.channel.flush()
    assert bench.counters() == Counters(
        logged=2 * others + 1, durable=2 * others, acknowledged=2 * others, dropped={"malformed": 1}
    )
    assert (bench.read(), bench.read(RUN)) == (list(range(2 * others)), [1])
    assert "counted as dropped['malformed']" in caplog.text


def test_rows_that_cannot_be_encoded_together_and_can_be_one_by_one_are_all_stored(
    bench: ChannelBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is wrong with the quick way, as where a package of the script's stands in the place of another."""

    def fail(*_: object) -> None:
        raise AttributeError("module 'numpy' has no attribute 'fromiter'")

    bench.put(1, 2, 3)
    with monkeypatch.context() as patch:
        patch.setattr(bench.channel._mover._batcher, "blocks", fail)
        bench.channel.flush()
    assert bench.read() == [1, 2, 3]
    assert bench.counters() == Counters(logged=3, durable=3, acknowledged=3)
    assert "AttributeError" in caplog.text


def test_rows_that_cannot_be_stored_together_are_given_up(
    bench: ChannelBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame of more than 4 GiB, say. Trying for ever would hold up everything behind it."""
    append = bench.channel.writer.append

    def refuse(blocks: Any) -> int:
        if len(blocks[0].times) == 1 and len(blocks) == 1:
            return append(blocks)
        raise ValueError("a frame is longer than its header can say")

    monkeypatch.setattr(bench.channel.writer, "append", refuse)
    bench.put(1, 2)
    bench.channel.pump()
    bench.channel.pump()
    bench.put(3)
    bench.channel.flush()
    assert bench.counters() == Counters(logged=3, durable=1, acknowledged=1, dropped={"malformed": 2})


# --- Ctrl-C, where the main thread writes


@pytest.mark.parametrize("operation", ["create", "write", "sync"])
@pytest.mark.parametrize("attempt", range(8))
def test_an_interrupt_loses_nothing_and_doubles_nothing(operation: str, attempt: int) -> None:
    """Whether the bytes had arrived by then or not."""
    bench = ChannelBench()
    bench.disk._rng.seed(attempt)
    interrupt_next(bench, operation)
    bench.put(1, 2)
    with pytest.raises(InterruptError):
        bench.channel.flush()
    bench.disk.interruptible = False
    assert bench.counters().logged == 2
    bench.put(3)
    bench.channel.flush()
    assert bench.read() == [1, 2, 3]
    assert bench.counters() == Counters(logged=3, durable=3, acknowledged=3)


def interrupt_next(bench: ChannelBench, operation: str) -> None:
    """Have the next such operation be interrupted."""
    begin = bench.disk._operate

    def operate(name: str) -> None:
        if bench.disk.interruptible and name == operation:
            raise InterruptError(name)
        begin(name)

    bench.disk.interruptible = True
    bench.disk._operate = operate  # type: ignore[method-assign]


def test_an_interrupt_while_rows_are_encoded_loses_nothing(
    bench: ChannelBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise InterruptError

    bench.put(1, 2)
    with monkeypatch.context() as patch:
        patch.setattr(bench.channel._mover._batcher, "blocks", interrupt)
        with pytest.raises(InterruptError):
            bench.channel.flush()
    assert bench.counters() == Counters(logged=2, pending=2)
    bench.channel.flush()
    assert bench.read() == [1, 2]


# --- side files


def side_file(bench: ChannelBench, name: str = "side.json") -> bytes | None:
    file = bench.disk.files.get(f"exp/{name}")
    return bytes(file.data) if file else None


def test_a_side_file_is_written_behind_the_rows_that_were_queued_before_it(bench: ChannelBench) -> None:
    bench.put(1)
    seen: list[int] = []

    def produce() -> bytes:
        seen.extend(bench.read())
        return b"{}"

    bench.channel.post_snapshot("side.json", produce)
    assert bench.channel.wants_sync
    bench.channel.sync()
    assert side_file(bench) is None
    bench.channel.flush()
    assert (side_file(bench), seen) == (b"{}", [1])


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), ValueError("damaged")])
def test_a_side_file_that_fails_is_tried_again_after_a_second(bench: ChannelBench, error: Exception) -> None:
    errors = [error]

    def produce() -> bytes:
        if errors:
            raise errors.pop()
        return b"{}"

    bench.channel.post_snapshot("side.json", produce)
    bench.channel.sync()
    assert (side_file(bench), bench.channel.health.last_error) == (None, str(error))
    assert not is_failing(bench), "rows can be written all the same"
    bench.channel.sync()
    assert side_file(bench) is None
    bench.let_a_second_pass()
    bench.channel.sync()
    assert side_file(bench) == b"{}"


def test_a_side_file_that_can_never_be_written_holds_up_no_other(bench: ChannelBench) -> None:
    bench.channel.post_snapshot("bad.json", lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    bench.channel.post_snapshot("good.json", lambda: b"good")
    for _ in range(3):
        bench.channel.sync()
        bench.let_a_second_pass()
    assert side_file(bench, "good.json") == b"good"
    assert not bench.channel.quiet_for(0.0), "the bad one is still tried"


def test_of_two_contents_of_a_side_file_the_later_is_written(bench: ChannelBench) -> None:
    bench.channel.post_snapshot("side.json", lambda: b"old")
    bench.channel.post_snapshot("side.json", lambda: b"new")
    bench.channel.flush()
    assert side_file(bench) == b"new"


def test_a_content_posted_while_an_older_one_is_written_is_written_as_well(bench: ChannelBench) -> None:
    def produce() -> bytes:
        bench.channel.post_snapshot("side.json", lambda: b"new")
        return b"old"

    bench.channel.post_snapshot("side.json", produce)
    bench.channel.flush()
    assert side_file(bench) == b"new"


# --- closing, resting, forking


def test_rows_logged_after_a_close_go_to_a_new_segment(bench: ChannelBench) -> None:
    bench.put(1)
    bench.channel.flush()
    bench.channel.close()
    assert not bench.disk.opened
    bench.put(2)
    bench.channel.flush()
    assert bench.read() == [1, 2]
    assert len(bench.disk.files) == 2


def test_a_close_makes_durable_what_is_written(bench: ChannelBench) -> None:
    bench.put(1)
    bench.channel.pump()
    bench.channel.close()
    assert bench.counters() == Counters(logged=1, durable=1, acknowledged=1)


def test_a_close_that_fails_leaves_the_rows_pending(bench: ChannelBench) -> None:
    bench.put(1)
    bench.channel.pump()
    bench.disk.weather = Weather(sync=1.0)
    bench.channel.close()
    assert is_failing(bench)
    assert bench.counters().pending == 1
    bench.disk.clear_up()
    bench.channel.flush()
    assert bench.counters() == Counters(logged=1, durable=1, acknowledged=1)


def test_a_channel_is_quiet_once_nothing_has_been_done_for_a_while(bench: ChannelBench) -> None:
    bench.put(1)
    bench.clock.advance(10)
    assert not bench.channel.quiet_for(5)
    bench.channel.flush()
    assert not bench.channel.quiet_for(5)
    bench.clock.advance(6)
    assert bench.channel.quiet_for(5)


def test_a_reset_channel_begins_anew_as_another_writer(bench: ChannelBench) -> None:
    """In a forked child: the parent's rows are the parent's, and the names of the series are still known."""
    bench.put(1)
    bench.channel.flush()
    bench.put(2, 3)
    bench.channel.pump()
    bench.put(4)
    bench.channel.put_control({"n": 5})
    bench.channel.post_snapshot("side.json", lambda: b"{}")
    before = {path: bytes(file.data) for path, file in bench.disk.files.items()}

    bench.channel.reset(CHILD)
    assert bench.counters() == Counters()
    assert not bench.channel.backlog
    assert not bench.channel.wants_sync
    bench.channel.flush()
    assert {path: bytes(file.data) for path, file in bench.disk.files.items()} == before

    assert bench.channel.series_id(*TRAIN) == bench.train
    bench.put(6)
    bench.channel.flush()
    assert bench.read() == [1, 2, 3, 6]
    index = JournalIndex("exp/journal", disk=bench.disk)
    index.refresh()
    assert [writer.id for writer in index.writers] == [WRITER, CHILD]
    assert bench.counters() == Counters(logged=1, durable=1, acknowledged=1)


def test_a_reset_forgets_that_the_disk_failed(bench: ChannelBench, caplog: pytest.LogCaptureFixture) -> None:
    bench.disk.weather = Weather(create=1.0)
    bench.put(1)
    bench.channel.pump()
    bench.channel.reset(CHILD)
    assert not bench.channel.failing
    bench.disk.clear_up()
    bench.put(2)
    bench.channel.flush()
    assert bench.read() == [2]
    assert len(said(caplog)) == 1


# --- where there is no worker


@pytest.fixture
def lonely() -> ChannelBench:
    """One whose callers have to write."""
    return ChannelBench(is_alone=lambda: True)


def test_callers_write_where_there_is_no_worker_as_often_as_it_would(lonely: ChannelBench) -> None:
    lonely.put(1)
    assert lonely.read() == [1]  # at once: who knows when the next one comes
    lonely.put(2, 3)
    assert lonely.read() == [1]
    lonely.clock.advance(0.06)
    lonely.put(4)
    assert lonely.read() == [1, 2, 3, 4]
    assert lonely.counters().durable == 0


def test_callers_sync_where_there_is_no_worker_as_often_as_it_would(lonely: ChannelBench) -> None:
    lonely.channel.post_snapshot("side.json", lambda: b"{}")
    lonely.put(1)
    assert side_file(lonely) == b"{}"
    lonely.let_a_second_pass()
    lonely.put(2)
    assert lonely.counters() == Counters(logged=2, durable=2, acknowledged=2)


def test_callers_of_a_full_queue_write_where_there_is_no_worker() -> None:
    """However soon after the last writing."""
    lonely = ChannelBench(is_alone=lambda: True, queue_events=10)
    lonely.put(*range(100))
    assert len(lonely.read()) >= 90
    assert lonely.counters().dropped == {}


# --- a thread in the middle of writing


@pytest.mark.parametrize("call", ["flush", "write_queued", "sync", "pump", "close"])
def test_a_call_in_the_middle_of_a_write_of_the_same_thread_does_nothing(
    bench: ChannelBench, call: str
) -> None:
    """As in a finalizer of the script's: it would wait for the lock that its own thread holds, and write twice."""
    inner: list[object] = []

    begin = bench.disk._operate

    def operate(name: str) -> None:
        if name == "write" and not inner:
            inner.append(getattr(bench.channel, call)())
            bench.put(3)
            bench.channel.turns.put_off(lambda: inner.append("put off"))
            assert "put off" not in inner
        begin(name)

    bench.put(1, 2)
    bench.disk._operate = operate  # type: ignore[method-assign]
    bench.channel.flush()
    assert inner[0] in {None, False}
    assert inner[1:] == ["put off"]
    bench.channel.flush()
    assert bench.read() == [1, 2, 3]
    assert bench.counters() == Counters(logged=3, durable=3, acknowledged=3)


@pytest.mark.parametrize("error", [ImportError, MemoryError, OSError])
def test_what_is_no_error_of_the_disk_keeps_rows_from_it_as_one_does(
    bench: ChannelBench,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
) -> None:
    """Such as want of memory: they wait, it is said once, and they are tried again every second."""

    def fail(*_: object) -> None:
        raise error("no such thing")

    bench.put(1, 2)
    with monkeypatch.context() as patch:
        patch.setattr(Batcher, "blocks", fail)
        bench.channel.flush()
        bench.let_a_second_pass()
        assert not bench.channel.pump()
    assert bench.counters() == Counters(logged=2, pending=2)
    bench.channel.flush()
    assert bench.read() == [1, 2]
    assert ["no such thing" in message for message in said(caplog)] == [True, False]
