"""A file that knows the checksum of what was written to it."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, BinaryIO, cast

from ml_dash.storage.copying import Copied, checksum_of, store_error
from ml_dash.storage.hashing import BLOCK_BYTES, Hasher

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

__all__ = ["write_hashed"]


def write_hashed(path: str, produce: Callable[[BinaryIO], object]) -> Copied:
    """Let `produce` write to a new file, and return what the file holds then.

    Args:
        path: Where it is made; nothing must be there. What an error leaves of it is the caller's to remove.
        produce: Is given the file, which it may seek in, and need not close.

    Raises:
        FileStoreError: The file cannot be made or written, whatever `produce` made of that.
    """
    with _HashedFile(path) as file:
        buffered = io.BufferedWriter(file, BLOCK_BYTES)
        try:
            produce(cast("BinaryIO", buffered))
            buffered.flush()
        except BaseException:
            file.abandon()
            raise
        return file.copied()


class _HashedFile(io.RawIOBase):
    """Hashes what is written in order; where an encoder goes back to fill something in, it is read again in the end."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._size = 0
        self._in_order = True
        self._failure: OSError | None = None
        self._abandoned = False
        self._hasher = Hasher()
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            self._fd = os.open(path, flags, 0o666)
        except OSError as error:
            raise store_error(path, error) from error

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        block = bytes(memoryview(data).cast("B")[:BLOCK_BYTES])
        if self._abandoned:
            return len(block)
        try:
            written = os.write(self._fd, block)
        except OSError as error:
            self._failure = error
            raise
        if self._in_order:
            self._hasher.update(block[:written])
            self._size += written
        return written

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        position = os.lseek(self._fd, offset, whence)
        self._in_order = self._in_order and position == self._size
        return position

    def truncate(self, size: int | None = None, /) -> int:
        self._in_order = False
        length = os.lseek(self._fd, 0, os.SEEK_CUR) if size is None else size
        os.ftruncate(self._fd, length)
        return length

    def abandon(self) -> None:
        """Write nothing any more, not even what waits in a buffer, and raise what a write has met."""
        self._abandoned = True
        if self._failure is not None:
            raise store_error(self._path, self._failure) from self._failure

    def copied(self) -> Copied:
        """Return what the file holds."""
        if self._failure is not None:  # the encoder has kept it to itself
            self.abandon()
        return Copied(self._hasher.digest(), self._size) if self._in_order else checksum_of(self._path)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._hasher.digest()
            os.close(self._fd)
