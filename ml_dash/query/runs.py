"""The status of a run, folded from the RUN rows of all writers of an experiment.

A RUN row says ``event`` (``start``, ``end``, ``heartbeat``, ``update`` or ``recovered``), ``status``, ``host``, ``pid``
and ``handle``, which tells apart the runs that one process opens. A start carries the ``experiment``, where its ``pid``
means something (the ``space``) and which process had that number then (``born``), an update what has changed of the
``experiment``, and a failed end may carry an ``error``.

A run is open from its start until its end, and dead if it is open and its process cannot be alive any more: it shares
our process numbers and is not there, or nothing has come of its writer for a while. When something came is told by
the clock of who keeps it (the file system, the server), and only for want of that by the times of the rows, for these
are by the clock of the process, which may be any.
The experiment is RUNNING while any run is open and alive. Else the newest start or end decides; where that is
the start of a dead run, the experiment is RUNNING and stale. So what was killed, resumed and completed is
COMPLETED.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.journal.objects import to_msgpack
from ml_dash.processes import process_alive, process_space
from ml_dash.protocol import DESCRIBED
from ml_dash.query.row_source import TimedRows, rows_by_writer
from ml_dash.query.times import NANOSECONDS
from ml_dash.series import Kind, Series
from ml_dash.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ml_dash.journal.index import JournalIndex

_RUNS = Series(Kind.RUN, None)
RECOVERED = "recovered"
"""The ``event`` of a row that says how many ``rows`` of its frame were appended after the death of their process."""
_HANDLE_BYTES = 256
"""A handle is part of a key of the server's database; the SDK's have a few bytes."""
_TEXTS = ("event", "status", "host", "error", "space", "born")
_TEXT_MAX = 10_000
"""Texts of errors are read with every list of experiments."""
_COARSE_NS = 2 * NANOSECONDS
"""A file's time may be that much older than what it holds: Linux keeps it by the tick, FAT by two seconds."""


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
        said_ns: When each of these was said, by name.
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
    said_ns: dict[str, int] = field(default_factory=dict)


class WriterRuns(NamedTuple):
    """One writer's RUN rows in the order written, the time of its newest row of any kind, and when that came.

    `came_ns` is by the clock of who keeps the rows; None where it does not say.
    """

    rows: TimedRows
    last_ns: int | None
    came_ns: int | None = None


class RunState(NamedTuple):
    """A run of one writer as its newest start or end left it, and its earliest start among the rows folded."""

    time_ns: int
    row: dict[str, Any]
    started_ns: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it was started and not ended since."""
        return bool(self.row["event"] == "start")

    @property
    def status(self) -> str | None:
        """What it is by its rows: whether its process lives they do not say."""
        return RunStatus.RUNNING if self.is_open else self.row.get("status")

    @property
    def error(self) -> str | None:
        """What made it fail, if its end says so."""
        return None if self.is_open else self.row.get("error")


class Turn(NamedTuple):
    """A RUN row that starts or ends a run: `handle` is what its writer calls the run, as bytes."""

    handle: bytes
    time_ns: int
    row: dict[str, Any]


def turns(rows: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[Turn]:
    """Yield the RUN rows that start or end a run, with None for what has another type than it should."""
    # a tuple: what clients send may be no key of a set, and so may a handle
    return (
        Turn(to_msgpack(row.get("handle"))[:_HANDLE_BYTES], time_ns, _cleaned(row))
        for time_ns, row in rows
        if row.get("event") in ("start", "end")
    )


def _cleaned(row: Mapping[str, Any]) -> dict[str, Any]:
    pid = row.get("pid")
    is_id = isinstance(pid, int) and not isinstance(pid, bool) and 0 <= pid < 2**63
    return {**{name: _text(row.get(name)) for name in _TEXTS}, "pid": pid if is_id else None}


def _text(value: Any) -> str | None:
    return value[:_TEXT_MAX] if isinstance(value, str) else None


def fold_run(before: RunState | None, time_ns: int, row: dict[str, Any]) -> RunState:
    """Return a run after the next of its starts and ends, in the order written."""
    started = None if before is None else before.started_ns
    if row["event"] == "start":
        started = time_ns if started is None else min(started, time_ns)
    return RunState(time_ns, row, started)


def writer_runs(index: JournalIndex) -> dict[str, WriterRuns]:
    """Return the RUN rows of each writer of a journal: who is silent can only be said of one writer."""
    rows = rows_by_writer(index, _RUNS)
    return {
        writer.id: WriterRuns(rows[writer.id], writer.last_ns, index.modified_ns(writer.id))
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
    patience_ns = int(stale_after * NANOSECONDS)
    runs = sorted(
        (run for writer in writers for run in _latest(writer, now_ns, patience_ns)),
        key=lambda run: run[0].time_ns,
    )
    alive = [
        run
        for run, active in runs
        if run.is_open and now_ns - active <= patience_ns and not _is_gone(run.row, space, pid_alive)
    ]
    # sorted by time: the newest one that lives, else the newest of all
    decides = alive[-1] if alive else runs[-1][0] if runs else None
    rows = [row for writer in writers for row in writer.rows]
    starts = [row for row in rows if row[1].get("event") == "start"]
    running = decides is not None and decides.is_open
    said, said_ns = _described(row for row in rows if row[1].get("event") in ("start", "update"))
    return RunInfo(
        status=decides and decides.status,
        started_at=min((start[0] for start in starts), default=None),
        ended_at=None if decides is None or running else decides.time_ns,
        last_activity=max(
            (_activity_ns(writer, now_ns) for writer in writers if writer.last_ns is not None), default=None
        ),
        host=decides and decides.row.get("host"),
        pid=decides and decides.row.get("pid"),
        stale=running and not alive,
        writers=len(writers),
        error=decides and decides.error,
        experiment=said or None,
        queue=_text(max(starts, key=lambda start: start[0])[1].get("queue")) if starts else None,
        recovered=sum(_recovered(row) for _, row in rows),
        elsewhere=decides is not None and decides.row["space"] is not None and decides.row["space"] != space,
        said_ns=said_ns,
    )


def _recovered(row: Mapping[str, Any]) -> int:
    rows = row.get("rows") if row.get("event") == RECOVERED else None
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


def _latest(writer: WriterRuns, now_ns: int, patience_ns: int) -> Iterator[tuple[RunState, int]]:
    """Yield each run of one writer in its latest state, with the writer's newest sign of life."""
    runs: dict[bytes, RunState] = {}
    for handle, time_ns, row in turns(writer.rows):
        runs[handle] = fold_run(runs.get(handle), time_ns, row)
    active = _active_ns(writer, now_ns, patience_ns)
    return ((run, active) for run in runs.values())


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
    starts = [turn.row for turn in turns(writer.rows) if turn.row["event"] == "start"]
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
