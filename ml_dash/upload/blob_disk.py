"""Blobs on this disk, as their sender reads them: a part at a time, while it is on its way."""

from __future__ import annotations

import errno
import functools
import hashlib
import os
from typing import TYPE_CHECKING

from ml_dash.errors import FileMissingError, FileStoreError, InvalidArgumentError
from ml_dash.journal.disk import NOT_THERE, NotRegularError, open_regular
from ml_dash.storage.blobs import Staging
from ml_dash.storage.hashing import checksum_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from io import FileIO

    from ml_dash.client.bridge import RunBlocking
    from ml_dash.storage.hashing import Opener

_PIECE_BYTES = 256 << 10


def open_unlinked(path: str) -> FileIO:
    """Open a blob, and nothing that a link in its place leads to, which nobody has saved."""
    return open_regular(path, follow=False)


class BlobDisk:
    """One experiment's blobs.

    Attributes:
        unread: Why blobs cannot be looked at or read, by checksum: nobody knows whether these are here, and right.
    """

    def __init__(self, directory: str, run_blocking: RunBlocking, opener: Opener = open_unlinked) -> None:
        self.unread: dict[str, OSError] = {}
        self._files = os.path.join(directory, "files")
        self._staging = Staging(directory)
        self._run = run_blocking
        self._open = opener

    def path_of(self, checksum: str) -> str:
        """Return where a blob lies, or would lie."""
        return self._staging.path_of(checksum)

    def has_any(self) -> bool:
        """Whether something was ever saved here; OSError where nobody can tell."""
        try:
            os.stat(self._files)
        except NOT_THERE:
            return False
        return True

    def sizes(self, checksums: Iterable[str]) -> dict[str, int]:
        """Return the sizes of those blobs that are here; those that cannot be looked at are `unread` then."""
        found = {}
        # Sorted: a set's order differs between processes, and a simulation must be repeatable.
        for checksum in sorted(checksums):
            self.unread.pop(checksum, None)
            try:
                with self._open(self.path_of(checksum)) as file:
                    found[checksum] = os.fstat(file.fileno()).st_size
            except (*NOT_THERE, NotRegularError):
                continue
            except OSError as error:
                self.unread[checksum] = error
        return found

    def part(self, checksum: str, start: int, size: int) -> Part:
        """Return a part of a blob; the blob is `unread` when that cannot be read."""
        note = functools.partial(self.unread.__setitem__, checksum)
        return Part(self.path_of(checksum), start, size, self._run, note, self._open)

    def is_damaged(self, checksum: str, size: int) -> bool:
        """Whether a blob is not what it was, or gone; OSError where it cannot be read, and nobody can tell."""
        try:
            return checksum_of(self.path_of(checksum), opener=self._open) != (checksum, size)
        except (FileMissingError, InvalidArgumentError):
            return True  # gone, or a directory
        except FileStoreError as error:
            if error.errno is None:
                return True  # no regular file
            raise


class Part:
    """A part of a blob, which is read from the disk while it is sent; see `Body`."""

    def __init__(
        self,
        path: str,
        start: int,
        size: int,
        run_blocking: RunBlocking,
        note: Callable[[OSError], None],
        opener: Opener,
    ) -> None:
        self.size = size
        self._open = opener
        self._note = note
        self._path = path
        self._start = start
        self._run = run_blocking

    def digest(self) -> bytes:
        """Return its SHA-256."""
        found = hashlib.sha256()
        with self._open(self._path) as file:
            for offset in range(0, self.size, _PIECE_BYTES):
                found.update(self._read(file, offset))
        return found.digest()

    async def pieces(self) -> AsyncIterator[bytes]:
        """See `Body.pieces`."""
        for offset in range(0, self.size, _PIECE_BYTES):
            try:
                piece = await self._run(lambda: self._read_at(offset))  # noqa: B023 - awaited here
            except OSError as error:
                self._note(error)
                raise
            yield piece

    def _read_at(self, offset: int) -> bytes:
        with self._open(self._path) as file:
            return self._read(file, offset)

    def _read(self, file: FileIO, offset: int) -> bytes:
        file.seek(self._start + offset)
        length = min(_PIECE_BYTES, self.size - offset)
        piece = file.read(length)
        if len(piece) != length:
            raise OSError(errno.EIO, "it has become shorter", self._path)
        return piece
