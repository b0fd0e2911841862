"""What has become of one writer's frames, counted as the server acknowledges them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.storage.cursor import Cursor

if TYPE_CHECKING:
    from ml_dash.journal.feed import JournalFeed, Passed
    from ml_dash.upload.batch import Batch, Entry


class WriterLedger:
    """Counts one writer's frames and rows. One task changes it, by the methods; any thread may read the attributes.

    Attributes:
        seq: The number up to which the server has all frames.
        rows: Rows in these that the server stored, of those that count as logged.
        rejected: Rows in frames that were set aside, by the frames' numbers.
        lost: Rows in frames that cannot be read any more, as far as that is known, by number.
        total_bytes: Bytes of all the writer's segments, at the last look.
        known_seq: The number up to which the server had all frames when it was first asked; None before that.
        stood_at: The highest number that it had, where it has forgotten some of that since.
        known_rows: Rows in these, as `rows` counts them.
        stopped: Why nothing of this writer is sent any more; None while it is.
        is_held_up: Whether frames lie behind one that is damaged and may still be written again, at the last look.
    """

    def __init__(self) -> None:
        self.stopped: str | None = None
        self.is_held_up = False
        self.total_bytes = self._unread_bytes = self._in_flight_bytes = 0
        self._frames_read = self._bytes_read = 0
        self.known_seq: int | None = None
        self.known_rows = 0
        self.stood_at = 0
        self._begin(Cursor(0, ""), {})

    def _begin(self, cursor: Cursor, lost: dict[int, int]) -> None:
        self.seq = cursor.seq
        self.rows = cursor.rows
        self.rejected: dict[int, int] = {}
        self.lost = lost
        self._earlier_rejected_rows = cursor.rejected_rows
        self._earlier_lost = cursor.lost_frames

    # --- what there is to know

    @property
    def rejected_rows(self) -> int:
        """Rows that the server refused."""
        # a copy, for its task may add to it meanwhile; so below
        return self._earlier_rejected_rows + sum(tuple(self.rejected.values()))

    @property
    def lost_frames(self) -> int:
        """Frames that cannot be read any more."""
        return self._earlier_lost + len(self.lost)

    @property
    def lost_rows(self) -> int:
        """Rows in these, as far as that is known."""
        return sum(tuple(self.lost.values()))

    @property
    def pending_bytes(self) -> int:
        """Bytes that the server does not have yet, as far as anybody has looked."""
        return self._unread_bytes + self._in_flight_bytes

    @property
    def pending_frames(self) -> int:
        """How many frames these are, if they are as long as those before."""
        if not self.pending_bytes:
            return 0
        return max(1, round(self.pending_bytes * self._frames_read / max(1, self._bytes_read)))

    @property
    def has_caught_up(self) -> bool:
        """Whether the server has again all that it ever had, or will not get it."""
        return self.seq >= self.stood_at or self.stopped is not None

    @property
    def sent_frames(self) -> int:
        """Frames that the server has got since it was first asked."""
        return 0 if self.known_seq is None else self.seq - self.known_seq

    def cursor(self, experiment_id: str) -> Cursor:
        """Return what the next process is to know of this."""
        return Cursor(self.seq, experiment_id, self.rows, self.rejected_rows, self.lost_frames)

    # --- what happens

    def resume(self, cursor: Cursor) -> None:
        """Go on where an earlier process has stopped."""
        self._begin(cursor, {})
        # until the server is asked: a process that never reaches it has sent none of these rows
        self.known_rows = cursor.rows

    def stop(self, reason: str) -> None:
        """Send nothing more of this writer."""
        self.stopped = reason

    def measure(self, feed: JournalFeed) -> None:
        """Take over how much there is to read."""
        self._unread_bytes = feed.pending_bytes
        self.total_bytes = feed.total_bytes
        self.is_held_up = feed.is_held_up

    def take(self, batch: Batch) -> None:
        """A batch was read, and is to be sent."""
        self._in_flight_bytes += batch.size
        self._frames_read += len(batch.entries)
        self._bytes_read += batch.size

    def drop_taken(self) -> None:
        """What was read and is not acknowledged will be read again."""
        self._in_flight_bytes = 0

    def acknowledge(self, batch: Batch, watermark: int) -> list[Entry]:
        """The server has a batch up to `watermark`: count the entries that are new by that, and return them."""
        counted = [entry for entry in batch.entries if self.seq < entry.seq <= watermark]
        for entry in counted:
            if entry.fate == "sent":
                self.rows += entry.rows
                if self.known_seq is not None and entry.seq <= self.known_seq:
                    self.known_rows += entry.rows
            else:
                (self.rejected if entry.fate == "rejected" else self.lost)[entry.seq] = entry.rows
            self.seq = entry.seq
        return counted

    def settle(self, batch: Batch) -> None:
        """All of a batch is acknowledged."""
        self._in_flight_bytes = max(0, self._in_flight_bytes - batch.size)

    def forget_frames(self, watermark: int) -> None:
        """The server has the frames up to `watermark` only: count these anew, by `pass_over`."""
        self.stood_at = max(self.stood_at, self.seq)
        self._begin(Cursor(0, ""), {seq: rows for seq, rows in self.lost.items() if seq <= watermark})

    def pass_over(self, passed: Passed, rejected: dict[int, int]) -> None:
        """Count frames that need not be sent, some of which were set aside."""
        self.rows += passed.rows - sum(rejected.values())
        self.rejected |= rejected

    def stand_at(self, watermark: int) -> None:
        """The server has all frames up to this one."""
        self.seq = watermark

    def hold_back(self, seq: int, rows: int) -> None:
        """Of the frames passed over, the last is sent all the same: it does not count yet."""
        self.seq = seq - 1
        # The rows of one that was set aside were never among those stored.
        if self.rejected.pop(seq, None) is None:
            self.rows -= rows

    def agree(self, watermark: int) -> None:
        """Remember what the server had when it was first asked, or less where it has forgotten some of that."""
        if self.known_seq is None or watermark < self.known_seq:
            self.known_seq, self.known_rows = watermark, self.rows
