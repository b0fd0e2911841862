"""The status of runs, kept up to date as RUN rows arrive, so that nobody who lists experiments reads rows.

The rules are those of `ml_dash.query.attempts` and `ml_dash.query.runs`, with one difference: a process id of another
machine says nothing here, so only silence tells that a run is dead. How long a writer has been silent is told by this
server's clock. What time alone decides (is it still alive?) is decided when somebody asks; the rest is in four places:

- ``openings`` has each start of a run, and to which attempt it belongs;
- ``writers`` has how many of a writer's runs are open, of the newest attempt, and its newest sign of life;
- ``experiments`` has how many attempts there are, and which is the newest, with the newest start or end of that, and
  the newest sign of life of its runs that are open.

Rows come in any order: an attempt that is sent late may lie before others, and a sign of life that comes may show that
two starts were one attempt. So all openings of an experiment are looked at whenever there is news. Where they are many,
as where a job has begun thousands of times, only those are that were going on when the earliest of the news began: then
what is one attempt stays one, though a start with a name or a `resume_from` that comes late may have parted it. Only an
end whose start is not there goes over to another one: to one that began between that which it was taken for and itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, or_, select, update

from ml_dash.query.attempts import Opening, Openings, attempts_of, turn_of
from ml_dash.query.runs import RunInfo, WriterRuns, last_activity, standing
from ml_dash.query.times import NANOSECONDS
from ml_dash.series import Kind
from ml_dash.server.catalogue.stopping import follow_attempt
from ml_dash.server.db.database import upsert
from ml_dash.server.db.tables import EXPERIMENTS, OPENINGS, SERIES, WRITERS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Row

    from ml_dash.query.attempts import Turn
    from ml_dash.query.row_source import TimedRows


_FEW = 200
"""Openings of an experiment: not more are read whenever a run of it shows a sign of life."""


class RunNews:
    """RUN rows of one experiment, in a transaction that has it to itself: taken in writer by writer, then stored."""

    def __init__(self, connection: Connection, experiment_id: str) -> None:
        self._connection = connection
        self._id = experiment_id
        self._writers: dict[str, Openings] = {}
        self._next: int | None = None
        self.resumed = False
        """Whether any of the starts repeats from a step on."""

    def add(self, writer: str, rows: TimedRows) -> list[int | None]:
        """Take in rows of a writer, in the order written; return, for each start, the number of the opening it is.

        None stands for one that is put again: the run goes on.
        """
        turns = [turn_of(time_ns, row) for time_ns, row in rows]
        self._look_up(writer, turns)
        numbers: list[int | None] = []
        for turn in turns:
            number = self._number()
            opened = self._writers[writer].add(number, turn)
            if opened is not None:
                self._next = number + 1
                self.resumed = self.resumed or opened.resume_from is not None
            if turn.event == "start":
                numbers.append(None if opened is None else number)
        return numbers

    def _look_up(self, writer: str, turns: Sequence[Turn]) -> None:
        handles = {turn.handle for turn in turns}
        known = self._writers.get(writer)
        new = sorted(handles - {each.handle for each in known.found} if known else handles)
        if known is None:
            # those that are open as well: whatever a process writes is a sign of life of all of them
            its = or_(OPENINGS.c.handle.in_(new), _OPEN)
            self._writers[writer] = Openings(writer, self._read([OPENINGS.c.writer == writer, its]))
        elif new:
            known.know(self._read([OPENINGS.c.writer == writer, OPENINGS.c.handle.in_(new)]))

    def _number(self) -> int:
        if self._next is None:
            query = select(func.max(OPENINGS.c.number)).where(OPENINGS.c.experiment_id == self._id)
            self._next = (self._connection.execute(query).scalar_one() or 0) + 1
        return self._next

    def _read(self, conditions: list[ColumnElement[bool]]) -> list[Opening]:
        query = select(OPENINGS).where(OPENINGS.c.experiment_id == self._id, *conditions)
        return [opening_of(row) for row in self._connection.execute(query.order_by(OPENINGS.c.number))]

    def store(self) -> None:
        """Store openings, and what follows from them. The rows of the writers must exist."""
        news = {at: each for openings in self._writers.values() for at, each in openings.news.items()}
        if not news:
            return
        since = min(each.order_ns for each in news.values())
        is_whole = self._number() - 1 <= _FEW
        known = self._read([]) if is_whole else self._beside(news.values(), since)
        openings = {**{each.at: each for each in known}, **news}
        roots = _roots_of_all(openings.values()) if is_whole else self._roots(openings, since)
        upsert(
            self._connection,
            OPENINGS,
            [opening_row(self._id, opening, roots[opening.at]) for opening in news.values()],
        )
        moved = self._move(roots, known, {each.at for each in known if is_whole or each.is_end_only})
        resumed = any(each.resume_from is not None for each in (*known, *news.values()))
        self._update(None if moved else {opening.writer for opening in news.values()}, resumed=resumed)
        if resumed:
            relist(self._connection, [self._id])

    def _beside(self, news: Collection[Opening], since: int) -> list[Opening]:
        """Return what may belong together with these, the first of which began at `since`: all others ended before."""
        names = sorted({each.name for each in news if each.name is not None})
        # An end without its start is of the attempt of the start before it; one that has none before it, of those ends
        # that have none.
        before = []
        if any(each.is_end_only for each in news):
            earlier = select(func.max(OPENINGS.c.order_ns)).where(
                OPENINGS.c.experiment_id == self._id, OPENINGS.c.order_ns < since
            )
            starts = earlier.where(OPENINGS.c.is_end_only.is_(False))
            before = [earlier.scalar_subquery(), starts.scalar_subquery()]
        return self._read(
            [
                or_(
                    OPENINGS.c.last_ns >= since,
                    OPENINGS.c.name.in_(names),
                    OPENINGS.c.resume_from.is_not(None),
                    *(OPENINGS.c.order_ns == each for each in before),
                )
            ]
        )

    def _roots(self, openings: Mapping[int, Opening], since: int) -> dict[int, int]:
        """Return which attempt each belongs to, as the number of an opening of it: what is one stays one.

        But for ends whose starts are not there: these go where they belong, and join nothing.
        """
        query = select(OPENINGS.c.number, OPENINGS.c.attempt).where(
            OPENINGS.c.experiment_id == self._id, OPENINGS.c.number.in_(sorted(openings))
        )
        stored: dict[int, int] = {row.number: row.attempt for row in self._connection.execute(query)}
        joined: dict[int, int] = {}

        def root(number: int) -> int:
            while joined.get(number, number) != number:
                number = joined[number]
            return number

        for attempt in attempts_of(openings.values()):
            starts = [each for each in attempt.openings if not each.is_end_only]
            ends = [each for each in attempt.openings if each.is_end_only]
            found = {root(stored.get(each.at, each.at)) for each in starts}
            joined |= dict.fromkeys(found, min(found, default=0))
            # of an end before `since` it is not known here what is before it: it stays where it is
            new = [each.at for each in ends if each.at not in stored or each.order_ns >= since]
            its = found or {stored[each.at] for each in ends if each.at in stored} or new
            stored |= {at: min(its) for at in new}
        return {at: root(stored.get(at, at)) for at in openings}

    def _move(self, roots: Mapping[int, int], known: Sequence[Opening], alone: Collection[int]) -> bool:
        """Store which attempts have turned out to be one, and which openings belong to another; return whether any did.

        What is not to be moved `alone` takes all of its attempt along.
        """
        query = select(OPENINGS.c.number, OPENINGS.c.attempt).where(
            OPENINGS.c.experiment_id == self._id, OPENINGS.c.number.in_([each.at for each in known])
        )
        changed = [row for row in self._connection.execute(query).all() if row.attempt != roots[row.number]]
        moved = {row.attempt: roots[row.number] for row in changed if row.number not in alone}
        own = OPENINGS.c.experiment_id == self._id
        for old, new in moved.items():
            self._connection.execute(
                update(OPENINGS).where(own, OPENINGS.c.attempt == old).values(attempt=new)
            )
        for number in (row.number for row in changed if row.number in alone):
            self._connection.execute(
                update(OPENINGS).where(own, OPENINGS.c.number == number).values(attempt=roots[number])
            )
        return bool(changed)

    def _update(self, writers: set[str] | None, *, resumed: bool) -> None:
        """Store what follows from openings. Only these writers' have changed, if the newest attempt is the same."""
        connection, own = self._connection, OPENINGS.c.experiment_id == self._id
        attempts = connection.execute(
            select(OPENINGS.c.attempt, func.min(OPENINGS.c.order_ns).label("began_ns"))
            .where(own)
            .group_by(OPENINGS.c.attempt)
        ).all()
        newest = self._newest({each.attempt: each.began_ns for each in attempts})
        known = connection.execute(
            select(EXPERIMENTS.c.newest_attempt, EXPERIMENTS.c.stop_attempt).where(
                EXPERIMENTS.c.id == self._id
            )
        ).one()
        self._count_open(newest, writers if known.newest_attempt == newest else None)
        asked = known.stop_attempt
        stop = {} if asked is None else follow_attempt(connection, self._id, asked)
        # by writer where times are equal: the answer must not depend on the order in which rows came
        decides = connection.execute(
            select(OPENINGS.c.time_ns, OPENINGS.c.row)
            .where(own, OPENINGS.c.attempt == newest)
            .order_by(OPENINGS.c.time_ns.desc(), OPENINGS.c.writer.desc(), OPENINGS.c.number.desc())
            .limit(1)
        ).one()
        alive_ns = connection.execute(
            select(func.max(WRITERS.c.alive_ns)).where(
                WRITERS.c.experiment_id == self._id, WRITERS.c.open_runs > 0
            )
        ).scalar_one()
        starts = select(func.min(OPENINGS.c.start_ns)).where(own, OPENINGS.c.is_end_only.is_(False))
        started_ns = connection.execute(starts).scalar_one()
        connection.execute(
            update(EXPERIMENTS)
            .where(EXPERIMENTS.c.id == self._id)
            .values(
                **run_values(decides.time_ns, decides.row),
                started_ns=started_ns,
                alive_ns=alive_ns,
                attempts=len(attempts),
                newest_attempt=newest,
                resumed=resumed,
                **stop,
            )
        )

    def _newest(self, began: Mapping[int, int]) -> int:
        """Return the attempt that began last, of several at the same time as `attempts_of` has them in order."""
        began_ns = max(began.values())
        latest = [attempt for attempt, time_ns in began.items() if time_ns == began_ns]
        if len(latest) > 1:
            query = select(OPENINGS.c.writer, OPENINGS.c.number, OPENINGS.c.attempt).where(
                OPENINGS.c.experiment_id == self._id,
                OPENINGS.c.order_ns == began_ns,
                OPENINGS.c.attempt.in_(latest),
            )
            found = sorted(
                (each.writer, each.number, each.attempt) for each in self._connection.execute(query)
            )
            latest = list(dict.fromkeys(attempt for _, _, attempt in found))
        return latest[-1]

    def _count_open(self, newest: int, writers: set[str] | None) -> None:
        # counted anew rather than up and down: a start that comes twice, or an end without one, cannot falsify it
        is_open = (
            select(func.count())
            .where(
                OPENINGS.c.experiment_id == WRITERS.c.experiment_id,
                OPENINGS.c.writer == WRITERS.c.writer,
                OPENINGS.c.attempt == newest,
                _OPEN,
            )
            .scalar_subquery()
        )
        conditions = [WRITERS.c.experiment_id == self._id]
        if writers is not None:
            conditions.append(WRITERS.c.writer.in_(sorted(writers)))
        self._connection.execute(update(WRITERS).where(*conditions).values(open_runs=is_open))


