"""Marks of changes: which transaction last changed an experiment, and which changes a reader has seen.

Times would not do: a transaction may commit long after the time that it wrote down, so a reader that asks for what has
changed since would miss it; and clocks are set back. So the mark is the transaction's number.

PostgreSQL runs transactions side by side: one with a lower number may commit after one with a higher number. Its
snapshots say below which number all have ended, and a reader has seen what lies below that. SQLite runs one writing
transaction after the other, so that counting is enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, select, text

from ml_dash.server.db.tables import EXPERIMENTS
from ml_dash.server.http.cursors import invalid_as_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
_OWN_ID = text("SELECT pg_current_xact_id()::text::bigint")
_ALL_ENDED_BELOW = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
# what is compared with a column must fit into one
_LARGEST = 2**63


class Seen(NamedTuple):
    """What a reader has seen.

    Attributes:
        mark: All changes with marks below this one were seen, and maybe some above.
        time_ns: When they were seen, by the server's clock: a silent run becomes stale by time alone.
    """

    mark: int
    time_ns: int

    def __str__(self) -> str:
        return f"{self.mark}.{self.time_ns}"


def change_mark(connection: Connection) -> int:
    """Return the mark for what this transaction changes; on SQLite, it must be one that writes."""
    if connection.dialect.name == "postgresql":
        return int(connection.execute(_OWN_ID).scalar_one())
    return _next(connection)


def seen(connection: Connection, now_ns: int) -> Seen:
    """Return what this transaction, which reads one state of the database, sees."""
    if connection.dialect.name == "postgresql":
        return Seen(int(connection.execute(_ALL_ENDED_BELOW).scalar_one()), now_ns)
    return Seen(_next(connection), now_ns)


def parse_seen(as_of: str, now: Seen) -> Seen:
    """Return what a reader has seen before.

    Args:
        as_of: The text that it was given then.
        now: What is seen now. If that is less than before, a backup was restored, and all must be seen again.

    Raises:
        ApiError: 400: the text is invalid.
    """
    mark, dot, time_ns = as_of.partition(".")
    if not (
        dot and all(each.isascii() and each.isdigit() and int(each) < _LARGEST for each in (mark, time_ns))
    ):
        raise invalid_as_of(as_of)
    if int(mark) > now.mark:
        return Seen(0, 0)
    # the clock may have been set back
    return Seen(int(mark), min(int(time_ns), now.time_ns))


# made once: every transaction that changes an experiment asks, and to make the statement takes longer than to run it
_HIGHEST = select(func.coalesce(func.max(EXPERIMENTS.c.changed), 0))


def _next(connection: Connection) -> int:
    return int(connection.execute(_HIGHEST).scalar_one()) + 1
