"""Many experiments of a server's store at once, in few statements: how they stand, and views of one of their series."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from ml_dash.server.db.tables import EXPERIMENTS, SERIES, name_key
from ml_dash.server.rows.index import series_info
from ml_dash.server.rows.library import Standing
from ml_dash.server.rows.view import Known, StoreView

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml_dash.series import Series
    from ml_dash.server.blobs.backend import Backend
    from ml_dash.server.db.database import Database

_AT_ONCE = 500
"""Experiments in a statement."""


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


def views(backend: Backend, ids: Sequence[str], series: Series) -> dict[str, StoreView]:
    """Return views of experiments that know already how much of a series there is, and how many attempts."""
    found: dict[str, StoreView] = {}
    for some in _some(ids):
        with backend.database.read() as connection:
            infos = {
                row.experiment_id: series_info(row)
                for row in connection.execute(
                    select(SERIES).where(
                        SERIES.c.experiment_id.in_(some),
                        SERIES.c.kind == int(series.kind),
                        SERIES.c.name == name_key(series.name),
                    )
                )
            }
            rows = connection.execute(
                select(EXPERIMENTS.c.id, EXPERIMENTS.c.attempts, EXPERIMENTS.c.started_ns).where(
                    EXPERIMENTS.c.id.in_(some)
                )
            )
            for id_, attempts, started_ns in rows:
                known = Known({series: infos.get(id_)}, attempts, started_ns)
                found[id_] = StoreView(backend, id_, known)
    return found


def _some(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[at : at + _AT_ONCE] for at in range(0, len(ids), _AT_ONCE))
