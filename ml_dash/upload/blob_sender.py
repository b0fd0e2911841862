"""Sends the blobs of an experiment's files to a server: those that it is missing, whole or in parts.

Like `Sender`, it has no patience: what cannot be settled at once is raised, and whoever calls again goes on where it
stopped. In memory are a few pieces of parts, whatever the sizes of the files.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, TypeVar

from ml_dash.client.blob_api import BlobClient
from ml_dash.client.transport import ServerError, TransportError
from ml_dash.errors import MLDashError
from ml_dash.journal.disk import is_shortage
from ml_dash.protocol import PART_BYTES_MIN, ErrorCode
from ml_dash.storage.blobs import Marker, discard_marker, markers
from ml_dash.upload.blob_disk import BlobDisk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

    from ml_dash.upload.introduction import Say
    from ml_dash.upload.task import Target

_T = TypeVar("_T")

_AT_ONCE = 3  # requests under way: on a far line one alone would wait for its answer most of the time
_ROUNDS = 5  # how often an upload is begun anew where parts turn out to be missing, or wrong
_CHECK_PAUSE = 1.0  # seconds between two questions whether the server has read an upload back
_CHECKS = 3600  # an hour at least: the server may read terabytes from slow storage
_REFUSED = frozenset({413, 422, 507})
"""Statuses that concern one blob (too large, damaged, over a quota): the others are sent all the same."""


class BlobObserver:
    """What a `BlobSender` tells while it sends, and asks. A subclass overrides what it wants to know."""

    def confirmed(self, checksum: str) -> None:
        """The server has a blob."""

    def damaged(self, checksum: str) -> None:
        """A blob cannot be had from this disk any more."""

    def awaited(self) -> Collection[str]:
        """Return the blobs of which it waits to hear, whether or not they have markers."""
        return ()

    async def forgotten(self, sizes: Mapping[str, int]) -> list[Marker]:  # noqa: ARG002 - for those who have markers
        """The server names blobs that it lacks and that no marker is for; return the markers that these get now."""
        return []

    def progressed(self, done: int, total: int) -> None:
        """`done` bytes are sent, of `total` that are to be."""

    def part_arrived(self, size: int) -> None:
        """The server has this many bytes of the large blob that is under way; 0 at its end."""

    def has_news(self) -> bool:
        """Say whether blobs were saved since this was asked last: small ones go between a large one's parts."""
        return False


