"""Bytes of blobs: in from clients, checked, and out to readers; a piece at a time, off the event loop."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from ml_dash.protocol import ErrorCode
from ml_dash.server.blobs.catalogue import Blob, BlobCatalogue, Part, no_upload
from ml_dash.server.blobs.checker import BlobChecker, store_error
from ml_dash.server.blobs.names import part_name
from ml_dash.server.blobs.reading import PIECE_BYTES, Piece, ReadableBlob, read_piece
from ml_dash.server.db.database import may_be_committed
from ml_dash.server.errors import ApiError, busy
from ml_dash.server.threads import Threads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ml_dash.server.blobs.backend import Backend
    from ml_dash.server.blobs.objects import ObjectStore

# they wait for the disk or the bucket; apart from those of ingest, so that large files never hold up metrics
_THREADS = 8
_PATIENCE = 10.0
"""Seconds that a request waits for a check; a client that asks again goes on waiting for the same one."""


class BlobTransfers:
    """Receives blobs, has them checked, and reads them. One for a server process."""

    def __init__(self, catalogue: BlobCatalogue, backend: Backend) -> None:
        self._catalogue = catalogue
        self._objects = backend.objects
        self._telemetry = backend.telemetry
        self._threads = Threads(_THREADS, thread_name_prefix="ml-dash-blob")
        self._checker = BlobChecker(catalogue, backend)

    def close(self) -> None:
        """Give up the checks under way, and wait for the rest."""
        self._checker.close()
        self._threads.shutdown()

    async def receive_whole(self, owner: str, checksum: str, body: bytes | bytearray) -> None:
        """Store a blob that came in one piece, durably.

        Raises:
            ApiError: 400, 413, 503 or 507: the bytes have another checksum, or cannot be stored.
        """
        await self._threads.run(self._store_whole, owner, checksum, body)

    async def receive_part(
        self, blob: Blob, number: int, digest: bytes, chunks: AsyncIterator[bytes]
    ) -> None:
        """Store a part of an upload, durably.

        Args:
            blob: The upload.
            number: The number of the part.
            digest: The SHA-256 that the part must have.
            chunks: The bytes, as they come.

        Raises:
            ApiError: 400, 404, 503 or 507: the part is not what was announced, or cannot be stored.
        """
        size = blob.size_of(number)
        if size is None:
            raise ValueError(f"the blob has no part {number}")
        if blob.complete or any(part.number == number for part in blob.parts):
            # stored already: read to the end all the same, or the client would see its connection break
            async for chunk in chunks:
                self._telemetry.blob_bytes.inc(len(chunk))
            return
        name = part_name()
        sink = await self._threads.run(_Sink, self._objects, name)
        used = False
        try:
            await self._fill(sink, size, chunks)
            await self._threads.run(sink.finish, size, digest)
            used = True  # if this wait is cancelled, the part may be listed all the same
            used = await self._threads.run(self._catalogue.add_part, blob, Part(number, name, size))
        except Exception as error:
            used = may_be_committed(error)
            raise
        finally:
            if not used:
                await self._threads.run(sink.discard)
        self._telemetry.parts.inc()

    async def complete(self, owner: str, checksum: str) -> Blob:
        """Check an upload whose parts are all stored, and mark it as complete.

        Raises:
            ApiError: 404: there is no such upload; 409: parts are missing; 422: the bytes have another checksum; 503:
                the check takes a while, ask again.
        """
        blob = await self._threads.run(self._catalogue.find, owner, checksum)
        if blob is None:
            raise no_upload(checksum)
        if blob.complete:
            # it may have been collected since it was found: then the client has to send it again
            if not await self._threads.run(self._catalogue.touch, blob):
                raise no_upload(checksum)
            return blob
        if blob.missing:
            raise ApiError(
                409,
                ErrorCode.PARTS_MISSING,
                f"{len(blob.missing)} parts of {checksum} are not here: send them first",
                parts=blob.missing,
            )
        check = asyncio.wrap_future(self._checker.check(blob))
        # `wait` does not cancel the check when its time is over, as `wait_for` would: others may wait for the same one
        done, _ = await asyncio.wait({check}, timeout=_PATIENCE)
        if not done:
            raise busy(f"the {blob.size} bytes of {checksum} are being read back")
        failed = check.result()
        if failed is not None:
            raise failed
        return blob

    def readable(self, blob: Blob) -> ReadableBlob:
        """Return a complete blob, to be read."""
        return ReadableBlob(blob, self._read)

    async def _read(self, piece: Piece) -> bytes:
        data = await self._threads.run(read_piece, self._objects, piece)
        self._telemetry.blob_bytes_sent.inc(len(data))
        return data

    async def _fill(self, sink: _Sink, size: int, chunks: AsyncIterator[bytes]) -> None:
        pending = bytearray()
        async for chunk in chunks:
            self._telemetry.blob_bytes.inc(len(chunk))
            pending += chunk
            if sink.size + len(pending) > size:
                raise _damaged(f"the part has more than its {size} bytes")
            if len(pending) >= PIECE_BYTES:
                # a new one instead of clearing it: whatever reads ahead must not touch what is being written
                await self._threads.run(sink.write, pending)
                pending = bytearray()
        await self._threads.run(sink.write, pending)

    def _store_whole(self, owner: str, checksum: str, body: bytes | bytearray) -> None:
        self._telemetry.blob_bytes.inc(len(body))
        if hashlib.sha256(body).hexdigest() != checksum:
            raise _damaged(f"the SHA-256 of the body is not {checksum}")
        blob = self._catalogue.find(owner, checksum)
        # it may have been collected since it was found: then it is stored once more
        if blob is not None and blob.complete and self._catalogue.touch(blob):
            return
        name = None
        if body:
            name = part_name()
            try:
                self._objects.put(name, body)
            except OSError as error:
                raise store_error(error) from error
        used = False
        try:
            used = self._catalogue.add_whole(owner, checksum, len(body), name)
        except Exception as error:
            used = may_be_committed(error)
            raise
        finally:
            if name is not None and not used:
                self._objects.discard([name])
        self._telemetry.parts.inc()


class _Sink:
    # an object that grows, and the hash of what went in; one thread at a time may use it
    def __init__(self, objects: ObjectStore, name: str) -> None:
        try:
            self._writer = objects.writer(name)
        except OSError as error:
            raise store_error(error) from error
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytearray) -> None:
        self._hash.update(data)
        try:
            self._writer.write(data)
        except OSError as error:
            raise store_error(error) from error
        self.size += len(data)

    def finish(self, size: int, digest: bytes) -> None:
        """Make the object durable, if it has this size and SHA-256."""
        if self.size != size:
            raise _damaged(f"the part has {self.size} bytes instead of {size}")
        if self._hash.digest() != digest:
            raise _damaged("the SHA-256 of the part is not that of its Content-Digest")
        try:
            self._writer.finish()
        except OSError as error:
            raise store_error(error) from error

    def discard(self) -> None:
        self._writer.discard()


def _damaged(what: str) -> ApiError:
    return ApiError(400, ErrorCode.DAMAGED, f"{what}: send it again")
