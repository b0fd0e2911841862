"""Lists of experiments as a filter asks for them, in any order, with parameters and metrics beside their records."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, literal_column, select, text, true

from ml_dash.query.listing.finding import finder
from ml_dash.server.catalogue.changes import seen
from ml_dash.server.catalogue.columns import shown
from ml_dash.server.catalogue.searching import OwnedNames, compiled
from ml_dash.server.catalogue.values import values_of
from ml_dash.server.db.batches import size_of
from ml_dash.server.db.tables import EXPERIMENTS
from ml_dash.server.http.cursors import invalid_cursor, read_cursor, write_cursor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row, Select

    from ml_dash.query.listing.finding import Place, Statement
    from ml_dash.query.listing.sql import Compiled, Dialect
    from ml_dash.query.pages import Take
    from ml_dash.server.catalogue.experiments import Experiments
    from ml_dash.server.catalogue.records import ExperimentFilter, Search

# the tables that a filter's order begins with are joined to the experiments, which are called e there
_E: Any = SimpleNamespace(
    **{column.name: literal_column(f"e.{column.name}", column.type) for column in EXPERIMENTS.c}
)
_SIZED = (EXPERIMENTS.c.tags, EXPERIMENTS.c.bindrs, EXPERIMENTS.c.metadata, EXPERIMENTS.c.error)


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
    conditions = experiments.conditions(where, now, _E)

    def run(asked: Statement) -> Sequence[Row[Any]]:
        query: Select[Any] = (
            select(*map(text, asked.columns)).select_from(text(asked.source)).limit(asked.limit)
        )
        where: list[Any] = [text(f"({each})") for each in asked.where if each]
        if asked.is_of_experiments:
            where += conditions
        query = query.where(and_(*where).is_not(True) if asked.is_not else and_(true(), *where))
        if asked.order:
            query = query.order_by(text(asked.order))
        return connection.execute(query, {**question.parameters, **asked.values}).all()

    finding = finder(question, run)
    # one more than is asked for: whether it is there says whether there is another page
    found = finding.page(place, limit + 1)
    # they were found by their numbers: the last of their ties is the id
    page = [each.place[-1] for each in found[:limit]]
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
    return {"total": finding.total(), "hasMore": has_more, "cursor": last, "asOf": str(seen(connection, now))}


def _read(cursor: str, question: Compiled) -> Place:
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
