"""Copies of a file that share its blocks until one of the two is written (btrfs, XFS and others)."""

from __future__ import annotations

import sys

__all__ = ["reflink"]

_FICLONE = 0x40049409
"""``_IOW(0x94, 9, int)`` of ``linux/fs.h``."""


def reflink(source: int, copy: int) -> bool:
    """Give the empty file `copy` the content of `source` at this moment, without copying it.

    Args:
        source: A descriptor that can be read.
        copy: A descriptor that can be written.

    Returns:
        False where this cannot be done: another system, a file system that cannot, or two of them. Then nothing has
        changed.
    """
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(copy, _FICLONE, source)
    except OSError:  # what it is does not matter: a copy is tried next, and tells what is really wrong
        return False
    return True
