"""Questions that lists ask of a root: filtered, sorted, a page at a time, without a look at the disk."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ml_dash.journal.objects import from_msgpack
from ml_dash.query.listing.finding import finder
from ml_dash.query.listing.sql import compile as compile_sql
from ml_dash.storage.summaries.records import Record, unpack_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from sqlite3 import Connection

    from ml_dash.query.listing.binding import Bound, Order
    from ml_dash.query.listing.finding import Finder, Run, Statement
    from ml_dash.query.listing.listed import ListedExperiment
    from ml_dash.query.listing.sql import Compiled
    from ml_dash.storage.summaries.store import Store

_ALL = 1 << 62


class Asked(Protocol):
    """The root that is asked; see `RootIndex`."""

    root: str
    store: Store
    outside: list[str]

    def directory_of(self, path: str) -> str:
        """Return the directory of an experiment."""


class Found(NamedTuple):
    """An experiment, and by what it was sorted: `after` begins the next page behind it."""

    id: int
    path: str
    after: tuple[Any, ...]


def counted(index: Asked, bound: Bound, now_ns: int | None = None) -> int:
    """Return how many experiments a filter asks for."""
    return _finder(index, bound, None, now_ns).total()


def within(index: Asked) -> tuple[str, dict[str, bytes]]:
    """Return the condition that an experiment is not behind a link that leads out of the root, and its values."""
    conditions: list[str] = []
    values: dict[str, bytes] = {}
    for number, link in enumerate(index.outside):
        path = os.fsencode(link)
        names = f"outside{number}", f"below{number}", f"behind{number}"
        conditions.append(f"NOT (e.path = :{names[0]} OR (e.path > :{names[1]} AND e.path < :{names[2]}))")
        values |= dict(zip(names, (path, path + b"/", path + b"0"), strict=True))
    return " AND ".join(conditions), values


def found(
    index: Asked, bound: Bound, order: Order | None, *, limit: int | None = None, now_ns: int | None = None
) -> Iterator[Found]:
    """Yield the experiments that a filter asks for, in order; None is the newest first."""
    finding = _finder(index, bound, order, now_ns, ["e.path"])
    for id_, place, (path,) in finding.page(None, _ALL if limit is None else limit):
        yield Found(id_, os.fsdecode(path), tuple(place))


def selected(
    index: Asked, bound: Bound, order: Order | None, *, limit: int | None = None, now_ns: int | None = None
) -> list[ListedExperiment]:
    """Return the experiments that a filter asks for, in order, with all that is known of them."""
    return [
        listed
        for each in found(index, bound, order, limit=limit, now_ns=now_ns)
        if (listed := listed_of(index, each.id, each.path)) is not None
    ]


def unreadable(index: Asked) -> list[Record]:
    """Return what is kept of the experiments whose journals cannot be read at all: no filter finds these by much."""
    also, values = within(index)
    # of which it is not known that they are as they were, see `Store.write`; of most, something else is wrong
    rows = index.store.connection.execute(
        "SELECT e.path, d.record FROM experiments e JOIN details d ON d.id = e.id"  # noqa: S608
        f" WHERE e.content IS NULL AND e.seen IS NOT NULL{f' AND {also}' if also else ''} ORDER BY e.path",
        values,
    )
    found = [Record.from_bytes(record, index.directory_of(os.fsdecode(path))) for path, record in rows]
    return [record for record in found if record.failure is not None]


def selected_records(
    index: Asked, bound: Bound, order: Order | None, *, limit: int | None = None
) -> list[tuple[Record, ListedExperiment]]:
    """Do as `selected` does, with what is kept of each besides."""
    pairs = []
    for each in found(index, bound, order, limit=limit):
        row = index.store.record(each.id, index.directory_of(each.path))
        listed = listed_of(index, each.id, each.path)
        if row is not None and listed is not None:
            pairs.append((row, listed))
    return pairs


def records(index: Asked) -> list[Record]:
    """Return what is kept of all experiments, by their paths; not of their parameters and metrics."""
    also, values = within(index)
    statement = f"SELECT e.path, d.record FROM experiments e JOIN details d ON d.id = e.id WHERE {also or '1 = 1'} ORDER BY e.path"  # noqa: S608, E501
    return [
        Record.from_bytes(record, index.directory_of(os.fsdecode(path)))
        for path, record in index.store.connection.execute(statement, values)
    ]


def listed_of(index: Asked, id_: int, path: str) -> ListedExperiment | None:
    """Return all that is known of an experiment; None where it is not there any more."""
    row = index.store.connection.execute(
        "SELECT record, params, metrics FROM details WHERE id = ?", (id_,)
    ).fetchone()
    if row is None:
        return None
    record, params, metrics = row
    return Record.from_bytes(record, index.directory_of(path)).listed(
        {} if params is None else from_msgpack(params), unpack_metrics(metrics), index.root
    )


def _finder(
    index: Asked, bound: Bound, order: Order | None, now_ns: int | None, columns: Sequence[str] = ()
) -> Finder:
    store = index.store
    question = compile_sql(
        bound, order, store.names.schema, "sqlite", time.time_ns() if now_ns is None else now_ns
    )
    return finder(question, runner(store.connection, question, *within(index)), columns)


def runner(connection: Connection, question: Compiled, also: str, values: Mapping[str, Any]) -> Run:
    """Return what asks a root; `also` is what must hold of experiments besides, with values of its own."""

    def run(asked: Statement) -> list[tuple[Any, ...]]:
        given = {**question.parameters, **values, **asked.values}
        return connection.execute(asked.text(also), given).fetchall()

    return run
