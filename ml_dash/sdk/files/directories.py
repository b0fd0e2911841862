"""The files of a directory that is saved as a whole: which they are, and what is left out.

The rule: regular files, at any depth, and links to files, which are saved as what they lead to, as by `save` of one.
Links to directories are not followed, for they may lead in circles or out of what was named; they, links that lead
nowhere, pipes, sockets and devices are left out, and a warning names them. The root of the experiments is left out
silently where it lies in there: what is saved would be saved again.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ml_dash.errors import FileMissingError, FileStoreError
from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_LISTED = 5


class DirectoryFile(NamedTuple):
    """A file in a directory: where it lies, and its path from there, with slashes."""

    path: str
    name: str


class Directory:
    """A directory on this disk; it may be walked several times, and is never in memory as a whole.

    Args:
        path: Where it lies; it may be a link itself.
        root: The root of experiments, which is left out.
    """

    def __init__(self, path: str, root: str) -> None:
        self._path = path
        self._root = os.path.realpath(root)
        self._left_out: list[str] = []
        self._left_out_count = 0

    def files(self) -> Iterator[DirectoryFile]:
        """Yield its files, by name, those of a directory before those of the directories in it.

        Raises:
            FileStoreError: A directory cannot be read.
        """
        self._left_out, self._left_out_count = [], 0
        pending = [""]
        while pending:
            below = pending.pop()
            inner = []
            for entry in self._entries(below):
                name = f"{below}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    if os.path.realpath(entry.path) != self._root:
                        inner.append(f"{name}/")
                elif self._is_file(entry):
                    yield DirectoryFile(entry.path, name)
                else:
                    self._left_out_count += 1
                    if len(self._left_out) < _LISTED:
                        self._left_out.append(name)
            pending += reversed(inner)

    def left_out(self) -> str | None:
        """Return what to say of what the last walk has left out; None where that is nothing."""
        if not self._left_out:
            return None
        more = self._left_out_count - len(self._left_out)
        listed = ", ".join(map(repr, self._left_out)) + (f" and {more} more" if more else "")
        return (
            f"not saved of {self._path!r}: {listed}: links to directories or to nothing, pipes, sockets or devices. "
            "Save what a link leads to by itself"
        )

    def missing(self) -> FileMissingError:
        """Return what is said where there is no file in it."""
        return FileMissingError(
            f"there is no file in the directory {self._path!r}, nor below it: nothing was saved"
        )

    def _entries(self, below: str) -> list[os.DirEntry[str]]:
        place = os.path.join(self._path, below)
        try:
            with os.scandir(place) as found:
                return sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            raise FileStoreError(
                f"cannot read the directory {place!r}: {error.strerror or error}; mend its rights, or save what can be "
                "read"
            ) from error

    def _is_file(self, entry: os.DirEntry[str]) -> bool:
        try:
            return entry.is_file()
        except OSError:  # a link that leads in a circle
            return False