class BlobSender:
    """The blobs of one experiment on their way to one server. All methods are for one task.

    Args:
        only: Whose markers are looked after.
        keeps: Whether a blob stays on this disk when the server has it.

    Attributes:
        arrived: How many blobs and parts have arrived. On a line that is cut again and again, this is what tells
            that it is of use to go on.
        sent: Bytes of each blob that was sent, by checksum.
        refused: Why a blob stays here for now, by checksum: the server does not take it, or this disk does not give it.
        damaged: Checksums of blobs that cannot be had from this disk any more.
        nowhere: Blobs that rows at the server name, and that are neither there nor on this disk.
    """

    def __init__(
        self,
        target: Target,
        say: Say,
        observer: BlobObserver,
        *,
        only: Callable[[str], bool] = lambda _: True,
        keeps: bool = True,
    ) -> None:
        self.arrived = 0
        self.sent: dict[str, int] = {}
        self.refused: dict[str, str] = {}
        self.damaged: set[str] = set()
        self.nowhere: dict[str, int] = {}
        self._target = target
        self._client = target.client
        self._run = target.run_blocking
        self._say = say
        self._observer = observer
        self._only = only
        self._keeps = keeps
        self._between = False
        self._done = self._total = 0
        self._disk = BlobDisk(target.directory, target.run_blocking, target.open_blob)
        self._marks: dict[str, list[Marker]] = {}

    async def send(self, experiment_id: str, *, ask: bool = False) -> None:
        """Send what the server is missing.

        Args:
            experiment_id: The server's.
            ask: Whether to ask it, too, which blobs its rows name that it is missing.

        Raises:
            ServerUnavailableError: The server cannot be reached, or an answer was lost.
            RemoteError: It refuses for now.
            OSError: The disk cannot be read.
        """
        awaited = self._observer.awaited()  # before the markers: each has one, unless somebody has removed it
        if not awaited and not await self._run(self._disk.has_any):
            return  # nothing was ever saved here, and the server need not be asked
        calls = BlobClient(self._client, experiment_id)
        self._marks, others = await self._run(self._look)
        # A `sync` has sent these, perhaps to another server.
        unmarked = set(awaited) - self._marks.keys() - others
        named = await calls.all_missing() if ask else {}
        # a marker says whose business it is to send a blob: two who send the same would send it twice
        ours = {checksum: size for checksum, size in named.items() if checksum not in others}
        # One without a marker was sent before: what the server asks for may have been damaged here since.
        unproven = {checksum: size for checksum, size in ours.items() if checksum not in self._marks}
        await self._mark_again(unproven)
        wanted = self._marks.keys() | ours.keys() | unmarked
        self.refused = {checksum: why for checksum, why in self.refused.items() if checksum in wanted}
        here = await self._run(lambda: self._disk.sizes(wanted))
        # Nobody can tell of those that cannot be looked at.
        away = wanted - here.keys()
        self.nowhere = {
            checksum: ours[checksum]
            for checksum in sorted(away & ours.keys())
            if checksum not in self._disk.unread
        }
        away &= self._marks.keys() | unmarked | self._disk.unread.keys()
        # what is not here any more may be there: its size is not known here, and not asked for
        asked = {**here, **dict.fromkeys(away, 0)}
        missing = await calls.which_missing(asked) if asked else []
        for checksum in asked.keys() - set(missing):
            await self._confirm(checksum)
        for checksum in away.intersection(missing):
            await self._give_up(checksum)
        missing = [checksum for checksum in missing if checksum in here]
        self._done, self._total = 0, sum(here[checksum] for checksum in missing)

        async def send(checksum: str) -> None:
            size = here[checksum]
            if checksum in unproven and not await self._is_sound(checksum, size):
                return
            by = self._send_whole if size <= PART_BYTES_MIN else self._send_parts
            await self._settled(checksum, size, by(calls, checksum, size))

        await _each([checksum for checksum in missing if here[checksum] <= PART_BYTES_MIN], send)
        for checksum in missing:
            if here[checksum] > PART_BYTES_MIN:
                await send(checksum)

    async def _mark_again(self, unproven: Mapping[str, int]) -> None:
        again = {checksum: size for checksum, size in unproven.items() if checksum not in self.damaged}
        for marker in await self._observer.forgotten(again) if again else ():
            self._marks.setdefault(marker.checksum, []).append(marker)

    async def _send_small(self, calls: BlobClient) -> None:
        """Send small blobs that were saved while a large one is on its way: they do not wait for all of it."""
        if self._between or not self._observer.has_news():
            return
        self._between = True
        try:
            marks, _ = await self._run(self._look)
            fresh = marks.keys() - self._marks.keys()
            self._marks |= {checksum: marks[checksum] for checksum in fresh}
            sizes = await self._run(lambda: self._disk.sizes(fresh))
            small = {checksum: size for checksum, size in sizes.items() if size <= PART_BYTES_MIN}
            missing = await calls.which_missing(small) if small else []
            for checksum in small.keys() - set(missing):
                await self._confirm(checksum)
            for checksum in missing:
                size = small[checksum]
                await self._settled(checksum, size, self._send_whole(calls, checksum, size))
        finally:
            self._between = False

    def _look(self) -> tuple[dict[str, list[Marker]], set[str]]:
        """Return the markers that are there now, by blob, and the blobs that only others are to send."""
        marks: dict[str, list[Marker]] = {}
        others: set[str] = set()
        for marker in markers(self._target.directory, disk=self._target.disk):
            if self._only(marker.writer):
                marks.setdefault(marker.checksum, []).append(marker)
            else:
                others.add(marker.checksum)
        return marks, others - marks.keys()

    # --- one blob

    async def _send_whole(self, calls: BlobClient, checksum: str, size: int) -> None:
        await calls.put(checksum, self._disk.part(checksum, 0, size))
        self._progress(size)
        self.arrived += 1

    async def _send_parts(self, calls: BlobClient, checksum: str, size: int) -> None:
        for _ in range(_ROUNDS):
            upload = await calls.begin(checksum, size)
            if upload.complete:
                return
            length = upload.part_bytes
            numbers = [number for number in range(1, -(-size // length) + 1) if number not in upload.parts]
            there = sum(min(length, size - (number - 1) * length) for number in upload.parts)
            self._progress(there)
            self._observer.part_arrived(there)

            async def send(number: int, length: int = length) -> None:
                start = (number - 1) * length
                part = self._disk.part(checksum, start, min(length, size - start))
                await calls.put_part(checksum, number, part, await self._run(part.digest))
                nonlocal there
                there += part.size
                self._progress(part.size)
                self._observer.part_arrived(there)
                self.arrived += 1
                await self._send_small(calls)

            await _each(numbers, send)
            if await self._complete(calls, checksum):
                return
            self._done = max(0, self._done - size)

    async def _complete(self, calls: BlobClient, checksum: str) -> bool:
        """Complete an upload at the server; False where parts of it are missing after all."""
        for _ in range(_CHECKS):
            try:
                await calls.complete(checksum)
                return True
            except ServerError as error:
                if error.code == ErrorCode.PARTS_MISSING:
                    return False
                if error.status != 503:
                    raise
                # it reads back what was sent, which takes its time
                await asyncio.sleep(min(error.retry_after or _CHECK_PAUSE, 10 * _CHECK_PAUSE))
        return False

    async def _settled(self, checksum: str, size: int, sending: Awaitable[None]) -> None:
        """Send a blob, and see what has become of it; what concerns this one alone does not stop the others."""
        try:
            await sending
        except ServerError as error:
            if error.status not in _REFUSED and error.code != ErrorCode.DAMAGED:
                raise
            if error.code == ErrorCode.DISK_FULL:
                raise
            if not await self._is_sound(checksum, size):
                return
            if error.code == ErrorCode.DAMAGED:
                raise  # on its way: it is sent again
            if self.refused.get(checksum) == error.message:
                return  # said: it is tried again once a minute
            self.refused[checksum] = error.message
            self._say(
                f"refused-{checksum}",
                f"{self._client.url} does not take the content {self._disk.path_of(checksum)} "
                f"({error.message}). It stays here; `ml-dash sync` tries again.",
            )
            return
        except (TransportError, OSError) as error:
            # What cannot be read from the disk ends its request, which the transport takes for a line that was cut.
            unread = self._disk.unread.pop(checksum, None if isinstance(error, MLDashError) else error)
            if unread is None:
                raise
            if await self._is_sound(checksum, size):
                self._hold_back(checksum, unread)
            return
        self.sent[checksum] = size
        await self._confirm(checksum)

    async def _confirm(self, checksum: str) -> None:
        self._observer.part_arrived(0)
        await self._unmark(checksum)
        self._observer.confirmed(checksum)

    async def _is_sound(self, checksum: str, size: int) -> bool:
        """Whether a blob can be read, and is what it was; one that is not is lost, or held back."""
        try:
            if not await self._run(lambda: self._disk.is_damaged(checksum, size)):
                return True
        except OSError as error:
            self._hold_back(checksum, error)
        else:
            await self._lose(checksum, "is damaged on this disk")
        return False

    def _hold_back(self, checksum: str, error: OSError) -> None:
        """Leave a blob for later that cannot be read now. One that no descriptor is left for concerns all others."""
        if is_shortage(error):
            raise error
        path = self._disk.path_of(checksum)
        self.refused[checksum] = f"{path} cannot be read ({error})"
        self._say(
            f"unread-{checksum}", f"{path} cannot be read ({error}). It stays here, and is tried again."
        )

    async def _give_up(self, checksum: str) -> None:
        """Do without a blob that the server is missing, and that was not found on this disk."""
        if (error := self._disk.unread.get(checksum)) is not None:
            self._hold_back(checksum, error)
        else:
            await self._lose(checksum, "is gone from this disk")

    async def _lose(self, checksum: str, why: str) -> None:
        self.damaged.add(checksum)
        path = self._disk.path_of(checksum)
        self._say(f"damaged-{checksum}", f"{path} {why}, and cannot be sent to {self._client.url}.")
        await self._unmark(checksum)
        self._observer.damaged(checksum)

    async def _unmark(self, checksum: str) -> None:
        def discard() -> None:
            for marker in self._marks.get(checksum, ()):
                discard_marker(self._target.directory, marker, self._target.disk)
            if not self._keeps and checksum not in self.damaged:
                # Whoever saves it again at this moment has a marker, and finds that the server has it.
                with contextlib.suppress(OSError):
                    os.remove(self._disk.path_of(checksum))

        await self._run(discard)
        self.refused.pop(checksum, None)

    def _progress(self, size: int) -> None:
        self._done += size
        self._observer.progressed(min(self._done, self._total), self._total)


async def _each(items: Iterable[_T], do: Callable[[_T], Awaitable[None]]) -> None:
    """Do something for each, a few at a time.

    After an error nothing more is begun. What is under way goes on to its end: on a bad line, each part that arrives
    is one less to be sent again.
    """
    waiting = iter(items)
    errors: list[Exception] = []

    async def work() -> None:
        for item in waiting:
            if errors:
                return
            try:
                await do(item)
            except Exception as error:  # noqa: BLE001 - it is raised when the others have ended
                errors.append(error)

    workers = [asyncio.ensure_future(work()) for _ in range(_AT_ONCE)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    if errors:
        raise errors[0]
