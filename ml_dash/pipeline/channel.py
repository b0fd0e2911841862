"""One experiment's way from the queue to the journal, and its counters.

A `Channel` knows nothing of threads: the worker (or, at exit, whoever is left) calls `pump` to move a slice of
events from the queue into a frame, and `sync` to make what is written durable. That is also what lets a
simulation drive it, with a clock and a disk of its own.

The law, at any time: ``logged = acknowledged + pending + dropped``. A row is acknowledged when it has reached its last
destination: in local mode, when an fsync has returned behind it, and else, when the server has said that it has it.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_dash.clock import SYSTEM_CLOCK, Clock
from ml_dash.journal.disk import REAL_DISK, Disk
from ml_dash.journal.frame import encode_frame
from ml_dash.journal.writer import JournalWriter
from ml_dash.logger import logger
from ml_dash.pipeline.batch import Batcher, Packed
from ml_dash.pipeline.delivery import Delivery
from ml_dash.pipeline.durability import Securing
from ml_dash.pipeline.queue import Event, EventQueue
from ml_dash.series import Kind, Series
from ml_dash.values.pack import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ml_dash.journal.blocks import Block
    from ml_dash.pipeline.delivery import Recipient, Threads
    from ml_dash.settings import Settings

__all__ = ["Channel", "Counters"]

SLICE = 8192
"""Events a pump moves at most: about half a millisecond of work."""
_SLICE_BYTES = 4 * 1024 * 1024
_UNSYNCED_BYTES = 16 * 1024 * 1024
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Counters:
    """How many rows were logged and what became of them."""

    logged: int = 0
    durable: int = 0
    acknowledged: int = 0
    pending: int = 0
    pending_bytes: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    pending_files: int = field(default=0, compare=False)
    pending_blob_bytes: int = field(default=0, compare=False)
    unsafe: int = field(default=0, compare=False)
    """Of those that were not dropped, the rows that no fsync has confirmed."""


class _Batch:
    """Events taken from the queue, kept until they are written, whatever interrupts that.

    Attributes:
        events: RUN rows, and after them what was logged.
        rows: how many of them count as logged.
        blocks: what they are encoded as; None as long as they are not.
        after: the number of the last frame before this batch's.
    """

    __slots__ = ("after", "blocks", "events", "rows")

    def __init__(self, events: Sequence[Event], rows: int, after: int) -> None:
        self.events = events
        self.rows = rows
        self.after = after
        self.blocks: list[Block] | None = None


class Channel:
    """The queue, the batcher and the journal writer of one experiment.

    Args:
        directory: the experiment's directory; the journal lies in ``journal/`` below it.
        writer_id: this process's name as a writer of the journal.
        settings: sizes and times.
        wake: called from any thread when there is work for a worker that sleeps.
        clock: the time.
        disk: the file system.
    """

    def __init__(
        self,
        directory: str,
        writer_id: str,
        settings: Settings,
        wake: Callable[[], None],
        *,
        clock: Clock = SYSTEM_CLOCK,
        disk: Disk = REAL_DISK,
    ) -> None:
        self.directory = directory
        self.settings = settings
        self.queue = EventQueue(settings.queue_events, settings.queue_bytes, settings.overflow, wake)
        self._clock = clock
        self._disk = disk
        self._series: list[Series] = []
        self._ids: dict[Series, int] = {}
        self._recipient: Recipient | None = None
        self._threads: Threads | None = None
        self.delivery: Delivery | None = None
        self._tidied = False
        self._begin(writer_id)

    def reset(self, writer_id: str) -> None:
        """Begin anew as another writer, with nothing logged: what a forked child does."""
        self.writer.abandon()
        self.queue.reset()
        self._begin(writer_id)

    def tidy(self) -> None:
        """When its run has ended, remove a journal that is only kept until the server has it."""
        if (
            self.delivery is not None
            and not self._tidied
            and self.is_settled
            and not self._unsynced
            and not self._securing
        ):
            self._tidied = self.delivery.tidy()

    def resume(self, writer_id: str) -> None:
        """Go on for a run that begins again: as another writer, where this one's journal was removed."""
        if self._tidied and self.delivery is not None:
            with self._pumping, self._lock:
                self._tidied = False
                self.delivery.stop()
                for reason, rows in self.delivery.delivered().items():
                    self._delivered_before[reason] += rows
                self._write_as(writer_id)
                self._begin_delivery()

    def _write_as(self, writer_id: str) -> None:
        self.writer_id = writer_id
        self.writer = JournalWriter(
            self.journal,
            writer_id,
            disk=self._disk,
            clock=self._clock,
            segment_bytes=self.settings.segment_bytes,
        )

    def _begin(self, writer_id: str) -> None:
        self._write_as(writer_id)
        self._pumping = threading.RLock()  # held while a slice moves, the disk's time included
        self._saving = (
            threading.RLock()
        )  # held while side files are written: an older one never replaces a newer
        self._lock = threading.RLock()  # held for a moment: the counters and lists below
        self._batcher = Batcher()
        self._control: list[bytes] = []
        # Side files to be replaced: what gives their contents, and how many events must be written before that.
        self._snapshots: dict[str, tuple[Callable[[], bytes], int]] = {}
        self._batch: _Batch | None = None
        self._taken = 0
        self._unsynced: deque[tuple[int, int]] = deque()  # written frames: (sequence number, events)
        self._written = 0  # rows
        self._durable = 0
        self._delivered_before: Counter[str] = (
            Counter()
        )  # rows, by what became of them, of writers before this
        self._tidied = False
        self._dropped: Counter[str] = Counter()
        self._securing = Securing(self.directory, self._disk, self._clock)  # a fork's parent secures its own
        self._retry_at = self._snapshot_retry_at = float("-inf")
        self._synced_at = self._clock.monotonic()
        self.last_error: str | None = None
        self._begin_delivery()

    def deliver(self, recipient: Recipient, threads: Threads) -> None:
        """Send what is written to a server, by this writer and by those that a fork makes of it."""
        if self.delivery is None or self.delivery.ended:
            self._recipient, self._threads = recipient, threads
            self._begin_delivery()
        else:
            self.delivery.describe(recipient.about)

    def _begin_delivery(self) -> None:
        if self._recipient is not None and self._threads is not None:
            self.delivery = Delivery(
                self.directory, self.writer_id, self.writer, self._recipient, self._threads
            )

    @property
    def journal(self) -> str:
        """The directory of the journal's segments."""
        return os.path.join(self.directory, "journal")

    def series_id(self, kind: Kind, name: str | None) -> int:
        """Return the number that stands for a series in this channel's events."""
        series = Series(kind, name)
        with self._lock:
            known = self._ids.get(series)
            if known is None:
                # In this order: a fork between the two must not leave the child an id that names nothing.
                self._series.append(series)
                known = self._ids[series] = len(self._series) - 1
            return known

    def put_control(self, fields: Mapping[str, Any]) -> None:
        """Put a row of the RUN series: never dropped, never blocked, not counted as logged."""
        row = pack([self.series_id(Kind.RUN, None), self._clock.time_ns(), dict(fields)])
        with self._lock:
            self._control.append(row)

    def secure(self, path: str) -> None:
        """Have a content made durable: rows that are put after this call count as durable only when it is.

        Args:
            path: the content's, below the experiment's directory, whole and under its name.
        """
        with self._lock:
            self._securing.add(path, self.writer.written_seq)

    def post_snapshot(self, name: str, produce: Callable[[], bytes]) -> None:
        """Have a side file replaced by what `produce` returns, behind the rows that are queued now."""
        with self._lock:
            self._snapshots[name] = produce, self._taken + len(self.queue)
            self._snapshot_retry_at = float("-inf")

    @property
    def failing(self) -> bool:
        """Whether the disk refused the last write."""
        return self.queue.failing

    @property
    def backlog(self) -> bool:
        """Whether something waits for a pump that could move it now."""
        if self.failing and self._clock.monotonic() < self._retry_at:
            return False
        return bool(self._batch or self._control or len(self.queue))

    @property
    def wants_sync(self) -> bool:
        """Whether written rows have waited for their fsync for as long as they may, or a side file waits."""
        if self.failing and self._clock.monotonic() < self._retry_at:
            return False  # each try writes again what is not durable
        if self._snapshots and self._clock.monotonic() >= self._snapshot_retry_at:
            return True
        if not self._unsynced:
            return False
        if self.writer.unsynced_bytes >= _UNSYNCED_BYTES // 2:
            return True
        return self._clock.monotonic() - self._synced_at >= self.settings.sync_interval

    @property
    def wants_secure(self) -> bool:
        """Whether contents wait for their fsync."""
        return self._securing.is_due

    def quiet_for(self, seconds: float) -> bool:
        """Whether nothing is left to do, and nothing has been done for so long."""
        if self.delivery is not None and not self.delivery.is_done:
            return False
        return not (self.backlog or self.failing or self._unsynced or self._snapshots or self._securing) and (
            self._clock.monotonic() - self._synced_at > seconds
        )

    def counters(self) -> Counters:
        """Count what was logged, and what became of it."""
        with self._lock:
            queued, refused = self.queue.counts()
            unwritten = self._batch.rows if self._batch else 0
            dropped = self._dropped + refused
            delivery = self.delivery
            unsynced = sum(count for _, count in self._unsynced)
            if delivery is None:
                acknowledged, written = self._durable, unsynced
            else:
                delivered = delivery.delivered() + self._delivered_before
                written = self._written - delivered.total()
                acknowledged = delivered.pop("acknowledged", 0)
                dropped += delivered
            return Counters(
                logged=self._taken + queued + refused.total(),
                durable=self._durable,
                acknowledged=acknowledged,
                pending=queued + unwritten + written,
                pending_bytes=self.writer.unsynced_bytes,
                dropped=dict(dropped),
                pending_files=0 if delivery is None else delivery.blobs.pending_files,
                pending_blob_bytes=0 if delivery is None else delivery.blobs.pending_bytes,
                unsafe=queued + unwritten + unsynced,
            )

    def pump(self, *, wait: bool = True) -> bool:
        """Move a slice of events from the queue to the journal.

        Args:
            wait: whether to wait for another thread that moves a slice at this moment.

        Returns:
            False where nothing could be moved, or another thread is at it.
        """
        if not self._pumping.acquire(blocking=wait):
            return False
        try:
            self.queue.owner = threading.get_ident()
            try:
                return self._pump()
            finally:
                self.queue.owner = 0
        finally:
            self._pumping.release()

    def sync(self, *, contents: bool = True) -> None:
        """Make everything durable that is written, and replace the side files.

        A disk that refuses is noted and tried again later.

        Args:
            contents: whether to see to the contents of files, too, which may be large; else `sync_blobs` does.
        """
        self._synced_at = self._clock.monotonic()
        try:
            self._acknowledge(self.writer.sync())
        except OSError as error:
            self._disk_failed(error)
        else:
            if self._batch is None:
                self._disk_works()
        if contents:
            self.sync_blobs()
        self._write_snapshots()

    def sync_blobs(self) -> None:
        """Make the contents durable that wait for it, and count the rows that wait for them."""
        self._securing.sync()
        self._acknowledge(self.writer.durable_seq)

    def settle(self, until: Callable[[], bool] = lambda: False) -> None:
        """Write what is queued now, in this thread, so that a reader finds it.

        Returns early where the disk refuses, or as soon as `until` returns True.
        """
        with self._lock:
            goal = self._taken + len(self.queue)
        while not until() and not self._is_settled(goal):
            if self.pump() or self._is_settled(goal):
                continue
            if self.failing or not self._unsynced:
                break
            self.sync()

    @property
    def is_settled(self) -> bool:
        """Whether everything is written that was put before."""
        with self._lock:
            return self._is_settled(self._taken + len(self.queue))

    def _is_settled(self, goal: int) -> bool:
        """Whether the first `goal` events are written, and all RUN rows; what was taken may not be, yet."""
        with self._lock:
            # Some of those counted in the queue may have been dropped since: an empty one has no more to give.
            all_taken = self._taken >= goal or not len(self.queue)
            return all_taken and self._batch is None and not self._control

    def flush(self, until: Callable[[], bool] = lambda: False) -> None:
        """Write what is queued now and make it durable, in this thread; see `settle`."""
        with self._lock:
            goal = self._taken + len(self.queue)
        self._retry_at = float("-inf")  # somebody waits for the disk: try it now
        self._securing.urge()
        while True:
            self.settle(until)
            self.sync()
            # Should the disk have refused at first, the sync may have been what found that it works again.
            if self.failing or self._is_settled(goal) or until():
                return

    def close(self) -> None:
        """Close the journal's file; a later event opens a new segment."""
        try:
            self.writer.close()
            self._acknowledge(self.writer.durable_seq)
        except OSError as error:
            self._disk_failed(error)

    def _acknowledge(self, sequence: int) -> None:
        """Count as durable the rows of the frames that are, with the contents that belong to them."""
        with self._lock:
            sequence = self._securing.durable(sequence)
            while self._unsynced and self._unsynced[0][0] <= sequence:
                self._durable += self._unsynced.popleft()[1]

    def _pump(self) -> bool:
        if self.failing and self._clock.monotonic() < self._retry_at:
            return False
        if self.writer.unsynced_bytes >= _UNSYNCED_BYTES:
            return False
        batch = self._batch or self._next_batch()
        if batch is None:
            return False
        try:
            if batch.blocks is None:
                batch.blocks = self._batcher.blocks(_packed(batch.events), self._series)
        except Exception:  # noqa: BLE001 - whatever it is, the other rows must be saved
            self._salvage(batch)
        return self._write(batch)

    def _next_batch(self) -> _Batch | None:
        with self._lock:
            control, self._control = self._control, []
            events = self.queue.drain(SLICE, _SLICE_BYTES)
            if not events and not control:
                return None
            self._taken += len(events)
            self._batch = _Batch(
                [*control, *events] if control else events, len(events), self.writer.written_seq
            )
            return self._batch

    def _salvage(self, batch: _Batch) -> None:
        """Leave out the rows that cannot be stored, and count them: they take no other with them."""
        logger().exception("A batch could not be encoded; its rows are tried one by one.")
        blocks: list[Block] = []
        lost = 0
        for event in batch.events:
            try:
                found = Batcher().blocks(_packed([event]), self._series)
                encode_frame(1, found)
            except Exception:  # noqa: BLE001 - as above; it is counted
                logger().exception("A row could not be encoded, and is counted as dropped['malformed'].")
                lost += 1
            else:
                blocks += found
        if not lost:  # each by itself can be stored, and all together cannot: do not try for ever
            blocks, lost = [], batch.rows
        with self._lock:
            self._dropped["malformed"] += lost
            batch.rows -= lost
            batch.blocks = blocks

    def _write(self, batch: _Batch) -> bool:
        try:
            # An append that was interrupted may have written the frame all the same.
            if batch.blocks and self.writer.written_seq == batch.after:
                self.writer.append(batch.blocks)
        except OSError as error:
            self._disk_failed(error)
            return False
        except ValueError:
            self._salvage(batch)
            return True
        with self._lock:
            self._batch = None
            if batch.blocks:
                self._unsynced.append((self.writer.written_seq, batch.rows))
                self._written += batch.rows
        if batch.blocks:
            self._disk_works()
            if self.delivery is not None:
                self.delivery.nudge()
        return True

    def _write_snapshots(self) -> None:
        with self._saving:
            while self._write_snapshot():
                pass

    def _write_snapshot(self) -> bool:
        """Replace one side file. They are a convenience: the journal holds the same, so a failure waits."""
        with self._lock:
            if not self._snapshots or self._clock.monotonic() < self._snapshot_retry_at:
                return False
            name, (produce, goal) = posted = next(iter(self._snapshots.items()))
            if not self._is_settled(goal):
                return False
        try:
            self._disk.replace(os.path.join(self.directory, name), produce())
        except Exception as error:  # noqa: BLE001 - reading a damaged journal may raise anything
            self._snapshot_retry_at = self._clock.monotonic() + _RETRY_SECONDS
            self.last_error = str(error)
            with self._lock:
                # To the end of the queue: one that never succeeds must not hold up the others.
                self._snapshots[name] = self._snapshots.pop(name)
            return False
        with self._lock:
            if self._snapshots.get(name) is posted[1]:
                del self._snapshots[name]
        return True

    def _disk_failed(self, error: OSError) -> None:
        self._retry_at = self._clock.monotonic() + _RETRY_SECONDS
        self.last_error = str(error)
        if not self.failing:
            self.queue.failing = True
            logger().warning(
                "The journal in %s cannot be written (%s). Training goes on; up to %d rows wait in memory, "
                "further ones are dropped and counted in status().dropped['disk']. Writing is tried again "
                "every second: free space on that disk, or mend its permissions.",
                self.journal,
                error,
                self.settings.queue_events,
            )

    def _disk_works(self) -> None:
        if self.failing:
            self.queue.failing = False
            logger().warning(
                "The journal in %s can be written again; %d rows were dropped meanwhile.",
                self.journal,
                self.queue.dropped["disk"],
            )


def _packed(events: Sequence[Event]) -> Packed:
    """Join events, packing first those that were put off."""
    try:
        return Packed(events, b"".join(events))  # type: ignore[arg-type]  # what is not bytes raises TypeError
    except TypeError:
        packed = [event if isinstance(event, bytes) else event.pack() for event in events]
        return Packed(packed, b"".join(packed))
