"""What the list of experiments says of each: by its readable side file, and by its journal where it is shown."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

from ml_dash.errors import JournalError
from ml_dash.protocol import DESCRIBED
from ml_dash.query.runs import fold_runs, writer_runs
from ml_dash.query.times import iso_time
from ml_dash.series import Kind
from ml_dash.server.catalogue.records import time_or_none
from ml_dash.storage.side_file import NOTE, SIDE_FILE, is_sound, read_side_file

if TYPE_CHECKING:
    from ml_dash.journal.index import JournalIndex
    from ml_dash.server.local.view import LocalView
    from ml_dash.storage.survey import Located

Signature = tuple[tuple[str, int, int], ...]
"""Name, size and time of change of the files that say how an experiment stands."""


def experiment_id(prefix: str) -> str:
    """Return an id of the form that a server gives; the same prefix has the same one, for ever."""
    digest = hashlib.sha256(prefix.encode("utf-8", "surrogatepass")).hexdigest()
    return f"exp_{digest[:20]}"


def signature_of(located: Located) -> Signature:
    """Return what changes when anything is written to an experiment; what cannot be looked at is left out."""
    found = []
    try:
        with os.scandir(located.journal) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                found.append((entry.name, status.st_size, status.st_mtime_ns))
        status = os.lstat(os.path.join(located.directory, SIDE_FILE))
        found.append((SIDE_FILE, status.st_size, status.st_mtime_ns))
    except OSError:
        pass  # not readable, not there yet, or going away at this moment
    return tuple(sorted(found))


def side_record(located: Located) -> dict[str, Any]:
    """Return what can be said without opening the journal: enough to search, and to sort by age."""
    said = read_side_file(located.directory, located.disk)
    owner, project, folder, name = _parts(located.prefix)
    started = said.get("startedAt")
    return {
        "id": experiment_id(located.prefix),
        "prefix": located.prefix,
        "owner": owner,
        "project": project,
        "folder": folder,
        "name": name,
        "readme": _text(said.get("readme")),
        NOTE: _text(said.get(NOTE)),
        "tags": _texts(said.get("tags")),
        "bindrs": _texts(said.get("bindrs")),
        "metadata": said.get("metadata") if isinstance(said.get("metadata"), dict) else None,
        "status": _text(said.get("status")),
        "createdAt": started if isinstance(started, str) and len(started) < 40 else iso_time(_born(located)),
    }


def full_record(located: Located, view: LocalView, stale_after: float) -> dict[str, Any]:
    """Return the record of an experiment, in the shape of a server's.

    What is wrong with its journal is told as the ``problem``.
    """
    record = side_record(located)
    problem: str | None = None
    said: dict[str, Any] = {"stale": False, "rows": 0, "entries": 0, "attempts": 0}
    try:
        with view.reading() as index:
            said = _of_journal(index, stale_after)
            if damage := [*located.odd_entries(), *index.damage]:
                words = "cannot be read" if all(each.unread for each in damage) else "are damaged"
                problem = f"{len(damage)} places {words}: `ml-dash verify` lists them"
    except (JournalError, OSError) as error:
        problem = str(error)
    experiment = said.pop("experiment", None) or {}
    for name in (*DESCRIBED, NOTE):
        if is_sound(name, experiment.get(name)):
            record[name] = experiment[name]
    return {
        **record,
        "updatedAt": said.get("lastActivity") or record["createdAt"],
        "startedAt": None,
        "endedAt": None,
        "lastActivity": None,
        "host": None,
        "error": None,
        **said,
        "deletedAt": None,
        "problem": problem,
    }


def _of_journal(index: JournalIndex, stale_after: float) -> dict[str, Any]:
    run = fold_runs(writer_runs(index).values(), stale_after=stale_after)
    return {
        "status": run.status,
        "stale": run.stale,
        "startedAt": time_or_none(run.started_at),
        "endedAt": time_or_none(run.ended_at),
        "lastActivity": time_or_none(run.last_activity),
        "host": run.host,
        "error": run.error,
        "rows": sum(map(index.count, index.series(Kind.METRIC))),
        "entries": sum(index.count(series) for kind in Kind for series in index.series(kind)),
        "attempts": run.attempts,
        "experiment": run.experiment,
    }


def _born(located: Located) -> int:
    try:
        # Linux tells no time of birth by os.stat: this is the nearest that every system has
        return os.stat(located.journal).st_ctime_ns
    except OSError:
        return 0


def _parts(prefix: str) -> tuple[str, str, str, str]:
    """Return owner, project, folder and name; a root in the middle of a tree gives fewer segments than a prefix has."""
    owner, *rest = prefix.split("/")
    if not rest:
        return "", "", "", owner
    project, *folders = rest[:-1] or [""]
    return owner, project, "/".join(folders), rest[-1]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
