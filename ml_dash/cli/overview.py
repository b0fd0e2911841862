"""What the commands ask of a journal, beyond single series: how its run stands, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ml_dash.cli.text import complain
from ml_dash.journal.damage import Damage
from ml_dash.journal.index import JournalIndex
from ml_dash.query.runs import RunInfo, WriterRuns, fold_runs, writer_runs
from ml_dash.query.times import iso_time
from ml_dash.series import Kind
from ml_dash.settings import Settings
from ml_dash.storage.summaries.records import Record
from ml_dash.storage.survey import Located

# A broken disk damages thousands of frames; `verify` lists them all.
_SHOWN = 5
_RUN_FIELDS = (
    "status",
    "stale",
    "startedAt",
    "endedAt",
    "lastActivity",
    "host",
    "pid",
    "error",
    "queue",
    "recovered",
)


@dataclass(frozen=True, slots=True)
class Overview:
    """An experiment in numbers."""

    located: Located
    run: RunInfo | None = None  # None where the journal cannot be read, for which `problem` is the reason
    rows: int = 0  # of metrics
    metrics: int = 0
    bytes: int = 0  # the journal's size
    damage: Sequence[Damage] = ()  # what was found wrong without reading all data
    problem: str | None = None

    @property
    def label(self) -> str:
        """The status in a word."""
        return "UNREADABLE" if self.run is None else status_label(self.run, self.damage)


def overview_of(record: Record) -> Overview:
    """Return what is kept of an experiment; what cannot be read of it is the overview's problem."""
    located = Located(record.prefix, record.directory)
    if record.failure is not None:
        return Overview(located, problem=record.failure)
    run = RunInfo(
        status=record.status,
        started_at=record.started_ns,
        ended_at=record.ended_ns,
        last_activity=record.active_ns,
        host=record.host,
        pid=record.pid,
        stale=record.stale,
        writers=0,  # nobody lists how many there are
        error=record.error,
        experiment=None,
        queue=record.queue,
        recovered=record.recovered,
        attempts=record.attempts,
        unended=tuple(record.unended),
        damaged=record.damaged,
    )
    return Overview(located, run, record.rows, record.metrics, record.size, record.damage)


def summarize(located: Located, index: JournalIndex) -> Overview:
    """Sum up a journal that is open."""
    return Overview(
        located,
        run=status_of(writer_runs(index).values()),
        rows=sum(map(index.count, index.series(Kind.METRIC))),
        metrics=len(index.series(Kind.METRIC)),
        bytes=sum(writer.bytes for writer in index.writers),
        damage=damage_of(located, index),
    )


def open_index(located: Located) -> JournalIndex:
    """Return the journal's index as of now."""
    index = JournalIndex(located.journal, disk=located.disk)
    # Once: a command shows one moment, though the run may go on writing.
    index.refresh()
    return index


def damage_of(located: Located, index: JournalIndex) -> list[Damage]:
    """Return what cannot be read of an experiment: of its journal so far, and of the files beside it."""
    return [*located.odd_entries(), *index.damage]


def status_of(writers: Iterable[WriterRuns]) -> RunInfo:
    """Return how the run stands by these rows, the settings and this machine's processes."""
    return fold_runs(writers, stale_after=Settings.from_environment().stale_after)


def status_label(run: RunInfo, damage: Iterable[Damage] = ()) -> str:
    """Return the status in a word; where no start of a run is found, one may be in what cannot be read.

    It is unknown of a run that was imported from where nobody keeps it.
    """
    if run.status is None and run.ended_at is not None:
        return "UNKNOWN"
    if run.status is None:
        return "UNREADABLE" if any(each.unread for each in damage) else "NOT STARTED"
    return "STALE" if run.stale else str(run.status)


def report_damage(damage: Iterable[Damage]) -> bool:
    """Say on standard error what could not be read, if anything; return whether something was said."""
    found = list(damage)
    for each in found[:_SHOWN]:
        complain(f"Warning: {describe(each)}")
    if len(found) > _SHOWN:
        complain(f"Warning: and {len(found) - _SHOWN} more like these; `ml-dash verify` lists them")
    return bool(found)


def describe(damage: Damage) -> str:
    """Return where it is, what is wrong and what is lost by it."""
    where = (
        f"{damage.length:,} bytes at byte {damage.offset:,}"
        if damage.length
        else f"at byte {damage.offset:,}"
    )
    return f"{damage.path}, {where}: {damage.reason}; {damage.loss}"


def run_record(run: RunInfo | None) -> dict[str, Any]:
    """Return how a run stands for programs: times are ISO-8601 UTC."""
    if run is None:
        return dict.fromkeys(_RUN_FIELDS)
    moments = (run.started_at, run.ended_at, run.last_activity)
    times = [None if moment is None else iso_time(moment) for moment in moments]
    values = (run.status, run.stale, *times, run.host, run.pid, run.error, run.queue, run.recovered)
    return dict(zip(_RUN_FIELDS, values, strict=True))
