"""A new experiment under the name of one that was deleted.

The deleted one keeps its rows, and gives its name away. The new one has none of them; but it takes over how far each
writer had been stored. So frames that were deleted stay deleted, whoever sends their journal again: they are
acknowledged as known.

What these writers have written since is of runs that began before: it belongs to the deleted one, and is refused. Only
a writer that says that it has begun another run goes on here. So a run that nobody has stopped does not end up among
the rows of the next one of its name, whichever way it comes to ask: after an outage, by ``ml-dash sync``, beside the
next run in its directory. Clients of before cannot tell; where one of them begins the new experiment, all go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, literal, select, true, update

from ml_dash.protocol import ErrorCode
from ml_dash.server.catalogue.records import prefix_of_succeeded
from ml_dash.server.db.tables import EXPERIMENTS, FRAME_CHECKS, WRITERS
from ml_dash.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sqlalchemy import Connection, Row


def succeed(
    connection: Connection, deleted: Row[Any], create: Callable[[], str], now_ns: int, *, bars: bool
) -> str:
    """Create an experiment in the place of a deleted one, in a transaction that has that to itself; return its id.

    `bars` says whether nothing more is taken of its writers.
    """
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
        literal(bars),
    ).where(WRITERS.c.experiment_id == deleted.id)
    columns = ("experiment_id", "writer", "watermark", "checks", "open_runs", "received_ns", "barred")
    connection.execute(insert(WRITERS).from_select(columns, known))
    checks = select(literal(successor), FRAME_CHECKS.c.writer, FRAME_CHECKS.c.page, FRAME_CHECKS.c.checks)
    connection.execute(
        insert(FRAME_CHECKS).from_select(
            ("experiment_id", "writer", "page", "checks"),
            checks.where(FRAME_CHECKS.c.experiment_id == deleted.id),
        )
    )
    return successor


def let_in(connection: Connection, experiment_id: str, writers: Collection[str]) -> None:
    """Take what these writers write from now on: they have begun a run since the deletion."""
    if writers:
        connection.execute(
            update(WRITERS)
            .where(
                WRITERS.c.experiment_id == experiment_id,
                WRITERS.c.writer.in_(writers),
                WRITERS.c.barred.is_(true()),
            )
            .values(barred=False)
        )


def barred(writer: str, watermark: int) -> ApiError:
    """Return the error for frames of a writer of which nothing more is taken."""
    return ApiError(
        409,
        ErrorCode.FENCED,
        f"writer {writer} wrote to the experiment that had this name before and was deleted, and has begun no run "
        "since: what it has logged since then is not taken into the one that has the name now. To send it to the "
        "deleted one, restore that under another name (`ml-dash restore --to`)",
        deleted=True,
        watermark=watermark,
    )
