"""A simulated process: a channel, what was put into it, and the promises that hold at any moment."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ml_dash.events.column_event import ColumnEvent
from ml_dash.events.items import Event
from ml_dash.journal.blocks import Column
from ml_dash.pipeline import channel as channel_module
from ml_dash.pipeline.backlog import LARGE_EVENT
from ml_dash.pipeline.channel import Channel
from ml_dash.series import Kind, Series
from ml_dash.settings import Settings
from ml_dash.slabs.slab import Chunk
from tests.support.lock_order import another_thread
from tests.support.rows import SERIES, Row, as_text, malformed_event, random_row
from tests.support.simulated_clock import SimulatedClock
from tests.support.simulated_disk import SimulatedDisk

if TYPE_CHECKING:
    from ml_dash.pipeline.channel_slab import MakeSlab

__all__ = ["DIRECTORY", "Process"]

DIRECTORY = "root/alice/project/run"
_RUN = Series(Kind.RUN, None)


class Process:
    """What one process logs, and what it was told of it.

    Attributes:
        writer_id: its name in the journal.
        channel: the code under test.
        puts: events put into the queue, whatever became of them.
        rows: the rows that the queue took and that can be stored, in order.
        controls: control rows, in order.
        malformed: events that the queue took and that cannot be stored.
        dropped: events that the queue did not take, by reason.
        snapshots: the contents posted for each side file, in order.
    """

    def __init__(
        self,
        writer_id: str,
        rng: random.Random,
        clock: SimulatedClock,
        disk: SimulatedDisk,
        settings: Settings,
        serial: Callable[[], int],
        remember: Callable[[str, Row], None],
        channel: Channel | None = None,
        *,
        tables: random.Random | None = None,
    ) -> None:
        self.writer_id = writer_id
        self._rng = rng
        self._clock = clock
        self._disk = disk
        self._settings = settings
        self._serial = serial
        self._remember = remember
        self._tables = tables
        if channel is None:
            make = self._make_slab
            channel = Channel(
                DIRECTORY, writer_id, settings, self._woken, make_slab=make, clock=clock, disk=disk
            )
            for series in SERIES:
                channel.series_id(*series)
        else:
            channel.queue._wake = self._woken
        self.channel = channel
        self.alive = True
        self.puts = 0
        self.rows: list[Row] = []
        self.controls: list[Row] = []
        self.malformed = 0
        self.dropped: Counter[str] = Counter()
        self.snapshots: dict[str, list[bytes]] = {}
        self._durable = 0
        self._errors_when_well = disk.errors
        self._doing: list[str] = []

    _make_slab: MakeSlab | None = None
    """Gives the channel a slab; rows wait in the process's memory where it is None."""

    # --- what happens in it

    def put(self, *, may_wait: bool = True) -> None:
        """Log something, but for what would have to wait for room, should that not be possible."""
        if self._tables is not None and self._tables.random() < 0.2:
            rows, table = self._random_table(self._tables)
            self._put(rows, table, partial(self.channel.queue.put_columns, table), may_wait=may_wait)
            return
        row, event = self._random_row()
        malformed = self._rng.random() < 0.01
        if malformed:
            self._disk.seen["malformed"] += 1
            event = malformed_event(self._rng, is_packed=self._make_slab is not None)
        rows = [] if malformed else [row]
        self._put(rows, event, partial(self.channel.queue.put, event), may_wait=may_wait)

    def _random_row(self) -> tuple[Row, Event]:
        return random_row(self._rng, self._clock, self._serial(), self.channel.times.next_ns)

    def _put(self, rows: list[Row], event: Event, put: Callable[[], None], *, may_wait: bool) -> bool:
        """Put an event, which stands for these rows; for one that cannot be stored where there is none.

        Returns:
            Whether the queue has taken it.
        """
        full = self._is_full_with(event)
        if not may_wait and (full or self._waits_for_slab(event)):
            return False
        queue = self.channel.queue
        before = sum(queue.dropped.values())
        count, malformed = len(rows) or 1, not rows
        self.puts += count
        accepted = len(self.rows)
        self.malformed += malformed
        self.rows += rows
        for row in rows:
            self._remember(self.writer_id, row)
        with self._doing_it("put"):
            put()
        if sum(queue.dropped.values()) == before:
            return True
        self._note_refusal(count, full=full)
        self.malformed -= malformed
        del self.rows[accepted : accepted + len(rows)]
        return False

    def _random_table(self, rng: random.Random) -> tuple[list[Row], ColumnEvent]:
        numbers = [
            (self._clock.time_ns(), self._serial(), rng.random()) for _ in range(rng.choice((1, 5, 40, 300)))
        ]
        times, steps, losses = map(np.array, zip(*numbers, strict=True))
        columns = [Column("step", "i", None, steps), Column("loss", "f", None, losses)]
        rows = [Row(SERIES[0], time, as_text({"step": step, "loss": loss})) for time, step, loss in numbers]
        return rows, ColumnEvent(0, times, columns)

    def put_control(self) -> None:
        """Write a heartbeat."""
        fields = {"event": "heartbeat", "n": self._serial()}
        row = Row(_RUN, self.channel.put_control(fields), as_text(fields))
        self.controls.append(row)
        self._remember(self.writer_id, row)

    def post_snapshot(self) -> None:
        """Have a side file replaced; now and then by a producer that fails at first."""
        name = f"{self.writer_id}-{self._rng.randrange(2)}.json"
        content = json.dumps({"n": self._serial()}).encode()
        failures = [OSError(5, "a journal that cannot be read"), ValueError("nor this")]
        failing = failures[: max(0, self._rng.randrange(-4, 3))]

        def produce() -> bytes:
            if failing:
                raise failing.pop()
            return content

        self.snapshots.setdefault(name, []).append(content)
        self.channel.post_snapshot(name, produce)

    def pump(self) -> None:
        with self._doing_it("pump"):
            self.channel.pump()

    def sync(self) -> None:
        with self._doing_it("sync"):
            self.channel.sync()

    def settle(self) -> None:
        with self._doing_it("pump", "sync"):
            self.channel.write_queued()

    def flush(self) -> None:
        """Flush, and hold it to its word."""
        goal = len(self.rows)
        with self._doing_it("pump", "sync"):
            self.channel.flush()
        assert self.channel.failing or self.channel.counters().durable >= goal, "flush left rows behind"

    def close(self) -> None:
        with self._doing_it("sync"):
            self.channel.queue.leave_slab()
            self.channel.close()

    def round(self) -> None:
        """Do what the worker does in a round; there may be no end of it while others go on logging."""
        channel = self.channel
        for _ in range(20):
            with self._doing_it("pump"):
                if not (channel.backlog and channel.pump()):
                    break
        if channel.wants_sync:
            self.sync()

    def rest(self) -> None:
        """Do what the worker does when it goes to sleep, or wakes."""
        if self._rng.random() < 0.5:
            self.channel.queue.rest()
        else:
            self.channel.queue.work()

    def meanwhile(self, operation: str) -> None:
        """Do something in the middle of a disk's operation, of what other threads could do at that moment."""
        # A write is made under the writer's lock, for which a pump of this process would wait.
        with self._doing_it("write" if operation == "write" else "wait"), another_thread():
            if self._rng.random() < 0.6 and "put" not in self._doing:
                while self._rng.random() < 0.6:
                    self.put(may_wait=False)
            elif not self._is_writing:
                self.pump()
            self.check_law()

    def fork(self, writer_id: str) -> Process:
        """Return the child that a fork would give: a copy of the memory, and open files that are its own."""
        child = self._child(writer_id, self._copy_of_memory())
        self._disk.in_child = True
        child.channel.reset(writer_id)
        self._disk.in_child = False
        return child

    def _copy_of_memory(self) -> Channel:
        parent, channel = self.channel, copy.copy(self.channel)
        channel.queue = copy.copy(parent.queue)
        channel.writer = copy.copy(parent.writer)
        channel._series = copy.deepcopy(parent._series)
        channel.times = copy.copy(parent.times)
        return channel

    def _child(self, writer_id: str, channel: Channel) -> Process:
        return Process(
            writer_id,
            self._rng,
            self._clock,
            self._disk,
            self._settings,
            self._serial,
            self._remember,
            channel,
            tables=self._tables,
        )

    # --- what must hold

    def check_law(self) -> None:
        """Check the counters, and the bounds of what is held in memory."""
        channel, queue = self.channel, self.channel.queue
        counters = channel.counters()
        parts = (counters.durable, counters.pending, *counters.dropped.values())
        off = abs(counters.logged - self.puts)
        assert off <= self._in_doubt + self._is_waiting, f"logged {counters.logged} of {self.puts} puts"
        assert counters.logged == sum(parts), f"the law does not hold: {counters}"
        assert min(parts) >= 0, f"a negative counter: {counters}"
        assert self._durable <= counters.durable <= len(self.rows), f"durable went wrong: {counters}"
        self._durable = counters.durable
        malformed = counters.dropped.get("malformed", 0)
        assert malformed <= self.malformed, f"{counters} of {self.malformed} malformed events"
        refused = {reason: n for reason, n in counters.dropped.items() if n and reason != "malformed"}
        assert "put" in self._doing or refused == dict(self.dropped), f"{refused} were dropped"
        if "put" not in self._doing:
            events = [event for event in queue.events if type(event) is not Chunk]
            large = sum(size for size in map(len, events) if size > LARGE_EVENT)
            assert len(events) <= self._settings.queue_events, f"{len(events)} events wait"
            assert large <= self._settings.queue_bytes or len(events) == 1, (
                f"{large} bytes of large events wait"
            )
            assert large == queue._large_bytes, (
                f"{large} bytes of large events are counted as {queue._large_bytes}"
            )
        limit = channel_module._UNSYNCED_BYTES + self._disk.largest_frame
        assert counters.pending_bytes <= limit, f"{counters.pending_bytes} bytes are not synced"
        if not channel.failing:
            self._errors_when_well = self._disk.errors

    def check_recovered(self) -> None:
        """Check that nothing is left to do, once the disk has worked for a while and all was flushed."""
        counters = self.channel.counters()
        assert counters.logged == self.puts, f"logged {counters.logged} of {self.puts} puts"
        assert counters.pending == 0, f"pending after a flush: {counters}"
        assert counters.pending_bytes == 0, f"bytes kept after a flush: {counters}"
        assert counters.durable == len(self.rows), f"durable: {counters}, of {len(self.rows)} rows"
        assert counters.dropped.get("malformed", 0) == self.malformed, (
            f"{counters}, {self.malformed} malformed"
        )
        assert not self.channel.failing, "the disk works and the channel does not notice"
        assert not self.channel.backlog, "there is a backlog after a flush"
        for name, contents in self.snapshots.items():
            file = self._disk.files.get(f"{DIRECTORY}/{name}")
            assert file, f"{name} was never written"
            assert file.data == contents[-1], f"{name} holds {bytes(file.data)!r}, not {contents[-1]!r}"

    def check_closed(self) -> None:
        """Check that no file was left open."""
        left = [file for file in self._disk.opened if file.writer == self.writer_id]
        assert not left, f"{len(left)} files are still open"

    @property
    def acknowledged(self) -> list[Row]:
        """The rows of which the process was told that they are durable."""
        rows = self.rows[: self.channel.counters().durable]
        if self._everything_durable():
            rows = rows + self.controls
        return rows

    def _everything_durable(self) -> bool:
        """Whether the control rows must be durable, too; they have no counter."""
        channel = self.channel
        return not (self._doing or channel.failing or channel.backlog or channel.counters().pending_bytes)

    # --- inside

    _in_doubt = 0
    """How many rows more or fewer may be counted as logged until they are written."""

    @property
    def _is_waiting(self) -> bool:
        """Whether an event that is put may be in no queue yet."""
        return self._make_slab is not None and "put" in self._doing

    def _waits_for_slab(self, event: Event) -> bool:
        """Whether an event would wait for room in shared memory."""
        del event
        return False

    @contextmanager
    def _doing_it(self, *names: str) -> Iterator[None]:
        self._doing += names
        try:
            yield
        finally:
            del self._doing[-len(names) :]

    def _woken(self) -> None:
        """Be the worker that is woken: at once, or later. A caller that waits for room asks until there is some."""
        if self._is_writing or self._rng.random() < 0.3:
            return
        with another_thread():
            with self._doing_it("pump"):
                moved = self.channel.pump()
            if not moved and "sync" not in self._doing:
                self.sync()

    @property
    def _is_writing(self) -> bool:
        return "pump" in self._doing or "write" in self._doing

    def _is_full_with(self, event: Event) -> bool:
        queue = self.channel.queue
        large = queue._large_bytes + (len(event) if len(event) > LARGE_EVENT else 0)
        return len(queue) >= self._settings.queue_events or large > self._settings.queue_bytes

    def _note_refusal(self, count: int, *, full: bool) -> None:
        refused = Counter(self.channel.queue.dropped) - self.dropped
        self._disk.seen[f"dropped: {next(iter(refused))}"] += 1
        assert full, "an event was dropped although there was room"
        assert refused.total() == count, f"one put of {count} rows dropped {refused}"
        if "disk" in refused:
            assert self._disk.errors > self._errors_when_well, "dropped for a disk that did not fail"
        else:
            assert refused == {"overflow": count}
            assert self._settings.overflow == "drop", "dropped although the caller wants to wait"
        self.dropped += refused
