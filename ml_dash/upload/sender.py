"""Sends one experiment's frames to one server, a batch at a time, and keeps account of what has become of them.

A `Sender` has no patience of its own: what it cannot settle with the server at once, it raises. When to try again is
for its callers, who differ in that: `Uploader` tries for as long as the process lives, `ml-dash sync` for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Protocol

from ml_dash.client.bridge import RunBlocking
from ml_dash.client.transport import ServerError, TransportError
from ml_dash.errors import JournalVersionError, RemoteError
from ml_dash.journal.disk import REAL_DISK, Disk
from ml_dash.journal.feed import FeedFrame, Passed
from ml_dash.protocol import ErrorCode
from ml_dash.storage.cursor import Cursor
from ml_dash.upload.batch import Batch, Entry, make_batch
from ml_dash.upload.ledger import SentWriter, WriterAccount

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ml_dash.client.api import Client, Upserted

__all__ = ["RunBlocking", "Say", "Sender", "Settled"]

_BATCH_BYTES_MIN = 64 << 10
"""A line that is cut, or too slow, gets no smaller batches than these."""
_TOO_SLOW = frozenset({408, 504})
"""Statuses by which a server or a gateway says that a request did not come in time."""


class Say(Protocol):
    """Tells people something, not too often: `kind` says what is the same as before."""

    def __call__(self, kind: str, message: str) -> None:
        """Tell it."""
        ...


class Settled(Protocol):
    """Gives, for a writer, what `JournalFeed` calls `settled`."""

    def __call__(self, writer: str, /) -> Callable[[], float | None] | None:
        """Return what gives it; None where nothing is known."""
        ...


class Sender:
    """See the module. All methods are for one task; the accounts may be read by any thread.

    Args:
        directory: The experiment's directory.
        prefix: The experiment's.
        client: The server.
        run_blocking: Reads files on another thread.
        say: Tells people what they should know.
        about: Gives the readme, the tags and so on, for the server.
        settled: What is known of each writer; see `JournalFeed`.
        recreate: Whether to bring back an experiment that was deleted at the server.
        disk: The file system.

    Attributes:
        experiment: The experiment as the server had it last; None before the first contact.
        connected: Whether `connect` was called, and nothing has happened since that makes it worth another call.
    """

    def __init__(
        self,
        directory: str,
        prefix: str,
        client: Client,
        run_blocking: RunBlocking,
        say: Say,
        *,
        about: Callable[[], Mapping[str, Any]] = dict,
        settled: Settled = lambda _: None,
        recreate: bool = False,
        disk: Disk = REAL_DISK,
    ) -> None:
        self.experiment: Upserted | None = None
        self.connected = False
        self._directory = directory
        self._prefix = prefix
        self._client = client
        self._run = run_blocking
        self._say = say
        self._about = about
        self._settled = settled
        self._recreate = recreate
        self._disk = disk
        self._writers: dict[str, SentWriter] = {}

    @property
    def accounts(self) -> dict[str, WriterAccount]:
        """What has become of the frames, by writer."""
        return {writer.id: writer.account for writer in tuple(self._writers.values())}

    async def connect(self) -> None:
        """Introduce the experiment, and learn what the server has of it.

        Raises:
            ServerUnavailableError: The server cannot be reached.
            RemoteError: It refuses, or is none.
            OSError: The disk cannot be read.
        """
        self.connected = False
        for writer in self._writers.values():
            await self._drop_reading(writer)
        found = await self._client.upsert(self._prefix, self._about(), recreate=self._recreate)
        self._recreate = False  # should it be deleted once more, that is meant
        self.experiment = found
        for writer in self._writers.values():
            await self._agree(writer, found.watermarks.get(writer.id, 0))
        self.connected = True

    async def send(self, writer_id: str) -> bool:
        """Send a batch of a writer's frames; False where there is none, for now or for good.

        Raises:
            ServerUnavailableError: The server cannot be reached, or its answer was lost.
            RemoteError: It refuses them for now.
            OSError: The disk cannot be read.
        """
        writer = self._writers.get(writer_id) or await self._begin(writer_id)
        if writer.account.stopped:
            return False
        try:
            batch = await self._next_batch(writer)
        except JournalVersionError as error:
            writer.account.stopped = str(error)
            self._say("version", str(error))
            return False
        if batch is None:
            return False
        if batch.size >= writer.limit // 2:
            # another full one may follow: it is read while this one is under way
            writer.reading = asyncio.ensure_future(self._read(writer))
        try:
            watermark = await self._client.send_frames(
                self._id, writer.id, batch.body, encoding=batch.encoding
            )
        except ServerError as error:
            await self._drop_reading(writer)
            await self._settle(writer, batch, error)
            return True
        except TransportError as error:
            await self._drop_reading(writer)
            if error.kind in {"timeout", "cut"}:
                self._shrink(writer, batch)
            raise
        except BaseException:
            self._abandon_reading(writer)
            raise
        watermark = await self._believed(writer, batch, watermark)
        if watermark < batch.entries[0].seq:
            await self._drop_reading(writer)
            raise self._no_progress(batch, watermark)
        writer.limit = min(writer.most, max(writer.limit, batch.size * 2))
        await self._acknowledge(writer, batch, watermark)
        return True

    async def _believed(self, writer: SentWriter, batch: Batch, watermark: int) -> int:
        """Return how much of an answer to a batch is believed: no more than was sent.

        Where it says more, somebody else sends the same journal, or it is none of the server's: that is asked again.
        """
        last = batch.entries[-1].seq
        if watermark <= last:
            return watermark
        return min(last, (await self._client.watermarks(self._id)).get(writer.id, 0))

    async def look(self, writer_id: str) -> None:
        """Bring a writer's account of what is pending up to date, with no need of the server.

        Raises:
            OSError: The disk cannot be read.
        """
        writer = self._writers.get(writer_id) or await self._begin(writer_id)

        def look() -> None:
            with contextlib.suppress(JournalVersionError):
                writer.feed.measure()
            writer.measure()

        if writer.reading is None:
            await self._run(look)

    async def save_cursors(self) -> None:
        """Remember what was acknowledged, beside the journal. A disk that refuses is no matter: the server knows."""
        for writer in self._writers.values():
            account = writer.account
            cursor = Cursor(
                account.seq,
                self._id,
                account.rows,
                account.rejected_rows,
                account.lost_frames,
            )
            if cursor != writer.saved:
                writer.saved = cursor
                try:
                    await self._run(lambda: writer.cursor.save(self._client.url, cursor))  # noqa: B023 - awaited here
                except OSError as error:
                    self._say(
                        "cursor", f"{writer.cursor.path} cannot be written ({error}); nothing is lost by that"
                    )

    def close(self) -> None:
        """Let go of what is being read."""
        for writer in self._writers.values():
            self._abandon_reading(writer)

    @property
    def _id(self) -> str:
        if self.experiment is None:
            raise RuntimeError("connect() comes first")
        return self.experiment.id

    # --- reading

    async def _next_batch(self, writer: SentWriter) -> Batch | None:
        reading, writer.reading = writer.reading, None
        if reading is None:
            return await self._read(writer)
        try:
            return await reading
        except BaseException:
            reading.cancel()
            raise

    async def _read(self, writer: SentWriter) -> Batch | None:
        def read() -> Batch | None:
            items = writer.feed.next_batch(writer.limit)
            writer.measure()
            if not items:
                return None
            batch = make_batch(items, writer.set_aside, compress=not self._client.is_loopback)
            writer.account.in_flight_bytes += batch.size
            writer.account.frames_read += len(items)
            writer.account.bytes_read += batch.size
            return batch

        return await self._run(read)

    async def _drop_reading(self, writer: SentWriter) -> None:
        """Forget what was read ahead, and go on behind what is acknowledged."""
        reading, writer.reading = writer.reading, None
        if reading is not None:
            await asyncio.wait([reading])
            if not reading.cancelled():
                reading.exception()  # whatever it was, the next one to read will meet it
        self._seek(writer)

    def _seek(self, writer: SentWriter) -> None:
        """Read on behind what is acknowledged."""
        writer.feed.seek(writer.account.seq + 1)
        writer.account.in_flight_bytes = 0
        writer.measure()

    def _abandon_reading(self, writer: SentWriter) -> None:
        if writer.reading is not None:
            writer.reading.cancel()
            writer.reading = None

    # --- what the server has

    async def _begin(self, writer_id: str) -> SentWriter:
        """Take up a writer where the server is, by its own word."""
        writer = SentWriter(writer_id, self._directory, self._disk, self._settled(writer_id))
        cursor = await self._run(lambda: writer.cursor.load(self._client.url))
        writer.kept = await self._run(writer.rejected.numbers)
        if cursor is not None:
            writer.account.begin(cursor.seq, cursor.rows, {}, {})
            writer.account.earlier_rejected_rows = cursor.rejected_rows
            writer.account.earlier_lost = cursor.lost_frames
            writer.account.known_rows = cursor.rows
            writer.saved = cursor
        if self.connected and self.experiment is not None:
            watermark = self.experiment.watermarks.get(writer_id, 0)
            if watermark < writer.account.seq:
                # no backup yet: it may be new, and somebody else have sent it since the experiment was introduced
                watermark = (await self._client.watermarks(self._id)).get(writer_id, 0)
            await self._agree(writer, watermark)
        self._seek(writer)
        self._writers[writer_id] = writer
        return writer

    async def _agree(self, writer: SentWriter, watermark: int) -> None:
        """Go on where the server is, be that behind or before what was acknowledged here."""
        account = writer.account
        is_first = account.known_seq is None
        if watermark < account.seq:
            await self._go_back(writer, watermark)
        elif watermark > account.seq:
            await self._pass_over(writer, watermark)
        if is_first or watermark < (account.known_seq or 0):
            account.known_seq, account.known_rows = watermark, account.rows
        self._seek(writer)

    async def _go_back(self, writer: SentWriter, watermark: int) -> None:
        """Begin again at a lower watermark: the server was restored from a backup."""
        self._say(
            "restored",
            f"{self._client.url} has the frames of {self._prefix} (writer {writer.id}) up to {watermark} only, and had "
            f"acknowledged those up to {writer.account.seq}: it must have been restored from a backup. They are "
            "sent again.",
        )
        before = writer.account
        lost = {seq: rows for seq, rows in before.lost.items() if seq <= watermark}
        writer.account.begin(0, 0, {}, lost)
        writer.feed.seek(1)
        await self._count_passed(writer, watermark)
        writer.account.seq = watermark

    async def _pass_over(self, writer: SentWriter, watermark: int) -> None:
        """Do not send what the server has, from an earlier run or by another `ml-dash sync`.

        The last of these frames is sent all the same: the server compares it with its own, and so finds out whether
        somebody else writes under the same name. And none counts as passed over that is not in the journal yet.
        """
        account = writer.account
        writer.feed.seek(account.seq + 1)
        passed = await self._count_passed(writer, watermark)
        if writer.feed.next_seq - 1 > account.seq:
            account.seq = writer.feed.next_seq - 2
            if account.rejected.pop(account.seq + 1, None) is None:
                account.rows -= passed.last

    async def _count_passed(self, writer: SentWriter, watermark: int) -> Passed:
        def skip() -> tuple[Passed, dict[int, int]]:
            first = writer.feed.next_seq
            passed = writer.feed.skip_to(watermark + 1)
            kept = {number for number in writer.rejected.numbers() if first <= number < writer.feed.next_seq}
            return passed, writer.rejected.rows(kept) if kept else {}

        passed, rejected = await self._run(skip)
        writer.account.rows += passed.rows - sum(rejected.values())
        writer.account.rejected |= rejected
        return passed

    async def _acknowledge(self, writer: SentWriter, batch: Batch, watermark: int) -> None:
        """Count what the server has now, and go on behind it."""
        account = writer.account
        counted = [entry for entry in batch.entries if account.seq < entry.seq <= watermark]
        for entry in counted:
            account.count(entry)
            writer.set_aside.discard(entry.seq)
            writer.swapped.discard(entry.seq)
        taken = {entry.seq for entry in counted if entry.fate == "sent" and entry.seq in writer.kept}
        if taken:
            writer.kept -= taken
            await self._run(lambda: writer.rejected.forget(taken))
        lost = [entry.seq for entry in counted if entry.fate == "lost"]
        if lost:
            self._say(
                "lost",
                f"{self._prefix}: {len(lost)} frames of writer {writer.id} cannot be read from the journal any more "
                f"(from {lost[0]} to {lost[-1]}), and are left out at {self._client.url}; `ml-dash verify` lists all "
                "damage.",
            )
        if watermark != batch.entries[-1].seq:
            await self._drop_reading(writer)
        else:
            account.in_flight_bytes = max(0, account.in_flight_bytes - batch.size)

    # --- what the server refuses

    async def _settle(self, writer: SentWriter, batch: Batch, error: ServerError) -> None:
        """Do what an answer asks for that is an error; raise it where that is to wait."""
        match error.code or error.status:
            case ErrorCode.MALFORMED if (entry := batch.entry(error.number("seq"))) and entry.fate == "sent":
                # those before it were taken, or were there and have been compared
                await self._acknowledge(writer, batch, entry.seq - 1)
                await self._set_aside(writer, entry, error)
            case ErrorCode.TOO_LARGE | 413:
                await self._send_less(writer, batch, error)
            case ErrorCode.GAP:
                await self._fill_gap(writer, batch, error)
            case ErrorCode.FENCED:
                await self._fence(writer, batch, error)
            case _:
                if error.status in _TOO_SLOW:
                    self._shrink(writer, batch)
                raise error

    def _shrink(self, writer: SentWriter, batch: Batch) -> None:
        """Send less at a time on a line that is slow, or cut again and again; it grows again with each success."""
        writer.limit = max(_BATCH_BYTES_MIN, min(writer.limit, batch.size) // 2)

    async def _set_aside(self, writer: SentWriter, entry: Entry, error: ServerError) -> None:
        """Keep a frame that the server will never take in a file, and send an empty one in its place."""

        def keep() -> None:
            writer.feed.seek(entry.seq)
            for item in writer.feed.next_batch(1):
                if isinstance(item, FeedFrame) and item.seq == entry.seq:
                    writer.rejected.keep(item.seq, item.data)

        await self._run(keep)
        writer.set_aside.add(entry.seq)
        writer.kept.add(entry.seq)
        self._seek(writer)
        self._say(
            "rejected",
            f"{self._client.url} refuses frame {entry.seq} of {self._prefix} with {entry.rows} rows "
            f"({error.message}). It is kept as {writer.rejected.path(entry.seq)}, its rows are counted in "
            "status().dropped['rejected'], and the others are sent.",
        )

    async def _send_less(self, writer: SentWriter, batch: Batch, error: ServerError) -> None:
        if len(batch.entries) > 1:
            limit = error.number("limit") or batch.size
            writer.most = writer.limit = max(1, min(batch.size // 2, limit))
        elif batch.entries[0].fate == "sent":
            await self._set_aside(writer, batch.entries[0], error)
        else:
            raise error

    async def _fill_gap(self, writer: SentWriter, batch: Batch, error: ServerError) -> None:
        expected = error.number("expected")
        if not expected or expected == batch.entries[0].seq:
            raise error
        await self._agree(writer, expected - 1)
        self.connected = False  # other writers' frames may be gone as well

    async def _fence(self, writer: SentWriter, batch: Batch, error: ServerError) -> None:
        """Stop where the server has other frames under these numbers, unless we know why.

        Another `ml-dash sync` may have had to send an empty frame where this one sends what is in the journal, or the
        other way round. So the other of the two is tried, once.
        """
        entry = batch.entry(error.number("seq"))
        if entry is not None and entry.fate == "lost":
            watermark = (await self._client.watermarks(self._id)).get(writer.id, 0)
            if watermark < entry.seq:
                raise error
            await self._acknowledge(writer, batch, entry.seq)
            return
        if entry is not None and entry.seq not in writer.swapped:
            writer.kept = await self._run(writer.rejected.numbers)
            if entry.fate == "rejected" or entry.seq in writer.kept:
                writer.swapped.add(entry.seq)
                writer.set_aside ^= {entry.seq}
                return
        writer.account.stopped = (
            f"{self._client.url} has other frames under the name of writer {writer.id} ({error.message}): "
            "two clients write under one name. Nothing more of this writer is sent, and all of it stays in the journal."
        )
        self._say("fenced", f"{self._prefix}: {writer.account.stopped}")

    def _no_progress(self, batch: Batch, watermark: int) -> RemoteError:
        first = batch.entries[0].seq
        return RemoteError(
            f"{self._client.url} was sent frames from {first} on, and answers that it has those up to {watermark}"
        )
