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
from ml_dash.server.catalogue.records import own_prefix, prefix_of_succeeded
from ml_dash.server.db.tables import EXPERIMENTS, FRAME_CHECKS, WRITERS
from ml_dash.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sqlalchemy import Connection, Row


def succeed(
    connection: Connection,
    deleted: Row[Any],
    holder: Row[Any] | None,
    create: Callable[[], str],
    now_ns: int,
    *,
    bars: bool,
) -> str:
    """Have an experiment in the place of a deleted one, in a transaction that has that to itself; return its id.

    Args:
        connection: The transaction's.
        deleted: The deleted one.
        holder: What has the name of the new one, locked: the deleted one itself; or, where that was moved, another one.
            If it lives, it is the successor; if it was deleted as well, it has one, too.
        create: Creates a successor, and returns its id.
        now_ns: The time.
        bars: Whether nothing more is taken of the writers of what was deleted.
    """
    succeeded = {deleted.id: deleted}
    if holder is not None and holder.deleted_ns is not None:
        succeeded[holder.id] = holder
    for each in succeeded.values():
        connection.execute(
            update(EXPERIMENTS)
            .where(EXPERIMENTS.c.id == each.id)
            .values(prefix=prefix_of_succeeded(own_prefix(each.prefix), each.id))
        )
    is_there = holder is not None and holder.deleted_ns is None
    successor = str(holder.id) if holder is not None and is_there else create()
    for id_ in succeeded:
        _take_over(connection, id_, successor, now_ns, bars=bars)
    return successor


def _take_over(connection: Connection, deleted: str, successor: str, now_ns: int, *, bars: bool) -> None:
    """Have an experiment know how far the writers of a deleted one had been stored that it does not know itself."""
    its = WRITERS.alias()
    is_new = WRITERS.c.writer.not_in(select(its.c.writer).where(its.c.experiment_id == successor))
    new = select(WRITERS.c.writer).where(WRITERS.c.experiment_id == deleted, is_new)
    known = select(
        literal(successor),
        WRITERS.c.writer,
        WRITERS.c.watermark,
        WRITERS.c.checks,
        literal(0),
        literal(now_ns),
        literal(bars),
    ).where(WRITERS.c.experiment_id == deleted, is_new)
    columns = ("experiment_id", "writer", "watermark", "checks", "open_runs", "received_ns", "barred")
    checks = select(literal(successor), FRAME_CHECKS.c.writer, FRAME_CHECKS.c.page, FRAME_CHECKS.c.checks)
    connection.execute(
        insert(FRAME_CHECKS).from_select(
            ("experiment_id", "writer", "page", "checks"),
            checks.where(FRAME_CHECKS.c.experiment_id == deleted, FRAME_CHECKS.c.writer.in_(new)),
        )
    )
    connection.execute(insert(WRITERS).from_select(columns, known))


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
