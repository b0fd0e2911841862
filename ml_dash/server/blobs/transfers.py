"""Bytes of contents: in from clients, back for checks, out to readers; a piece at a time, off the event loop.

What a request holds in memory is a piece or two, whatever the size of the part or of the file.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from ml_dash.protocol import ErrorCode
from ml_dash.server.blobs.catalogue import Blob, BlobCatalogue, Part, no_upload
from ml_dash.server.blobs.objects import ObjectError, ObjectStore
from ml_dash.server.db.database import is_disk_full
from ml_dash.server.errors import ApiError, busy, disk_full

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from ml_dash.server.telemetry import Telemetry

__all__ = ["PIECE_BYTES", "BlobTransfers", "Piece", "ReadableBlob"]

P = ParamSpec("P")
R = TypeVar("R")

PIECE_BYTES = 1 << 20
"""How much is read or written at a time."""
_WORKERS = 8
_CHECKERS = 2
_PATIENCE = 10.0
"""Seconds that a request waits for a check; who asks again then goes on waiting for the same one."""
_LOG = logging.getLogger("ml_dash.server")

_Outcome = ApiError | None


class Piece(NamedTuple):
    """Some bytes of an object."""

    object: str
    offset: int
    length: int


class BlobTransfers:
    """Receives contents, checks and reads them. One for a server process.

    Args:
        contents: Where they are listed.
        objects: Where their bytes are.
        telemetry: Counts what happens.
    """

    def __init__(self, contents: BlobCatalogue, objects: ObjectStore, telemetry: Telemetry) -> None:
        self._contents = contents
        self._objects = objects
        self._telemetry = telemetry
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="ml-dash-content")
        self._checkers = ThreadPoolExecutor(_CHECKERS, thread_name_prefix="ml-dash-check")
        self._lock = threading.Lock()
        self._checks: dict[tuple[str, str], Future[_Outcome]] = {}
        self._end = threading.Event()

    def close(self) -> None:
        """Stop; checks under way are given up, and begin anew when they are asked for again."""
        self._end.set()
        self._checkers.shutdown(cancel_futures=True)
        self._workers.shutdown()

    async def receive_whole(self, owner: str, checksum: str, body: bytes | bytearray) -> None:
        """Store a content that came in one piece, durably.

        Raises:
            ApiError: 400, 413, 503 or 507: it is another one, or cannot be stored.
        """
        await self._run(self._store_whole, owner, checksum, body)

    async def receive_part(
        self, content: Blob, number: int, digest: bytes, chunks: AsyncIterator[bytes]
    ) -> None:
        """Store a part, durably.

        Args:
            content: Of which upload.
            number: The part's.
            digest: The SHA-256 that it must have.
            chunks: Its bytes, as they come.

        Raises:
            ApiError: 400, 404, 503 or 507: it is not what it must be, or cannot be stored.
        """
        size = content.size_of(number)
        if size is None:
            raise ValueError(f"the content has no part {number}")
        if content.complete or any(part.number == number for part in content.parts):
            async for chunk in chunks:
                self._telemetry.content_bytes.inc(len(chunk))
            return
        name = self._objects.new_blob_name()
        sink = await self._run(_Sink, self._objects, name)
        used = False
        try:
            await self._fill(sink, size, chunks)
            await self._run(sink.finish, size, digest)
            used = await self._run(self._contents.add_part, content, Part(number, name, size))
        finally:
            if not used:
                await self._run(sink.discard)
        self._telemetry.parts.inc()

    async def complete(self, owner: str, checksum: str) -> Blob:
        """Check an upload whose parts are all here, and take it for complete.

        Raises:
            ApiError: 404: there is none; 409: parts are missing; 422: the bytes are others; 503: the check takes a
                while, ask again.
        """
        content = await self._run(self._contents.find, owner, checksum)
        if content is None:
            raise no_upload(checksum)
        if content.complete:
            await self._run(self._contents.touch, content)
            return content
        if content.missing:
            raise _parts_missing(content)
        waiting = asyncio.wrap_future(self._checking(content))
        # not cancelled when this request's patience is over: others may wait for the same check
        done, _ = await asyncio.wait({waiting}, timeout=_PATIENCE)
        if not done:
            raise busy(f"the {content.size} bytes of {checksum} are being read back")
        failed = waiting.result()
        if failed is not None:
            raise failed
        return content

    async def read(self, piece: Piece) -> bytes:
        """Return the bytes of a piece.

        Raises:
            OSError: They are not there, or not all of them.
        """
        return await self._run(self._read, piece)

    def readable(self, content: Blob) -> ReadableBlob:
        """Return a content that is here as a whole, to be read."""
        return ReadableBlob(self, content)

    def sent(self, size: int) -> None:
        """Count bytes that a reader was given."""
        self._telemetry.content_sent.inc(size)

    async def _fill(self, sink: _Sink, size: int, chunks: AsyncIterator[bytes]) -> None:
        pending = bytearray()
        async for chunk in chunks:
            self._telemetry.content_bytes.inc(len(chunk))
            pending += chunk
            if sink.size + len(pending) > size:
                raise damaged(f"the part has more than its {size} bytes")
            if len(pending) >= PIECE_BYTES:
                await self._run(sink.write, pending)
                pending = bytearray()
        await self._run(sink.write, pending)

    async def _run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._workers, lambda: function(*args, **kwargs))

    def _store_whole(self, owner: str, checksum: str, body: bytes | bytearray) -> None:
        self._telemetry.content_bytes.inc(len(body))
        if hashlib.sha256(body).hexdigest() != checksum:
            raise damaged(f"the SHA-256 of the body is not {checksum}")
        content = self._contents.find(owner, checksum)
        if content is not None and content.complete:
            self._contents.touch(content)
            return
        name = None
        if body:
            name = self._objects.new_blob_name()
            try:
                self._objects.put(name, body)
            except OSError as error:
                raise _failed(error) from error
        used = False
        try:
            used = self._contents.add_whole(owner, checksum, len(body), name)
        finally:
            if name is not None and not used:
                self._discard([name])
        self._telemetry.parts.inc()

    def _checking(self, content: Blob) -> Future[_Outcome]:
        """Return the check of a content that is under way, or begin it."""
        key = content.owner, content.checksum
        with self._lock:
            found = self._checks.get(key)
            if found is None:
                if self._end.is_set():
                    raise busy("the server is shutting down")
                found = self._checks[key] = self._checkers.submit(self._check, content)
        return found

    def _check(self, content: Blob) -> _Outcome:
        """Read an upload's parts, and take it for complete if they are what they should be."""
        try:
            self._contents.touch(content)
            return self._compare(content)
        except ApiError as error:
            return error
        except OSError as error:
            return _failed(error)
        except SQLAlchemyError as error:
            _LOG.warning("a content could not be checked: %s", error)
            return disk_full() if is_disk_full(error) else busy("the database does not answer at this moment")
        finally:
            with self._lock:
                del self._checks[content.owner, content.checksum]

    def _compare(self, content: Blob) -> _Outcome:
        digest = hashlib.sha256()
        for piece in pieces(content, 0, content.size):
            if self._end.is_set():
                return busy("the server is shutting down")
            digest.update(self._read(piece))
        if digest.hexdigest() == content.checksum:
            return None if self._contents.finish(content) else busy("the upload was begun anew meanwhile")
        if self._contents.forget(content):
            self._discard([part.object for part in content.parts])
        return ApiError(
            422,
            ErrorCode.CHECKSUM_MISMATCH,
            f"the parts together have another SHA-256 than {content.checksum}: they were removed; send the file again",
        )

    def _read(self, piece: Piece) -> bytes:
        data = self._objects.get(*piece)
        if len(data) != piece.length:
            raise ObjectError(f"object {piece.object} has less than {piece.offset + piece.length} bytes")
        return data

    def _discard(self, names: list[str]) -> None:
        """Remove objects that nothing refers to. What is left behind is collected later."""
        try:
            self._objects.delete(names)
        except OSError as error:
            _LOG.info("an unused object is left to the collector: %s", error)


