"""The status of runs, kept up to date as RUN rows arrive, so that nobody who lists experiments reads rows.

The rules are those of `ml_dash.query.runs.fold_runs`, with one difference: a process id of another machine says
nothing here, so only silence tells that a run is dead. How long a writer has been silent is told by this server's
clock. What time alone decides (is it still alive?) is decided when
somebody asks; the rest is in three places:

- ``runs`` has the latest start or end of each run;
- ``writers`` has how many of a writer's runs are open, and its newest sign of life;
- ``experiments`` has the newest start or end of all its runs, and the newest sign of life of those that are open.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, select, update

from ml_dash.query.runs import RunInfo, RunState, WriterRuns, fold_run, fold_runs, turns
from ml_dash.server.db.database import upsert
from ml_dash.server.db.tables import EXPERIMENTS, RUNS, WRITERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

RunKey = tuple[str, str, bytes]
"""An experiment, a writer, and what the writer calls the run."""


def note_runs(
    runs: dict[RunKey, RunState], experiment_id: str, writer: str, rows: Iterable[tuple[int, dict[str, Any]]]
) -> None:
    """Fold a writer's RUN rows, in the order written, into what is known of its runs."""
    for handle, time_ns, row in turns(rows):
        key = experiment_id, writer, handle
        runs[key] = fold_run(runs.get(key), time_ns, row)


def store_runs(connection: Connection, runs: Mapping[RunKey, RunState]) -> None:
    """Store starts and ends, and what follows from them, in a transaction that has these experiments to itself.

    The rows of the writers must exist.
    """
    rows = [
        {
            "experiment_id": experiment_id,
            "writer": writer,
            "handle": handle,
            "event": run.row["event"],
            "time_ns": run.time_ns,
            "row": run.row,
        }
        for (experiment_id, writer, handle), run in runs.items()
    ]
    upsert(connection, RUNS, rows)
    # counted anew rather than up and down: a start that comes twice, or an end without a start, cannot falsify it
    for experiment_id in sorted({key[0] for key in runs}):
        own = {key: run for key, run in runs.items() if key[0] == experiment_id}
        _count_open(connection, experiment_id, {key[1] for key in own})
        _update_experiment(connection, experiment_id, own.values())


def _count_open(connection: Connection, experiment_id: str, writers: set[str]) -> None:
    is_open = (
        select(func.count())
        .where(
            RUNS.c.experiment_id == WRITERS.c.experiment_id,
            RUNS.c.writer == WRITERS.c.writer,
            RUNS.c.event == "start",
        )
        .scalar_subquery()
    )
    connection.execute(
        update(WRITERS)
        .where(WRITERS.c.experiment_id == experiment_id, WRITERS.c.writer.in_(writers))
        .values(open_runs=is_open)
    )


def _update_experiment(connection: Connection, experiment_id: str, runs: Iterable[RunState]) -> None:
    # by writer where times are equal: the answer must not depend on the order in which rows came
    newest = connection.execute(
        select(RUNS.c.time_ns, RUNS.c.row)
        .where(RUNS.c.experiment_id == experiment_id)
        .order_by(RUNS.c.time_ns.desc(), RUNS.c.writer.desc())
        .limit(1)
    ).one()
    alive_ns = connection.execute(
        select(func.max(WRITERS.c.alive_ns)).where(
            WRITERS.c.experiment_id == experiment_id, WRITERS.c.open_runs > 0
        )
    ).scalar_one()
    started = connection.execute(
        select(EXPERIMENTS.c.started_ns).where(EXPERIMENTS.c.id == experiment_id)
    ).scalar_one()
    starts = [ns for ns in (started, *(run.started_ns for run in runs)) if ns is not None]
    decides = RunState(newest.time_ns, newest.row)
    connection.execute(
        update(EXPERIMENTS)
        .where(EXPERIMENTS.c.id == experiment_id)
        .values(
            status=decides.status,
            status_ns=decides.time_ns,
            host=decides.row["host"],
            pid=decides.row["pid"],
            error=decides.error,
            started_ns=min(starts, default=None),
            alive_ns=alive_ns,
        )
    )


def run_info(connection: Connection, experiment_id: str, *, stale_after: float, now_ns: int) -> RunInfo:
    """Return the status of an experiment's run, of all of its writers."""
    writers = connection.execute(
        select(WRITERS.c.writer, WRITERS.c.alive_ns, WRITERS.c.last_ns)
        .where(WRITERS.c.experiment_id == experiment_id)
        .order_by(WRITERS.c.writer)
    ).all()
    rows: dict[str, list[tuple[int, dict[str, Any]]]] = {each.writer: [] for each in writers}
    for run in connection.execute(select(RUNS).where(RUNS.c.experiment_id == experiment_id)):
        rows[run.writer].append((run.time_ns, {**run.row, "handle": bytes(run.handle)}))
    # several servers may share the database, and one's clock be ahead of another's
    folded = [
        WriterRuns(rows[each.writer], each.last_ns, min(each.alive_ns or 0, now_ns)) for each in writers
    ]
    info = fold_runs(
        folded, stale_after=stale_after, now_ns=now_ns, space="", pid_alive=lambda _pid, _born: True
    )
    started = connection.execute(
        select(EXPERIMENTS.c.started_ns).where(EXPERIMENTS.c.id == experiment_id)
    ).scalar_one_or_none()
    return replace(info, started_at=started)


def open_runs(
    connection: Connection, experiment_ids: list[str], *, stale_after: float, now_ns: int
) -> dict[str, dict[str, Any]]:
    """Return, for those of the experiments that have a run that is alive, the newest such run's row."""
    silent_since = now_ns - int(stale_after * 1_000_000_000)
    found = connection.execute(
        select(RUNS.c.experiment_id, RUNS.c.row)
        .join(
            WRITERS,
            and_(WRITERS.c.experiment_id == RUNS.c.experiment_id, WRITERS.c.writer == RUNS.c.writer),
        )
        .where(
            RUNS.c.experiment_id.in_(experiment_ids),
            RUNS.c.event == "start",
            WRITERS.c.alive_ns >= silent_since,
        )
        .order_by(RUNS.c.time_ns, RUNS.c.writer)
    )
    return {run.experiment_id: run.row for run in found}
