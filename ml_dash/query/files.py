"""The files that a sequence of FILE rows amounts to.

=============  ==================================================================================
``event``      fields
=============  ==================================================================================
``save``       ``id``, ``path``, ``filename``, ``description``, ``tags``, ``bindrs``, ``contentType``,
               ``sizeBytes``, ``checksum``, ``metadata``
``update``     ``id``, and those of ``description``, ``tags``, ``bindrs`` and ``metadata`` that change
``delete``     ``id``
=============  ==================================================================================

Rows may come in any order, those of several writers too: of each field the newest value counts, by the rows' times. A
row that is not as it should be is left out, and so is a change of a file whose own row has not come (yet).
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from ml_dash.protocol import CHECKSUM_PATTERN
from ml_dash.query.patterns import is_pattern, pattern_matcher
from ml_dash.query.row_source import timed_rows
from ml_dash.query.times import iso_time
from ml_dash.series import Kind, Series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ml_dash.journal.frame_table import Catalogue
    from ml_dash.journal.index import JournalIndex

__all__ = [
    "CHANGEABLE",
    "FILES",
    "FileQuery",
    "FileTable",
    "FilesReader",
    "fold_files",
    "full_name",
    "is_checksum",
    "is_pattern",
    "is_save",
]

FILES = Series(Kind.FILE, None)
"""The series of the rows."""
_LONG_AGO = -(2**63)


def is_checksum(value: Any) -> TypeGuard[str]:
    """Whether this is the checksum of a content. What is one may be part of a path: it leads nowhere else."""
    return isinstance(value, str) and re.fullmatch(CHECKSUM_PATTERN, value) is not None


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


CHANGEABLE: dict[str, Callable[[Any], bool]] = {
    "description": _is_text_or_none,
    "tags": _is_texts,
    "bindrs": _is_texts,
    "metadata": lambda value: value is None or isinstance(value, dict),
}
"""What an update may change, and what tells a value that it may have."""

_FIXED: dict[str, Callable[[Any], bool]] = {
    "id": lambda value: isinstance(value, str) and bool(value),
    "path": lambda value: isinstance(value, str) and value.startswith("/"),
    "filename": lambda value: isinstance(value, str) and bool(value),
    "contentType": lambda value: isinstance(value, str),
    "sizeBytes": lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
    "checksum": is_checksum,
}


def is_save(fields: Mapping[str, Any]) -> bool:
    """Whether a row has all that the row of a saved file has, each of the right kind."""
    return all(check(fields.get(name)) for name, check in (_FIXED | CHANGEABLE).items())


@dataclass(frozen=True, slots=True)
class FileQuery:
    """Which files are asked for; what is left out does not matter.

    Attributes:
        path: Those at or below it, segment by segment, or the one of exactly this full name.
        pattern: Those that it matches, see `ml_dash.query.patterns`.
        tags: Those that have any of them.
        versions: Every version of a name, and not the newest only.
        deleted: Deleted ones too.
    """

    path: str | None = None
    pattern: str | None = None
    tags: tuple[str, ...] = ()
    versions: bool = False
    deleted: bool = False

    def matcher(self) -> Callable[[str], bool]:
        """Return what tells whether a full name, without a leading slash, is asked for by path and pattern."""
        place = (self.path or "").strip("/")
        below = f"{place}/"
        fits = None if self.pattern is None else pattern_matcher(self.pattern)

        def matches(name: str) -> bool:
            if place and name != place and not name.startswith(below):
                return False
            return fits is None or fits(name)

        return matches


def full_name(row: dict[str, Any]) -> str:
    """Return path and filename of a row, without a leading slash."""
    return f"{row['path'].strip('/')}/{row['filename']}".lstrip("/")


@dataclass(slots=True)
class _File:
    """What is known of one id."""

    saved_ns: int = 0
    order: int = 0  # of its save row among all rows that were seen
    base: dict[str, Any] | None = None
    changes: dict[str, tuple[int, Any]] = field(default_factory=dict)
    updated_ns: int | None = None
    deleted_ns: int | None = None
    name: str = ""

    def row(self) -> dict[str, Any]:
        """Return it as users see it, in objects that are theirs."""
        base = self.base or {}
        updated = self.saved_ns if self.updated_ns is None else max(self.saved_ns, self.updated_ns)
        now = {name: self.value(name) for name in CHANGEABLE}
        return {
            "id": base["id"],
            "path": base["path"],
            "filename": base["filename"],
            "description": now["description"],
            "tags": list(now["tags"]),
            "bindrs": list(now["bindrs"]),
            "contentType": base["contentType"],
            "sizeBytes": base["sizeBytes"],
            "checksum": base["checksum"],
            "metadata": copy.deepcopy(now["metadata"]),
            "uploadedAt": iso_time(self.saved_ns),
            "updatedAt": iso_time(updated),
            "deletedAt": None if self.deleted_ns is None else iso_time(self.deleted_ns),
        }

    def value(self, name: str) -> Any:
        """Return what a field that may change is now."""
        if name in self.changes:
            return self.changes[name][1]
        return (self.base or {}).get(name)

    @property
    def age(self) -> tuple[int, int]:
        """What sorts versions, oldest first."""
        return self.saved_ns, self.order


class FileTable:
    """The files of an experiment, by their ids."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._seen = 0

    def add(self, time_ns: int, fields: dict[str, Any]) -> None:
        """Take in a row; one that is not as it should be changes nothing."""
        file_id = fields.get("id")
        if not isinstance(file_id, str) or not file_id:
            return
        self._seen += 1
        event = fields.get("event")
        if event == "save":
            self._save(file_id, time_ns, fields)
        elif event == "update":
            self._update(self._files.setdefault(file_id, _File()), time_ns, fields)
        elif event == "delete":
            file = self._files.setdefault(file_id, _File())
            file.deleted_ns = time_ns if file.deleted_ns is None else min(file.deleted_ns, time_ns)

    def get(self, file_id: str) -> dict[str, Any] | None:
        """Return the row of a file, whichever version, deleted or not; None where there is none."""
        file = self._files.get(file_id)
        return None if file is None or file.base is None else file.row()

    def rows(self, query: FileQuery | None = None) -> list[dict[str, Any]]:
        """Return the rows that are asked for, by path and filename, and of each name the newest first."""
        query = query or FileQuery()
        matches = query.matcher()
        found = [file for file in self._files.values() if file.base is not None and matches(file.name)]
        if not query.versions:
            found = _newest(found)
        wanted = set(query.tags)
        found = [
            file
            for file in found
            if (query.deleted or file.deleted_ns is None) and (not wanted or wanted & set(file.value("tags")))
        ]
        found.sort(key=lambda file: file.age, reverse=True)
        found.sort(key=lambda file: _place(file.base or {}))
        return [file.row() for file in found]

    def _save(self, file_id: str, time_ns: int, fields: dict[str, Any]) -> None:
        file = self._files.get(file_id)
        if (file is not None and file.base is not None) or not is_save(fields):
            return
        file = self._files.setdefault(file_id, _File())
        file.base = {name: fields.get(name) for name in (*_FIXED, *CHANGEABLE)}
        file.saved_ns, file.order, file.name = time_ns, self._seen, full_name(file.base)

    def _update(self, file: _File, time_ns: int, fields: dict[str, Any]) -> None:
        file.updated_ns = time_ns if file.updated_ns is None else max(file.updated_ns, time_ns)
        for name, check in CHANGEABLE.items():
            if name not in fields or not check(fields[name]):
                continue
            if name not in file.changes or file.changes[name][0] <= time_ns:
                file.changes[name] = time_ns, fields[name]


