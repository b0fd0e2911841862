"""Many experiments of a server's store at once, in few statements: how they stand, and views of one of their series."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, tuple_

from ml_dash.query.axes.ranks import ranks_of
from ml_dash.server.db.batches import batches, size_of
from ml_dash.server.db.tables import BLOCKS, EXPERIMENTS, SERIES, WRITERS, name_key
from ml_dash.server.rows.index import HAS_RANK, STORED, StoredBlock, series_info
from ml_dash.server.rows.library import Standing
from ml_dash.server.rows.view import Known, StoreView

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from ml_dash.series import Series
    from ml_dash.server.blobs.backend import Backend
    from ml_dash.server.charts.looked_at import LookedAt
    from ml_dash.server.db.database import Database
    from ml_dash.server.rows.index import SeriesInfo

_AT_ONCE = 500
"""Experiments in a statement."""
_LITTLE_ROWS, _LITTLE_BYTES, _LITTLE_BLOCKS = 20_000, 1 << 20, 100
"""What is read of a series with those of other experiments has no more."""
_ROOM_BYTES = 16 << 20
"""Of all that are read together."""


def standings(database: Database, boot: str, ids: Sequence[str]) -> dict[str, Standing]:
    """Return how experiments stand, see `ml_dash.server.rows.library.Library.standings`.

    Args:
        database: Theirs.
        boot: What no other start of a server has: a database may have been restored between two, and counts on from
            there as it did before.
        ids: Their ids.
    """
    columns = EXPERIMENTS.c
    asked = (columns.id, columns.owner, columns.prefix, columns.deleted_ns, columns.changed)
    found: dict[str, Standing] = {}
    for some in _some(ids):
        with database.read() as connection:
            for id_, owner, prefix, deleted_ns, changed in connection.execute(
                select(*asked).where(columns.id.in_(some))
            ):
                found[id_] = Standing(owner, prefix, deleted_ns is not None, f"{boot}.{changed}")
    return found


def views(
    backend: Backend, ids: Sequence[str], series: Series, looked_at: LookedAt | None = None
) -> dict[str, StoreView]:
    """Return views of experiments that know what there is of a series, and how many attempts.

    Where it is little they have its rows already: a statement for each of a thousand runs takes longer than all else.
    """
    found: dict[str, StoreView] = {}
    for some in _some(ids):
        # one state of the database for all statements
        with backend.database.read() as connection:
            infos = _infos(connection, some, series)
            blocks = _blocks(connection, infos)
            rows = connection.execute(
                select(EXPERIMENTS.c.id, EXPERIMENTS.c.attempts, EXPERIMENTS.c.started_ns).where(
                    EXPERIMENTS.c.id.in_(some)
                )
            ).all()
            ranks = _ranks(connection, some)
        for id_, attempts, started_ns in rows:
            kept = {series: blocks[id_]} if id_ in blocks else {}
            known = Known({series: infos.get(id_)}, attempts, started_ns, kept, ranks_of(ranks.get(id_, ())))
            found[id_] = StoreView(backend, id_, known, looked_at)
    return found


def _ranks(connection: Connection, ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the writers of each experiment that have a rank."""
    found: dict[str, list[str]] = {}
    query = select(WRITERS.c.experiment_id, WRITERS.c.writer).where(
        WRITERS.c.experiment_id.in_(ids), HAS_RANK
    )
    for experiment_id, writer in connection.execute(query):
        found.setdefault(experiment_id, []).append(writer)
    return found


def _infos(connection: Connection, ids: Sequence[str], series: Series) -> dict[str, SeriesInfo]:
    query = select(SERIES).where(
        SERIES.c.experiment_id.in_(ids),
        SERIES.c.kind == int(series.kind),
        SERIES.c.name == name_key(series.name),
    )
    return {row.experiment_id: series_info(row) for row in connection.execute(query).all()}


def _blocks(connection: Connection, infos: Mapping[str, SeriesInfo]) -> dict[str, list[StoredBlock]]:
    """Return the blocks of experiments that have little of a series, as much as there is room for in memory."""
    few = {id_: info.number for id_, info in infos.items() if info.rows <= _LITTLE_ROWS}
    sizes: dict[str, int] = dict.fromkeys(few, 0)
    keys: dict[str, list[tuple[str, int, int]]] = {id_: [] for id_ in few}
    own = tuple_(BLOCKS.c.experiment_id, BLOCKS.c.series).in_(list(few.items()))
    size = size_of(BLOCKS.c.data, BLOCKS.c.head)
    for id_, number, first, length in connection.execute(
        select(BLOCKS.c.experiment_id, BLOCKS.c.series, BLOCKS.c.first, size).where(own)
    ).all():
        sizes[id_] += length
        keys[id_].append((id_, number, first))
    room = _ROOM_BYTES
    chosen: list[tuple[str, int]] = []
    for id_, length in sizes.items():
        if length <= _LITTLE_BYTES and length <= room and len(keys[id_]) <= _LITTLE_BLOCKS:
            room -= length
            chosen.append((id_, length))
    found: dict[str, list[StoredBlock]] = {id_: [] for id_, _ in chosen}
    for batch in batches(chosen):
        own = tuple_(BLOCKS.c.experiment_id, BLOCKS.c.series).in_([(id_, few[id_]) for id_ in batch])
        query = select(*STORED, BLOCKS.c.experiment_id).where(own)
        for row in connection.execute(query.order_by(BLOCKS.c.experiment_id, BLOCKS.c.first)).all():
            found[row.experiment_id].append(StoredBlock._make(row[: len(STORED)]))
    return found


def _some(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[at : at + _AT_ONCE] for at in range(0, len(ids), _AT_ONCE))
