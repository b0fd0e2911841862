"""The attempts of a stored experiment, and which rows are whose: as `ml_dash.server.ingest.spans` has noted it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from ml_dash.query.attempts import Attempt, Opening, attempt_at
from ml_dash.query.selection import Span, merged_spans
from ml_dash.server.db.tables import EXPERIMENTS, OPENINGS, SPANS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from ml_dash.query.selection import Range
    from ml_dash.server.blobs.backend import Superseded
    from ml_dash.server.rows.index import SeriesInfo


def remembered(
    known: Superseded, experiment_id: str, info: SeriesInfo
) -> dict[tuple[int, int, float], list[Range]]:
    """Return what is remembered of which rows of a series are superseded: rows keep their indices as they are there."""
    # the time of the first row: what is written after all rows were removed has the same numbers
    key = experiment_id, info.number, info.first_ns
    found = known.get(key)
    if found is None:
        found = known[key] = {}
    return found


def read_attempts(connection: Connection, experiment_id: str, *, whole: bool = False) -> list[Attempt]:
    """Return the attempts, in order of time; of one that is alone without what it consists of, unless `whole`."""
    count = connection.execute(
        select(EXPERIMENTS.c.attempts).where(EXPERIMENTS.c.id == experiment_id)
    ).scalar_one_or_none()
    if not count or (count == 1 and not whole):
        return [Attempt(1)] if count else []
    columns = (
        "writer",
        "handle",
        "number",
        "start_ns",
        "order_ns",
        "time_ns",
        "last_ns",
        "row",
        "name",
        "resume_from",
        "is_replaced",
        "is_end_only",
    )
    query = select(OPENINGS.c.attempt, *(OPENINGS.c[name] for name in columns))
    rows = connection.execute(query.where(OPENINGS.c.experiment_id == experiment_id))
    found: dict[int, Attempt] = {}
    for row in rows.all():
        found.setdefault(row.attempt, Attempt(0)).openings.append(Opening(*row[1:]))
    for attempt in found.values():
        attempt.openings.sort(key=Opening.place)
    attempts = sorted(found.values(), key=lambda attempt: attempt.openings[0].place())
    for number, attempt in enumerate(attempts, 1):
        attempt.number = number
    return attempts


def read_spans(
    connection: Connection, experiment_id: str, info: SeriesInfo, attempts: Sequence[Attempt]
) -> list[Span]:
    """Return whose the rows of a series are; those from before that was noted are the first attempt's."""
    rows = connection.execute(
        select(SPANS.c.first, SPANS.c.opening, SPANS.c.writer)
        # those of rows that have come since the series was looked at are left out
        .where(
            SPANS.c.experiment_id == experiment_id,
            SPANS.c.series == info.number,
            SPANS.c.first < info.rows,
        )
        .order_by(SPANS.c.first)
    ).all()
    numbers = {opening.at: attempt.number for attempt in attempts for opening in attempt.openings}
    first, owner = 0, 1
    spans = []
    for row in rows:
        spans.append(Span(first, row.first, owner))
        first = row.first
        if row.opening is not None:
            # an attempt that has begun since the others were read is behind them, and none of its rows is superseded
            owner = numbers.get(row.opening, len(attempts) + 1)
        else:
            born = attempt_at(attempts, row.writer)
            owner = 1 if born is None else born.number
    spans.append(Span(first, info.rows, owner))
    return merged_spans(spans)
