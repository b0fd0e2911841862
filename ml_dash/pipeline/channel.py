"""One experiment's way from the queue to the journal.

A `Channel` knows nothing of threads: the worker (or, where there is none, whoever logs or flushes) calls `pump` to move
a slice of events from the queue into a frame, and `sync` to make what is written durable. That is also what lets a
simulation drive it, with a clock and a disk of its own.

Problem: whatever interrupts a write (a full disk, Ctrl-C, a row that cannot be encoded) must neither lose a row nor
write it twice. So what is taken from the queue stays in a `Batch` until its frame is known to be written, and the
number of the frame before it tells whether an append that raised has written it all the same. A batch that cannot be
encoded is tried row by row. A disk that refuses is tried again every second, since every try writes again what is
not durable; until then rows wait in memory, and beyond the queue's capacity they are dropped and counted. What still
can fail: rows that are only in memory are lost with the process.
"""

from __future__ import annotations

import contextlib
import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from ml_dash.clock import SYSTEM_CLOCK, Clock, RisingClock
from ml_dash.events.batch import SeriesNumbers
from ml_dash.journal.disk import REAL_DISK, Disk
from ml_dash.journal.frame import new_writer_id
from ml_dash.journal.writer import JournalWriter
from ml_dash.locks import MortalLock, owns
from ml_dash.notices import is_news, logger
from ml_dash.pipeline.backlog import Exposure
from ml_dash.pipeline.channel_slab import ChannelSlab
from ml_dash.pipeline.counters import Counters, Tally
from ml_dash.pipeline.durability import BlobDurability, DiskHealth
from ml_dash.pipeline.mover import SLICE, SLICE_BYTES, Mover
from ml_dash.pipeline.queue import EventQueue
from ml_dash.pipeline.side_files import SideFiles
from ml_dash.pipeline.turns import Turns
from ml_dash.series import Kind, Series
from ml_dash.settings import DEVICE_LINGER, EXPOSED_LINGER, LINGER
from ml_dash.spawning import is_ours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ml_dash.pipeline.channel_slab import MakeSlab
    from ml_dash.pipeline.delivery import Delivery, Recipient, Threads
    from ml_dash.query.highlights import Highlights
    from ml_dash.settings import Settings
    from ml_dash.slabs.slab import Slab

_LINGERS = {
    Exposure.NONE: LINGER,
    Exposure.ON_DEVICES: DEVICE_LINGER,
    Exposure.ALL: EXPOSED_LINGER,
}
# Written and not durable at most: a disk that refuses has as much written again. From half of it on it is synced.
_UNSYNCED_BYTES = 16 * 1024 * 1024
_TOLD: set[str] = set()


