"""Blobs on this disk: captured as they are at the call, stored once, found by their checksum.

They lie in the experiment's ``files/<first two digits>/<SHA-256>``. A blob is written to a temporary file in
``files/`` and renamed when it is complete, so that nothing half-written is ever found. Equal blobs are stored once,
by any number of threads and processes.

A blob that a server does not have yet has a marker, the empty file ``files/unsent/<checksum>.<writer>``. A run makes
one before it logs the row of a file, and the sender removes it when the server has the blob. So that directory is
the queue of uploads, and it survives whatever the process does not. A run looks after its own markers; those of runs
that have ended are for `ml-dash sync`, and for the next run below the same root.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from ml_dash.errors import ContentError
from ml_dash.journal.disk import NOT_THERE, REAL_DISK, Disk, open_regular
from ml_dash.protocol import CHECKSUM_PATTERN
from ml_dash.query.files import is_checksum
from ml_dash.storage.atomic import scratch, storing
from ml_dash.storage.copying import copy_file
from ml_dash.storage.hashing import Copied, Opener, Progress, checksum_of, write_hashed

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

_MARKER = re.compile(rf"({CHECKSUM_PATTERN})\.([A-Za-z0-9_-]{{1,128}})")
# of this form alone: whatever else is called so in that directory is somebody's own
_TEMPORARY = re.compile(r"tmp-[0-9a-f]{20}(?:\..*)?", re.DOTALL)
_ABANDONED_SECONDS = 24 * 3600
"""A temporary file that nobody has written to for this time was left by a process that was killed."""


class Staged(NamedTuple):
    """A blob that is on this disk: SHA-256 in lower-case hexadecimal digits, length in bytes, path."""

    checksum: str
    size: int
    path: str


class Staging:
    """The blobs of one experiment, for any thread of any number of processes; ``files/`` is made when it is needed."""

    def __init__(self, directory: str) -> None:
        self._directory = os.path.join(directory, "files")
        self._swept = False

    def capture(
        self,
        source: str | os.PathLike[str],
        on_progress: Progress | None = None,
        opener: Opener = open_regular,
    ) -> Staged:
        """Store what a file holds now; it is only read, and may change afterwards.

        A link is followed, unless `opener` does not.

        Raises:
            InvalidArgumentError: `source` is no path, or that of a directory.
            FileMissingError: There is no such file.
            FileChangedError: The file was written at each of three attempts.
            FileStoreError: It cannot be read, is no regular file, or cannot be stored, as on a full disk.
        """
        with self._temporary() as temporary:
            return self._keep(temporary, copy_file(source, temporary, on_progress, opener))

    def write(self, produce: Callable[[BinaryIO], object]) -> Staged:
        """Store what `produce` writes to its file; FileStoreError where that cannot be, as on a full disk."""
        with self._temporary() as temporary:
            return self._keep(temporary, write_hashed(temporary, produce))

    def encode(self, suffix: str, produce: Callable[[str], object]) -> Staged:
        """Store what `produce` writes to a path that ends with `suffix`; for the rest as `write`."""
        with self._temporary(suffix) as temporary:
            produce(temporary)
            return self._keep(temporary, checksum_of(temporary))

    def path_of(self, checksum: str) -> str:
        """Return where the blob with this checksum lies, or would lie.

        Raises:
            ContentError: `checksum` is invalid; a row from elsewhere could name any path by it.
        """
        if not is_checksum(checksum):
            raise ContentError(f"{checksum!r} is no SHA-256 in lower-case hexadecimal digits")
        return os.path.join(self._directory, checksum[:2], checksum)

    def has(self, checksum: str, size: int) -> bool:
        """Whether the blob is here, with the length in bytes that it should have."""
        try:
            status = os.stat(self.path_of(checksum))
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == size

    def is_out_of_reach(self, checksum: str) -> bool:
        """Whether nobody can tell if the blob is here: one that cannot be looked at is not gone by that."""
        try:
            os.stat(self.path_of(checksum))
        except NOT_THERE:
            return False
        except OSError:
            return True
        return False

    def _keep(self, temporary: str, copied: Copied) -> Staged:
        """Give a complete blob its name, unless it is here already."""
        staged = Staged(*copied, self.path_of(copied.checksum))
        if not self.has(*copied):
            with storing(staged.path):
                os.makedirs(os.path.dirname(staged.path), exist_ok=True)
                try:
                    os.replace(temporary, staged.path)
                except PermissionError:  # on Windows: another process has just stored it, and has it open
                    if not self.has(*copied):
                        raise
        return staged

    def _temporary(self, suffix: str = "") -> AbstractContextManager[str]:
        """Return a context that gives the path of a file to be made, and renamed; else it is gone in the end."""
        with storing(self._directory):
            os.makedirs(self._directory, exist_ok=True)
        # not at the beginning: a run that saves no file need not look into this directory
        if not self._swept:
            self._swept = True
            self._sweep()
        return scratch(os.path.join(self._directory, f"tmp-{os.urandom(10).hex()}{suffix}"))

    def _sweep(self) -> None:
        """Remove the temporary files of processes that were killed, but none that one may still write to."""
        with contextlib.suppress(OSError), os.scandir(self._directory) as entries:
            for entry in entries:
                if _TEMPORARY.fullmatch(entry.name) and _is_abandoned(entry):
                    with contextlib.suppress(OSError):  # another process removes them, too
                        os.remove(entry.path)


class Marker(NamedTuple):
    """A blob, and the writer whose rows name it."""

    checksum: str
    writer: str


def add_marker(directory: str, checksum: str, writer: str) -> None:
    """Note that a writer of the experiment in this directory has a blob to send, or raise OSError."""
    path = _marker_path(directory, checksum, writer)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    # "ab": one that is there already, of another thread, is as good, and stays
    with open(path, "ab"):
        pass


def markers(
    directory: str, only: Callable[[str], bool] = lambda _: True, disk: Disk = REAL_DISK
) -> list[Marker]:
    """Return the markers of those writers that `only` says, by checksum; OSError where nobody can tell."""
    try:
        names = disk.list(os.path.join(directory, "files", "unsent"))
    except NOT_THERE:
        return []
    found = [Marker(*match.groups()) for match in map(_MARKER.fullmatch, names) if match]
    return [marker for marker in found if only(marker.writer)]


def is_used(files: str) -> bool:
    """Whether something is being saved in a directory of blobs, or waits to be sent; OSError where nobody can tell."""
    with os.scandir(files) as entries:
        if any(_TEMPORARY.fullmatch(entry.name) and not _is_abandoned(entry) for entry in entries):
            return True
    try:
        return any(map(_MARKER.fullmatch, os.listdir(os.path.join(files, "unsent"))))
    except NOT_THERE:
        return False


def _is_abandoned(entry: os.DirEntry[str]) -> bool:
    return entry.stat(follow_symlinks=False).st_mtime < time.time() - _ABANDONED_SECONDS


def discard_marker(directory: str, marker: Marker, disk: Disk = REAL_DISK) -> None:
    """Remove a marker. One that cannot be removed costs a question the next time."""
    with contextlib.suppress(OSError):
        disk.remove(_marker_path(directory, *marker))


def _marker_path(directory: str, checksum: str, writer: str) -> str:
    return os.path.join(directory, "files", "unsent", f"{checksum}.{writer}")
