"""Which directories of a root have changed: of those that hold experiments, and not of the experiments themselves.

What `storage.survey` finds by going through everything is found here by what differs from the last time. A directory
whose entries change gets another time, and then is listed again; of what it lists, what is known by name and number
(inode) is not looked at. The same rules hold as there: which directory is an experiment, which links are followed, what
is told of as refused.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ml_dash.errors import InvalidArgumentError
from ml_dash.journal.disk import NOT_THERE, is_shortage
from ml_dash.journal.foreign_disk import ForeignDisk
from ml_dash.storage.side_file import strange_side_file
from ml_dash.storage.standing import is_experiment
from ml_dash.storage.survey import children_of, is_inside, leads_out, may_be_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ml_dash.storage.survey import Children

INODE_BITS = (1 << 63) - 1
"""Those of an inode's number that SQLite has room for."""
COARSE_NS = 2_000_000_000
"""A directory that changes twice in this time may have the same time after both: FAT's is by two seconds."""


class Folder(NamedTuple):
    """A directory that was listed.

    Attributes:
        stamp: What it was when it was listed; empty where it has to be listed again.
        inside: The path of the experiment that it lies in; None where in none.
        strange: Whether it has a side file that is not ours, see `strange_side_file`.
        links: What in it are links to directories, by their names.
    """

    stamp: str
    inside: str | None = None
    strange: bool = False
    links: tuple[str, ...] = ()


class Known(Protocol):
    """What is known of a root; paths are relative to it, with slashes, and that of the root is empty."""

    @property
    def folders(self) -> Mapping[str, Folder]:
        """The directories that were listed."""

    def experiments_in(self, folder: str) -> Mapping[str, int]:
        """Return the experiments that lie directly in a directory, with their inodes."""

    def is_experiment(self, path: str) -> bool:
        """Say whether a directory is an experiment's."""

    def experiments_below(self, folder: str) -> Iterable[str]:
        """Return the experiments in a directory and those below it, the directory itself included."""

    def with_inode(self, inode: int) -> Iterable[str]:
        """Return the experiments whose directory has this number."""


@dataclass(slots=True)
class Changes:
    """What differs from what was known.

    Attributes:
        added: Experiments that are new, or whose directory is another one now, with their inodes.
        removed: Experiments that are not there any more.
        folders: Directories that were listed.
        gone: Directories that are not there any more.
        refused: Why directories could not be looked into, by their absolute paths.
        listed: How many directories were listed.
    """

    added: dict[str, int] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    folders: dict[str, Folder] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    listed: int = 0

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.folders or self.gone)


def stamp_of(status: os.stat_result, now_ns: int) -> str:
    """Return what tells a directory from what it was, and is another one whenever its entries change.

    Empty where it may change again without getting another time.
    """
    if max(status.st_mtime_ns, status.st_ctime_ns) > now_ns - COARSE_NS:
        return ""
    return f"{status.st_ino} {status.st_mtime_ns} {status.st_ctime_ns}"


def join(folder: str, name: str) -> str:
    """Return the path of an entry."""
    return f"{folder}/{name}" if folder else name


def parent_of(path: str) -> str:
    """Return the path of the directory that an entry lies in."""
    return path.rpartition("/")[0]


def is_below(path: str, folder: str) -> bool:
    """Say whether a path is that of a directory or lies below it."""
    return not folder or path == folder or path.startswith(f"{folder}/")


