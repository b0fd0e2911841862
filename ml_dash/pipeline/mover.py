"""Moving what a queue holds, slice by slice, into frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.events.batch import Batcher, SeriesNumbers
from ml_dash.locks import MortalLock
from ml_dash.pipeline.backlog import NOTHING
from ml_dash.pipeline.batch import Batch
from ml_dash.query.highlights import Highlights
from ml_dash.values.pack import pack_plain
from ml_dash.values.transfers import look_at_devices

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from ml_dash.journal.writer import JournalWriter
    from ml_dash.pipeline.channel_slab import ChannelSlab
    from ml_dash.pipeline.counters import Tally
    from ml_dash.pipeline.queue import EventQueue

SLICE = 8192  # events that a pump moves at most: about half a millisecond of work
SLICE_BYTES = 4 * 1024 * 1024  # of large events in a slice: what is encoded is in memory twice

CAPTURED_MAX = 40_000
"""Rows of what a run captures, and of what it says of itself, that wait for the journal."""


class Mover:
    """Takes a slice at a time, and keeps it until it is written, whatever interrupts that.

    Args:
        queue: what is taken from.
        series: what the numbers in events mean.
        tally: where is counted what becomes of them.
        slab: of the channel.
        lock: the channel's, which guards `control`, `batch` and the tally.

    Attributes:
        control: RUN rows, which go first.
        batch: what is on its way.
        highlights: what is worth telling of what was written.
    """

    _guard = MortalLock()

    def __init__(
        self,
        queue: EventQueue,
        series: SeriesNumbers,
        tally: Tally,
        slab: ChannelSlab,
        lock: threading.RLock,
    ) -> None:
        self._queue = queue
        self._series = series
        self._tally = tally
        self._slab = slab
        self._guard = lock
        self._batcher = Batcher()
        self.highlights = Highlights()
        self.control: list[bytes] = []
        self.batch: Batch | None = None
        self._behind: tuple[int, int] | None = None  # up to where frames have what is still kept in the slab

    @property
    def is_empty(self) -> bool:
        """Whether nothing is on its way, and no RUN row waits."""
        return self.batch is None and not self.control

    @property
    def rows(self) -> int:
        """How many rows are on their way."""
        return self.batch.rows if self.batch is not None else 0

    @property
    def on_devices(self) -> int:
        """How many of these are still on a device."""
        return self.batch.on_devices if self.batch is not None else 0

    def put_control(self, series_id: int, time_ns: int, fields: Mapping[str, Any]) -> None:
        """Put a row that the script has not logged."""
        # Not the faster `pack`, which refuses lone surrogates: a script's path or an exception's text may have one.
        self.control.append(pack_plain([series_id, time_ns, dict(fields)]))

    def put_captured(self, series_id: int, time_ns: int, fields: Mapping[str, Any]) -> bool:
        """Put a row of what a run captures; False where too many wait already, for a disk that is slow or fails."""
        with self._guard:
            has_room = len(self.control) < CAPTURED_MAX
            if has_room:
                self.put_control(series_id, time_ns, fields)
        return has_room

    def leave_slab(self) -> None:
        """Have what is on its way in memory only, for another writer; the caller has the lock."""
        if self.batch is not None:
            self.batch.leave_slab()
            self._recount(self.batch)
            self.batch.after = 0
        self._behind = None

    def move(self, writer: JournalWriter, *, waits: bool) -> tuple[bool, bool]:
        """Write a frame; return whether there was something to do, and whether something was written.

        Args:
            writer: what writes it.
            waits: for the devices of rows that are on them; else these stay in the queue, and what is behind them.

        Raises:
            OSError: the disk refuses. What was taken stays here, and is tried again by the next call.
        """
        batch = self.batch or self._next_batch(writer, waits=waits)
        if batch is None:
            return False, False
        if batch.frames is None:
            batch.encode(self._batcher, self._series.known, writer.frame_bytes)
        self._recount(batch)  # here, since what has interrupted an `encode` may have left it to the next call
        try:
            is_last = batch.write_next(writer, self._queue.slab, self.highlights)
        except ValueError:
            batch.salvage(self._series.known, writer.frame_bytes)
            self._recount(batch)
            return True, False
        with self._guard:
            if batch.frames:
                # of several the rows count with the last; there may have to be an fsync before it
                self._tally.write(writer.written_seq, batch.rows if is_last else 0)
            self.batch = None if is_last else batch
            if is_last and batch.place != batch.start:
                self._behind = batch.place
        self.release(writer)
        return True, bool(batch.frames)

    def release(self, writer: JournalWriter) -> None:
        """Clear what frames have from the slab, unless some of them may not be there: it is all that is left then."""
        with self._guard:
            slab = self._queue.slab
            if self._behind is not None and slab is not None and not writer.is_in_doubt:
                slab.written(writer.written_seq)
                self._queue.release(self._behind)
                self._behind = None

    def _next_batch(self, writer: JournalWriter, *, waits: bool) -> Batch | None:
        look_at_devices()  # before a lock is taken: drivers have locks of their own
        with self._guard:
            drained = self._queue.drain(SLICE, SLICE_BYTES, waits=waits)
            if not drained.items and not self.control:
                return None
            none: list[bytes] = []
            batch = Batch(self.control, drained, writer.written_seq, self._slab.place, self._queue.slab)
            self._tally.take(drained)
            # Memory may be short anywhere before; from here on nothing takes any.
            self.batch, self._queue.taken, self._slab.place, self.control = batch, NOTHING, batch.place, none
            return batch

    def _recount(self, batch: Batch) -> None:
        """Count what was found when its rows were encoded, here and in the tally at one moment."""
        with self._guard:
            more, lost = batch.recount()
            self._tally.recount(more)
            if lost:
                self._tally.drop("malformed", lost)