def _roots_of_all(openings: Collection[Opening]) -> dict[int, int]:
    return {each.at: attempt.root for attempt in attempts_of(openings) for each in attempt.openings}


_OPEN = and_(OPENINGS.c.event == "start", OPENINGS.c.is_replaced.is_(False))


def opening_of(row: Row[Any]) -> Opening:
    """Return an opening, of what is stored of it."""
    return Opening(
        row.writer,
        bytes(row.handle),
        row.number,
        row.start_ns,
        row.order_ns,
        row.time_ns,
        row.last_ns,
        row.row,
        row.name,
        row.resume_from,
        row.is_replaced,
        row.is_end_only,
    )


def relist(connection: Connection, experiment_ids: Sequence[str]) -> None:
    """Have what is kept of metrics looked at again: which of their rows are superseded may have changed."""
    connection.execute(
        update(SERIES)
        .where(SERIES.c.experiment_id.in_(experiment_ids), SERIES.c.kind == int(Kind.METRIC))
        .values(unlisted=True)
    )


def opening_row(experiment_id: str, opening: Opening, attempt: int) -> dict[str, Any]:
    """Return what is stored of an opening."""
    return {
        "experiment_id": experiment_id,
        "number": opening.at,
        "attempt": attempt,
        "writer": opening.writer,
        "handle": opening.handle,
        "name": opening.name,
        "resume_from": opening.resume_from,
        "event": opening.row["event"],
        "start_ns": opening.start_ns,
        "order_ns": opening.order_ns,
        "time_ns": opening.time_ns,
        "last_ns": opening.last_ns,
        "is_replaced": opening.is_replaced,
        "is_end_only": opening.is_end_only,
        "row": opening.row,
    }


