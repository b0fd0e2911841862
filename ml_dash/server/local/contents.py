"""Contents of files on this disk, read a piece at a time."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ml_dash.files.staging import Staging
    from ml_dash.server.library import Library

__all__ = ["LocalContent", "find_content"]

_PIECE_BYTES = 1 << 20


class LocalContent:
    """A content that lies in an experiment's ``files/``.

    Args:
        library: Whose threads read.
        path: Where it is.
        checksum: Its SHA-256, by its name.
        size: Its bytes.
    """

    def __init__(self, library: Library, path: str, checksum: str, size: int) -> None:
        self._library = library
        self._path = path
        self.checksum = checksum
        self.size = size

    def reader(self, start: int, stop: int) -> Callable[[], Awaitable[bytes]]:
        """See `StoredContent.reader`; OSError where the bytes are not there."""
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


def find_content(library: Library, staging: Staging, checksum: str, size: int) -> LocalContent | None:
    """Return the content with this checksum; None where it is not here, as a regular file of this size."""
    path = staging.path_of(checksum)
    try:
        found = os.lstat(path)
    except OSError:
        return None
    is_it = stat.S_ISREG(found.st_mode) and found.st_size == size
    return LocalContent(library, path, checksum, size) if is_it else None


def _read(path: str, offset: int, length: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(offset)
        data = file.read(length)
    if len(data) < length:
        raise OSError(f"{path} has become shorter")
    return data
