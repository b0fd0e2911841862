"""Files, as readers ask for them: listed by one query, or one by its id; each with whether its blob is there."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import LargeBinary, and_, func, or_, select

from ml_dash.query.files import FileQuery, FileState, alias_holders, aliases_of, public_row
from ml_dash.server.db.batches import batches, size_of
from ml_dash.server.db.tables import BLOBS, EXPERIMENTS, FILES
from ml_dash.server.http.cursors import invalid_cursor, read_cursor, write_cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, Row, Select, Subquery

    from ml_dash.query.pages import Take
    from ml_dash.server.db.database import Database

_STATE = attrgetter(*FileState._fields)
_ASKED = 5000
"""Names in one statement: SQLite allows 32,766 parameters."""


class FileListing:
    """The files of one experiment."""

    def __init__(self, database: Database, experiment_id: str) -> None:
        self._database = database
        self._id = experiment_id

    def all(self, query: FileQuery | None = None) -> list[dict[str, Any]]:
        """Return the rows that are asked for, by path and filename, and of each name the newest first."""
        query = query or FileQuery()
        ordered = _ordered(self._kept(query, _EVERYTHING))
        with self._database.read() as connection:
            matches = _matcher(query, self._meant(connection, query))
            return self._as_rows(connection, [row for row in connection.execute(ordered) if matches(row)])

    def page_into(self, take: Take, query: FileQuery, limit: int, cursor: str | None) -> dict[str, Any]:
        """Give at most `limit` of these rows to `take`; the cursor is that of the page before.

        Returned is where the page ends.

        Raises:
            ApiError: 400: the cursor is invalid.
            InvalidArgumentError: The pattern is invalid.
        """
        after = None if cursor is None else _parse_cursor(cursor)
        with self._database.read() as connection:
            if query.pattern is None and not query.tags and query.given_alias is None:
                found, total = self._database_page(connection, query, limit, after)
            else:
                found, total = self._filtered_page(connection, query, limit, after)
            taken = self._take(connection, [(row.id, row.bytes) for row in found[:limit]], take)
        has_more = len(found) > taken
        return {
            "total": total,
            "hasMore": has_more,
            "cursor": write_cursor(_place_of(found[taken - 1])) if has_more and taken else None,
        }

    def _take(self, connection: Connection, keys: Sequence[tuple[str, int]], take: Take) -> int:
        """Give the rows of these ids, with their sizes, to `take`; return how many it took."""
        taken = 0
        for batch in batches(keys):
            found = connection.execute(self._rows(_EVERYTHING, FILES.c.id.in_(batch)))
            rows = {row["id"]: row for row in self._as_rows(connection, list(found))}
            for id_ in batch:
                if not take(rows[id_]):
                    return taken
                taken += 1
        return taken

    def get(self, file_id: str) -> dict[str, Any] | None:
        """Return a file's row, whichever version, deleted or not; None where there is none."""
        with self._database.read() as connection:
            found = connection.execute(self._rows(_EVERYTHING, FILES.c.id == file_id)).all()
            return next(iter(self._as_rows(connection, found)), None)

    def _as_rows(self, connection: Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return rows as readers see them, with the aliases that mean each."""
        names = sorted({row.name for row in rows if row.aliases})
        claims: list[FileState] = []
        for start in range(0, len(names), _ASKED):
            claims += self._claims(connection, FILES.c.name.in_(names[start : start + _ASKED]))
        holders = alias_holders(claims)
        files = [(FileState._make(_STATE(row)), bool(row.available)) for row in rows]
        return [
            {**public_row(file, aliases_of(file, holders)), "available": available}
            for file, available in files
        ]

    def _claims(self, connection: Connection, *conditions: ColumnElement[bool]) -> list[FileState]:
        """Return all versions that ever had an alias, with nothing but what is needed to tell whose it is."""
        columns = (FILES.c.id, FILES.c.path, FILES.c.filename, FILES.c.aliases)
        query = select(*columns).where(
            FILES.c.experiment_id == self._id,
            FILES.c.aliases.is_not(None),
            FILES.c.saved_ns.is_not(None),
            *conditions,
        )
        return [
            FileState(row.id, path=row.path, filename=row.filename, aliases=row.aliases)
            for row in connection.execute(query)
        ]

    def _meant(self, connection: Connection, query: FileQuery) -> frozenset[str] | None:
        """Return the ids of the versions that the alias means which is asked for; None where none is asked for."""
        alias = query.given_alias
        if alias is None:
            return None
        holders = alias_holders(self._claims(connection, *_place(query.path)))
        return frozenset(found[alias] for found in holders.values() if alias in found)

    def missing(self, limit: int, cursor: str | None) -> dict[str, Any]:
        """Return a page of the missing blobs: files that are not deleted name them, and the server does not have them.

        The cursor is the last checksum of the page before.
        """
        query = (
            # files with the same checksum have the same size: any aggregate would do
            select(FILES.c.checksum, func.max(FILES.c.size).label("size"))
            .join(EXPERIMENTS, EXPERIMENTS.c.id == FILES.c.experiment_id)
            .outerjoin(BLOBS, _HERE)
            .where(
                FILES.c.experiment_id == self._id,
                FILES.c.saved_ns.is_not(None),
                FILES.c.deleted_ns.is_(None),
                BLOBS.c.checksum.is_(None),
                FILES.c.checksum > (cursor or ""),
            )
            .group_by(FILES.c.checksum)
            .order_by(FILES.c.checksum)
            .limit(limit + 1)
        )
        with self._database.read() as connection:
            # one more than a page was asked for: if it comes, there are more
            rows = connection.execute(query).all()
        has_more = len(rows) > limit
        return {
            "data": [{"checksum": row.checksum, "sizeBytes": row.size} for row in rows[:limit]],
            "hasMore": has_more,
            "cursor": rows[limit - 1].checksum if has_more and limit else None,
        }

    def _rows(self, columns: Sequence[ColumnElement[Any]], *conditions: ColumnElement[bool]) -> Select[Any]:
        newest = func.row_number().over(
            partition_by=(FILES.c.path, FILES.c.filename),
            order_by=(FILES.c.saved_ns.desc(), FILES.c.seen.desc()),
        )
        return (
            select(*columns, BLOBS.c.checksum.is_not(None).label("available"), newest.label("rank"))
            .join(EXPERIMENTS, EXPERIMENTS.c.id == FILES.c.experiment_id)
            .outerjoin(BLOBS, _HERE)
            .where(FILES.c.experiment_id == self._id, FILES.c.saved_ns.is_not(None), *conditions)
        )

    def _kept(self, query: FileQuery, columns: Sequence[ColumnElement[Any]]) -> Subquery:
        """Return what is asked for, but for patterns and tags."""
        # ranked before deleted ones are left out: or an older version would stand in for a deleted file
        ranked = self._rows(columns, *_place(query.path)).subquery()
        conditions: list[ColumnElement[bool]] = []
        if not query.versions and query.given_alias is None:
            conditions.append(ranked.c.rank == 1)
        if not query.deleted:
            conditions.append(ranked.c.deleted_ns.is_(None))
        return select(ranked).where(*conditions).subquery()

    def _database_page(
        self, connection: Connection, query: FileQuery, limit: int, after: list[Any] | None
    ) -> tuple[list[Row[Any]], int]:
        kept = self._kept(query, _KEYS)
        total = connection.execute(select(func.count()).select_from(kept)).scalar_one()
        behind = [] if after is None else [_behind(kept, after)]
        rows = connection.execute(_ordered(kept).where(*behind).limit(limit + 1))
        return list(rows), total

    def _filtered_page(
        self, connection: Connection, query: FileQuery, limit: int, after: list[Any] | None
    ) -> tuple[list[Row[Any]], int]:
        matches = _matcher(query, self._meant(connection, query))
        kept = self._kept(query, (*_KEYS, FILES.c.tags))
        # patterns and tags are matched here: no database knows the rules of `FileQuery`. All are read, for the total,
        # but some at a time: an experiment may have very many
        found: Iterator[Row[Any]] = iter(connection.execution_options(yield_per=100).execute(_ordered(kept)))
        rows: list[Row[Any]] = []
        total = 0
        for row in found:
            if matches(row):
                total += 1
                if len(rows) <= limit and (after is None or _sort_key(_place_of(row)) > _sort_key(after)):
                    rows.append(row)
        return rows, total


_EVERYTHING = tuple(FILES.c)
_KEYS = (
    *(FILES.c[name] for name in ("id", "path", "filename", "name", "saved_ns", "seen", "deleted_ns")),
    size_of(FILES.c.description, FILES.c.tags, FILES.c.bindrs, FILES.c.metadata).label("bytes"),
)
"""What says which files are on a page, without what may be large."""
_HERE = and_(
    BLOBS.c.owner == EXPERIMENTS.c.owner,
    BLOBS.c.checksum == FILES.c.checksum,
    BLOBS.c.complete_ns.is_not(None),
)


def _place(path: str | None) -> list[ColumnElement[bool]]:
    place = (path or "").strip("/")
    if not place:
        return []
    # not LIKE: % and _ in a name would be wildcards, and SQLite ignores case there
    below = f"{place}/".encode("utf-8", "surrogatepass")
    beginning = func.substr(FILES.c.name, 1, len(below), type_=LargeBinary)
    return [or_(FILES.c.name == place, beginning == below)]


def _matcher(query: FileQuery, meant: frozenset[str] | None) -> Callable[[Row[Any]], bool]:
    """Return what tells whether pattern, tags and alias ask for a row; `meant` are the ids of what an alias means."""
    by_name = None if query.pattern is None else FileQuery(pattern=query.pattern).matcher()
    tags = set(query.tags)

    def matches(row: Row[Any]) -> bool:
        if meant is not None and row.id not in meant:
            return False
        return (by_name is None or by_name(row.name)) and (not tags or not tags.isdisjoint(row.tags))

    return matches


def _ordered(kept: Subquery) -> Select[Any]:
    columns = kept.c
    return select(kept).order_by(columns.path, columns.filename, columns.saved_ns.desc(), columns.seen.desc())


def _behind(kept: Subquery, after: list[Any]) -> ColumnElement[bool]:
    path, filename, saved_ns, seen = after
    columns = kept.c
    # not one comparison of tuples: names ascend, and times descend
    same = and_(columns.path == path, columns.filename == filename)
    return or_(
        columns.path > path,
        and_(columns.path == path, columns.filename > filename),
        and_(same, columns.saved_ns < saved_ns),
        and_(same, columns.saved_ns == saved_ns, columns.seen < seen),
    )


def _place_of(row: Row[Any]) -> list[Any]:
    return [row.path, row.filename, row.saved_ns, row.seen]


def _sort_key(place: list[Any]) -> tuple[bytes, bytes, int, int]:
    """Return what sorts as the database does: it compares bytes."""
    path, filename, saved_ns, seen = place
    encoded = (text.encode("utf-8", "surrogatepass") for text in (path, filename))
    return (*encoded, -saved_ns, -seen)


def _parse_cursor(cursor: str) -> list[Any]:
    match read_cursor(cursor):
        case [str(), str(), int() as saved_ns, int() as seen] as place if (
            -(2**63) <= saved_ns < 2**63 and 0 <= seen < 2**63
        ):
            return list(place)
    raise invalid_cursor(cursor)