class Channel:
    """The queue, the batcher and the journal writer of one experiment.

    `wake` is called, from any thread, when there is work for a worker that sleeps; `is_alone` says that none will come,
    and that the caller has to write. `make_slab` makes a slab for a writer, where there can be one.
    """

    _pumping = MortalLock()
    _lock = MortalLock()

    def __init__(
        self,
        directory: str,
        writer_id: str,
        settings: Settings,
        wake: Callable[[], None],
        *,
        is_alone: Callable[[], bool] = lambda: False,
        make_slab: MakeSlab | None = None,
        clock: Clock = SYSTEM_CLOCK,
        disk: Disk = REAL_DISK,
    ) -> None:
        self.directory = directory
        self.journal = os.path.join(directory, "journal")
        self.settings = settings
        self.stand_in = StandIn(self, wake, is_alone)
        room = settings.queue_events, settings.queue_bytes, settings.overflow
        calls = self.stand_in.call_worker, self.stand_in.make_room, self.write_queued
        self.queue = EventQueue(*room, *calls, lambda: _is_inside(self, self._lock))
        self.clock, self.times = clock, RisingClock(clock)
        self._disk = disk
        self._series = SeriesNumbers()
        make = make_slab and partial(_slab_of, self, make_slab)
        self._slab = ChannelSlab(
            self.queue, self._series, make, lambda: self.writer.certain_seq, lambda: self._lock
        )
        self._make_delivery: Callable[[str, str, JournalWriter, Channel], Delivery] | None = None
        self.delivery: Delivery | None = None
        self.recovered = 0  # rows that dead processes had left, appended when this one opened the journal
        self._begin(writer_id)

    def reset(self, writer_id: str) -> None:
        """Begin anew as another writer, with nothing logged: what a forked child does."""
        self.writer.abandon()
        self.queue.reset()
        self._begin(writer_id)

    def _write_as(self, writer_id: str) -> None:
        self.writer_id = writer_id
        self.writer = JournalWriter(
            self.journal,
            writer_id,
            disk=self._disk,
            clock=self.clock,
            segment_bytes=self.settings.segment_bytes,
            frame_bytes=self.settings.frame_bytes,
        )

    def _begin(self, writer_id: str) -> None:
        self._write_as(writer_id)
        self._slab.begin(writer_id)
        # Held while a slice moves, the disk's time included. Reentrant: the warning of a disk that refuses may flush.
        self._pumping = threading.RLock()
        # Held for a moment: guards the tally and the fields below. Reentrant: a signal handler or a finalizer of the
        # script may log in the middle.
        self._lock = threading.RLock()
        self._tally = Tally()
        self._mover = Mover(self.queue, self._series, self._tally, self._slab, self._lock)
        self.health = DiskHealth(self.journal, self.queue, self.clock)
        self._tidied = False
        # A fork's parent looks after its own.
        self.blobs = BlobDurability(self.directory, self._disk, self.clock)
        self._side_files = SideFiles(
            self.directory, self._disk, self.clock, self._lock, self.is_written, self.health.note
        )
        self._synced_at = self.clock.monotonic()
        self.turns = Turns()
        self._begin_delivery()
        self._slab.arm()

    def deliver(self, recipient: Recipient, threads: Threads) -> None:
        """Send what is written to a server, by this writer and by those that a fork makes of it."""
        self._make_delivery = partial(recipient.delivery, threads=threads)
        if self.delivery is None or self.delivery.ended:
            self._begin_delivery()
        else:
            self.delivery.describe(recipient.about)

    def _begin_delivery(self) -> None:
        if self._make_delivery is not None:
            self.delivery = self._make_delivery(self.directory, self.writer_id, self.writer, self)

    def begin_tidy(self) -> Delivery | None:
        """When its runs have ended, return who removes a spare journal; what comes then is another writer's."""
        waits = self._tidied or self.blobs or self._tally.has_unsynced or not self.is_written()
        spare = self.delivery if not waits and self.delivery and self.delivery.is_spare else None
        self._tidied = self._tidied or spare is not None
        return spare

    def resume(self, writer_id: str, *, is_shared: bool) -> None:
        """Go on for a run that begins again: as another writer, where this one's journal was removed.

        By us, when the server had all of it; or by somebody else, who has moved it away: without its first frames it
        would look damaged. So it does where another process has run meanwhile: its rows come before those of this run.
        Not so where a run that is still open has a share in it: the tasks of a pool would leave a journal each.
        """
        is_durable = self.is_written() and not self._tally.has_unsynced
        idle = is_durable and (not self.delivery or self.delivery.has_all)
        is_behind = idle and not is_shared and self.writer.is_overtaken
        if not (self._tidied or self.writer.is_gone or is_behind):
            self._slab.arm()
            return
        if self.delivery is not None:
            self.delivery.stop()  # before a lock is taken: it speaks with the event loop
        self._succeed(writer_id)

    def _succeed(self, writer_id: str) -> None:
        with self._pumping:
            self.writer.release()
            with self._lock:
                self._tidied = False
                self._tally.retire(self.delivery)
                self._mover.leave_slab()
                self._write_as(writer_id)
                self._slab.leave_behind(writer_id)
                self._begin_delivery()

    @property
    def highlights(self) -> Highlights:
        """What is worth telling of the rows that were written."""
        return self._mover.highlights

    def open_slab(self) -> None:
        """Have the next rows wait in a slab of this writer's, where there can be one."""
        self.queue.make_slab()

    def series_id(self, kind: Kind, name: str | None) -> int:
        """Return the number that stands for a series in this channel's events."""
        with self._lock:
            return self._slab.number(Series(kind, name))

    def put_control(self, fields: Mapping[str, Any], after_ns: int = 0, kind: Kind = Kind.RUN) -> int:
        """Put a row that the script has not logged: never dropped, never blocked, not counted. Returns its time."""
        with self._lock:
            time_ns = self.times.next_ns(after_ns)
            self._mover.put_control(self.series_id(kind, None), time_ns, fields)
        return time_ns

    def put_captured(self, kind: Kind, time_ns: int, fields: Mapping[str, Any]) -> bool:
        """Put a row as `put_control` does, see `Mover.put_captured`."""
        return self._mover.put_captured(self.series_id(kind, None), time_ns, fields)

    def secure(self, path: str) -> None:
        """Have the blob in this file made durable: rows put after this call count as durable only when it is."""
        with self._lock:
            self.blobs.add(path, self.writer.written_seq)

    def post_snapshot(self, name: str, produce: Callable[[], bytes]) -> None:
        """Have a side file replaced by what `produce` returns, behind the rows that are queued now."""
        with self._lock:
            self._side_files.post(name, produce, self.put_so_far())

    def put_so_far(self) -> int:
        """Return how many events were put: taken from the queue, or still in it."""
        with self._lock:
            return self._tally.taken + len(self.queue)

    @property
    def linger(self) -> float:
        """How many seconds a row may wait for the journal: longer where that is not what keeps it safe."""
        if self.settings.linger is not None:
            return self.settings.linger
        return EXPOSED_LINGER if self._mover.control else _LINGERS[self.queue.exposure]

    @property
    def failing(self) -> bool:
        """Whether the disk refused the last write."""
        return self.queue.failing

    @property
    def backlog(self) -> bool:
        """Whether something waits for a pump that could move it now."""
        return not self.health.rests and not (self._mover.is_empty and self.queue.is_empty)

    @property
    def wants_sync(self) -> bool:
        """Whether written rows have waited for their fsync for as long as they may, or a side file waits."""
        if self.health.rests:
            return False  # each try writes again what is not durable
        waited = self.clock.monotonic() - self._synced_at
        is_late = waited >= self.settings.sync_interval or self.writer.unsynced_bytes >= _UNSYNCED_BYTES // 2
        return self._side_files.is_due or (self._tally.has_unsynced and is_late)

    @property
    def is_settled(self) -> bool:
        """Whether all that was put is durable, and the side files are as they should be."""
        return self.is_written() and not (self._tally.has_unsynced or self._side_files or self.blobs)

    def quiet_for(self, seconds: float) -> bool:
        """Whether nothing is left to do, and nothing has been done for `seconds`."""
        is_over = (self.delivery is None or self.delivery.is_done) and self.is_settled and not self.failing
        return is_over and self.clock.monotonic() - self._synced_at > seconds

    def counters(self) -> Counters:
        """Count what was logged, and what became of it."""
        with self._lock:
            return self._tally.count(self.queue, self._mover, self.writer.unsynced_bytes, self.delivery)

    def pump(self, *, wait: bool = True) -> bool:
        """Move a slice to the journal; False where none can be. Without `wait`, wait for no thread and no device."""
        with self.turns.begin() as may_write:
            if not may_write or not self._pumping.acquire(blocking=wait):
                return False
            try:
                self.queue.begin_drain()
                return self._pump(wait=wait)
            finally:
                self.queue.end_drain()
                self._pumping.release()

    def sync(self, *, blobs: bool = True) -> None:
        """Make all durable that is written, and replace the side files; without `blobs`, not the large ones."""
        # a disk that refuses is noted, and tried again later
        with self.turns.begin(sync=True) as may_sync:
            if not may_sync:
                return
            self._synced_at = self.clock.monotonic()
            with self.health.noting():
                self.writer.sync()
                self._acknowledge()
                if self._mover.batch is None:
                    self.health.recover()
            if blobs:
                self.sync_blobs()
            self._side_files.write()

    def sync_blobs(self) -> None:
        """Make the blobs durable that wait for it, and count the rows that wait for them."""
        self.blobs.sync()
        self._acknowledge()

    def write_queued(self) -> None:
        """Write what is queued now, in this thread, so that a reader finds it; in vain where the disk refuses."""
        goal = self.put_so_far()
        while not self.is_written(goal) and not self.turns.is_mine:
            if not (self.pump() or self.is_written(goal)):
                if self.failing or not self._tally.has_unsynced:
                    break
                self.sync()
        with self.turns.begin() as may_write, self.health.noting():
            if may_write:
                self.writer.rewrite()  # what may not be there after an error: no slab need have it

    def is_written(self, goal: int | None = None) -> bool:
        """Whether all that was put before, or the first `goal` events, is written, and all RUN rows."""
        goal = self.put_so_far() if goal is None else goal
        with self._lock:
            # Some of those counted in the queue may have been dropped since: an empty one has no more to give.
            all_taken = self._tally.taken >= goal or not len(self.queue)
            return all_taken and self._mover.is_empty

    def flush(self) -> None:
        """Write what is queued now and make it durable, in this thread; see `write_queued`."""
        goal = self.put_so_far()
        self.health.urge()
        self.blobs.urge()
        while True:
            self.write_queued()
            self.sync()
            # Should the disk have refused at first, the sync may have been what found that it works again.
            if self.failing or self.is_written(goal) or self.turns.is_mine:
                return

    def close(self) -> None:
        """Close the journal's file; a later event opens a new segment."""
        with self.turns.begin() as may_write, self.health.noting():
            if may_write:
                self.writer.close()
                self._acknowledge()

    def _acknowledge(self) -> None:
        with self._lock:
            # of the writer that is there now: one that it has taken over from had other numbers
            self._tally.make_durable(self.blobs.durable(self.writer.durable_seq))
            self._mover.release(self.writer)

    def _pump(self, *, wait: bool) -> bool:
        if self.health.rests or self.writer.unsynced_bytes >= _UNSYNCED_BYTES:
            return False
        moved = False
        # an import that fails, too: the batch waits as for a full disk
        with self.health.noting((Exception,)):
            if self._tidied and not self.queue.is_empty:  # of a call that took longer than the run
                self._succeed(new_writer_id(self.times.next_ns(), self.settings.rank))
            moved, has_written = self._mover.move(self.writer, waits=wait)
            if has_written:
                self.health.recover()
                if self.delivery is not None:
                    self.delivery.nudge()
        return moved


