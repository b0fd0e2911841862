"""The status of a run, folded from the RUN rows of all writers of an experiment.

A RUN row says ``event`` (``start``, ``end``, ``heartbeat``, ``update`` or ``recovered``), ``status``, ``host``, ``pid``
and ``handle``, which tells apart the runs that one process opens. A start carries the ``experiment``, where its ``pid``
means something (the ``space``) and which process had that number then (``born``), an update what has changed of the
``experiment``, and a failed end may carry an ``error``.

A run is open from its start until its end, and dead if it is open and its process cannot be alive any more: it shares
our process numbers and is not there, or nothing has come of its writer for a while. When something came is told by
the clock of who keeps it (the file system, the server), and only for want of that by the times of the rows, for these
are by the clock of the process, which may be any.
The experiment stands as its newest attempt does (`ml_dash.query.attempts`). That is RUNNING while any run of it is
open and alive. Else its newest start or end decides; where that is the start of a dead run, the experiment is RUNNING
and stale. So what was killed, resumed and completed is COMPLETED, on whichever machine the killed one was.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ml_dash.processes import process_alive, process_space
from ml_dash.protocol import DESCRIBED
from ml_dash.query.attempts import attempts_of, openings_of, text_of, turn_of
from ml_dash.query.row_source import TimedRows, rows_by_writer
from ml_dash.query.times import NANOSECONDS
from ml_dash.records import NamedTuple
from ml_dash.series import Kind, Series
from ml_dash.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ml_dash.journal.index import JournalIndex
    from ml_dash.query.attempts import Attempt, Opening

_RUNS = Series(Kind.RUN, None)
SHARED = "shared memory"
"""The ``queue`` of a start whose rows wait where they survive their process."""
RECOVERED = "recovered"
"""The ``event`` of a row that says how many ``rows`` of its frame were appended after the death of their process."""
_COARSE_NS = 2 * NANOSECONDS
"""A file's time may be that much older than what it holds: Linux keeps it by the tick, FAT by two seconds."""


class Unended(NamedTuple):
    """A writer whose process is gone, or not of this machine, and may have left rows in shared memory.

    It had some, its run has not ended, and nobody has appended to the journal what it has left.
    """

    writer: str
    host: str | None
    is_here: bool
    """Whether its process was one of this machine in this boot, and is known to be gone."""
    is_silent: bool
    """Whether its run counts as dead."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a journal says of its experiment's run. Times are nanoseconds since the epoch.

    Attributes:
        status: RUNNING, COMPLETED, FAILED or CANCELLED; None if no run was ever started.
        started_at: Time of the first start.
        ended_at: Time of the end that decides the status; None while it is RUNNING.
        last_activity: Time of the newest row of any writer, or when that came, where its own time is later.
        host: Name of the machine of the run that decides the status.
        pid: Its process there.
        stale: It is RUNNING by its rows, but its process is dead or silent.
        writers: How many writers the journal has.
        error: What made it fail, if its end says so.
        experiment: What starts and updates say of the experiment (prefix, readme, tags, …), the newest that gives each.
        queue: Where rows of the newest start waited, "shared memory" or "memory"; None if it does not say.
        recovered: How many rows were appended after the death of their process.
        elsewhere: Whether the process that decides the status was on another machine, or in another boot.
        unended: Writers that may have left rows in shared memory, which are not in the journal.
        damaged: How many events of dead processes were damaged where they waited, so that they could not be appended.
        said_ns: When readme, tags and so on were said last, by name.
        attempts: How many there were, see `ml_dash.query.attempts`.
        names: What start rows call the newest of these: by several names, where its processes knew of none.
    """

    status: str | None
    started_at: int | None
    ended_at: int | None
    last_activity: int | None
    host: str | None
    pid: int | None
    stale: bool
    writers: int
    error: str | None
    experiment: dict[str, Any] | None
    queue: str | None = None
    recovered: int = 0
    elsewhere: bool = False
    unended: tuple[Unended, ...] = ()
    damaged: int = 0
    said_ns: dict[str, int] = field(default_factory=dict)
    attempts: int = 0
    names: tuple[str, ...] = ()

    def with_status(self, status: str | None) -> RunInfo:
        """Return the same with another status."""
        return replace(self, status=status)


