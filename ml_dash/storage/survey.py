"""Which experiments there are under a root.

Experiments may lie inside one another.

A root may come from somebody else, and a link in it lead to anything of the user's. So a link to a directory is
followed where it leads to one inside of the root, and told of else: whoever has laid it names that directory itself.
The root may be a link, or lie behind one. Below an experiment's directory no link is followed, see `ForeignDisk`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ml_dash.errors import InvalidArgumentError
from ml_dash.journal.damage import Damage
from ml_dash.journal.disk import NOT_THERE, check_regular, is_shortage
from ml_dash.journal.foreign_disk import ForeignDisk
from ml_dash.storage.cursor import CURSOR_SUFFIX
from ml_dash.storage.live_disk import LiveDisk
from ml_dash.storage.side_file import PARAMETERS_FILE, SIDE_FILE, read_side_file, strange_side_file
from ml_dash.storage.standing import is_experiment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_OWN_DIRECTORIES = frozenset({"journal", "files"})
_DIRECTORIES = frozenset({*_OWN_DIRECTORIES, "rejected"})
_FILES = frozenset({SIDE_FILE, PARAMETERS_FILE})
STRANGE_PARTS = frozenset({"files", "logs", "metrics", "tracks"})
"""What the public package has in an experiment's directory."""


class Located(NamedTuple):
    """An experiment: what it is called under the root, and its directory."""

    prefix: str
    directory: str

    @property
    def journal(self) -> str:
        """The directory of its segment files."""
        return os.path.join(self.directory, "journal")

    @property
    def disk(self) -> ForeignDisk:
        """Its files, and nothing that links in it lead to; in its journal, all that was logged so far."""
        return LiveDisk(self.directory)

    def odd_entries(self) -> list[Damage]:
        """Return what has the name of one of its files or directories and is something else: it is not read.

        Segments and blobs are left out: who reads them tells of those.
        """
        found = []
        with contextlib.suppress(OSError), os.scandir(self.directory) as entries:
            for entry in entries:
                is_file = entry.name in _FILES or entry.name.endswith(CURSOR_SUFFIX)
                is_directory = entry.name in _DIRECTORIES and not entry.is_dir(follow_symlinks=False)
                if (is_file or is_directory) and (reason := _reason(entry)):
                    found.append(Damage(entry.path, 0, 0, reason, 0, None, unread=True))
        return sorted(found)


def _reason(entry: os.DirEntry[str]) -> str | None:
    """Return why an entry of a directory is not read where a file should be; None for a file."""
    try:
        check_regular(entry.path, entry.stat(follow_symlinks=False))
    except OSError as error:
        return error.strerror or str(error)
    return None


@dataclass(slots=True)
class Survey:
    """The experiments under a root by prefix, and why directories could not be looked into, by path.

    `strange` are directories with a side file that is not ours, see `strange_side_file`: of the public package ml-dash,
    or of another program.
    """

    experiments: list[Located] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    strange: list[str] = field(default_factory=list)


def has_experiments(root: str) -> bool:
    """Whether there is any experiment under a root that no link leads to; OSError as of `survey`."""
    pending = [root]
    while pending:
        directory = pending.pop()
        try:
            if is_experiment(directory):
                return True
            pending += [
                os.path.join(directory, name) for name in children_of(directory, inside=False).directories
            ]
        except OSError as error:
            if is_shortage(error):
                raise
    return False


