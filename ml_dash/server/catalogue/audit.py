"""Who has done what with an experiment, and when: written in the transaction that does it, and never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sqlalchemy import func, insert, select

from ml_dash.query.times import iso_time
from ml_dash.server.db.tables import AUDIT

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ml_dash.query.pages import Take
    from ml_dash.server.accounts.grants import Principal

Action: TypeAlias = Literal["delete", "restore", "move", "tag", "note", "readme", "stop"]


def write_down(
    connection: Connection,
    experiment_id: str,
    who: Principal,
    action: Action,
    details: dict[str, Any],
    now_ns: int,
) -> None:
    """Note what is done to an experiment, in a transaction that has it to itself."""
    last = select(func.max(AUDIT.c.number)).where(AUDIT.c.experiment_id == experiment_id)
    connection.execute(
        insert(AUDIT).values(
            experiment_id=experiment_id,
            number=(connection.execute(last).scalar_one() or 0) + 1,
            time_ns=now_ns,
            token_id=who.token_id,
            who=who.name,
            action=action,
            details=details,
        )
    )


def history(
    connection: Connection, take: Take, experiment_id: str, limit: int, before: int | None
) -> int | None:
    """Give what was done to an experiment to `take`, the newest first; return the number behind which it goes on.

    None where that was all. `before` is such a number.
    """
    query = select(AUDIT).where(AUDIT.c.experiment_id == experiment_id)
    if before is not None:
        query = query.where(AUDIT.c.number < before)
    found = connection.execute(query.order_by(AUDIT.c.number.desc()).limit(limit + 1)).all()
    last = before
    for at, row in enumerate(found):
        if at == limit or not take(_as_change(row)):
            return last
        last = row.number
    return None


def _as_change(row: Any) -> dict[str, Any]:
    return {
        "number": row.number,
        "at": iso_time(row.time_ns),
        "action": row.action,
        "who": row.who,
        "tokenId": row.token_id,
        "details": row.details,
    }