class Walk:
    """One look at the directories of a root.

    Args:
        root: The directory.
        known: What was found before.
        now_ns: The time, in nanoseconds since the epoch.
        is_own: See `survey`.
        everything: Whether directories are listed again that seem to be as they were.
    """

    def __init__(
        self, root: str, known: Known, now_ns: int, *, is_own: bool = False, everything: bool = False
    ) -> None:
        self.changes = Changes()
        self._root = root
        self._known = known
        self._now_ns = now_ns
        self._is_own = is_own
        self._everything = everything
        self.outside: list[str] = []
        """Links that lead out of the root, and are not followed: what somebody else has found behind them is left."""
        self._visited: set[tuple[int, int]] = set()
        self._links: list[tuple[str, str | None]] = []
        self._subfolders: dict[str, set[str]] = defaultdict(set)
        for path in known.folders:
            if path:
                self._subfolders[parent_of(path)].add(path)

    def look(self) -> Changes:
        """Find what has changed outside of experiments: in these, `look_inside` does.

        Raises:
            InvalidArgumentError: The root is not a directory.
            OSError: There are no descriptors or no memory to look with, see `is_shortage`.
        """
        if not may_be_directory(self._root):
            raise InvalidArgumentError(
                f"there is no directory {self._root!r}: name the one that experiments are in"
            )
        if "" not in self._known.folders:
            self._probe("", None)
        if not self._is_own:
            self._find_outside()
        for path, folder in sorted(self._known.folders.items()):
            if folder.inside is None:
                self._look_again(path, folder)
        self._follow_links()
        return self.changes

    def look_inside(self, experiments: Iterable[str]) -> None:
        """Find what has changed in the directories of experiments, besides their journals."""
        inside = defaultdict(list)
        for path, folder in self._known.folders.items():
            if folder.inside is not None:
                inside[folder.inside].append(path)
        for experiment in experiments:
            if any(is_below(experiment, gone) for gone in self.changes.removed):
                continue
            self._list(experiment, None)
            for path in inside[experiment]:
                if path != experiment:
                    self._look_again(path, self._known.folders[path])
        self._follow_links()

    def _find_outside(self) -> None:
        for path, folder in self._known.folders.items():
            for name in folder.links:
                link = join(path, name)
                full = self._path(link)
                if os.path.islink(full) and not is_inside(self._root, full):
                    self.outside.append(link)

    def _is_outside(self, path: str) -> bool:
        return any(is_below(path, link) for link in self.outside)

    def _path(self, relative: str) -> str:
        return os.path.join(self._root, *relative.split("/")) if relative else self._root

    def _look_again(self, path: str, folder: Folder) -> None:
        if path in self.changes.gone or path in self.changes.folders or self._is_outside(path):
            return
        try:
            status = os.stat(self._path(path))
        except NOT_THERE:
            self._forget(path)
            return
        except OSError as error:
            self._refuse(path, error)
            return
        self._visited.add((status.st_dev, status.st_ino))
        if folder.stamp and not self._everything and stamp_of(status, self._now_ns) == folder.stamp:
            self._links += [(join(path, name), folder.inside) for name in folder.links]
            return
        self._list(path, folder.inside)

    def _list(self, path: str, inside: str | None) -> None:
        """List a directory that is known, and look at what in it is not."""
        full = self._path(path)
        try:
            status = os.stat(full)  # first: what changes behind it is seen the next time
            is_one = is_experiment(full)
            found = children_of(full, is_one)
            strange = not is_one and _is_strange(full)
        except NOT_THERE:
            self._forget(path)
            return
        except OSError as error:
            self._refuse(path, error)
            return
        self.changes.listed += 1
        known = self._known.experiments_in(path)
        subfolders = self._subfolders[path]
        present = {join(path, name): inode & INODE_BITS for name, inode in found.directories.items()}
        for each in [*known, *(subfolders - known.keys())]:
            if each not in present and not self._is_link(each):
                self._forget(each)
        self._keep(path, status, is_one=is_one, inside=inside, strange=strange, found=found)
        for each, inode in present.items():
            if each in known:
                if known[each] == inode:
                    continue
                self._forget(each)
            elif each in subfolders:
                continue  # looked at by its own time
            self._probe(each, path if is_one else inside)

    def _keep(
        self,
        path: str,
        status: os.stat_result,
        *,
        is_one: bool,
        inside: str | None,
        strange: bool,
        found: Children,
    ) -> None:
        """Enter a directory that was listed."""
        self.changes.refused |= found.refused
        within = path if is_one else inside
        self._links += [(join(path, name), within) for name in found.links]
        was_one = self._known.is_experiment(path)
        if is_one and (not was_one or path in self.changes.removed):
            self.changes.added[path] = status.st_ino
        if was_one and not is_one:
            self.changes.removed.add(path)
        if is_one and not (found.directories or found.links):
            if path in self._known.folders:
                self.changes.gone.add(path)
            return  # by far the most: looked at with its journal
        self.changes.folders[path] = Folder(
            stamp_of(status, self._now_ns), within, strange, tuple(found.links)
        )
        self.changes.gone.discard(path)

    def _probe(self, path: str, inside: str | None) -> None:
        """Look at a directory that is not known, and at all below it."""
        pending = [(path, inside)]
        while pending:
            path, inside = pending.pop()
            full = self._path(path)
            try:
                status = os.stat(full)
                if (status.st_dev, status.st_ino) in self._visited:
                    continue
                self._visited.add((status.st_dev, status.st_ino))
                is_one = is_experiment(full)
                found = children_of(full, is_one)
                strange = not is_one and _is_strange(full)
            except OSError as error:
                self._refuse(path, error)
                continue
            self.changes.listed += 1
            self._keep(path, status, is_one=is_one, inside=inside, strange=strange, found=found)
            within = path if is_one else inside
            pending += [(join(path, name), within) for name in found.directories]

    def _follow_links(self) -> None:
        """Look at what links lead to, behind everything else: what has a name without a link keeps that."""
        while self._links:
            path, inside = self._links.pop(0)
            full = self._path(path)
            if not may_be_directory(full):
                self._forget(path)
                continue
            if not self._is_own and not is_inside(self._root, full):
                self.changes.refused[full] = leads_out(self._root, full)
                self.outside.append(path)
                continue
            is_known = path in self._known.folders or self._known.is_experiment(path)
            if is_known and path not in self.changes.gone | self.changes.removed:
                continue
            try:
                status = os.stat(full)
            except OSError as error:
                self._refuse(path, error)
                continue
            real = os.path.realpath(full)
            if not any(
                os.path.realpath(self._path(each)) == real for each in self._known.with_inode(status.st_ino)
            ):
                self._probe(path, inside)

    def _is_link(self, path: str) -> bool:
        return os.path.islink(self._path(path))

    def _forget(self, path: str) -> None:
        """Note that a directory is not there any more, nor anything below it."""
        self.changes.removed.update(self._known.experiments_below(path))
        self.changes.gone.update(each for each in self._known.folders if is_below(each, path))

    def _refuse(self, path: str, error: OSError) -> None:
        if is_shortage(error):
            raise error
        # what is known of it holds until it can be looked into again
        self.changes.refused[self._path(path)] = error.strerror or str(error)


def _is_strange(directory: str) -> bool:
    return strange_side_file(directory, ForeignDisk(directory)) is not None
