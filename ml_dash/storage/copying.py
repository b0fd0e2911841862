"""Copies of a file's content, hashed while they are made, in memory that does not depend on the size.

Where the disk can (btrfs, XFS and others), a copy shares the blocks of the file until one of the two is written.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

from ml_dash.errors import ContentError, FileChangedError, InvalidArgumentError
from ml_dash.journal.disk import open_regular
from ml_dash.storage.atomic import storing
from ml_dash.storage.hashing import Copied, Hasher, Opener, Progress, checksum_of, opened, read_block
from ml_dash.storage.placing import placing

if TYPE_CHECKING:
    from collections.abc import Iterator

_BINARY = getattr(os, "O_BINARY", 0)
_FICLONE = 0x40049409
"""``_IOW(0x94, 9, int)`` of ``linux/fs.h``."""
_PAUSES = (0.05, 0.25, 0.0)
"""Seconds after each attempt at a file that changed meanwhile; most are complete by then."""


def copy_file(
    source: str | os.PathLike[str],
    copy: str,
    on_progress: Progress | None = None,
    opener: Opener = open_regular,
) -> Copied:
    """Write what a file holds now to a file that is not there yet, sharing its blocks where the disk can.

    A symbolic link is followed, unless `opener` does not. What has been written of the copy by an error is left to the
    caller.

    Raises:
        InvalidArgumentError: `source` is no path, or that of a directory.
        FileMissingError: There is no such file.
        FileChangedError: The file was written during each of three attempts.
        FileStoreError: It cannot be read, is no regular file, or the copy cannot be written.
    """
    path = _path(source)
    with opened(path, opener) as fd, _created(copy) as copy_fd:
        if _reflink(fd, copy_fd):
            return checksum_of(copy, on_progress)
        for pause in _PAUSES:
            if copied := _copy_once((path, fd), (copy, copy_fd), on_progress):
                return copied
            time.sleep(pause)
            os.lseek(fd, 0, os.SEEK_SET)
            os.lseek(copy_fd, 0, os.SEEK_SET)
            os.ftruncate(copy_fd, 0)
    raise FileChangedError(
        f"{path!r} changed while it was copied, {len(_PAUSES)} times: save it when nothing writes to it any more, "
        "or write it beside and rename it, and save it then"
    )


def copy_blob(
    source: str,
    dest: str,
    checksum: str,
    size: int,
    on_progress: Progress | None = None,
    opener: Opener = open_regular,
    *,
    new: bool = False,
) -> None:
    """Copy a content and check it; the destination is either complete or as it was before.

    The directories above it are made. What is there already is replaced, unless it is no file, or a `new` one was asked
    for; see `storage.placing`.

    Raises:
        ContentError: It has another checksum or length.
        FileMissingError: It is not there.
        FileStoreError: It cannot be read, or the copy cannot be written.
        InvalidArgumentError: The destination is a directory.
    """
    with storing(dest):
        os.makedirs(os.path.dirname(os.path.abspath(dest)), exist_ok=True)
        with placing(dest, new=new) as temporary:
            copied = copy_file(source, temporary, on_progress, opener)
            if copied != (checksum, size):
                raise ContentError(
                    f"{source!r} should hold {size:,} bytes with the SHA-256 {checksum}, and holds {copied.size:,} "
                    f"with {copied.checksum}: it was damaged or changed, {dest!r} was not written"
                )


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of it, or raise OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _copy_once(source: tuple[str, int], copy: tuple[str, int], on_progress: Progress | None) -> Copied | None:
    """Copy from one open file to another, each a path and its descriptor; None where the first changed meanwhile."""
    path, fd = source
    before, size = os.fstat(fd), 0
    with Hasher() as hasher:
        while block := read_block(fd, path):
            hasher.update(block)
            with storing(copy[0]):
                write_all(copy[1], block)
            size += len(block)
            if on_progress is not None:
                on_progress(size)
            if _state(os.fstat(fd)) != _state(before):
                return None
        # a file of the kernel's, such as those in /proc, says that it is empty
        same = _state(os.fstat(fd)) == _state(before) and before.st_size in {0, size}
        return Copied(hasher.digest(), size) if same else None


def _state(status: os.stat_result) -> tuple[int, int, int]:
    # the ctime too, which no program can set back as it can the mtime
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _path(source: str | os.PathLike[str]) -> str:
    try:
        path = os.fsdecode(source)
    except TypeError:
        raise InvalidArgumentError(
            f"a file is given by its path, not by {source!r} ({type(source).__name__})"
        ) from None
    if "\0" in path:
        raise InvalidArgumentError(f"no file has a path with a null character: {path!r}")
    return path


@contextlib.contextmanager
def _created(path: str) -> Iterator[int]:
    with storing(path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
    try:
        yield fd
    finally:
        os.close(fd)


def _reflink(source: int, copy: int) -> bool:
    """Give the empty file `copy` the blob of `source` at this moment, without copying it; False where none can."""
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(copy, _FICLONE, source)
    except OSError:  # what it is does not matter: a copy is tried next, and tells what is really wrong
        return False
    return True
