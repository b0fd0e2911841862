"""Sends one experiment's frames to one server, a batch at a time, and counts what has become of them.

A `Sender` has no patience of its own: what it cannot settle with the server at once, it raises. When to try again is
for its callers, who differ in that: `Uploader` tries for as long as the process lives, `ml-dash sync` for a while.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeAlias

from ml_dash.client.transport import ServerError, TransportError
from ml_dash.errors import JournalError, MLDashError, RemoteError
from ml_dash.protocol import ErrorCode
from ml_dash.storage.stopping import StopRequest, understood
from ml_dash.upload.barring import Barring
from ml_dash.upload.introduction import NOT_TOLD, Begins, Introduction, Say, Told
from ml_dash.upload.prefetch import SentWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from ml_dash.client.api import Upserted
    from ml_dash.upload.batch import Batch, Entry
    from ml_dash.upload.ledger import WriterLedger
    from ml_dash.upload.task import Target

# Statuses by which a server or a gateway says that a request did not come in time: the next ones are smaller.
_TOO_SLOW = frozenset({408, 504})
_TOUCH_SECONDS = 4.0

Settled: TypeAlias = "Callable[[str], Callable[[], float | None] | None]"
"""Gives, for a writer, what `JournalFeed` calls `settled`; None where nothing is known."""


class Sender:
    """Sends the frames of an experiment. All methods are for one task; the ledgers may be read by any thread.

    `connect` and `send` raise ServerUnavailableError where the server cannot be reached, or its answer was lost;
    RemoteError where it refuses for now, or is not an ML-Dash server; and OSError where the disk cannot be read.

    Args:
        target: The experiment, and the server.
        say: Tells people of trouble.
        about: Gives what is said of the experiment besides what it logs.
        settled: What is known of each writer.
        told: What the server has been told of that before.
        recreate: Whether to bring back an experiment that was deleted at the server.
        begins: Gives the writers that have begun a run since one was deleted: that is another one under its name.
        begun: Gives those of which that is known without the journal, which nobody asks then.
        writers: Those of the journal, where somebody has just looked.

    Attributes:
        experiment: The experiment as the server had it last; None before the first contact.
        stop: That its run is asked to stop, as the server said it last; None where it is not.
    """

    def __init__(
        self,
        target: Target,
        say: Say,
        *,
        about: Callable[[], Mapping[str, Any]] = dict,
        settled: Settled = lambda _: None,
        told: Told = NOT_TOLD,
        recreate: bool = False,
        begins: Begins | None = None,
        begun: Callable[[], Collection[str]] = tuple,
        writers: list[str] | None = None,
    ) -> None:
        self.experiment: Upserted | None = None
        self.stop: StopRequest | None = None
        self._tells_stops = False  # whether the server is of a version that does
        self._told_at = 0.0
        self._target = target
        self._client = target.client
        self._prefix = target.prefix
        self._say = say
        self._introduction = Introduction(
            target, say, about, told, recreate=recreate, begins=begins, begun=begun, writers=writers
        )
        self._settled = settled
        self._connected = False
        self._writers: dict[str, SentWriter] = {}
        self._barring = Barring(target, self._introduction, say, begun)

    @property
    def ledgers(self) -> dict[str, WriterLedger]:
        """What has become of the frames, by writer."""
        return {writer.id: writer.ledger for writer in tuple(self._writers.values())}

    @property
    def untold(self) -> Mapping[str, str]:
        """Why the server does not take what is said of the experiment, by its name (readme, tags, …)."""
        return self._introduction.untold

    @property
    def connected(self) -> bool:
        """Whether `connect` was called, and nothing has happened since that makes it worth another call."""
        return self._connected

    async def connect(self) -> None:
        """Introduce the experiment, and learn what the server has of it."""
        self._connected = False
        for writer in self._writers.values():
            await writer.drop_reading()
        begun = self._barring.begun()
        self.experiment = found = await self._introduction.make()
        self._tells_stops = "stop" in found.record
        self._take_stop(understood(found.record.get("stop")))
        self._barring.resume(begun, self.ledgers)
        for writer in self._writers.values():
            await self._agree(writer, found.watermarks.get(writer.id, 0))
        self._connected = True

    def disconnect(self) -> None:
        """Take the server's word for nothing until `connect` is called again."""
        self._connected = False

    async def send(self, writer_id: str) -> bool:
        """Send a batch of a writer's frames; False where there is none, for now or for good."""
        writer = self._writers.get(writer_id) or await self._begin(writer_id)
        if writer.ledger.stopped:
            return False
        try:
            batch = await writer.next_batch()
        except JournalError as error:  # a later version wrote it, or a frame is longer than is read
            writer.ledger.stop(str(error))
            self._say("version", str(error))
            return False
        if batch is None:
            return False
        writer.read_ahead(batch)  # while this one is under way
        try:
            watermark, stop = await self._client.send_frames(
                self._id, writer.id, batch.body, encoding=batch.encoding, cut=writer.cut(batch)
            )
            self._take_stop(stop)
        except ServerError as error:
            await writer.drop_reading()
            await self._settle(writer, batch, error)
            return True
        except TransportError as error:
            await writer.drop_reading()
            if error.kind in {"timeout", "cut"}:
                writer.shrink(batch)
            raise
        except BaseException:  # cancelled: nobody awaits any more what is read ahead
            writer.abandon_reading()
            raise
        watermark = await self._believed(writer, batch, watermark)
        if watermark < batch.entries[0].seq:
            await writer.drop_reading()
            raise RemoteError(  # it would be sent again for ever, at full speed
                f"{self._client.url} was sent frames from {batch.entries[0].seq} on, and answers that it has those up "
                f"to {watermark}"
            )
        writer.grow(batch)
        await self._acknowledge(writer, batch, watermark)
        return True

    async def _believed(self, writer: SentWriter, batch: Batch, watermark: int) -> int:
        """Return how much of an answer to a batch is believed: no more than was sent.

        Where it says more, somebody else sends the same journal, or it is none of the server's: that is asked again.
        """
        last = batch.entries[-1].seq
        if watermark <= last:
            return watermark
        return min(last, await self._watermark(writer))

    async def keep_in_touch(self, writer_id: str) -> None:
        """Ask whether the run is to stop, where no answer has told that lately: by a request without frames."""
        if self._tells_stops and self._target.clock.monotonic() - self._told_at >= _TOUCH_SECONDS:
            self._take_stop((await self._client.send_frames(self._id, writer_id, b"")).stop)

    def _take_stop(self, stop: StopRequest | None) -> None:
        self.stop, self._told_at = stop, self._target.clock.monotonic()

    async def look(self, writer_ids: Iterable[str]) -> None:
        """Enter into the writers' ledgers how much is pending now, without asking the server."""
        for writer_id in writer_ids:
            # What cannot be looked at is out of reach, or was said already.
            with contextlib.suppress(OSError, MLDashError):
                await (self._writers.get(writer_id) or await self._begin(writer_id)).look()

    async def save_cursors(self) -> None:
        """Remember what was acknowledged, beside the journal. A disk that refuses is no matter: the server knows."""
        for writer in self._writers.values():
            try:
                await writer.save_cursor(self._client.url, self._id)
            except OSError as error:
                path = writer.cursor.path
                self._say("cursor", f"{path} cannot be written ({error}); nothing is lost by that")

    def close(self) -> None:
        """Cancel what is being read ahead."""
        for writer in self._writers.values():
            writer.abandon_reading()

    @property
    def _id(self) -> str:
        if self.experiment is None:
            raise RuntimeError("connect() comes first")
        return self.experiment.id

    async def _watermark(self, writer: SentWriter) -> int:
        return (await self._client.watermarks(self._id)).get(writer.id, 0)

    # --- what the server has

    async def _begin(self, writer_id: str) -> SentWriter:
        """Take up a writer where the server is, by its own word."""
        writer = SentWriter(writer_id, self._target, self._settled(writer_id))
        await writer.begin(self._client.url)
        if self._connected and self.experiment is not None:
            watermark = self.experiment.watermarks.get(writer_id, 0)
            if watermark < writer.ledger.seq:
                # no backup yet: it may be new, and somebody else have sent it since the experiment was introduced
                watermark = await self._watermark(writer)
            await self._agree(writer, watermark)
        writer.rewind()
        self._writers[writer_id] = writer
        return writer

    async def _agree(self, writer: SentWriter, watermark: int) -> None:
        """Go on where the server is, be that behind or before what was acknowledged here."""
        if watermark < writer.ledger.seq:
            # The cursor of an experiment that had this directory's name before tells nothing of this one.
            if not writer.was_sent_elsewhere(self._id):
                self._say(
                    "restored",
                    f"{self._client.url} has the frames of {self._prefix} (writer {writer.id}) up to {watermark} only, "
                    f"and had acknowledged those up to {writer.ledger.seq}: it must have been restored from a backup. "
                    "They are sent again.",
                )
            await self._introduction.repeat()
            # Counted anew, from the journal and `rejected/`: the counts do not tell how much of them is in which frame.
            writer.ledger.forget_frames(watermark)
            await writer.pass_over(watermark)
            writer.ledger.stand_at(watermark)
        elif watermark > writer.ledger.seq:
            # Not sent is what the server has, from an earlier run or by another `ml-dash sync`. The last of these
            # frames is sent all the same: the server compares it with its own, and so finds out whether somebody else
            # writes under the same name. And none counts as passed over that is not in the journal yet.
            passed, last = await writer.pass_over(watermark)
            if last > writer.ledger.seq:
                writer.ledger.hold_back(last, passed.last)
        writer.ledger.agree(watermark)
        writer.rewind()

    async def _acknowledge(self, writer: SentWriter, batch: Batch, watermark: int) -> None:
        lost = await writer.acknowledge(batch, watermark)
        if lost:
            self._say(
                "lost",
                f"{self._prefix}: {len(lost)} frames of writer {writer.id} cannot be read from the journal any more "
                f"(from {lost[0]} to {lost[-1]}), and are left out at {self._client.url}; `ml-dash verify` lists all "
                "damage.",
            )
        if watermark != batch.entries[-1].seq:
            await writer.drop_reading()
        else:
            writer.ledger.settle(batch)

    # --- what the server refuses

    async def _settle(self, writer: SentWriter, batch: Batch, error: ServerError) -> None:
        """Do what an answer asks for that is an error; raise it where that is to wait."""
        match error.code or error.status:
            case ErrorCode.MALFORMED if (entry := batch.entry(error.number("seq"))) and entry.fate == "sent":
                # those before it were taken, or were there and have been compared
                await self._acknowledge(writer, batch, entry.seq - 1)
                await self._set_aside(writer, entry, error)
            case ErrorCode.TOO_LARGE:
                await self._send_less(writer, batch, error)
            case 413 if len(batch.entries) > 1:
                writer.send_at_most(batch, None)
            case ErrorCode.GAP if (expected := error.number("expected")) and writer.goes_back(
                batch, expected
            ):
                await self._agree(writer, expected - 1)
                self.disconnect()  # it may have forgotten other writers' frames as well
            case ErrorCode.FENCED if error.details.get("deleted") is True:
                await self._barring.settle(writer.id, writer.ledger, error)
            case ErrorCode.FENCED:
                await self._fence(writer, batch, error)
            case _:
                if error.status in _TOO_SLOW:
                    writer.shrink(batch)
                raise error

    async def _set_aside(self, writer: SentWriter, entry: Entry, error: ServerError) -> None:
        await writer.set_aside(entry)
        self._say(
            "rejected",
            f"{self._client.url} refuses frame {entry.seq} of {self._prefix} with {entry.rows} events "
            f"({error.message}). It is kept as {writer.rejected.path(entry.seq)}, its events are counted in "
            "status().dropped['rejected'], and the others are sent.",
        )

    async def _send_less(self, writer: SentWriter, batch: Batch, error: ServerError) -> None:
        if len(batch.entries) > 1:
            writer.send_at_most(batch, error.number("limit"))
        elif batch.entries[0].fate == "sent":
            await self._set_aside(writer, batch.entries[0], error)
        else:
            raise error

    async def _fence(self, writer: SentWriter, batch: Batch, error: ServerError) -> None:
        """Stop where the server has other frames under these numbers, unless we know why.

        Another `ml-dash sync` may have had to send an empty frame where this one sends what is in the journal, or the
        other way round. So the other of the two is tried, once.
        """
        entry = batch.entry(error.number("seq"))
        if entry is not None and entry.fate == "lost":
            if await self._watermark(writer) < entry.seq:
                raise error
            await self._acknowledge(writer, batch, entry.seq)
            return
        if entry is not None and await writer.swap(entry):
            return
        reason = (
            f"{self._client.url} has other frames under the name of writer {writer.id} ({error.message}): "
            "two clients write under one name. Nothing more of this writer is sent, and all of it stays in the journal."
        )
        writer.ledger.stop(reason)
        self._say("fenced", f"{self._prefix}: {reason}")
