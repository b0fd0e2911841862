"""Which experiments below a root may have something new: told by their files, without a word from the file system.

A relay looks every second, and most of what it looks at has ended long ago. So a look costs what goes on, and a bounded
rest: directories that hold experiments are listed where their time is another one; the experiments that go on are
looked at each time; of the others those of which a mark says that they have changed (`storage.marks`), and a few in
turn, for whatever makes no marks.

On a network file system a client knows times and sizes from a moment ago; it asks for them anew when a file or a
directory is opened, so that is done before they are believed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from ml_dash.journal.frame import parse_segment_name
from ml_dash.storage.marks import bucket_of, marked, prepare
from ml_dash.storage.side_file import SIDE_FILE
from ml_dash.storage.summaries.tree import COARSE_NS, Walk, is_below, parent_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ml_dash.storage.summaries.tree import Changes, Folder

IN_TURN = 64
"""Experiments that each look looks at though nothing was said of them."""

Stamp = tuple[tuple[object, ...], ...]
"""What an experiment's files look like: it is another one whenever its journal has grown, or what it says of itself."""


class RootWatch:
    """The experiments below one root, as they were at the last look; for one thread.

    Args:
        root: The directory.

    Attributes:
        live: The experiments that are looked at each time, by their paths below the root; the owner takes them out.
        refused: Why directories could not be looked into.
        looked: How many experiments the last look has looked at.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.live: set[str] = set()
        self.refused: Mapping[str, str] = {}
        self.looked = 0
        self._known = _Known()
        self._stamps: dict[str, Stamp] = {}
        self._marks: dict[int, int] = {}
        self._turn: list[str] = []
        with contextlib.suppress(OSError):  # of a root that may only be read, there are no marks
            prepare(root)

    @property
    def experiments(self) -> int:
        """How many there are."""
        return len(self._known.paths)

    def directory_of(self, path: str) -> str:
        """Return where an experiment lies."""
        return os.path.join(self.root, *path.split("/")) if path else self.root

    def look(self) -> list[str]:
        """Return the paths of the experiments whose files are others than at the last look.

        Raises:
            InvalidArgumentError: The root is not a directory.
            OSError: There are no descriptors or no memory to look with.
        """
        now_ns = time.time_ns()
        for path, folder in self._known.folders.items():
            if folder.inside is None:
                _ask_anew(self.directory_of(path))
        marks = marked(self.root)
        walk = Walk(self.root, self._known, now_ns)
        walk.look()
        candidates = self._candidates(marks)
        walk.look_inside(candidates)
        changes = walk.changes
        self._known.apply(changes)
        self.refused = changes.refused
        for path in changes.removed:
            self._stamps.pop(path, None)
            self.live.discard(path)
        self.live.update(changes.added)
        found = []
        looked = {path for path in (*candidates, *self.live) if path in self._known.paths}
        for path in sorted(looked):
            stamp = stamp_of(self.directory_of(path))
            if stamp != self._stamps.get(path):
                self._stamps[path] = stamp
                self.live.add(path)
                found.append(path)
        self.looked = len(looked)
        # a mark that was made just now may be made again without getting another time
        self._marks = {bucket: at for bucket, at in marks.items() if at < now_ns - COARSE_NS}
        return found

    def forget(self, path: str) -> None:
        """Have an experiment count as changed at the next look."""
        self._stamps.pop(path, None)
        self.live.add(path)

    def _candidates(self, marks: Mapping[int, int]) -> list[str]:
        """Return the experiments, of those that do not go on, that a mark names, or whose turn it is."""
        fresh = {bucket for bucket, at in marks.items() if self._marks.get(bucket) != at}
        found = {path for bucket in fresh for path in self._known.buckets[bucket]}
        if not self._turn:
            self._turn = sorted(self._known.paths)
        for _ in range(min(IN_TURN, len(self._turn))):
            found.add(self._turn.pop())
        return sorted(found - self.live)


class _Known:
    """What is known of a root; see `tree.Known`."""

    def __init__(self) -> None:
        self.folders: dict[str, Folder] = {}
        self.paths: dict[str, int] = {}
        self.buckets: defaultdict[int, set[str]] = defaultdict(set)
        self._children: defaultdict[str, dict[str, int]] = defaultdict(dict)

    def experiments_in(self, folder: str) -> Mapping[str, int]:
        return self._children[folder]

    def is_experiment(self, path: str) -> bool:
        return path in self.paths

    def experiments_below(self, folder: str) -> list[str]:
        return [path for path in self.paths if is_below(path, folder)]

    def with_inode(self, inode: int) -> list[str]:
        return [path for path, known in self.paths.items() if known == inode]

    def apply(self, changes: Changes) -> None:
        """Take over what has changed."""
        for path in changes.removed:
            self.paths.pop(path, None)
            self.buckets[bucket_of(path)].discard(path)
            self._children[parent_of(path)].pop(path, None)
        for path, inode in changes.added.items():
            self.paths[path] = inode
            self.buckets[bucket_of(path)].add(path)
            if path:
                self._children[parent_of(path)][path] = inode
        for path in changes.gone:
            self.folders.pop(path, None)
        self.folders.update(changes.folders)


def stamp_of(directory: str) -> Stamp:
    """Return what an experiment's files look like now; what cannot be looked at is left out."""
    journal = os.path.join(directory, "journal")
    found: list[tuple[object, ...]] = []
    with contextlib.suppress(OSError), os.scandir(journal) as entries:
        names = sorted(entry.name for entry in entries)
        newest = _newest_segments(names)
        for name in names:
            # only the last one of a writer grows
            path = os.path.join(journal, name)
            found.append((name, _size_asked_anew(path)) if name in newest else (name,))
    with contextlib.suppress(OSError):
        side = os.stat(os.path.join(directory, SIDE_FILE), follow_symlinks=False)
        found.append((SIDE_FILE, side.st_mtime_ns, side.st_size))
    return tuple(found)


def _newest_segments(names: Iterable[str]) -> set[str]:
    newest: dict[str, tuple[int, str]] = {}
    for name in names:
        named = parse_segment_name(name)
        if named is not None:
            newest[named[0]] = max(newest.get(named[0], (-1, "")), (named[1], name))
    return {name for _, name in newest.values()}


def _size_asked_anew(path: str) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    try:
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def _ask_anew(directory: str) -> None:
    with contextlib.suppress(OSError):
        os.close(os.open(directory, os.O_RDONLY))