def run_values(time_ns: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an experiment has of the start or end that says how it stands."""
    is_start = row["event"] == "start"
    return {
        "status": "RUNNING" if is_start else row["status"],
        "status_ns": time_ns,
        "host": row["host"],
        "pid": row["pid"],
        "error": None if is_start else row["error"],
    }


def run_info(connection: Connection, experiment_id: str, *, stale_after: float, now_ns: int) -> RunInfo:
    """Return the status of an experiment's run, of all of its writers."""
    writers = connection.execute(
        select(WRITERS.c.writer, WRITERS.c.alive_ns, WRITERS.c.last_ns).where(
            WRITERS.c.experiment_id == experiment_id
        )
    ).all()
    # several servers may share the database, and one's clock be ahead of another's
    alive = {each.writer: min(each.alive_ns or 0, now_ns) for each in writers}
    experiment = connection.execute(
        select(EXPERIMENTS.c.started_ns, EXPERIMENTS.c.attempts, EXPERIMENTS.c.newest_attempt).where(
            EXPERIMENTS.c.id == experiment_id
        )
    ).one_or_none()
    newest = None if experiment is None else experiment.newest_attempt
    openings = connection.execute(
        select(OPENINGS).where(OPENINGS.c.experiment_id == experiment_id, OPENINGS.c.attempt == newest)
    )
    patience_ns = int(stale_after * NANOSECONDS)
    stands = standing(
        map(opening_of, openings),
        lambda opening: opening.is_open and now_ns - alive.get(opening.writer, 0) <= patience_ns,
    )
    known = [WriterRuns([], each.last_ns, alive[each.writer]) for each in writers]
    info = RunInfo(
        stands.status,
        None,
        stands.ended_at,
        last_activity(known, now_ns),
        stands.host,
        stands.pid,
        stale=stands.stale,
        writers=len(writers),
        error=stands.error,
        experiment=None,
    )
    if experiment is None:
        return info
    return replace(info, started_at=experiment.started_ns, attempts=experiment.attempts)


def open_runs(
    connection: Connection, experiment_ids: list[str], *, stale_after: float, now_ns: int
) -> dict[str, dict[str, Any]]:
    """Return, for those of the experiments that have a run that is alive, the newest such run's row."""
    silent_since = now_ns - int(stale_after * NANOSECONDS)
    found = connection.execute(
        select(OPENINGS.c.experiment_id, OPENINGS.c.row)
        .join(
            WRITERS,
            and_(WRITERS.c.experiment_id == OPENINGS.c.experiment_id, WRITERS.c.writer == OPENINGS.c.writer),
        )
        .join(EXPERIMENTS, EXPERIMENTS.c.id == OPENINGS.c.experiment_id)
        .where(
            OPENINGS.c.experiment_id.in_(experiment_ids),
            OPENINGS.c.attempt == EXPERIMENTS.c.newest_attempt,
            _OPEN,
            WRITERS.c.alive_ns >= silent_since,
        )
        .order_by(OPENINGS.c.time_ns, OPENINGS.c.writer)
    )
    return {run.experiment_id: run.row for run in found}