class WriterRuns(NamedTuple):
    """One writer's RUN rows in the order written, the time of its newest row of any kind, and when that came.

    `came_ns` is by the clock of who keeps the rows; None where it does not say. `id` is the writer's, where one knows.
    """

    rows: TimedRows
    last_ns: int | None
    came_ns: int | None = None
    id: str = ""


def writer_runs(index: JournalIndex) -> dict[str, WriterRuns]:
    """Return the RUN rows of each writer of a journal: who is silent can only be said of one writer."""
    rows = rows_by_writer(index, _RUNS)
    return {
        writer.id: WriterRuns(rows[writer.id], writer.last_ns, index.modified_ns(writer.id), writer.id)
        for writer in index.writers
    }


def fold_runs(
    writers: Iterable[WriterRuns],
    *,
    stale_after: float = 90.0,
    now_ns: int | None = None,
    space: str | None = None,
    pid_alive: Callable[[int, str | None], bool] = process_alive,
) -> RunInfo:
    """Return the status that these writers' rows amount to.

    After `stale_after` seconds without anything of a writer, its open run counts as dead. Process ids mean something
    in the `space` only, see `process_space`. Time and space are this process's own where they are None.
    """
    writers = list(writers)
    now_ns = time.time_ns() if now_ns is None else now_ns
    space = process_space() if space is None else space
    named = {f"{number:08}": writer for number, writer in enumerate(writers)}
    attempts, is_alive = attempts_now(
        named, stale_after=stale_after, now_ns=now_ns, space=space, pid_alive=pid_alive
    )
    stands = standing(attempts[-1].openings if attempts else (), is_alive)
    openings = [opening for attempt in attempts for opening in attempt.openings]
    rows = [row for writer in writers for row in writer.rows]
    starts = [row for row in rows if row[1].get("event") == "start"]
    said, said_ns = _described(row for row in rows if row[1].get("event") in ("start", "update"))
    return RunInfo(
        status=stands.status,
        started_at=min((each.start_ns for each in openings if not each.is_end_only), default=None),
        ended_at=stands.ended_at,
        last_activity=last_activity(writers, now_ns),
        host=stands.host,
        pid=stands.pid,
        stale=stands.stale,
        writers=len(writers),
        error=stands.error,
        experiment=said or None,
        queue=text_of(max(starts, key=lambda start: start[0])[1].get("queue")) if starts else None,
        recovered=sum(_recovered(row, "rows") for _, row in rows),
        damaged=sum(_recovered(row, "lost") for _, row in rows),
        elsewhere=stands.space is not None and stands.space != space,
        unended=_unended(named, attempts, is_alive, space, pid_alive),
        said_ns=said_ns,
        attempts=len(attempts),
        names=tuple(sorted({each.name for each in attempts[-1].openings if each.name})) if attempts else (),
    )


def attempts_now(
    writers: Mapping[str, WriterRuns],
    *,
    stale_after: float = 90.0,
    now_ns: int | None = None,
    space: str | None = None,
    pid_alive: Callable[[int, str | None], bool] = process_alive,
) -> tuple[list[Attempt], Callable[[Opening], bool]]:
    """Return the attempts that there are, and what says of a run whether it goes on; as of `fold_runs`."""
    now_ns = time.time_ns() if now_ns is None else now_ns
    space = process_space() if space is None else space
    patience_ns = int(stale_after * NANOSECONDS)
    silent = {
        name for name, each in writers.items() if now_ns - _active_ns(each, now_ns, patience_ns) > patience_ns
    }

    def is_alive(opening: Opening) -> bool:
        is_dead = opening.writer in silent or _is_gone(opening.row, space, pid_alive)
        return opening.is_open and not is_dead

    openings = [opening for name, each in writers.items() for opening in openings_of(name, each.rows)]
    return attempts_of(openings), is_alive


class Standing(NamedTuple):
    """How an attempt stands; see `RunInfo`."""

    status: str | None = None
    ended_at: int | None = None
    host: str | None = None
    pid: int | None = None
    stale: bool = False
    error: str | None = None
    space: str | None = None


