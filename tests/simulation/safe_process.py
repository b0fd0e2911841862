"""A simulated process whose rows wait in shared memory, and what it was promised by each call that has returned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from ml_dash.events.items import Event
from ml_dash.pipeline.channel import Channel, StandIn, _slab_of
from ml_dash.pipeline.channel_slab import ChannelSlab
from ml_dash.series import Kind
from ml_dash.slabs.layout import MARK
from ml_dash.values.pack import pack
from tests.simulation.process import Process
from tests.simulation.shared_memory import SharedMemory
from tests.support.rows import SERIES, Row, as_text, random_row

__all__ = ["SafeProcess"]

_MARKS = (MARK, b"a" + MARK + MARK + b"\x93", int.from_bytes(MARK, "big"), {MARK.hex(): MARK[:3]})
_Write = Callable[[bytes], object]


class SafeProcess(Process):
    """See `Process`. Threads of it stop in the middle of a call, and go on when much else has happened.

    Attributes:
        promised: the rows of which the calls have returned, and which its death must not lose.
    """

    def __init__(self, memory: SharedMemory, *args: Any, **options: Any) -> None:
        self._memory = memory
        self._make_slab = memory.make
        self.promised: list[Row] = []
        self._stopped: list[tuple[_Write, list[Row]]] = []
        self._held: list[_Write] = []
        super().__init__(*args, **options)

    # --- what happens in it

    def _random_row(self) -> tuple[Row, Event]:
        number = self._rng.random()
        if number > 0.25:
            return super()._random_row()
        time = self._clock.time_ns()
        fields: dict[str, Any] = {"n": self._serial(), "a": self._rng.choice(_MARKS)}
        if number > 0.05:
            fields["a"] = "long " * self._rng.randrange(40, 400)  # so that regions fill
        else:
            self._in_doubt += 2
            self._disk.seen["marks in values"] += 1
        return Row(SERIES[0], time, as_text(fields)), pack([0, time, fields])

    def put(self, *, may_wait: bool = True) -> None:
        """Log something, in one thread of several."""
        if self._rng.random() < 0.1:
            self.go_on()
        if self._rng.random() < 0.02:
            with self._doing_it("declare"):
                self.channel.series_id(Kind.METRIC, "late " * self._rng.choice((1, 100, 700)))
        super().put(may_wait=may_wait)

    def _put_packed(self) -> list[Row]:
        """Log a row, if it needs no device; return it."""
        row, event = random_row(self._rng, self._clock, self._serial(), self.channel.times.next_ns)
        if not isinstance(event, bytes):
            return []
        put = partial(self.channel.queue.put, event)
        return [row] if super()._put([row], event, put, may_wait=False) else []

    def _put(self, rows: list[Row], event: Event, put: Callable[[], None], *, may_wait: bool) -> bool:
        is_held = self._is_held
        stopped: list[_Write] = []
        if isinstance(event, bytes):
            put = partial(self._call, event, stopped)
        is_taken = super()._put(rows, event, put, may_wait=may_wait)
        safe = rows if is_taken and isinstance(event, bytes) and is_held and self._is_held else []
        if stopped:
            self._stopped.append((stopped[0], safe))
        else:
            self.promised += safe
        return is_taken

    @property
    def _is_held(self) -> bool:
        """Whether the queue keeps what a call puts, whatever it takes."""
        queue = self.channel.queue
        is_kept = self._settings.overflow == "block" and not queue.failing
        return is_kept and queue.slab is not None and not queue.slab.is_left

    def _call(self, event: bytes, stopped: list[_Write]) -> None:
        """Do as `MetricBuilder.log` does; the thread may have looked up `write` long ago, or stop behind the event."""
        queue = self.channel.queue
        number = self._rng.random()
        if number < 0.2:
            queue.put(event)
            return
        write = queue.write
        if number < 0.3:
            self._held.append(write)
        if number > 0.8 and self._held:
            write = self._held.pop(0)
            self._disk.seen["writes held"] += 1
        try:
            write(event)
        except ValueError:
            queue.put(event)
            return
        if self._rng.random() < 0.15:
            stopped.append(write)
            self._in_doubt += 1
            self._disk.seen["calls stopped"] += 1
            return
        self._mark(write)

    def _mark(self, write: _Write) -> None:
        try:
            write(MARK)
        except ValueError:
            self._disk.seen["regions ended before a mark"] += 1
            self.channel.queue.end_event(write)

    def go_on(self) -> None:
        """Let a thread that has stopped return from its call."""
        if self._stopped:
            write, rows = self._stopped.pop(self._rng.randrange(len(self._stopped)))
            with self._doing_it("mark"):
                self._mark(write)
            self.promised += rows

    def close(self) -> None:
        """Close the journal, and perhaps begin another run."""
        super().close()
        channel = self.channel
        if self._rng.random() < 0.7 and not channel.writer.is_gone:
            channel.resume(self.writer_id, is_shared=True)

    def fork(self, writer_id: str) -> Process:
        """See `Process.fork`. Hooks of the program's log in the middle."""
        queue = self.channel.queue
        with self._doing_it("fork"):
            queue.before_fork()
            child = super().fork(writer_id)
            is_held = self._is_held
            rows = [row for _ in range(self._rng.choice((0, 0, 1, 3))) for row in self._put_packed()]
            queue.after_fork()
            if is_held and self._is_held:
                self.promised += rows  # they are safe when the fork is over
        return child

    def _copy_of_memory(self) -> Channel:
        channel = super()._copy_of_memory()
        queue = channel.queue
        if queue.slab is not None:
            queue.slab = self._memory.share(queue.slab)
        channel.stand_in = StandIn(channel, self._woken, lambda: False)
        queue._write, queue._write_all = channel.stand_in.make_room, channel.write_queued
        make = partial(_slab_of, channel, self._memory.make)
        channel._slab = ChannelSlab(
            queue, channel._series, make, lambda: channel.writer.certain_seq, lambda: channel._lock
        )
        return channel

    def _child(self, writer_id: str, channel: Channel) -> Process:
        options: dict[str, Any] = {"tables": self._tables}
        shared = self._rng, self._clock, self._disk, self._settings, self._serial, self._remember
        return SafeProcess(self._memory, writer_id, *shared, channel, **options)

    # --- inside

    @contextmanager
    def _doing_it(self, *names: str) -> Iterator[None]:
        self._memory.acting.append(self)
        try:
            with super()._doing_it(*names):
                yield
        finally:
            self._memory.acting.pop()

    def _waits_for_slab(self, event: Event) -> bool:
        slab = self.channel.queue.slab
        if slab is None or slab.is_left or not isinstance(event, bytes):
            return False
        if len(event) > slab.event_bytes_max:
            return True  # until it is written
        room = slab._head.region_bytes - slab.region(slab._filling).tell()
        return len(event) > room and not slab._free
