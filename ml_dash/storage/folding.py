"""File systems that take two names for one: ``Run`` and ``run`` on macOS and Windows, in some directories of Linux too.

Two experiments would share a directory there, and be mixed for ever. Whether a disk folds a name is asked of a name
that is there, by looking for it in the other case: nothing is written for that, it is right for each directory by
itself (a root may be mounted from elsewhere), and on a disk that does not fold, it costs one look at each level.
"""

from __future__ import annotations

import os
import unicodedata
from typing import TYPE_CHECKING, Protocol

from ml_dash.journal.disk import NOT_THERE

if TYPE_CHECKING:
    from collections.abc import Sequence


class Directories(Protocol):
    """What is asked of a file system."""

    def entry(self, path: str) -> tuple[int, int] | None:
        """Return what tells an entry from all others, without following a link; None where there is none."""

    def names(self, directory: str) -> list[str]:
        """Return the names in a directory, as they were given."""


class _RealDirectories:
    def entry(self, path: str) -> tuple[int, int] | None:
        try:
            status = os.lstat(path)
        except NOT_THERE:
            return None
        return status.st_dev, status.st_ino

    def names(self, directory: str) -> list[str]:
        return os.listdir(directory)


REAL_DIRECTORIES: Directories = _RealDirectories()


def taken_name(
    root: str, segments: Sequence[str], directories: Directories = REAL_DIRECTORIES
) -> list[str] | None:
    """Return the segments, up to one that is there under another name which this disk takes for the same; else None.

    A name whose accents are composed otherwise counts as the same: some disks store all of them in a form of their own.

    OSError where it cannot be looked.
    """
    at = root
    for depth, segment in enumerate(segments):
        path = os.path.join(at, segment)
        own = directories.entry(path)
        if own is None:
            return None  # nor is anything below it
        # one without letters is the same in either case: nothing can be mistaken for it
        other = segment.swapcase()
        if other != segment and directories.entry(os.path.join(at, other)) == own:
            stored = _stored(at, segment, directories)
            if stored is not None:
                return [*segments[:depth], stored]
        at = path
    return None


def _stored(directory: str, segment: str, directories: Directories) -> str | None:
    """Return the name that was given to what is there under this one; None where it is this one."""
    names = directories.names(directory)
    if any(_composed(name) == _composed(segment) for name in names):
        return None
    folded = _composed(segment).casefold()
    return next((name for name in names if _composed(name).casefold() == folded), None)


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
