"""What lies in the directory of an object store: whole and regular files, told from all else that may be there."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ml_dash.server.blobs.names import may_hold_own

if TYPE_CHECKING:
    from collections.abc import Iterator

# what a file system puts into its root, and lets nobody read
_NOBODYS = frozenset({"lost+found"})


class Entry(NamedTuple):
    """Something in an object store.

    Attributes:
        name: Its name from the store's root.
        size: In bytes.
        modified: When it was stored, in seconds since the epoch.
    """

    name: str
    size: int
    modified: float


def walk(root: str, *, strangers: bool) -> Iterator[Entry]:
    """Yield what lies below a directory.

    No link is followed: what lies behind one is not in the store, whatever its name.

    Args:
        root: The directory.
        strangers: Whether to look into every directory, and to yield what is no regular file too; else only where
            objects may be.
    """
    pending = [""]
    while pending:
        above = pending.pop()
        try:
            with os.scandir(os.path.join(root, above)) as found:
                entries = list(found)
        except FileNotFoundError:
            continue  # the directory was removed meanwhile
        except PermissionError:
            if not (strangers and above):
                raise
            if above not in _NOBODYS:
                yield Entry(above, 0, 0.0)
            continue
        for entry in entries:
            name = f"{above}/{entry.name}" if above else entry.name
            if entry.is_dir(follow_symlinks=False):
                if strangers or may_hold_own(name):
                    pending.append(name)
            elif strangers or entry.is_file(follow_symlinks=False):
                yield from _entry(name, entry)


def _entry(name: str, found: os.DirEntry[str]) -> Iterator[Entry]:
    with suppress(FileNotFoundError):  # removed meanwhile
        status = found.stat(follow_symlinks=False)
        yield Entry(name, status.st_size, status.st_mtime)
