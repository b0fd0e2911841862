"""Blobs on this disk, read a piece at a time."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from ml_dash.server.rows.library import Library
    from ml_dash.storage.blobs import Staging

_PIECE_BYTES = 1 << 20
_FOLLOWS_NOTHING = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
"""Whether this system can open a file without following links on the way (Windows cannot)."""


class LocalBlob:
    """A blob in an experiment's ``files/``, read on the library's threads."""

    def __init__(self, library: Library, path: str, checksum: str, size: int) -> None:
        self._library = library
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
            data = await self._library.query(_read, self._path, at, length)
            at += len(data)
            return data

        return following


def is_here(staging: Staging, checksum: str, size: int) -> bool:
    """Say whether a blob is on this disk: a regular file of this size, behind no link."""
    try:
        opened = _open(staging.path_of(checksum))
    except OSError:
        return False
    try:
        found = os.fstat(opened)
    finally:
        os.close(opened)
    return stat.S_ISREG(found.st_mode) and found.st_size == size


def _open(path: str) -> int:
    """Open a blob. Links are not followed: a root that was copied from somebody else may point to any file with one."""
    if not _FOLLOWS_NOTHING:
        return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    directory, name = os.path.split(path)
    files, part = os.path.split(directory)
    with _directory(files) as outer, _directory(part, outer) as inner:
        # NONBLOCK: to open a pipe of that name would wait for ever
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=inner)


@contextmanager
def _directory(path: str, inside: int | None = None) -> Iterator[int]:
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=inside)
    try:
        yield opened
    finally:
        os.close(opened)


def _read(path: str, offset: int, length: int) -> bytes:
    with open(_open(path), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path} is not a regular file any more")
        file.seek(offset)
        data = file.read(length)
    if len(data) < length:
        raise OSError(f"{path} has become shorter")
    return data