class ReadableBlob:
    """A content, as those who send it ask for it.

    Args:
        store: What reads it.
        content: Which.
    """

    def __init__(self, store: BlobTransfers, content: Blob) -> None:
        self._store = store
        self._content = content
        self.checksum = content.checksum
        self.size = content.size

    def reader(self, start: int, stop: int) -> Callable[[], Awaitable[bytes]]:
        """See `StoredBlob.reader`; OSError where the bytes are not there."""
        found = pieces(self._content, start, stop)

        async def following() -> bytes:
            piece = next(found, None)
            data = b"" if piece is None else await self._store.read(piece)
            self._store.sent(len(data))
            return data

        return following


def pieces(content: Blob, start: int, stop: int) -> Iterator[Piece]:
    """Yield where the bytes `start` to `stop` of a content are."""
    begin = 0
    for part in content.parts:
        at, end = max(start - begin, 0), min(stop - begin, part.size)
        while at < end:
            length = min(PIECE_BYTES, end - at)
            yield Piece(part.object, at, length)
            at += length
        begin += part.size


class _Sink:
    """An object that grows, and the hash of what went in. One thread at a time may use it."""

    def __init__(self, objects: ObjectStore, name: str) -> None:
        try:
            self._writer = objects.writer(name)
        except OSError as error:
            raise _failed(error) from error
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytearray) -> None:
        self._hash.update(data)
        try:
            self._writer.write(data)
        except OSError as error:
            raise _failed(error) from error
        self.size += len(data)

    def finish(self, size: int, digest: bytes) -> None:
        """Have it durable, if it is what it must be."""
        if self.size != size:
            raise damaged(f"the part has {self.size} bytes instead of {size}")
        if self._hash.digest() != digest:
            raise damaged("the SHA-256 of the part is not that of its Content-Digest")
        try:
            self._writer.finish()
        except OSError as error:
            raise _failed(error) from error

    def discard(self) -> None:
        self._writer.discard()


def damaged(what: str) -> ApiError:
    """Return what is answered to bytes that are not those that were to come."""
    return ApiError(400, ErrorCode.DAMAGED, f"{what}: send it again")


def _parts_missing(content: Blob) -> ApiError:
    missing = content.missing
    return ApiError(
        409,
        ErrorCode.PARTS_MISSING,
        f"{len(missing)} parts of {content.checksum} are not here: send them first",
        parts=missing,
    )


def _failed(error: OSError) -> ApiError:
    if is_disk_full(error):
        return disk_full()
    _LOG.warning("a content could not be read or stored: %s", error)
    return busy("the server's blob store cannot be used at this moment")
