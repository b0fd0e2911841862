"""Which rows of a series are of which opening: noted where that changes the attempt, and not with every block.

Ranks that log side by side send their blocks by turns. They are one attempt, so that their rows are one span.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, select

from ml_dash.query.attempts import born_ns
from ml_dash.server.db.tables import OPENINGS

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Owner(NamedTuple):
    """Whose rows they are: the number of an opening, None of a writer that opened no run; and the writer."""

    opening: int | None
    writer: str


class Spans:
    """The spans that a transaction adds."""

    def __init__(self, connection: Connection) -> None:
        self.rows: list[dict[str, Any]] = []
        self._connection = connection
        self._roots: dict[tuple[str, Owner], int | None] = {}

    def begins(self, experiment_id: str, series: int, first: int, before: Owner | None, owner: Owner) -> bool:
        """Note whose rows a series has from `first` on; False where that is the attempt of those before."""
        if before == owner:
            return False
        if before is not None:
            root = self._root(experiment_id, owner)
            if root is not None and root == self._root(experiment_id, before):
                return False
        self.rows.append(
            {"experiment_id": experiment_id, "series": series, "first": first, **owner._asdict()}
        )
        return True

    def _root(self, experiment_id: str, owner: Owner) -> int | None:
        """Return the attempt of an owner; None where rows that come later may show it to be another."""
        key = experiment_id, owner
        if key not in self._roots:
            self._roots[key] = self._look_up(experiment_id, owner)
        return self._roots[key]

    def _look_up(self, experiment_id: str, owner: Owner) -> int | None:
        own = OPENINGS.c.experiment_id == experiment_id
        if owner.opening is not None:
            query = select(OPENINGS.c.attempt).where(own, OPENINGS.c.number == owner.opening)
            return self._connection.execute(query).scalar_one_or_none()
        born = born_ns(owner.writer)
        if born is None:
            return None
        before = (
            select(OPENINGS.c.attempt)
            .where(own, OPENINGS.c.order_ns <= born)
            .order_by(OPENINGS.c.order_ns.desc())
            .limit(1)
        )
        root: int | None = self._connection.execute(before).scalar_one_or_none()
        lasts = select(func.max(OPENINGS.c.last_ns)).where(own, OPENINGS.c.attempt == root)
        # its parent's own start may come later than its rows: only what has gone on since is surely the parent's
        goes_on = root is not None and self._connection.execute(lasts).scalar_one() > born
        return root if goes_on else None
