"""Marks that say which experiments have changed, for whoever keeps summaries of a root (`storage.summaries`).

A journal that grows changes the time of a file, four levels below the root; to look at each of 100,000 takes seconds.
So who writes to an experiment touches a file in the root, whose name is drawn from the experiment's path: one of 256,
so that a look reads the times of 256 files, and then looks at the few experiments that share the name. Nothing is
ever removed, and nothing has to be: any number of readers remember what they have seen, and a mark that comes twice
says nothing new.

Only a root of which summaries are kept has the directory (`prepare`); elsewhere nothing is written.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import zlib

SUMMARIES = ".summaries"
"""The directory in a root. No segment of a prefix begins with a dot, so that nobody takes it for an experiment."""
_MARKS = "changed"
BUCKETS = 256
_LEVELS = 16
"""Directories above an experiment's that are looked into, at most."""


def bucket_of(path: str) -> int:
    """Return the number of the mark of an experiment, by its path below the root with slashes."""
    return zlib.crc32(path.encode("utf-8", "surrogatepass")) % BUCKETS


def prepare(root: str) -> None:
    """Have marks made in a root from now on; OSError where that cannot be."""
    # not the root itself: it may be gone for good
    for path in (os.path.join(root, SUMMARIES), os.path.join(root, SUMMARIES, _MARKS)):
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)
        if not _is_directory(path):
            raise OSError(errno.ENOTDIR, "it is no directory, or a link to one", path)


def mark_changed(directory: str) -> None:
    """Say that an experiment has changed, in every root above it of which summaries are kept. Never raises.

    Call it behind what was written. The directories on the way are marked too: an experiment may lie in another one.
    """
    with contextlib.suppress(OSError, ValueError):
        real = os.path.realpath(directory)
        device = os.stat(real).st_dev
        root = real
        for _ in range(_LEVELS):
            above = os.path.dirname(root)
            # to look into what is above a mounted file system may mount others
            if above == root or os.stat(above).st_dev != device:
                break
            root = above
            marks = os.path.join(root, SUMMARIES, _MARKS)
            if _is_directory(marks) and _is_directory(os.path.dirname(marks)):
                _mark(marks, os.path.relpath(real, root).replace(os.sep, "/"))


def _is_directory(path: str) -> bool:
    """Whether there is a directory, and no link: a root may come from somebody else."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _mark(marks: str, path: str) -> None:
    while path:
        with contextlib.suppress(OSError):
            _touch(os.path.join(marks, f"{bucket_of(path):02x}"))
        path = path.rpartition("/")[0]


def _touch(path: str) -> None:
    try:
        os.utime(path, follow_symlinks=False)
    except FileNotFoundError:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666))


def marked(root: str) -> dict[int, int]:
    """Return when each mark was made last, in nanoseconds by the file system's clock; those that there are."""
    found = {}
    with contextlib.suppress(OSError), os.scandir(os.path.join(root, SUMMARIES, _MARKS)) as entries:
        for entry in entries:
            with contextlib.suppress(OSError, ValueError):
                found[int(entry.name, 16)] = entry.stat(follow_symlinks=False).st_mtime_ns
    return found
