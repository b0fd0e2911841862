"""SHA-256 of what is read or written, computed on a thread of its own beside the reading and the writing."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import queue
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from ml_dash.errors import FileMissingError, FileStoreError, InvalidArgumentError
from ml_dash.journal.disk import NOT_THERE, NotRegularError, open_regular
from ml_dash.spawning import start_thread
from ml_dash.storage.atomic import store_error

if TYPE_CHECKING:
    import threading

    from typing_extensions import Buffer

BLOCK_BYTES = 1 << 20
"""How much is read, written and hashed at a time."""
_WAITING_BLOCKS = 4
"""How many blocks may wait to be hashed: memory stays the same for a content of any size."""
_BINARY = getattr(os, "O_BINARY", 0)

Progress = Callable[[int], None]
"""Is called with the number of bytes that are done so far; it starts anew where a copy does."""
Opener = Callable[[str], io.FileIO]
"""Opens a regular file for reading, or raises OSError; see `open_regular`."""


class Copied(NamedTuple):
    """What a copy holds: its SHA-256 in lower-case hexadecimal digits, and its length in bytes."""

    checksum: str
    size: int


class Hasher:
    """SHA-256 of the blocks that it is given.

    The first block is hashed by the caller: no thread is worth its while for a small file. From the second one on a
    thread takes over; `hashlib` lets go of the interpreter meanwhile. Use it as a context: at its end the thread is
    gone, whatever happened.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._blocks: queue.Queue[bytes | None] = queue.Queue(_WAITING_BLOCKS)
        self._thread: threading.Thread | None = None
        self._begun = False

    def __enter__(self) -> Hasher:  # noqa: PYI034 - typing has no Self before Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._end_thread()

    def update(self, block: bytes) -> None:
        """Take in a block, which must not change afterwards; waits where hashing is slower than what else is done."""
        if self._thread is None and self._begun:
            self._start_thread()
        self._begun = True
        if self._thread is None:
            self._hash.update(block)
        else:
            self._blocks.put(block)

    def digest(self) -> str:
        """Return the checksum of all blocks, in lower-case hexadecimal digits."""
        self._end_thread()
        return self._hash.hexdigest()

    def _start_thread(self) -> None:
        self._thread = start_thread(
            self._run, "ml-dash-checksum"
        )  # where there can be none, the caller goes on

    def _run(self) -> None:
        while (block := self._blocks.get()) is not None:
            self._hash.update(block)

    def _end_thread(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._blocks.put(None)
            thread.join()


def checksum_of(path: str, on_progress: Progress | None = None, opener: Opener = open_regular) -> Copied:
    """Read a file that nobody writes to, and return what it holds."""
    size = 0
    with Hasher() as hasher, opened(path, opener) as fd:
        while block := read_block(fd, path):
            hasher.update(block)
            size += len(block)
            if on_progress is not None:
                on_progress(size)
        return Copied(hasher.digest(), size)


@contextlib.contextmanager
def opened(path: str, opener: Opener = open_regular) -> Iterator[int]:
    """Open a regular file for reading, and say what is wrong for those who save or read it."""
    try:
        file = opener(path)
    except NOT_THERE as error:
        where = "" if os.path.isabs(path) else f" in {os.getcwd()!r}"
        raise FileMissingError(
            f"there is no file {path!r}{where}: give the path of one that is there"
        ) from error
    except NotRegularError as error:
        if error.errno == errno.EISDIR:
            raise InvalidArgumentError(
                f"{path!r} is a directory: save its files one by one, or an archive of it (`shutil.make_archive`)"
            ) from error
        raise FileStoreError(
            f"{path!r} is no regular file, but a pipe, a socket or a device: save a file"
        ) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    with file:
        yield file.fileno()


def read_block(fd: int, path: str) -> bytes:
    """Read what comes next of an open file; nothing at its end."""
    try:
        return os.read(fd, BLOCK_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> FileStoreError:
    failure = FileStoreError(
        f"cannot read {path!r}: {error.strerror or error}. Nothing was saved; make it readable, and save it again"
    )
    failure.errno = error.errno
    return failure


def write_hashed(path: str, produce: Callable[[BinaryIO], object]) -> Copied:
    """Let `produce` write to a new file, and return what the file holds then.

    It may seek in the file, and need not close it. What an error leaves of it is the caller's to remove.

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
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
            self._fd = os.open(path, flags, 0o666)
        except OSError as error:
            raise store_error(path, error) from error

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        # a copy: the encoder may use its buffer again while a thread hashes this one
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
        if self._failure is not None:  # the encoder has kept it to itself
            self.abandon()
        return Copied(self._hasher.digest(), self._size) if self._in_order else checksum_of(self._path)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._hasher.digest()  # ends its thread, after an error too
            os.close(self._fd)
