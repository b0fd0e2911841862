"""The files of an experiment that may come from somebody else: nothing in it leads out of it.

Who reads, sends or repairs a directory that somebody has sent, or in which others write, means what is in it. A link
there may lead to any file of the user's own, which would be shown, sent or written then. So below the experiment's
directory no link is followed, be it in the place of a file or of a directory. Which links above it are followed is a
matter of the root: see `storage.survey`.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ml_dash.journal.disk import RealDisk, SegmentFile, check_regular, next_data_in, open_regular, read_from

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from io import FileIO

_BY_DESCRIPTOR = {os.open, os.stat} <= os.supports_dir_fd and os.listdir in os.supports_fd
"""Whether this system can look into a directory that was opened, so that nobody puts a link in its place meanwhile."""
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)


class ForeignDisk(RealDisk):
    """The files below a directory, which itself may be a link; see `Disk` for the methods, and the module.

    Every method raises OSError for a path behind a link, with where that is.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._start = os.path.join(directory, "")

    def open(self, path: str) -> FileIO:
        """Open a regular file for reading; see `open_regular`."""
        directory, name = os.path.split(path)
        with self._opened(directory) as within:
            try:
                return open_regular(path if within is None else name, follow=False, within=within)
            except OSError as error:
                error.filename = path
                raise

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        """See `Disk.read_at`."""
        with self.open(path) as file:
            return read_from(file, offset, length)

    def next_data(self, path: str, offset: int) -> int:
        """See `Disk.next_data`."""
        with self.open(path) as file:
            return next_data_in(file, offset)

    def size(self, path: str) -> int:
        """See `Disk.size`."""
        return self._status(path).st_size

    def modified_ns(self, path: str) -> int:
        """See `Disk.modified_ns`."""
        return self._status(path).st_mtime_ns

    def list(self, directory: str) -> list[str]:
        """See `Disk.list`."""
        try:
            with self._opened(directory) as within:
                return sorted(os.listdir(directory if within is None else within))
        except FileNotFoundError:
            return []

    def create(self, path: str) -> SegmentFile:
        """See `Disk.create`."""
        self._check(os.path.dirname(path))
        return super().create(path)

    def replace(self, path: str, data: bytes | Iterable[bytes], *, durable: bool = True) -> None:
        """See `Disk.replace`; a link is replaced, and what it leads to stays as it is."""
        self._check(os.path.dirname(path))
        self.replace_name(path, data, durable=durable)

    def keep(self, path: str, kept: str) -> None:
        """See `Disk.keep`; a link has no content that is kept."""
        self._status(path)
        self._check(os.path.dirname(kept))
        self.keep_name(path, kept)

    def remove(self, path: str) -> None:
        """See `Disk.remove`; of a link, the link."""
        self._check(os.path.dirname(path))
        super().remove(path)

    def _status(self, path: str) -> os.stat_result:
        directory, name = os.path.split(path)
        with self._opened(directory) as within:
            status = os.stat(path if within is None else name, dir_fd=within, follow_symlinks=False)
        check_regular(path, status)
        return status

    @contextmanager
    def _opened(self, directory: str) -> Iterator[int | None]:
        """Give a directory, opened without following links below this one; None where the system cannot."""
        if not _BY_DESCRIPTOR:
            self._check(directory)
            yield None
            return
        at = self._directory
        within = os.open(at or os.curdir, _DIRECTORY)
        try:
            for part in self._parts(directory):
                at = os.path.join(at, part)
                try:
                    inner = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=within)
                except OSError as error:
                    _refuse_link(at)  # what a system says of a link here differs
                    error.filename = at
                    raise
                os.close(within)
                within = inner
            yield within
        finally:
            os.close(within)

    def _check(self, directory: str) -> None:
        """Raise an error where a directory below this one is a link."""
        at = self._directory
        for part in self._parts(directory):
            at = os.path.join(at, part)
            _refuse_link(at)

    def _parts(self, directory: str) -> Sequence[str]:
        """Return the names that lead from this directory to one below it."""
        below = os.path.join(directory, "")
        parts = [part for part in below[len(self._start) :].split(os.sep) if part]
        if not below.startswith(self._start) or os.pardir in parts:
            raise OSError(errno.EXDEV, f"it does not lie in {self._directory!r}", directory)
        return parts


def _refuse_link(path: str) -> None:
    """Raise an error where there is a link."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return  # whoever goes on there is told
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, "it is a link, and links are not followed here", path)
