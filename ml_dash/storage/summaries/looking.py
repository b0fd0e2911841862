"""One look at a root: what has changed is found and entered; see the package for how."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ml_dash.journal.foreign_disk import ForeignDisk
from ml_dash.journal.objects import from_msgpack, to_msgpack
from ml_dash.storage.marks import marked
from ml_dash.storage.recovery import catch_up
from ml_dash.storage.slab_owners import directories_waiting
from ml_dash.storage.summaries.checking import signature_of
from ml_dash.storage.summaries.reading import Look, Place, Reading, judged
from ml_dash.storage.summaries.records import described, unpack_runs
from ml_dash.storage.summaries.store import ALIVE, SILENT
from ml_dash.storage.summaries.tree import COARSE_NS, Changes, Walk, is_below
from ml_dash.storage.survey import without_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ml_dash.storage.summaries.reading import Due
    from ml_dash.storage.summaries.store import Row
    from ml_dash.storage.summaries.tree import Folder

_SILENT_MOST = 500
"""Runs without a sign of life that each look looks at: those that gave theirs last."""
CHECKED_LEAST = 256
_CHECKED_SECONDS = 0.05
"""Experiments that each look checks in turn, though nothing was said of them: so many, and on for as long as this."""


@dataclass(slots=True)
class _Checked:
    """What the files of experiments say.

    Attributes:
        due: Those whose journals are to be read.
        same: Those that are as they were.
        inside: Those whose directories are to be looked into, with what these are now; None where that is not known.
        turn: Up to where experiments have had their turn.
    """

    due: list[Due] = field(default_factory=list)
    same: list[Row] = field(default_factory=list)
    inside: dict[str, str | None] = field(default_factory=dict)
    turn: bytes = b""


class Looking:
    """One look, see `RootIndex.look` for the arguments."""

    def __init__(
        self,
        place: Place,
        *,
        everything: bool = False,
        seconds: float | None = None,
        rings: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._place = place
        self._store = place.store
        self._everything = everything
        self._rings = rings
        self._found = Look()
        self._reading = Reading(place, self._found, seconds, progress)
        self._now_ns = place.clock.time_ns()

    def look(self) -> Look:
        """Look, and enter what has changed."""
        live = self._catch_up()
        marks = marked(self._place.root)
        known = _Known(self._place)
        walk = Walk(
            self._place.root, known, self._now_ns, is_own=self._place.is_own, everything=self._everything
        )
        changes = walk.look()
        checked = self._check(
            self._candidates(marks, live), changes, walk.outside, in_turn=not self._everything
        )
        walk.look_inside(checked.inside)
        self._place.outside = walk.outside
        self._enter(changes, checked.inside)
        self._judge(checked.same)
        if self._reading.read(checked.due):
            # last: whoever is killed before has not seen them
            self._remember(marks, checked.turn)
        self._found.refused, self._found.listed = changes.refused, changes.listed
        folders = {**known.folders, **changes.folders}
        strange = [path for path, each in folders.items() if each.strange and path not in changes.gone]
        self._found.strange = sorted(without_parts([self._place.directory_of(path) for path in strange]))
        return self._found

    def look_at(self, path: str) -> None:
        """Look at one experiment alone."""
        with self._place.lock:
            rows = self._store.rows("path = ?", (os.fsencode(path),))
        checked = self._check(rows, Changes(), in_turn=False)
        self._judge(checked.same)
        self._reading.read_now(checked.due)

    # --- what may have changed

    def _catch_up(self) -> set[str]:
        """Have everything written that was logged; return the paths of experiments that processes write to now."""
        live = set()
        root = os.path.join(os.path.realpath(self._place.root), "")
        for directory in directories_waiting():
            if directory.startswith(root) or directory == root.rstrip(os.sep):
                live.add(directory[len(root) :].replace(os.sep, "/"))
                if self._rings:
                    catch_up(directory, ForeignDisk(directory))
        return live

    def _seen_marks(self) -> Mapping[int, int]:
        said = self._store.database.meta("marks")
        return {} if said is None else dict(from_msgpack(said))

    def _candidates(self, marks: Mapping[int, int], live: Iterable[str]) -> list[Row]:
        """Return the experiments of which something says that they may have changed."""
        store = self._store
        with self._place.lock:
            if self._everything:
                found = store.rows("seen IS NOT NULL")
            else:
                found = store.rows("open = ?", (ALIVE,))
                found += store.rows("open = ? ORDER BY active_ns DESC LIMIT ?", (SILENT, _SILENT_MOST))
                seen = self._seen_marks()
                for bucket, time_ns in marks.items():
                    if seen.get(bucket) != time_ns:
                        found += store.rows("bucket = ? AND seen IS NOT NULL", (bucket,))
                for path in live:
                    found += store.rows("path = ?", (os.fsencode(path),))
        return list({row.id: row for row in found}.values())

    def _check(
        self, rows: Sequence[Row], changes: Changes, outside: Sequence[str] = (), *, in_turn: bool
    ) -> _Checked:
        """Look at the files of experiments."""
        checked = _Checked()
        for row in rows:
            self._check_one(row, changes, outside, checked)
        if in_turn:
            known = {row.id for row in rows}
            for row in self._in_turn(checked):
                if row.id not in known:
                    self._check_one(row, changes, outside, checked)
        return checked

    def _check_one(self, row: Row, changes: Changes, outside: Sequence[str], checked: _Checked) -> None:
        if row.path in changes.removed or any(is_below(row.path, link) for link in outside):
            return
        self._found.checked += 1
        signature = signature_of(self._place.directory_of(row.path), self._now_ns)
        if signature is None:
            checked.inside[row.path] = None
            return
        if row.seen is not None and (signature.seen != row.seen or not row.seen):
            checked.inside[row.path] = signature.seen
        if row.seen is None or signature.content != row.content:
            checked.due.append((row, signature))
        else:
            checked.same.append(row)

    def _in_turn(self, checked: _Checked) -> Iterator[Row]:
        """Yield experiments that nothing was said of, a few each time, until all have had their turn."""
        with self._place.lock:
            checked.turn = self._store.database.meta("turn", b"")
        stop = self._place.clock.monotonic() + _CHECKED_SECONDS
        given = 0
        while given < CHECKED_LEAST or self._place.clock.monotonic() < stop:
            with self._place.lock:
                rows = self._store.rows(
                    "path >= ? AND seen IS NOT NULL ORDER BY path LIMIT ?", (checked.turn, CHECKED_LEAST + 1)
                )
            yield from rows[:CHECKED_LEAST]
            given += len(rows)
            if len(rows) <= CHECKED_LEAST:
                checked.turn = b""  # the next look begins with the first
                return
            checked.turn = os.fsencode(rows[-1].path)

    # --- entering it

    def _enter(self, changes: Changes, inside: Mapping[str, str | None]) -> None:
        """Enter which directories and experiments there are now."""
        store = self._store
        added = dict(changes.added)
        with self._place.lock:
            removed = [
                row for path in changes.removed for row in store.rows("path = ?", (os.fsencode(path),))
            ]
        moved = self._moved(added, removed)
        records = [(path, inode, described(self._place.located(path))) for path, inode in added.items()]
        with self._place.lock:
            looked = [
                (row, value)
                for path, value in inside.items()
                if value is not None
                for row in store.rows("path = ? AND seen IS NOT NULL", (os.fsencode(path),))
                if row.seen != value
            ]
            if not (changes or looked):
                return
            with self._store.writing():
                change = store.next_change() if removed or moved or records else 0
                store.apply(changes)
                # before others take their places
                for row in removed:
                    store.remove(row, change)
                for row, _, _ in moved:
                    store.lift(row)
                for row, path, inode in moved:
                    store.move(row, path, inode, self._place.located(path).prefix, change)
                for path, inode, record in records:
                    store.add(path, inode, record, change)
                for row, value in looked:
                    store.see(row, value)
        self._found.added, self._found.removed = len(records) + len(moved), len(removed) + len(moved)

    def _moved(self, added: dict[str, int], removed: list[Row]) -> list[tuple[Row, str, int]]:
        """Return what was moved, and take it off what was added and removed."""
        known = {row.content: row for row in removed if row.content is not None}
        moved = []
        for path in list(added) if known else ():
            signature = signature_of(self._place.directory_of(path), self._now_ns)
            row = None if signature is None else known.pop(signature.content, None)
            if row is not None:
                moved.append((row, path, added.pop(path)))
                removed.remove(row)
        return moved

    def _judge(self, rows: Iterable[Row]) -> None:
        """Judge again how runs stand that have not ended, and whose journals are as they were."""
        with self._place.lock:
            going = [
                (row, record, runs)
                for row in rows
                if row.is_open
                and (record := self._store.record(row.id, "")) is not None
                and (runs := self._store.detail(row.id, "runs")) is not None
            ]
        others = []
        for row, record, runs in going:
            before = record.status, record.stale, record.unended
            record.stand(judged(self._place, unpack_runs(runs)))
            if (record.status, record.stale, record.unended) != before:
                others.append((row, record))
        if others:
            with self._place.lock, self._store.writing():
                change = self._store.next_change()
                for row, record in others:
                    self._store.stand(row, record, change)

    def _remember(self, marks: Mapping[int, int], turn: bytes) -> None:
        """Enter what was seen, and need not be looked at again."""
        # a mark that was made just now may be made again without getting another time
        kept = {bucket: time_ns for bucket, time_ns in marks.items() if time_ns < self._now_ns - COARSE_NS}
        with self._place.lock:
            database = self._store.database
            if kept == self._seen_marks() and turn == database.meta("turn", b""):
                return
            with self._store.writing():
                database.set_meta("marks", to_msgpack(list(kept.items())))
                database.set_meta("turn", turn)


class _Known:
    """What is known of the directories, see `tree.Known`; those that were listed, as of the beginning of the look."""

    def __init__(self, place: Place) -> None:
        self._place = place
        with place.lock:
            self.folders: dict[str, Folder] = place.store.directories.folders

    def experiments_in(self, folder: str) -> dict[str, int]:
        with self._place.lock:
            return self._place.store.directories.experiments_in(folder)

    def is_experiment(self, path: str) -> bool:
        with self._place.lock:
            return self._place.store.directories.is_experiment(path)

    def experiments_below(self, folder: str) -> list[str]:
        with self._place.lock:
            return self._place.store.directories.experiments_below(folder)

    def with_inode(self, inode: int) -> list[str]:
        with self._place.lock:
            return self._place.store.directories.with_inode(inode)
