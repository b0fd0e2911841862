"""What was logged and what became of it.

The law, at any time: ``logged = acknowledged + pending + dropped``. A row is acknowledged when it has reached its last
destination: in local mode, when an fsync has returned behind it, and else, when the server has said that it has it.
"""

from __future__ import annotations

from collections import Counter, deque
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_dash.pipeline.backlog import Drained
    from ml_dash.pipeline.delivery import Delivery
    from ml_dash.pipeline.queue import EventQueue


class Counters(NamedTuple):
    """How many rows were logged and what became of them."""

    logged: int = 0
    durable: int = 0
    acknowledged: int = 0
    pending: int = 0
    pending_bytes: int = 0
    dropped: Mapping[str, int] = MappingProxyType({})
    pending_files: int = 0
    pending_blob_bytes: int = 0
    unsafe: int = 0
    """Of those that were not dropped, the rows that no fsync has confirmed."""
    on_devices: int = 0
    """Of the pending ones, the rows of which values are on their way from a device."""


if TYPE_CHECKING:

    class _Taken(Protocol):
        @property
        def rows(self) -> int: ...
        @property
        def on_devices(self) -> int: ...


class Tally:
    """Counts the rows of one channel behind the queue. It has no lock: its channel's guards it."""

    def __init__(self) -> None:
        self.taken = 0  # events, from the queue
        self._rows = 0  # that these stand for
        self._written = 0
        self._durable = 0
        self._unsynced: deque[tuple[int, int]] = deque()  # written frames: (sequence number, rows)
        self._dropped: Counter[str] = Counter()
        self._earlier: Counter[str] = Counter()  # what became of the rows of writers before this one

    @property
    def has_unsynced(self) -> bool:
        """Whether frames were written that no fsync has confirmed."""
        return bool(self._unsynced)

    def take(self, drained: Drained) -> None:
        """Count what was taken from the queue."""
        taken, rows = self.taken + len(drained.items), self._rows + drained.rows
        self.taken, self._rows = taken, rows  # both, or where memory is short, none

    def recount(self, rows: int) -> None:
        """Count so many rows more, or fewer: a closer look has told of how many a chunk is."""
        self._rows += rows

    def write(self, sequence: int, rows: int) -> None:
        """Count the rows of a frame that was written."""
        written = self._written + rows
        self._unsynced.append((sequence, rows))
        self._written = written  # behind what may find no memory: whoever has called tries again

    def drop(self, reason: str, rows: int) -> None:
        """Count rows that were taken and will not be written."""
        self._dropped[reason] += rows

    def make_durable(self, sequence: int) -> None:
        """Count the rows of all frames up to this one as durable."""
        while self._unsynced and self._unsynced[0][0] <= sequence:
            durable = self._durable + self._unsynced[0][1]
            self._unsynced.popleft()
            self._durable = durable

    def retire(self, delivery: Delivery | None) -> None:
        """Keep what became of the rows of a writer that writes no more; the others were removed with its journal."""
        unsynced = sum(rows for _, rows in self._unsynced)
        self._unsynced.clear()
        if delivery is None:
            self._dropped["lost"] += unsynced
            return
        self._earlier += delivery.delivered()
        self._earlier["lost"] += self._written - self._earlier.total()

    def count(
        self,
        queue: EventQueue,
        taken: _Taken,
        pending_bytes: int,
        delivery: Delivery | None,
    ) -> Counters:
        """Return the counters; `taken` are on their way to the journal, `pending_bytes` were written and not synced."""
        # In one go, under the queue's lock: an event taken in between would count twice, or not at all.
        queued, refused = queue.counts()
        unsynced = sum(rows for _, rows in self._unsynced)
        dropped = self._dropped + refused
        if delivery is None:
            acknowledged, pending = self._durable, unsynced
        else:
            delivered = delivery.delivered() + self._earlier
            delivered["lost"] += delivery.lost_unread(self._written - self._earlier.total())
            pending = self._written - delivered.total()
            acknowledged = delivered.pop("acknowledged", 0)
            dropped += delivered
        return Counters(
            logged=self._rows + queued + refused.total(),
            durable=self._durable,
            acknowledged=acknowledged,
            pending=queued + taken.rows + pending,
            pending_bytes=pending_bytes,
            dropped=dict(dropped),
            pending_files=0 if delivery is None else delivery.blobs.pending_files,
            pending_blob_bytes=0 if delivery is None else delivery.blobs.pending_bytes,
            unsafe=queued + taken.rows + unsynced,
            on_devices=queue.on_devices + taken.on_devices,
        )
