"""Files that only ever grow, read from any place on.

A position is the number of bytes that were read and their checksum: a file that only grew goes on there, and one that
was written anew is noticed, whatever its length.
"""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from ml_dash.importers.source import Position

PIECE = 1 << 20


class RewrittenError(Exception):
    """What was read of a file is not at its beginning any more."""


class GrowingFile:
    """A file behind a position; a context.

    Raises:
        RewrittenError: The file does not begin with what was read of it.
        OSError: It cannot be read.
    """

    def __init__(self, path: str, opener: Callable[[str], io.FileIO], known: Position | None) -> None:
        self._file = io.BufferedReader(opener(path), PIECE)
        # what was looked at and not read, and how much of it has been read since
        self._ahead, self._at = b"", 0
        self._bytes: int = known["bytes"] if known else 0
        self._crc: int = known["crc"] if known else 0
        try:
            self._check_beginning()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> GrowingFile:  # noqa: PYI034 - typing has no Self before Python 3.11
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._file.close()

    def _check_beginning(self) -> None:
        left, crc = self._bytes, 0
        while left:
            piece = self._file.read(min(left, PIECE))
            if not piece:
                raise RewrittenError
            left, crc = left - len(piece), zlib.crc32(piece, crc)
        if crc != self._crc:
            raise RewrittenError

    @property
    def position(self) -> Position:
        """The place behind what was read so far."""
        return {"bytes": self._bytes, "crc": self._crc}

    def peek(self, size: int) -> bytes:
        """Return the next bytes, so many or fewer at the end of the file, and stay before them."""
        if self._at or len(self._ahead) < size:
            held = self._ahead[self._at :]
            self._ahead, self._at = held + self._file.read(max(size - len(held), 0)), 0
        return self._ahead[:size] if len(self._ahead) > size else self._ahead

    def read(self, size: int) -> bytes:
        """Return so many bytes; fewer at the end of the file."""
        held = self._ahead[self._at : self._at + size]
        self._at += len(held)
        return self._took(held + self._file.read(size - len(held)) if len(held) < size else held)

    def readline(self, most: int) -> bytes:
        """Return the bytes up to the next line end, and it, but at most so many; none at the end of the file."""
        if self._at < len(self._ahead):
            raise RuntimeError("what was looked at is read before lines are")
        return self._took(self._file.readline(most))

    def _took(self, data: bytes) -> bytes:
        self._bytes += len(data)
        self._crc = zlib.crc32(data, self._crc)
        return data
