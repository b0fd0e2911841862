"""The files that a sequence of FILE rows amounts to.

=============  ==================================================================================
``event``      fields
=============  ==================================================================================
``save``       ``id``, ``path``, ``filename``, ``description``, ``tags``, ``bindrs``, ``contentType``,
               ``sizeBytes``, ``checksum``, ``metadata``
``update``     ``id``, and those of ``description``, ``tags``, ``bindrs`` and ``metadata`` that change
``delete``     ``id``
``alias``      ``id``, ``aliases``: from now on these names mean this version
``unalias``    ``id``, ``aliases``: from now on they mean none, if they mean this one
=============  ==================================================================================

A row that saves may have ``aliases``, too. Of the versions of a name, an alias means the one that it was given to last:
one row moves it. ``latest`` is none of these: it always means the newest version.

Rows may come in any order, those of several writers too: of each field the newest value counts, by the rows' times. A
row that is not as it should be is left out, and so is a change of a file whose own row has not come (yet).
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeGuard

from ml_dash.protocol import CHECKSUM_PATTERN
from ml_dash.query.patterns import pattern_matcher
from ml_dash.query.row_source import timed_rows
from ml_dash.query.times import iso_time
from ml_dash.records import NamedTuple
from ml_dash.series import Kind, Series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ml_dash.journal.frame_table import Catalogue
    from ml_dash.journal.index import JournalIndex

FILES = Series(Kind.FILE, None)
"""The series of the rows."""
_LONG_AGO = -(2**63)  # the least time that int64 nanoseconds can say
_CHECKSUM = re.compile(CHECKSUM_PATTERN)


def is_checksum(value: Any) -> TypeGuard[str]:
    """Say whether this is the checksum of a blob. One may be part of a path: it leads nowhere else."""
    return isinstance(value, str) and _CHECKSUM.fullmatch(value) is not None


def is_text_or_none(value: Any) -> bool:
    """Say whether this may be a description."""
    return value is None or isinstance(value, str)


def is_texts(value: Any) -> bool:
    """Say whether this may be tags or bindrs."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def is_size(value: Any) -> bool:
    """Say whether this may be a number of bytes."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


LATEST = "latest"
"""The alias that every newest version has."""
_ALIAS_CHARACTERS_MAX = 64
_ALIASES_MAX = 100
"""Of one version, at once: those that were given last count."""


def is_alias(value: Any) -> bool:
    """Say whether this may be an alias that is given to a version."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= _ALIAS_CHARACTERS_MAX
        and value.isprintable()
        and value == value.strip()
        and value != LATEST
    )


CHANGEABLE: dict[str, Callable[[Any], bool]] = {
    "description": is_text_or_none,
    "tags": is_texts,
    "bindrs": is_texts,
    "metadata": lambda value: value is None or isinstance(value, dict),
}
"""What an update may change, each with a check of the values that it may have."""
_CHANGED_AT = {name: f"{name}_ns" for name in CHANGEABLE}

_OF_SAVE: dict[str, Callable[[Any], bool]] = {
    "id": lambda value: isinstance(value, str) and bool(value),
    "path": lambda value: isinstance(value, str) and value.startswith("/"),
    "filename": lambda value: isinstance(value, str) and bool(value),
    "contentType": lambda value: isinstance(value, str),
    "sizeBytes": is_size,
    "checksum": is_checksum,
    **CHANGEABLE,
}


def _is_save(fields: Mapping[str, Any]) -> bool:
    # a loop, for `all` with a generator takes a third longer, and every save comes through here
    for name, check in _OF_SAVE.items():  # noqa: SIM110
        if not check(fields.get(name)):
            return False
    return True


@dataclass(frozen=True, slots=True)
class FileQuery:
    """Which files are asked for; what is left out does not matter.

    Attributes:
        path: Those at or below it, segment by segment, or the one of exactly this full name.
        pattern: Those that it matches, see `ml_dash.query.patterns`.
        tags: Those that have any of them.
        alias: Of each name the version that this alias means, and no other; None: the newest.
        versions: Every version of a name, and not the newest only.
        deleted: Deleted ones too.
    """

    path: str | None = None
    pattern: str | None = None
    tags: tuple[str, ...] = ()
    alias: str | None = None
    versions: bool = False
    deleted: bool = False

    @property
    def given_alias(self) -> str | None:
        """The alias that has to be looked for: any but the one of the newest."""
        return None if self.alias == LATEST else self.alias

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


def full_name(row: Mapping[str, Any]) -> str:
    """Return path and filename of a row, without a leading slash."""
    return f"{row['path'].strip('/')}/{row['filename']}".lstrip("/")


