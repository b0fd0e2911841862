"""Bytes of stored blobs: read a piece at a time, off the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ml_dash.server.blobs.objects import ObjectError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from ml_dash.server.blobs.catalogue import Blob
    from ml_dash.server.blobs.objects import ObjectStore

# a hop to a thread costs as much as to copy some 100 KiB: it should be a small part of each piece
PIECE_BYTES = 1 << 20
"""How much is read or written at a time: what a request holds in memory is a piece or two, whatever the blob's size."""


class LostObjectError(ObjectError):
    """An object is not as it was stored: to ask for it again is of no use."""


class Piece(NamedTuple):
    """Some bytes of an object."""

    object: str
    offset: int
    length: int


def pieces(blob: Blob, start: int, stop: int) -> Iterator[Piece]:
    """Yield where the bytes `start` to `stop` of a blob are."""
    begin = 0
    for part in blob.parts:
        at, end = max(start - begin, 0), min(stop - begin, part.size)
        while at < end:
            length = min(PIECE_BYTES, end - at)
            yield Piece(part.object, at, length)
            at += length
        begin += part.size


def read_piece(objects: ObjectStore, piece: Piece) -> bytes:
    """Return the bytes of a piece.

    Raises:
        LostObjectError: The object is missing, or shorter than it was.
        OSError: The store is out of reach.
    """
    try:
        data = objects.get(*piece)
    except FileNotFoundError as error:
        raise LostObjectError(f"object {piece.object} is missing") from error
    if len(data) != piece.length:
        raise LostObjectError(f"object {piece.object} has less than {piece.offset + piece.length} bytes")
    return data


class ReadableBlob:
    """A complete blob, as those who send it to a client ask for it; `read` returns the bytes of a piece."""

    def __init__(self, blob: Blob, read: Callable[[Piece], Awaitable[bytes]]) -> None:
        self._blob = blob
        self._read = read
        self.checksum = blob.checksum
        self.size = blob.size

    def reader(self, start: int, stop: int) -> Callable[[], Awaitable[bytes]]:
        """See `StoredBlob.reader`; OSError if the bytes are missing."""
        found = pieces(self._blob, start, stop)

        async def following() -> bytes:
            piece = next(found, None)
            return b"" if piece is None else await self._read(piece)

        return following
