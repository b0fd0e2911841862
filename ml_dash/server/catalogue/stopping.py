"""Requests to stop: kept with the experiment for one attempt, and told to who sends its rows while that is the newest.

A process that starts beside others is taken for a new attempt at first, where nobody could know of them: it is not told
then, and is as soon as it turns out to be of theirs. So what is asked of an attempt is kept behind it.

A run says that it has seen one in a heartbeat, so that rows which come late, of a run without a network, tell it too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from ml_dash.protocol import STOP_REASON_MAX
from ml_dash.query.attempts import text_of
from ml_dash.query.times import iso_time
from ml_dash.server.catalogue.changes import change_mark
from ml_dash.server.catalogue.records import time_or_none
from ml_dash.server.db.tables import EXPERIMENTS, OPENINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

NOT_ASKED: dict[str, Any] = dict.fromkeys(
    ("stop_ns", "stop_by", "stop_reason", "stop_attempt", "stop_names", "stop_seen_ns")
)
"""The columns of an experiment none of whose attempts anybody has asked to stop."""
STOP_COLUMNS = (EXPERIMENTS.c.newest_attempt, *(EXPERIMENTS.c[name] for name in NOT_ASKED))
"""Those that the functions below want."""
_NAMES_MAX = 10_000
"""Of an attempt that has a name for each process, those that are kept."""


def stop_of(row: Any) -> dict[str, Any] | None:
    """Return what the newest attempt is asked, of a row of `EXPERIMENTS`, as records have it; None for nothing."""
    if row.stop_ns is None or row.stop_attempt != row.newest_attempt:
        return None
    return {
        "at": iso_time(row.stop_ns),
        "by": row.stop_by,
        "reason": row.stop_reason,
        "seenAt": time_or_none(row.stop_seen_ns),
    }


def asked_stop(row: Any) -> dict[str, Any] | None:
    """Return it as runs are told of it."""
    stop = stop_of(row)
    return None if stop is None else {**stop, "atNs": row.stop_ns, "attempts": row.stop_names or []}


def read_stops(connection: Connection, experiment_ids: Iterable[str]) -> dict[str, dict[str, Any] | None]:
    """Return these requests of several experiments, of which those without one may be left out."""
    ids = sorted(experiment_ids)
    if not ids:
        return {}
    query = select(EXPERIMENTS.c.id, *STOP_COLUMNS).where(
        EXPERIMENTS.c.id.in_(ids), EXPERIMENTS.c.stop_ns.is_not(None)
    )
    return {row.id: asked_stop(row) for row in connection.execute(query)}


def names_of(connection: Connection, experiment_id: str, attempt: int | None) -> list[str]:
    """Return what start rows call an attempt: where its processes could not know of one another, by several names."""
    names = (
        select(OPENINGS.c.name)
        .distinct()
        .where(
            OPENINGS.c.experiment_id == experiment_id,
            OPENINGS.c.attempt == attempt,
            OPENINGS.c.name.is_not(None),
        )
    )
    return list(connection.execute(names.order_by(OPENINGS.c.name).limit(_NAMES_MAX)).scalars())


def follow_attempt(connection: Connection, experiment_id: str, attempt: int | None) -> dict[str, Any]:
    """Return what is stored anew of a request when RUN rows have come: its attempt may have another number, or name."""
    opening = (OPENINGS.c.experiment_id == experiment_id, OPENINGS.c.number == attempt)
    now = connection.execute(select(OPENINGS.c.attempt).where(*opening)).scalar_one_or_none()
    return {"stop_attempt": now, "stop_names": names_of(connection, experiment_id, now)}


def note_seen(
    connection: Connection, experiment_id: str, rows: Iterable[tuple[int, Mapping[str, Any]]]
) -> None:
    """Note that processes of the newest attempt have seen a request: one that was made here, or on their own disk."""
    for time_ns, stop in rows:
        query = select(*STOP_COLUMNS).where(EXPERIMENTS.c.id == experiment_id)
        known = connection.execute(query).one()
        names = names_of(connection, experiment_id, known.newest_attempt)
        is_asked = stop_of(known) is not None
        if stop.get("attempt") not in names or (is_asked and known.stop_seen_ns is not None):
            continue
        asked_ns = stop.get("asked_ns")
        is_time = isinstance(asked_ns, int) and not isinstance(asked_ns, bool) and 0 <= asked_ns < 2**63
        reason = text_of(stop.get("reason"))
        told = {
            "stop_ns": asked_ns if is_time else time_ns,
            "stop_by": text_of(stop.get("by")),
            "stop_reason": reason and reason[:STOP_REASON_MAX],
            "stop_attempt": known.newest_attempt,
            "stop_names": names,
        }
        connection.execute(
            update(EXPERIMENTS)
            .where(EXPERIMENTS.c.id == experiment_id)
            .values(
                **({} if is_asked else told),
                stop_seen_ns=time_ns,
                changed=change_mark(connection),
            )
        )


def seen_in(rows: Iterable[tuple[int, Mapping[str, Any]]]) -> list[tuple[int, Mapping[str, Any]]]:
    """Return what RUN rows say of requests that were seen, with their times."""
    return [
        (time_ns, stop)
        for time_ns, row in rows
        if row.get("event") == "heartbeat" and isinstance(stop := row.get("stop"), dict)
    ]
