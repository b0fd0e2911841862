"""Markers of contents that a server does not have yet: ``files/unsent/<checksum>.<writer>``, empty files.

A run makes one before it logs the row of a file, and the sender removes it when the server has the content. So this
directory is the queue of uploads, and it survives whatever the process does not. A run looks after its own markers;
those of runs that have ended are for `ml-dash sync`, and for the next run below the same root.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from ml_dash.query.files import CHECKSUM_PATTERN

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Marker", "add", "discard", "markers"]

_NAME = re.compile(rf"({CHECKSUM_PATTERN})\.([A-Za-z0-9_-]{{1,128}})")


class Marker(NamedTuple):
    """A content, and the writer whose rows name it."""

    checksum: str
    writer: str


def add(directory: str, checksum: str, writer: str) -> None:
    """Note that a writer of the experiment in this directory has a content to be sent.

    Raises:
        OSError: That cannot be written.
    """
    path = _path(directory, checksum, writer)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "ab"):
        pass


def markers(directory: str, only: Callable[[str], bool] = lambda _: True) -> list[Marker]:
    """Return the markers of those writers that `only` says, by checksum."""
    try:
        names = sorted(os.listdir(os.path.join(directory, "files", "unsent")))
    except OSError:  # there are none, or nobody can tell: who asks the server what it lacks will know
        return []
    found = [Marker(*match.groups()) for match in map(_NAME.fullmatch, names) if match]
    return [marker for marker in found if only(marker.writer)]


def discard(directory: str, marker: Marker) -> None:
    """Remove a marker. One that cannot be removed costs a question the next time."""
    with contextlib.suppress(OSError):
        os.remove(_path(directory, *marker))


def _path(directory: str, checksum: str, writer: str) -> str:
    return os.path.join(directory, "files", "unsent", f"{checksum}.{writer}")