class FileState(NamedTuple):
    """What rows amount to for one id. A server has the same in its columns, by these names.

    Its own row came at `saved_ns` (None: not yet), as number `seen` of all. `name` is path and filename, without a
    leading slash. A value that updates may change has the time of its update beside it, None where it is that of its
    own row. `updated_ns` is the time of the newest update, `deleted_ns` that of the first deletion. `aliases` has the
    time at which each was last given to it; below zero where it was taken away then.
    """

    id: str
    saved_ns: int | None = None
    seen: int | None = None
    path: str | None = None
    filename: str | None = None
    name: str | None = None
    content_type: str | None = None
    size: int | None = None
    checksum: str | None = None
    description: str | None = None
    tags: Sequence[str] | None = None
    bindrs: Sequence[str] | None = None
    metadata: dict[str, Any] | None = None
    description_ns: int | None = None
    tags_ns: int | None = None
    bindrs_ns: int | None = None
    metadata_ns: int | None = None
    updated_ns: int | None = None
    deleted_ns: int | None = None
    aliases: dict[str, int] | None = None

    @property
    def age(self) -> tuple[int, int]:
        """What sorts versions, oldest first."""
        return self.saved_ns or 0, self.seen or 0


def fold_file(file: FileState, time_ns: int, row: Mapping[str, Any], seen: int) -> FileState | None:
    """Return a file after the row number `seen`, of its id; None where the row is invalid and changes nothing."""
    event = row.get("event")
    if event == "save":
        return _saved(file, time_ns, row, seen)
    if event == "update":
        return _updated(file, time_ns, row)
    if event == "delete":
        deleted = time_ns if file.deleted_ns is None else min(file.deleted_ns, time_ns)
        return file._replace(deleted_ns=deleted)
    if event in ("alias", "unalias"):  # a tuple: it may be anything, also what has no hash
        aliases = _named(file.aliases, row.get("aliases"), time_ns, is_given=event == "alias")
        return None if aliases is None else file._replace(aliases=aliases)
    return None


def _named(
    known: Mapping[str, int] | None, given: Any, time_ns: int, *, is_given: bool
) -> dict[str, int] | None:
    """Return when a version was last given its aliases, after a row of it; None where the row changes nothing."""
    if not isinstance(given, list) or not all(map(is_alias, given)) or not given or time_ns <= 0:
        return None
    aliases = dict(known or {})
    for name in given:
        if abs(aliases.get(name, 0)) <= time_ns:
            aliases[name] = time_ns if is_given else -time_ns
    newest = sorted(aliases.items(), key=lambda each: (-abs(each[1]), each[0]))
    return dict(newest[:_ALIASES_MAX])


def alias_holders(files: Iterable[FileState]) -> dict[tuple[str, str], dict[str, str]]:
    """Return, by path and filename, the id of the version that each alias means; of all versions that have any."""
    last: dict[tuple[str, str], dict[str, tuple[int, str, bool]]] = {}
    for file in files:
        for name, time_ns in (file.aliases or {}).items():
            found = last.setdefault(_place(file), {})
            claim = abs(time_ns), file.id, time_ns > 0
            if name not in found or found[name] < claim:
                found[name] = claim
    return {
        place: {name: id_ for name, (_, id_, is_given) in found.items() if is_given}
        for place, found in last.items()
    }


def aliases_of(file: FileState, holders: Mapping[tuple[str, str], Mapping[str, str]]) -> list[str]:
    """Return the aliases that mean a version, sorted."""
    return sorted(name for name, id_ in holders.get(_place(file), {}).items() if id_ == file.id)


def _saved(file: FileState, time_ns: int, row: Mapping[str, Any], seen: int) -> FileState | None:
    if file.saved_ns is not None or not _is_save(row):
        return None
    # built whole: `_replace` looks each of the nineteen fields up by name, and takes three times as long
    return FileState(
        file.id,
        time_ns,
        seen,
        row["path"],
        row["filename"],
        full_name(row),
        row["contentType"],
        row["sizeBytes"],
        row["checksum"],
        row.get("description") if file.description_ns is None else file.description,
        row["tags"] if file.tags_ns is None else file.tags,
        row["bindrs"] if file.bindrs_ns is None else file.bindrs,
        row.get("metadata") if file.metadata_ns is None else file.metadata,
        file.description_ns,
        file.tags_ns,
        file.bindrs_ns,
        file.metadata_ns,
        file.updated_ns,
        file.deleted_ns,
        _named(file.aliases, row.get("aliases"), time_ns, is_given=True) or file.aliases,
    )


