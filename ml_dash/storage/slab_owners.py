"""Which experiment a slab belongs to: by its writer's name, else by the directory that it was made for.

A writer's name is in the names of its segments, so it holds wherever the journal is now. Where the writer has written
nothing yet there is only the directory, told by device and inode (see `ml_dash.storage.recovery` for what that leaves).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ml_dash.journal.frame import parse_segment_name
from ml_dash.slabs.found import FoundSlab, find_slabs
from ml_dash.slabs.layout import place_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ml_dash.journal.disk import Disk
    from ml_dash.slabs.layout import Names

_NAMES: dict[str, Names | None] = {}
_REMEMBERED = 10_000


def directories_waiting() -> set[str]:
    """Return the directories, behind links, of the experiments that processes of this user on this machine log to.

    Those that are dead count as well, as long as nobody has recovered what they have left.
    """
    found = map(names_of, find_slabs())
    return {os.path.realpath(os.fsdecode(names.directory)) for names in found if names is not None}


def slabs_of(directory: str, disk: Disk) -> Iterator[str]:
    """Yield the paths of the slabs that belong to the experiment in a directory."""
    paths = list(find_slabs())
    if not paths:
        return
    writers = writers_in(directory, disk)
    for path in paths:
        if is_of(path, directory, writers):
            yield path


def is_of(path: str, directory: str, writers: Collection[str]) -> bool:
    """Whether a slab belongs to the experiment in a directory, to whose journal these have written.

    By its writer's name, wherever the journal is now; by the directory where it has written nothing yet.
    """
    if (writer := _writer_of(path)) in writers:
        return True
    names = names_of(path)
    # Else the directory was made after the slab: names of writers sort by birth.
    return (
        names is not None
        and _is_in(names, directory)
        and min(writers, default="") <= writer
        and not _has_written(path)
    )


def _has_written(path: str) -> bool:
    """Whether there were frames of a slab's writer: where its journal is there are none, that one is another."""
    try:
        slab = FoundSlab(path)
    except (OSError, ValueError):
        return True
    try:
        return slab.written > 0
    finally:
        slab.close()


def writers_in(directory: str, disk: Disk) -> set[str]:
    """Return those who have written to an experiment's journal; none where it cannot be listed."""
    try:
        names = [parse_segment_name(name) for name in disk.list(os.path.join(directory, "journal"))]
    except OSError:
        return set()  # whoever reads it next is told why, or finds more then
    return {name[0] for name in names if name}


def _is_in(names: Names, directory: str) -> bool:
    """Whether the experiment of a slab lies in a directory, and not in one of the same path in another container."""
    return names.inode != 0 and (names.device, names.inode) == place_of(directory)


def _writer_of(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def names_of(path: str) -> Names | None:
    """Return whose a slab is; None where it cannot be read."""
    if path not in _NAMES:
        if len(_NAMES) >= _REMEMBERED:
            _NAMES.clear()
        # Of another experiment, most often, and asked for again at each look at this one.
        try:
            slab = FoundSlab(path)
        except OSError:
            return None
        except ValueError:
            _NAMES[path] = None  # a slab is whole when it gets its name: this one never is
        else:
            slab.close()
            _NAMES[path] = slab.names
    return _NAMES.get(path)
