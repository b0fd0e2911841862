"""What the system refuses to read, to the superuser as well, since tests may run as one; and no descriptors at all."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_dash.journal.disk import RealDisk

__all__ = ["RefusingDisk", "forbidden", "locked", "no_descriptors", "unreadable"]


@contextlib.contextmanager
def forbidden(directory: Path) -> Iterator[None]:
    """Let nobody list a directory, the superuser neither (EACCES)."""
    scandir = os.scandir

    def refusing(path: Any = ".") -> Any:
        if os.path.realpath(path) == os.path.realpath(directory):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        return scandir(path)

    os.scandir = refusing
    try:
        yield
    finally:
        os.scandir = scandir


@contextlib.contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """Put a link to itself in the place of a file or directory: to look at what is listed is an error (ELOOP)."""
    aside = path.with_name(f".{path.name}.aside")
    path.rename(aside)
    path.symlink_to(path.name)
    try:
        yield
    finally:
        path.unlink()
        aside.rename(path)


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Let nobody open a file, the superuser neither, though its size can be told (EACCES)."""
    real = os.open

    def refusing(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        above = "" if dir_fd is None else os.readlink(f"/proc/self/fd/{dir_fd}")
        if os.path.realpath(os.path.join(above, path)) == os.path.realpath(file):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        return real(path, flags, mode, dir_fd=dir_fd)

    os.open = refusing
    try:
        yield
    finally:
        os.open = real


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process have no more file descriptors than it has (EMFILE)."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)  # the system gives the lowest that is free, so all below are in use
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


class RefusingDisk(RealDisk):
    """The real disk, but for what it refuses: operations (``size``, ``read_at``, ``list``) with an error number.

    Attributes:
        refuses: Error numbers by operation.
        where: Only paths that end with this.
    """

    def __init__(self, where: str = "", /, **refuses: int) -> None:
        self.where = where
        self.refuses = refuses

    def size(self, path: str) -> int:
        self._check("size", path)
        return super().size(path)

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        self._check("read_at", path)
        return super().read_at(path, offset, length)

    def list(self, directory: str) -> list[str]:
        self._check("list", directory)
        return super().list(directory)

    def _check(self, operation: str, path: str) -> None:
        number = self.refuses.get(operation)
        if number is not None and path.endswith(self.where):
            raise OSError(number, os.strerror(number), path)