def _newest(files: Iterable[_File]) -> list[_File]:
    newest: dict[tuple[str, str], _File] = {}
    for file in files:
        place = _place(file.base or {})
        other = newest.get(place)
        if other is None or other.age < file.age:
            newest[place] = file
    return list(newest.values())


def _place(base: dict[str, Any]) -> tuple[str, str]:
    return base["path"], base["filename"]


def fold_files(rows: Iterable[tuple[int, dict[str, Any]]]) -> FileTable:
    """Return the files that rows amount to.

    Args:
        rows: Each with its time in nanoseconds. Of values of the same time, the later row's counts.
    """
    table = FileTable()
    for time_ns, fields in rows:
        table.add(time_ns, fields)
    return table


class _Known(NamedTuple):
    """How much of a writer's rows was read."""

    catalogue: Catalogue
    rows: int
    gaps: list[tuple[int, int]]
    latest_ns: int


class FilesReader:
    """Keeps the table of a journal's files, so that each look reads only the rows that are new."""

    def __init__(self) -> None:
        self._table = FileTable()
        self._known: dict[str, _Known] = {}

    def table(self, index: JournalIndex) -> FileTable:
        """Return the files as the journal has them now.

        A writer's own rows keep their order, though its clock may have been set back between two.
        """
        catalogues = index.catalogues
        if any(not _goes_on(known, catalogues.get(writer)) for writer, known in self._known.items()):
            self._forget()
        fresh: list[tuple[int, dict[str, Any]]] = []
        is_whole, base = True, 0
        for writer, catalogue in catalogues.items():
            count = catalogue.count(FILES)
            known = self._known.get(writer)
            read, latest = (0, _LONG_AGO) if known is None else (known.rows, known.latest_ns)
            if count > read:
                rows = timed_rows(block for _, block in index.blocks(FILES, base + read, base + count))
                is_whole = is_whole and len(rows) == count - read
                for time_ns, fields in rows:
                    latest = max(latest, time_ns)
                    fresh.append((latest, fields))
            self._known[writer] = _Known(catalogue, count, list(catalogue.gaps), latest)
            base += count
        fresh.sort(key=itemgetter(0))
        for time_ns, fields in fresh:
            self._table.add(time_ns, fields)
        table = self._table
        if not is_whole:
            self._forget()  # some rows cannot be read now, and perhaps can the next time
        return table

    def _forget(self) -> None:
        self._table, self._known = FileTable(), {}


def _goes_on(known: _Known, catalogue: Catalogue | None) -> bool:
    """Whether a writer's rows are those that were read, and after them perhaps others."""
    return (
        catalogue is known.catalogue
        and catalogue.count(FILES) >= known.rows
        and catalogue.gaps[: len(known.gaps)] == known.gaps  # a gap that was filled has rows in the middle
    )
