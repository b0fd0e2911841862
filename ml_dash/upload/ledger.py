"""What a sender knows of each writer: the account of its frames, and how far they are read and sent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ml_dash.journal.feed import JournalFeed
from ml_dash.storage.cursor import Cursor, CursorFile
from ml_dash.storage.rejected import RejectedFrames

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ml_dash.journal.disk import Disk
    from ml_dash.upload.batch import Batch, Entry

__all__ = ["BATCH_BYTES", "SentWriter", "WriterAccount"]

BATCH_BYTES = 4 << 20
"""Bytes of a request with frames, at most, but for one with a single larger frame."""


class WriterAccount:
    """What has become of one writer's frames; read from any thread.

    Attributes:
        seq: The number up to which the server has all frames.
        rows: Rows in these that the server stored, of those that count as logged.
        rejected: Rows in frames that were set aside, by the frames' numbers.
        lost: Rows in frames that cannot be had any more, as far as that is known, by number.
        earlier_rejected_rows: Rows set aside before this process knew of the writer.
        earlier_lost: Frames found to be lost before.
        unread_bytes: Bytes of the journal that were not read yet, at the last look.
        in_flight_bytes: Bytes that were read and are not acknowledged.
        total_bytes: Bytes of all the writer's segments, at the last look.
        frames_read: How many frames were read.
        bytes_read: How many bytes these had.
        known_seq: The number up to which the server had all frames when it was first asked; None before that.
        known_rows: Rows in these, as `rows` counts them.
        stopped: Why nothing of this writer is sent any more; None while it is.
    """

    __slots__ = (
        "bytes_read",
        "earlier_lost",
        "earlier_rejected_rows",
        "frames_read",
        "in_flight_bytes",
        "known_rows",
        "known_seq",
        "lost",
        "rejected",
        "rows",
        "seq",
        "stopped",
        "total_bytes",
        "unread_bytes",
    )

    def __init__(self) -> None:
        self.stopped: str | None = None
        self.unread_bytes = self.in_flight_bytes = self.total_bytes = 0
        self.frames_read = self.bytes_read = 0
        self.known_seq: int | None = None
        self.known_rows = 0
        self.begin(0, 0, {}, {})

    def begin(self, seq: int, rows: int, rejected: dict[int, int], lost: dict[int, int]) -> None:
        """Begin anew from what is known of the frames up to `seq`."""
        self.seq = seq
        self.rows = rows
        self.rejected = rejected
        self.lost = lost
        self.earlier_rejected_rows = 0
        self.earlier_lost = 0

    @property
    def rejected_rows(self) -> int:
        """Rows that the server refused."""
        return self.earlier_rejected_rows + sum(tuple(self.rejected.values()))

    @property
    def lost_frames(self) -> int:
        """Frames that cannot be had any more."""
        return self.earlier_lost + len(self.lost)

    @property
    def lost_rows(self) -> int:
        """Rows in these, as far as that is known."""
        return sum(tuple(self.lost.values()))

    @property
    def pending_bytes(self) -> int:
        """Bytes that the server does not have yet, as far as anybody has looked."""
        return self.unread_bytes + self.in_flight_bytes

    @property
    def pending_frames(self) -> int:
        """How many frames these are, if they are as long as those before."""
        if not self.pending_bytes:
            return 0
        return (
            max(1, round(self.pending_bytes * self.frames_read / self.bytes_read)) if self.bytes_read else 1
        )

    def count(self, entry: Entry) -> None:
        """Count a frame that the server has acknowledged."""
        if entry.fate == "sent":
            self.rows += entry.rows
            if self.known_seq is not None and entry.seq <= self.known_seq:
                self.known_rows += entry.rows
        else:
            (self.rejected if entry.fate == "rejected" else self.lost)[entry.seq] = entry.rows
        self.seq = entry.seq


class SentWriter:
    """A writer while its frames are sent: for the sender's task alone, but for the account."""

    def __init__(
        self, id_: str, directory: str, disk: Disk, settled: Callable[[], float | None] | None
    ) -> None:
        self.id = id_
        self.account = WriterAccount()
        self.feed = JournalFeed(os.path.join(directory, "journal"), id_, disk, settled=settled)
        self.cursor = CursorFile(directory, id_, disk)
        self.rejected = RejectedFrames(directory, id_, disk)
        self.set_aside: set[int] = set()
        """Numbers in whose place empty frames are sent."""
        self.kept: set[int] = set()
        """Numbers of frames of which there is a file in `rejected/`, as far as that is known."""
        self.swapped: set[int] = set()
        """Numbers under which the server had not what was sent first: an empty frame, or the one in the journal."""
        self.most = self.limit = BATCH_BYTES
        self.reading: asyncio.Task[Batch | None] | None = None
        self.saved: Cursor | None = None

    def measure(self) -> None:
        """Take over how much there is to read."""
        self.account.unread_bytes = self.feed.pending_bytes
        self.account.total_bytes = self.feed.total_bytes