def _updated(file: FileState, time_ns: int, row: Mapping[str, Any]) -> FileState:
    changes: dict[str, Any] = {}
    for name, check in CHANGEABLE.items():
        if name in row and check(row[name]):
            changed_at = _CHANGED_AT[name]
            known_ns = getattr(file, changed_at)
            if known_ns is None or known_ns <= time_ns:
                changes[name], changes[changed_at] = row[name], time_ns
    updated = time_ns if file.updated_ns is None else max(file.updated_ns, time_ns)
    return file._replace(updated_ns=updated, **changes)


def public_row(file: FileState, aliases: Sequence[str] = ()) -> dict[str, Any]:
    """Return a file whose own row has come as users see it; its values are the file's own, not copies.

    `aliases` are those that mean this version, which other versions have a say in: see `alias_holders`.
    """
    saved = file.saved_ns or 0
    updated = saved if file.updated_ns is None else max(saved, file.updated_ns)
    return {
        "id": file.id,
        "path": file.path,
        "filename": file.filename,
        "description": file.description,
        "tags": file.tags,
        "bindrs": file.bindrs,
        "contentType": file.content_type,
        "sizeBytes": file.size,
        "checksum": file.checksum,
        "metadata": file.metadata,
        "aliases": [*aliases],
        "uploadedAt": iso_time(saved),
        "updatedAt": iso_time(updated),
        "deletedAt": None if file.deleted_ns is None else iso_time(file.deleted_ns),
    }


class FileTable:
    """The files of an experiment, by their ids."""

    def __init__(self) -> None:
        self._files: dict[str, FileState] = {}
        self._seen = 0

    def add(self, time_ns: int, fields: dict[str, Any]) -> None:
        """Take in a row; one that is not as it should be changes nothing."""
        file_id = fields.get("id")
        if not isinstance(file_id, str) or not file_id:
            return
        self._seen += 1
        file = fold_file(self._files.get(file_id) or FileState(file_id), time_ns, fields, self._seen)
        if file is not None:
            self._files[file_id] = file

    def get(self, file_id: str) -> dict[str, Any] | None:
        """Return the row of a file, whichever version, deleted or not; None where there is none."""
        file = self._files.get(file_id)
        # rows of one file may come in any order: one that was only changed or deleted so far is not there yet
        if file is None or file.saved_ns is None:
            return None
        place = _place(file)
        others = self._files.values() if file.aliases else ()
        return _own_row(
            file, alias_holders(each for each in others if each.aliases and _place(each) == place)
        )

    def rows(self, query: FileQuery | None = None) -> list[dict[str, Any]]:
        """Return the rows that are asked for, by path and filename, and of each name the newest first."""
        query = query or FileQuery()
        matches = query.matcher()
        found = [
            file for file in self._files.values() if file.saved_ns is not None and matches(file.name or "")
        ]
        holders = alias_holders(found)
        if (alias := query.given_alias) is not None:
            found = [file for file in found if holders.get(_place(file), {}).get(alias) == file.id]
        elif not query.versions:
            found = _newest(found)
        tags = set(query.tags)
        found = [
            file
            for file in found
            if (query.deleted or file.deleted_ns is None)
            and (not tags or not tags.isdisjoint(file.tags or ()))
        ]
        # two sorts, for `sort` is stable: names ascend, and the versions of each descend
        found.sort(key=lambda file: file.age, reverse=True)
        found.sort(key=_place)
        return [_own_row(file, holders) for file in found]


def _own_row(file: FileState, holders: Mapping[tuple[str, str], Mapping[str, str]]) -> dict[str, Any]:
    """Return the public form in objects that are the user's own: the table must not change with them."""
    row = public_row(file, aliases_of(file, holders))
    return {
        **row,
        "tags": [*row["tags"]],
        "bindrs": [*row["bindrs"]],
        "metadata": copy.deepcopy(row["metadata"]),
    }


def _newest(files: Iterable[FileState]) -> list[FileState]:
    newest: dict[tuple[str, str], FileState] = {}
    for file in files:
        other = newest.get(_place(file))
        if other is None or other.age < file.age:
            newest[_place(file)] = file
    return list(newest.values())


def _place(file: FileState) -> tuple[str, str]:
    return file.path or "", file.filename or ""


def fold_files(rows: Iterable[tuple[int, dict[str, Any]]]) -> FileTable:
    """Return the files that timed rows amount to; of values of the same time, the later row's counts."""
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
