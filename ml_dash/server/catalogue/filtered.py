"""Lists of experiments as a filter asks for them, in any order, with parameters and metrics beside their records."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from sqlalchemy import func, literal_column, select, text

from ml_dash.server.catalogue.changes import seen
from ml_dash.server.catalogue.columns import shown
from ml_dash.server.catalogue.searching import OwnedNames, compiled
from ml_dash.server.catalogue.values import values_of
from ml_dash.server.db.batches import size_of
from ml_dash.server.db.tables import EXPERIMENTS
from ml_dash.server.http.cursors import invalid_cursor, read_cursor, write_cursor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, CursorResult

    from ml_dash.query.listing.sql import Compiled, Dialect, Phase
    from ml_dash.query.pages import Take
    from ml_dash.server.catalogue.experiments import Experiments
    from ml_dash.server.catalogue.records import ExperimentFilter, Search

# the tables that a filter's order begins with are joined to the experiments, which are called e there
_E: Any = SimpleNamespace(
    **{column.name: literal_column(f"e.{column.name}", column.type) for column in EXPERIMENTS.c}
)
_SIZED = (EXPERIMENTS.c.tags, EXPERIMENTS.c.bindrs, EXPERIMENTS.c.metadata, EXPERIMENTS.c.error)
_Place: TypeAlias = list[Any]
"""Of the last experiment of a page: its phase, by what it was sorted there, when it was created, and its id."""


def filtered(
    experiments: Experiments,
    connection: Connection,
    take: Take,
    where: ExperimentFilter,
    asked: Search,
    limit: int,
    cursor: str | None,
) -> dict[str, Any]:
    """Give a page of records to `take`, see `ml_dash.server.rows.library.Library.listing`.

    Raises:
        ApiError: 400: what is asked for cannot be understood, or the cursor is invalid.
    """
    now = experiments.clock.time_ns()
    dialect: Dialect = "sqlite" if connection.dialect.name == "sqlite" else "postgresql"
    names = OwnedNames(connection, where.owners)
    question = compiled(asked, names, dialect, now, experiments.stale_after)
    columns = shown(asked, names)
    place = None if cursor is None else _read(cursor, question)
    statements = _Statements(connection, question, experiments.conditions(where, now, _E))
    found = statements.page(place, limit + 1)
    # where all of them are on the first page there is nothing to count
    total = len(found) if place is None and len(found) <= limit else statements.count()
    page = [each.id for each in found[:limit]]
    size = size_of(*_SIZED, *(EXPERIMENTS.c[name] for name in columns.texts))
    query = select(EXPERIMENTS.c.id, size).where(EXPERIMENTS.c.id.in_(page))
    sizes = {row[0]: row[1] for row in connection.execute(query)}
    taken = experiments.take(
        connection,
        [(id_, sizes[id_] + columns.bytes_expected) for id_ in page],
        take,
        now,
        (lambda _: {}) if columns.is_empty else lambda ids: values_of(connection, ids, columns),
        columns.texts,
    )
    has_more = len(found) > taken
    last = write_cursor(found[taken - 1].place) if has_more and taken else None
    return {"total": total, "hasMore": has_more, "cursor": last, "asOf": str(seen(connection, now))}


class _Found(NamedTuple):
    """An experiment of a page, and where it stands."""

    id: str
    place: _Place


class _Statements:
    """What is asked of the database."""

    def __init__(
        self, connection: Connection, question: Compiled, conditions: Sequence[ColumnElement[bool]]
    ) -> None:
        self._connection = connection
        self._question = question
        self._conditions = conditions

    def count(self) -> int:
        """Return how many experiments are asked for."""
        query = select(func.count()).select_from(text("experiments e"))
        found: int = self._run(query, [self._question.where]).scalar_one()
        return found

    def page(self, place: _Place | None, most: int) -> list[_Found]:
        """Return the next of them; those of one phase of the order come behind those of the one before."""
        found: list[_Found] = []
        first = 0 if place is None else place[0]
        for number, phase in enumerate(self._question.phases[first:], first):
            if len(found) == most:
                break
            also = [phase.where, self._question.where]
            if place is not None and number == first:
                also.append(_behind(phase))
            # no more columns than these, which are in an index: what else is shown is read of the few that are
            query = select(text("e.id"), text("e.created_ns"), text(phase.key or "NULL"))
            query = query.select_from(text(phase.source)).order_by(text(_order(phase)))
            rows = self._run(query.limit(most - len(found)), also, place)
            found += [_Found(id_, [number, key, created, id_]) for id_, created, key in map(tuple, rows)]
        return found

    def _run(self, query: Any, also: Sequence[str], place: _Place | None = None) -> CursorResult[Any]:
        query = query.where(*(text(f"({each})") for each in also if each), *self._conditions)
        given = {} if place is None else {"key": place[1], "created": place[2], "id": place[3]}
        return self._connection.execute(query, {**self._question.parameters, **given})


def _order(phase: Phase) -> str:
    by_key = "" if phase.key is None else f"{phase.key} {'DESC' if phase.descending else 'ASC'}, "
    return f"{by_key}e.created_ns DESC, e.id DESC"


def _behind(phase: Phase) -> str:
    """Return what holds of those that come behind a place of the same phase."""
    behind = "(e.created_ns, e.id) < (:created, :id)"
    if phase.key is None:
        return behind
    sign = "<" if phase.descending else ">"
    return f"{phase.key} {sign}= :key AND ({phase.key} {sign} :key OR {behind})"


def _read(cursor: str, question: Compiled) -> _Place:
    match read_cursor(cursor):
        case [int() as number, key, int() as created, str() as last] if (
            0 <= number < len(question.phases)
            and (key is None) == (question.phases[number].key is None)
            and (key is None or isinstance(key, (int, float, str)))
            and 0 <= created < 2**63
            and last.isascii()
            and last.isprintable()
        ):
            return [number, key, created, last]
    raise invalid_cursor(cursor)