class StandIn:
    """Writes in the threads of callers: where there is no worker, or it does not come."""

    def __init__(self, channel: Channel, wake: Callable[[], None], is_alone: Callable[[], bool]) -> None:
        self._channel = channel
        self._wake = wake
        self._is_alone = is_alone
        self._written_at = float("-inf")

    def call_worker(self) -> None:
        """Wake the worker; where there is none, do its work."""
        with _saying_what_fails():
            self._wake()
        with _saying_what_fails():
            if self._is_alone():
                self._channel.queue.be_alone()
                self.write_due()

    def write_due(self) -> None:
        """Write and sync as often as a worker would, unless another thread is at it, or this one in the middle."""
        channel = self._channel
        now = channel.clock.monotonic()
        is_many = channel.queue.has(min(SLICE, channel.queue.capacity), SLICE_BYTES)
        if now - self._written_at < channel.linger and not is_many:
            return
        self._written_at = now
        while channel.backlog and channel.pump(wait=False):
            pass
        if (channel.wants_sync or channel.blobs.is_due) and not channel.turns.is_syncing:
            channel.sync()

    def make_room(self) -> None:
        """Write a slice, unless another thread is at it: for a caller that waits for room in vain."""
        channel = self._channel
        with _saying_what_fails():
            is_stuck = not channel.pump(wait=False) and channel.writer.unsynced_bytes >= _UNSYNCED_BYTES
            if is_stuck and not channel.turns.is_syncing:
                channel.sync()


@contextlib.contextmanager
def _saying_what_fails() -> Iterator[None]:
    """Do in a caller's thread what is the background thread's work: what fails there is not the caller's, who logs."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - such as want of memory, or of a descriptor for an import
        if is_news(repr(error), _TOLD):
            logger().exception(
                "What waits could not be written; it waits on, and is tried again (said once)."
            )


def _is_inside(channel: Channel, lock: threading.RLock) -> bool:
    """Whether the calling thread is in the middle of what the worker may be waiting for."""
    return channel.turns.is_mine or owns(lock) or is_ours()


def _slab_of(channel: Channel, make: MakeSlab, writer_id: str) -> Slab | None:
    return make(writer_id, channel.directory, channel.writer.certain_seq)
