"""What the list of experiments says of each, in the shape of a server's records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.errors import JournalError
from ml_dash.journal.foreign_disk import ForeignDisk
from ml_dash.protocol import DESCRIBED
from ml_dash.query.runs import fold_runs, writer_runs
from ml_dash.query.times import iso_time
from ml_dash.series import Kind
from ml_dash.server.catalogue.records import time_or_none
from ml_dash.status import RunStatus
from ml_dash.storage.side_file import NOTE, is_sound
from ml_dash.storage.stopping import read_stop
from ml_dash.storage.summaries.records import described
from ml_dash.storage.unrecovered import Slabs

if TYPE_CHECKING:
    from ml_dash.server.local.view import LocalView
    from ml_dash.storage.stopping import StopRequest
    from ml_dash.storage.summaries.records import Record
    from ml_dash.storage.survey import Located

_STOPPABLE = frozenset({RunStatus.RUNNING, RunStatus.CANCELLED})


def shown(record: Record, directory: str | None = None, slabs: Slabs | None = None) -> dict[str, Any]:
    """Return what is kept of an experiment as answers have it, with what is in its directory now.

    What is wrong with its journal is told as the ``problem``, and why rows are ``missing`` that a dead process has
    logged, by what lies in shared memory: `slabs` for a whole list, else as it is now.
    """
    stop = None if directory is None else _stop_in(directory, record)
    created = iso_time(record.created_ns)
    last = time_or_none(record.active_ns)
    return {
        "id": record.id,
        "prefix": record.prefix,
        "owner": record.owner,
        "project": record.project,
        "folder": record.folder,
        "name": record.name,
        "readme": record.readme,
        NOTE: record.note,
        "tags": record.tags,
        "bindrs": record.bindrs,
        "metadata": record.metadata,
        "status": record.status,
        "createdAt": created,
        "updatedAt": last or created,
        "startedAt": time_or_none(record.started_ns),
        "endedAt": time_or_none(record.ended_ns),
        "lastActivity": last,
        "host": record.host,
        "error": record.error,
        "stale": record.stale,
        "rows": record.rows,
        "entries": record.entries,
        "alerts": record.alerts,
        "attempts": record.attempts,
        "stop": None if stop is None else stop.shown(),
        "deletedAt": None,
        "problem": record.problem,
        "missing": (slabs or Slabs()).missing_of(record, dead_only=True),
    }


def _stop_in(directory: str, record: Record) -> StopRequest | None:
    """Return the request to stop that is for the newest attempt; None where there is none."""
    if record.status not in _STOPPABLE:
        return None  # not even looked for: most have ended
    stop = read_stop(directory, ForeignDisk(directory))
    return None if stop is None or set(record.names).isdisjoint(stop.attempts) else stop


def read_now(located: Located, view: LocalView, stale_after: float) -> Record:
    """Return the record of an experiment whose rows were not read yet: for this, none of them is."""
    record = described(located)
    try:
        with view.reading() as index:
            run = fold_runs(writer_runs(index).values(), stale_after=stale_after)
            metrics = index.series(Kind.METRIC)
            record.rows = sum(map(index.count, metrics))
            record.entries = sum(index.count(series) for kind in Kind for series in index.series(kind))
            record.alerts = sum(map(index.count, index.series(Kind.ALERT)))
            record.damage = [*located.odd_entries(), *index.damage]
    except (JournalError, OSError) as error:
        record.failure = str(error)
        return record
    record.stand(run)
    record.damages = len(record.damage)
    said = run.experiment or {}
    for name in (*DESCRIBED, NOTE):
        if is_sound(name, said.get(name)):
            setattr(record, name, said[name])
    return record