def standing(openings: Iterable[Opening], is_alive: Callable[[Opening], bool]) -> Standing:
    """Return how an attempt stands, of what its starts have come to: the newest that lives says so, else the newest."""
    runs = sorted(openings, key=lambda opening: (opening.time_ns, opening.writer, opening.at))
    if not runs:
        return Standing()
    alive = [opening for opening in runs if is_alive(opening)]
    decides = alive[-1] if alive else runs[-1]
    row = decides.row
    if row["event"] == "start":
        return Standing(
            RunStatus.RUNNING, None, row["host"], row["pid"], stale=not alive, space=row.get("space")
        )
    return Standing(
        row["status"], decides.time_ns, row["host"], row["pid"], error=row["error"], space=row.get("space")
    )


def _unended(
    writers: Mapping[str, WriterRuns],
    attempts: Iterable[Attempt],
    is_alive: Callable[[Opening], bool],
    space: str | None,
    pid_alive: Callable[[int, str | None], bool],
) -> tuple[Unended, ...]:
    open_runs = {each.writer: each for attempt in attempts for each in attempt.openings if each.is_open}
    found = []
    for name, opening in sorted(open_runs.items()):
        writer, row = writers[name], opening.row
        starts = [start for _, start in writer.rows if start.get("event") == "start"]
        if not writer.id or not starts or starts[-1].get("queue") != SHARED:
            continue
        if any(each.get("event") == RECOVERED for _, each in writer.rows):
            continue  # all of it is here: only who is dead has such a row, and it is the last that comes of it
        is_here = row["space"] is not None and row["space"] == space
        if _is_gone(row, space, pid_alive) or (row["space"] is not None and not is_here):
            found.append(Unended(writer.id, row["host"], is_here, not is_alive(opening)))
    return tuple(found)


def last_activity(writers: Iterable[WriterRuns], now_ns: int) -> int | None:
    """Return the time of the newest row of any of these writers, or when that came, where its own is later."""
    return max(
        (_activity_ns(writer, now_ns) for writer in writers if writer.last_ns is not None), default=None
    )


def _recovered(row: Mapping[str, Any], what: str) -> int:
    rows = row.get(what) if row.get("event") == RECOVERED else None
    return rows if isinstance(rows, int) and rows > 0 else 0


def _described(rows: Iterable[tuple[int, dict[str, Any]]]) -> tuple[dict[str, Any], dict[str, int]]:
    """Return what starts and updates say of the experiment, the newest that gives each; and when, of `DESCRIBED`.

    A start that was put once more, behind later rows of others, says nothing again.
    """
    said: dict[str, Any] = {}
    said_ns: dict[str, int] = {}
    for time_ns, row in sorted(rows, key=lambda row: row[0]):
        if isinstance(about := row.get("experiment"), dict):
            news = {
                name: value for name, value in about.items() if value is not None or name not in DESCRIBED
            }
            said |= news
            said_ns |= {
                name: time_ns
                for name in DESCRIBED
                if name in news and (not row.get("again") or name not in said_ns)
            }
    return said, said_ns


def _active_ns(writer: WriterRuns, now_ns: int, patience_ns: int) -> int:
    """Return a writer's newest sign of life."""
    # a file system whose clock is far ahead of ours would let the dead live for as long
    if writer.came_ns is not None and writer.came_ns <= now_ns + patience_ns:
        return writer.came_ns
    # A `_ts` of the caller's own may lie in the future, and would be a sign of life for ever: it does not count then.
    last_ns = writer.last_ns if writer.last_ns is not None and writer.last_ns <= now_ns else 0
    return max(last_ns, max((time_ns for time_ns, _ in writer.rows), default=0))


def _activity_ns(writer: WriterRuns, now_ns: int) -> int:
    """Return the time of a writer's newest row, which is never later than it came: a `_ts` may lie in any year."""
    came_ns = now_ns if writer.came_ns is None else writer.came_ns
    last_ns = writer.last_ns or 0
    return last_ns if last_ns <= came_ns + _COARSE_NS else came_ns


def is_process_gone(writer: WriterRuns) -> bool:
    """Whether the process that began a writer's runs is known to be gone, be there another one with its number now."""
    starts = [turn_of(*row).row for row in writer.rows if row[1].get("event") == "start"]
    return bool(starts) and _is_gone(starts[-1], process_space(), process_alive)


def _is_gone(row: dict[str, Any], space: str | None, pid_alive: Callable[[int, str | None], bool]) -> bool:
    """Whether the process of a run is known not to be there any more: that can be told among our own ones only."""
    pid = row["pid"]
    return (
        space is not None
        and row["space"] == space
        and pid is not None
        and not pid_alive(pid, row.get("born"))
    )
