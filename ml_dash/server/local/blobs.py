"""Blobs on this disk, read a piece at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ml_dash.journal.foreign_disk import ForeignDisk
    from ml_dash.server.rows.library import Library
    from ml_dash.storage.blobs import Staging

_PIECE_BYTES = 1 << 20


class LocalBlob:
    """A blob in an experiment's ``files/``, read on the library's threads."""

    def __init__(self, library: Library, disk: ForeignDisk, path: str, checksum: str, size: int) -> None:
        self._library = library
        self._disk = disk
        self._path = path
        self.checksum = checksum
        self.size = size

    def reader(self, start: int, stop: int) -> Callable[[], Awaitable[bytes]]:
        """See `StoredBlob.reader`; OSError if the bytes are missing."""
        at = start

        async def following() -> bytes:
            nonlocal at
            length = min(_PIECE_BYTES, stop - at)
            if length <= 0:
                return b""
            data = await self._library.query(_read, self._disk, self._path, at, length)
            at += len(data)
            return data

        return following


def is_here(disk: ForeignDisk, staging: Staging, checksum: str, size: int) -> bool:
    """Say whether a blob is on this disk: a regular file of this size, behind no link."""
    try:
        return disk.size(staging.path_of(checksum)) == size
    except OSError:
        return False


def _read(disk: ForeignDisk, path: str, offset: int, length: int) -> bytes:
    data = disk.read_at(path, offset, length)
    if len(data) < length:
        raise OSError(f"{path} has become shorter")
    return data
