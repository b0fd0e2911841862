"""A new experiment under the name of one that was deleted.

The deleted one keeps its rows, and gives its name away. The new one has none of them; but it takes over how far each
writer had been stored. So frames that were deleted stay deleted, whoever sends their journal again: they are
acknowledged as known, and only what their writers have written since is new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, literal, select, update

from ml_dash.server.catalogue.records import prefix_of_succeeded
from ml_dash.server.db.tables import EXPERIMENTS, FRAME_CHECKS, WRITERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Row


def succeed(connection: Connection, deleted: Row[Any], create: Callable[[], str], now_ns: int) -> str:
    """Create an experiment in the place of a deleted one, in a transaction that has that to itself; return its id."""
    connection.execute(
        update(EXPERIMENTS)
        .where(EXPERIMENTS.c.id == deleted.id)
        .values(prefix=prefix_of_succeeded(deleted.prefix, deleted.id))
    )
    successor = create()
    known = select(
        literal(successor),
        WRITERS.c.writer,
        WRITERS.c.watermark,
        WRITERS.c.checks,
        literal(0),
        literal(now_ns),
    ).where(WRITERS.c.experiment_id == deleted.id)
    columns = ("experiment_id", "writer", "watermark", "checks", "open_runs", "received_ns")
    connection.execute(insert(WRITERS).from_select(columns, known))
    checks = select(literal(successor), FRAME_CHECKS.c.writer, FRAME_CHECKS.c.page, FRAME_CHECKS.c.checks)
    connection.execute(
        insert(FRAME_CHECKS).from_select(
            ("experiment_id", "writer", "page", "checks"),
            checks.where(FRAME_CHECKS.c.experiment_id == deleted.id),
        )
    )
    return successor