def survey(root: str, *, is_own: bool = False) -> Survey:
    """Find all experiments under a root, which may be one itself.

    Links are followed, after everything else, and no directory is visited twice: so links that form a loop
    end, and what is reachable by several names has the one that no link is part of.

    Args:
        root: The directory.
        is_own: Whether it is the user's own, so that links in it are followed wherever they lead: that of a script,
            which writes through them.

    Raises:
        InvalidArgumentError: There is no such directory.
        OSError: There are no descriptors or no memory to look with, see `is_shortage`.
    """
    if not may_be_directory(root):
        raise InvalidArgumentError(f"there is no directory {root!r}: name the one that experiments are in")
    found = Survey()
    visited: set[tuple[int, int]] = set()
    pending, links = [root], deque[str]()
    while pending or links:
        if pending:
            directory = pending.pop()
        else:
            directory = links.popleft()
            if not is_own and not is_inside(root, directory):
                found.refused[directory] = leads_out(root, directory)
                continue
        try:
            status = os.stat(directory)
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            inside = is_experiment(directory)
            children = children_of(directory, inside)
            pending += [os.path.join(directory, name) for name in children.directories]
            links += [os.path.join(directory, name) for name in children.links]
            found.refused |= children.refused
        except OSError as error:
            if is_shortage(error):
                raise
            found.refused[directory] = error.strerror or str(error)
            continue
        if inside:
            found.experiments.append(Located(prefix_under(root, directory), directory))
        elif strange_side_file(directory, ForeignDisk(directory)) is not None:
            found.strange.append(directory)
    found.experiments.sort()
    found.strange = sorted(without_parts(found.strange))
    return found


def without_parts(strange: Sequence[str]) -> Iterator[str]:
    """Leave out what a strange directory has in its own: a file that was saved may have the name of a side file."""
    known = set(strange)
    for directory in strange:
        at, part = os.path.split(directory)
        while part and not (part in STRANGE_PARTS and at in known):
            at, part = os.path.split(at)
        if not part:
            yield directory


class Children(NamedTuple):
    """What is in a directory: other ones, with their inodes, and links that may lead to some, by name.

    `refused` is what makes it no experiment that should be one, by path.
    """

    directories: dict[str, int]
    links: list[str]
    refused: dict[str, str]


def children_of(directory: str, inside: bool) -> Children:
    """Return what is to be looked into in a directory; `inside` says whether it is an experiment's."""
    found = Children({}, [], {})
    with os.scandir(directory) as entries:
        for entry in entries:
            # no segment of a prefix begins with a dot
            if entry.name.startswith(".") or (inside and entry.name in _OWN_DIRECTORIES):
                continue
            if entry.name == "journal" and not (entry.is_symlink() or entry.is_dir() or entry.is_file()):
                found.refused[entry.path] = _reason(entry) or ""
            elif entry.is_symlink():
                if may_be_directory(entry.path):
                    found.links.append(entry.name)
            elif entry.is_dir():
                found.directories[entry.name] = entry.inode()
    return found


def is_inside(root: str, directory: str) -> bool:
    """Whether a directory is one below the root, wherever links on the way to either lead."""
    real, real_root = os.path.realpath(directory), os.path.realpath(root)
    return real == real_root or real.startswith(os.path.join(real_root, ""))


def leads_out(root: str, directory: str) -> str:
    """Return why a directory is not looked into that is not inside the root."""
    return (
        f"it leads out of {root!r}, to {os.path.realpath(directory)!r}, and such links are not followed: name that "
        "directory itself"
    )


def may_be_directory(path: str) -> bool:
    """Whether there is a directory, or something that cannot be looked at: who goes on there is told why."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (*NOT_THERE, ValueError):
        return False
    except OSError as error:
        return error.errno != errno.ELOOP  # a link that leads to itself leads nowhere


def prefix_under(root: str, directory: str) -> str:
    """Return what an experiment is called under a root; one that is the root itself says it."""
    relative = os.path.relpath(directory, root)
    return stored_prefix(directory) if relative == os.curdir else relative.replace(os.sep, "/")


def stored_prefix(directory: str) -> str:
    """Return what the experiment calls itself, or else its directory's name."""
    prefix = read_side_file(directory, ForeignDisk(directory)).get("prefix")
    return prefix if isinstance(prefix, str) and prefix else os.path.basename(os.path.abspath(directory))
