"""Many experiments of a server's store at once, in few statements: how they stand, and views of one of their series."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, select

from ml_dash.query.axes.ranks import ranks_of
from ml_dash.server.db.batches import batches, size_of
from ml_dash.server.db.tables import BLOCKS, EXPERIMENTS, SERIES, WRITERS, name_key
from ml_dash.server.rows.index import HAS_RANK, INFO, STORED, StoredBlock, series_info
from ml_dash.server.rows.library import Standing
from ml_dash.server.rows.view import Known, StoreView

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Select

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
_BATCH_BYTES = 4 << 20
"""Of a statement."""


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
            blocks = _blocks(connection, infos, series)
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
    query = select(*(SERIES.c[name] for name in INFO)).where(*_is_series(ids, series))
    return {row.experiment_id: series_info(row) for row in connection.execute(query).all()}


def _blocks(
    connection: Connection, infos: Mapping[str, SeriesInfo], series: Series
) -> dict[str, list[StoredBlock]]:
    """Return the blocks of experiments that have little of a series, as much as there is room for in memory."""
    few = [id_ for id_, info in infos.items() if info.rows <= _LITTLE_ROWS]
    if not few:
        return {}
    sizes: dict[str, int] = dict.fromkeys(few, 0)
    counts: dict[str, int] = dict.fromkeys(few, 0)
    size = size_of(BLOCKS.c.data, BLOCKS.c.head)
    for id_, length in connection.execute(_of_series(select(BLOCKS.c.experiment_id, size), few, series)):
        sizes[id_] += length
        counts[id_] += 1
    room = _ROOM_BYTES
    chosen: list[tuple[str, int]] = []
    for id_, length in sizes.items():
        if length <= _LITTLE_BYTES and length <= room and counts[id_] <= _LITTLE_BLOCKS:
            room -= length
            chosen.append((id_, length))
    found: dict[str, list[StoredBlock]] = {id_: [] for id_, _ in chosen}
    for batch in batches(chosen, _BATCH_BYTES):
        query = _of_series(select(*STORED, BLOCKS.c.experiment_id), batch, series)
        for row in connection.execute(query).all():
            found[row.experiment_id].append(StoredBlock._make(row[: len(STORED)]))
    for blocks in found.values():
        blocks.sort(key=attrgetter("first"))
    return found


def _of_series(query: Select[Any], ids: Sequence[str], series: Series) -> Select[Any]:
    """Return a query of blocks for those of a series of some experiments.

    By a join: SQLite finds pairs of an experiment and a number (``(a, b) IN …``) by no index, and reads all blocks.
    And unsorted: it would put the blocks' bytes into a table of their own for that.
    """
    own = and_(SERIES.c.experiment_id == BLOCKS.c.experiment_id, SERIES.c.number == BLOCKS.c.series)
    return query.select_from(BLOCKS).join(SERIES, own).where(*_is_series(ids, series))


def _is_series(ids: Sequence[str], series: Series) -> tuple[ColumnElement[bool], ...]:
    return (
        SERIES.c.experiment_id.in_(ids),
        SERIES.c.kind == int(series.kind),
        SERIES.c.name == name_key(series.name),
    )


def _some(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[at : at + _AT_ONCE] for at in range(0, len(ids), _AT_ONCE))
