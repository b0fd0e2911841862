"""Files that one process at a time may hold."""

from __future__ import annotations

import errno
import sys

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
