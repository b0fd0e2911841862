"""Where slabs lie: in memory of the machine that outlives a process, of which there is room, and which is ours."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import stat
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

QUEUE_DIR = "ML_DASH_QUEUE_DIR"
_SHARED = "/dev/shm"  # noqa: S108 - what is made there is checked, below
_LOCAL = frozenset(
    {"tmpfs", "ramfs", "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "overlay", "bcachefs"}
)
"""File systems of this machine: the pages of one that is far away may be gone with a cable."""
_OCTAL = r"\\([0-7]{3})"
"""How a space is written in a list of file systems, whose fields are between spaces."""
_ROOM = 16
"""A slab takes this part of what is free, at most: containers often have 64 MB, which others need as well."""


@functools.cache
def boot_id() -> bytes:
    """Return 16 bytes that tell this boot of the machine from others; zeros where nothing says so."""
    with contextlib.suppress(OSError, ValueError), open("/proc/sys/kernel/random/boot_id") as file:
        return bytes.fromhex(file.read().strip().replace("-", ""))
    return bytes(16)


def slab_places(chosen: str | None = None) -> list[str]:
    """Return the directories in which slabs may be, the best first; the one that was chosen alone, where one was."""
    if not has_slabs():
        return []
    name = f"ml-dash-{os.getuid()}"
    above = [os.path.expanduser(chosen)] if chosen else [_SHARED, *_temporary()]
    return [os.path.join(directory, name) for directory in above if os.path.isdir(directory)]


def _temporary() -> list[str]:
    try:
        import tempfile

        return [tempfile.gettempdir()]
    except (
        OSError,
        ImportError,
    ):  # none can be written to: the disk is full, or read-only; or the interpreter ends
        return []


def known_places() -> list[str]:
    """Return all directories in which this user's slabs may be, for who looks for those of others."""
    return list(dict.fromkeys([*slab_places(os.environ.get(QUEUE_DIR)), *slab_places()]))


def has_slabs() -> bool:
    """Whether this interpreter has what slabs need: POSIX, and the lock under which copies do not overlap."""
    if os.name != "posix" or not hasattr(os, "posix_fallocate"):
        return False
    asked = getattr(sys, "_is_gil_enabled", None)  # there since 3.13
    return asked is None or bool(asked())


def make_place(place: str, needed: int, *, is_chosen: bool = False) -> None:
    """Make a directory for slabs, or see that the one which is there is ours.

    Raises:
        OSError: it cannot be made, it belongs to somebody else, others may write there, it is not on this machine, or
            there is less room than a slab may take.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(place, 0o700)
    check_place(place)
    kind = file_system_of(place)
    if kind is not None and kind not in _LOCAL and not is_chosen:
        raise OSError(f"{place} is on a file system ({kind}) that may not be this machine's own")
    room = os.statvfs(place)
    if room.f_bavail * room.f_frsize < needed * _ROOM:
        raise OSError(f"{place} has room for {room.f_bavail * room.f_frsize:,} bytes only")


@contextlib.contextmanager
def beside_standard_streams() -> Iterator[None]:
    """Have no descriptor that is made meanwhile be that of a standard stream.

    A program may have closed these, and write to them all the same: its messages would be in the middle of a slab.
    """
    low = []
    try:
        while not _are_open(0, 1, 2):
            low.append(os.open(os.devnull, os.O_RDONLY))  # gets the lowest number that is free
        yield
    finally:
        for fd in low:
            os.close(fd)


def _are_open(*fds: int) -> bool:
    try:
        for fd in fds:
            os.fstat(fd)
    except OSError:
        return False
    return True


def check_place(place: str) -> os.stat_result:
    """Return the status of a directory; OSError unless it is this user's, and nobody else can write to it."""
    status = os.lstat(place)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise OSError(f"{place} is not a directory of this user's own")
    return status


def file_system_of(path: str) -> str | None:
    """Return the type of the file system that a path is on; None where nothing says so."""
    path, found = os.path.realpath(path), None
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.readlines()
    except OSError:
        return None
    longest = -1
    for line in lines:
        before, _, behind = line.partition(" - ")
        fields = before.split(" ")
        point = re.sub(_OCTAL, lambda match: chr(int(match[1], 8)), fields[4])
        is_above = path == point or path.startswith(point.rstrip("/") + "/")
        if is_above and len(point) >= longest:
            longest, found = len(point), behind.split(" ")[0]
    return found


def may_hold_slabs() -> bool:
    """Whether there may be slabs of this user: asked before what reads them is imported."""
    return any(map(_has_something, known_places()))


def _has_something(place: str) -> bool:
    try:
        check_place(place)
        return bool(os.listdir(place))
    except OSError:
        return False
