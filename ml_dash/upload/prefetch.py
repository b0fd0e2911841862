"""One writer while it is sent: its batches, the next of which is read while the last is under way."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

from ml_dash.errors import JournalVersionError
from ml_dash.journal.feed import FeedFrame, JournalFeed, Passed
from ml_dash.storage.cursor import CursorFile
from ml_dash.storage.rejected import RejectedFrames
from ml_dash.upload.batch import make_batch
from ml_dash.upload.ledger import WriterLedger

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_dash.client.api import Cut
    from ml_dash.storage.cursor import Cursor
    from ml_dash.upload.batch import Batch, Entry
    from ml_dash.upload.task import Target

BATCH_BYTES = 4 << 20
"""Bytes of a request with frames, at most, but for one with a single larger frame."""
_BATCH_BYTES_MIN = 64 << 10  # a line that is cut, or too slow, gets no smaller batches


class SentWriter:
    """A writer while its frames are sent: for the sender's task alone, but for the ledger."""

    def __init__(self, id_: str, target: Target, settled: Callable[[], float | None] | None) -> None:
        directory, disk = target.directory, target.disk
        self.id = id_
        self.ledger = WriterLedger()
        self.rejected = RejectedFrames(directory, id_, disk)
        self.cursor = CursorFile(directory, id_, disk)
        self._feed = JournalFeed(os.path.join(directory, "journal"), id_, disk, settled=settled)
        self._run = target.run_blocking
        self._compress = not target.client.is_loopback
        self._set_aside: set[int] = set()  # numbers in whose place empty frames are sent
        self._kept: set[int] = set()  # numbers of frames with a file in `rejected/`, as far as that is known
        # Numbers under which the server had not what was sent first: an empty frame, or the one in the journal.
        self._swapped: set[int] = set()
        self._went_back = False
        self._most = self._limit = BATCH_BYTES
        self._reading: asyncio.Task[Batch | None] | None = None
        self._saved: Cursor | None = None
        self._found: Cursor | None = None

    async def begin(self, url: str) -> None:
        """Take over what an earlier process has left."""
        found = await self._run(lambda: (self.cursor.load(url), self.rejected.numbers()))
        self._saved = self._found = found[0]
        self._kept = found[1]
        if self._saved is not None:
            self.ledger.resume(self._saved)

    def was_sent_elsewhere(self, experiment_id: str) -> bool:
        """Whether all that is known here was acknowledged for another experiment, by an earlier process."""
        return self._found is not None and self._found.experiment_id != experiment_id

    async def save_cursor(self, url: str, experiment_id: str) -> None:
        """Remember what was acknowledged, where that has changed; OSError where it cannot be written."""
        cursor = self.ledger.cursor(experiment_id)
        if cursor != self._saved:
            # Even if it cannot be written: a disk that refuses is asked again when there is more.
            self._saved = cursor
            await self._run(lambda: self.cursor.save(url, cursor))

    # --- reading

    async def next_batch(self) -> Batch | None:
        """Return what is to be sent next; None where there is nothing, for now."""
        reading, self._reading = self._reading, None
        if reading is None:
            return await self._read()
        try:
            return await reading
        except BaseException:
            reading.cancel()
            raise

    def read_ahead(self, batch: Batch) -> None:
        """Begin to read what follows a batch, if that may be another full one."""
        # A small batch was all there is: one read at once behind it would be smaller still, and a request of its own.
        if batch.size >= self._limit // 2:
            self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> Batch | None:
        def read() -> Batch | None:
            items = self._feed.next_batch(self._limit)
            self.ledger.measure(self._feed)
            if not items:
                return None
            batch = make_batch(items, self._set_aside, compress=self._compress)
            self.ledger.take(batch)
            return batch

        return await self._run(read)

    async def drop_reading(self) -> None:
        """Forget what was read ahead, and go on behind what is acknowledged."""
        reading, self._reading = self._reading, None
        if reading is not None:
            await asyncio.wait([reading])
            if not reading.cancelled():
                reading.exception()  # whatever it was, the next one to read will meet it
        self.rewind()

    def abandon_reading(self) -> None:
        """Cancel what is being read, without waiting for it."""
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def rewind(self) -> None:
        """Read on behind what is acknowledged."""
        self._feed.seek(self.ledger.seq + 1)
        self.ledger.drop_taken()
        self.ledger.measure(self._feed)

    async def look(self) -> None:
        """Enter into the ledger how much is pending now."""

        def look() -> None:
            with contextlib.suppress(JournalVersionError):
                self._feed.measure()
            self.ledger.measure(self._feed)

        if self._reading is None:  # the feed is in use otherwise, and tells the ledger itself
            await self._run(look)

    async def pass_over(self, watermark: int) -> tuple[Passed, int]:
        """Count the frames behind those acknowledged up to `watermark`; return what they hold, and the last's number.

        Those that are not in the journal yet are left out.
        """
        feed = self._feed
        feed.seek(self.ledger.seq + 1)

        def skip() -> tuple[Passed, dict[int, int]]:
            first = feed.next_seq
            passed = feed.skip_to(watermark + 1)
            kept = {number for number in self.rejected.numbers() if first <= number < feed.next_seq}
            return passed, self.rejected.rows(kept) if kept else {}

        passed, rejected = await self._run(skip)
        self.ledger.pass_over(passed, rejected)
        return passed, feed.next_seq - 1

    # --- how much goes into a request

    def grow(self, batch: Batch) -> None:
        """Send more at a time: a batch has arrived."""
        self._limit = min(self._most, max(self._limit, batch.size * 2))

    def shrink(self, batch: Batch) -> None:
        """Send less at a time on a line that is slow, or cut again and again; it grows again with each success."""
        self._limit = max(_BATCH_BYTES_MIN, min(self._limit, batch.size) // 2)

    def cut(self, batch: Batch) -> Cut:
        """Say whether a batch may be sent in pieces: a frame alone, which cannot be a smaller batch.

        At once on a line that was cut or too slow in the middle of less; else where something in between refuses it.
        """
        if len(batch.entries) > 1:
            return "never"
        return "at once" if self._limit < min(self._most, len(batch.body)) else "if refused"

    def send_at_most(self, batch: Batch, limit: int | None) -> None:
        """Send less at a time from now on: the server takes no more than `limit` bytes."""
        self._most = self._limit = max(1, min(batch.size // 2, limit or batch.size))

    # --- what was set aside

    async def look_for_kept(self) -> None:
        """See which frames are kept as files: another `ml-dash sync` may have set some aside."""
        self._kept = await self._run(self.rejected.numbers)

    async def set_aside(self, entry: Entry) -> None:
        """Keep a frame that the server will never take in a file, and send an empty one in its place."""

        def keep() -> None:
            self._feed.seek(entry.seq)
            for item in self._feed.next_batch(1):
                if isinstance(item, FeedFrame) and item.seq == entry.seq:
                    self.rejected.keep(item.seq, item.data)

        await self._run(keep)
        self._set_aside.add(entry.seq)
        self._kept.add(entry.seq)
        self.rewind()

    def goes_back(self, batch: Batch, expected: int) -> bool:
        """Whether to go back to the frame that the server misses, it says, before it can take a batch.

        Only to an earlier one, and once until it takes something: a server that asks for what makes no sense, or for
        one thing after the other, would be asked again at full speed, for ever. What it has is asked after a back-off.
        """
        may_go = expected < batch.entries[0].seq and not self._went_back
        self._went_back = True
        return may_go

    async def swap(self, entry: Entry) -> bool:
        """Send the other of the two, of an empty frame and the one in the journal; False where that was tried."""
        if entry.seq in self._swapped:
            return False
        await self.look_for_kept()
        if entry.fate != "rejected" and entry.seq not in self._kept:
            return False
        self._swapped.add(entry.seq)
        self._set_aside ^= {entry.seq}
        return True

    async def acknowledge(self, batch: Batch, watermark: int) -> list[int]:
        """Count what the server has now of a batch, and go on behind it; return the numbers of frames that are lost."""
        counted = self.ledger.acknowledge(batch, watermark)
        if counted:
            self._went_back = False
        for entry in counted:
            self._set_aside.discard(entry.seq)
            self._swapped.discard(entry.seq)
        taken = {entry.seq for entry in counted if entry.fate == "sent" and entry.seq in self._kept}
        if taken:
            self._kept -= taken
            await self._run(lambda: self.rejected.forget(taken))
        return [entry.seq for entry in counted if entry.fate == "lost"]
