"""Files and directories that one process at a time may hold."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""What a file system without locks answers."""


def try_lock(descriptor: int) -> bool:
    """Lock an open file unless another process has; on a file system without locks, no other has.

    Closing the file, or the end of the process, unlocks it.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _NO_LOCKS
    return True


@contextlib.contextmanager
def directory_lock(path: str) -> Iterator[bool]:
    """Wait for a directory, and hold it; give False where it is gone by then, or another one is in its place.

    Nothing is written, so a disk that may only be read is no obstacle. Where directories have no locks (on Windows, on
    some file systems), nobody is waited for.
    """
    if sys.platform == "win32":
        yield os.path.isdir(path)
        return
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        yield True  # what is done with it will say so
        return
    except OSError:
        yield False
        return
    try:
        # NFS gives such a lock only to those who may write to what they have opened, and a directory nobody may
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            is_there = os.path.samestat(os.fstat(descriptor), os.stat(path))
        except OSError:
            is_there = False
        yield is_there
    finally:
        # closing alone would leave it to a process that was forked meanwhile
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
