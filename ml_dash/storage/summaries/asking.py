"""Questions that lists ask of a root: filtered, sorted, a page at a time, without a look at the disk."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ml_dash.journal.objects import from_msgpack
from ml_dash.query.listing.sql import compile as compile_sql
from ml_dash.storage.summaries.records import Record, unpack_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.query.listing.binding import Bound, Order
    from ml_dash.query.listing.listed import ListedExperiment
    from ml_dash.query.listing.sql import Compiled
    from ml_dash.storage.summaries.store import Store

_ALL = 1 << 62


class Asked(Protocol):
    """The root that is asked; see `RootIndex`."""

    root: str
    store: Store

    def directory_of(self, path: str) -> str:
        """Return the directory of an experiment."""


class Found(NamedTuple):
    """An experiment, and by what it was sorted: `after` begins the next page behind it."""

    id: int
    path: str
    after: tuple[Any, ...]


def counted(store: Store, bound: Bound, now_ns: int | None = None) -> int:
    """Return how many experiments a filter asks for."""
    compiled = _compiled(store, bound, None, now_ns)
    found: int = store.connection.execute(compiled.count(), compiled.parameters).fetchone()[0]
    return found


def found(
    store: Store, bound: Bound, order: Order | None, *, limit: int | None = None, now_ns: int | None = None
) -> Iterator[Found]:
    """Yield the experiments that a filter asks for, in order; None is the newest first."""
    compiled = _compiled(store, bound, order, now_ns)
    most = _ALL if limit is None else limit
    for phase in range(len(compiled.phases)):
        statement = compiled.select(phase, "e.id, e.path")
        rows = store.connection.execute(statement, {**compiled.parameters, "most": most}).fetchall()
        for id_, path, *after in rows:
            yield Found(id_, os.fsdecode(path), (phase, *after))
        most -= len(rows)
        if most <= 0:
            return


def selected(
    index: Asked, bound: Bound, order: Order | None, *, limit: int | None = None, now_ns: int | None = None
) -> list[ListedExperiment]:
    """Return the experiments that a filter asks for, in order, with all that is known of them."""
    return [
        listed
        for each in found(index.store, bound, order, limit=limit, now_ns=now_ns)
        if (listed := listed_of(index, each.id, each.path)) is not None
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


def _compiled(store: Store, bound: Bound, order: Order | None, now_ns: int | None) -> Compiled:
    return compile_sql(
        bound, order, store.names.schema, "sqlite", time.time_ns() if now_ns is None else now_ns
    )
