"""What an experiment's `experiment.json` says: for people, and for readers that need not open the journal for it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.journal.disk import NOT_THERE, is_shortage
from ml_dash.journal.frame import parse_segment_name
from ml_dash.journal.objects import CONTAINERS_MAX, is_shallow
from ml_dash.protocol import DESCRIBED
from ml_dash.query.times import iso_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_dash.identity import Identity
    from ml_dash.journal.disk import Disk
    from ml_dash.query.runs import RunInfo

SIDE_FILE = "experiment.json"
PARAMETERS_FILE = "parameters.json"
STOP_FILE = "stop.json"
README = "readme"
"""What a run says of itself, in Markdown; an update says it as well."""
NOTE = "note"
"""What people write of an experiment, in Markdown: said by an update, as tags are, and never sent to a server."""
_OURS = frozenset({"prefix", "owner", "folder", "updatedAt"})  # in each that we write
_BYTES_MAX = 64 << 20
"""More than a readme, tags and metadata of the largest sizes; a larger file is read as none."""


def read_side_file(directory: str, disk: Disk) -> dict[str, Any]:
    """Return what the side file in an experiment's directory says; nothing where it cannot be read, or is damaged.

    Or is a stranger's, of so many lists, or nested so deep, that nobody could do anything with it.

    OSError where there are no descriptors or no memory to read it with: what it says would be forgotten.
    """
    path = os.path.join(directory, SIDE_FILE)
    try:
        size = disk.size(path)
        raw = disk.read_at(path, 0, size) if size <= _BYTES_MAX else b""
        record = json.loads(raw) if raw.count(b"[") + raw.count(b"{") <= CONTAINERS_MAX else None
    except OSError as error:
        if is_shortage(error):
            raise
        return {}
    except (ValueError, RecursionError):
        return {}
    if not isinstance(record, dict) or not is_shallow([record]):
        return {}
    return {name: value for name, value in record.items() if name not in DESCRIBED or is_sound(name, value)}


def experiment_record(
    identity: Identity, *, root: str | None, url: str | None, said: Mapping[str, Any], run: RunInfo
) -> dict[str, Any]:
    """Return what the side file has; `said` are readme, tags, bindrs and metadata."""
    return {
        "prefix": identity.prefix,
        "url": url,
        **{name: said[name] for name in DESCRIBED if name in said},
        # not in the journal, which is sent to servers: a path of this machine, to find a name by when it is moved
        "root": root,
        "owner": identity.owner,
        "project": identity.project,
        "folder": identity.folder,
        "name": identity.name,
        "status": run.status,
        "startedAt": _iso(run.started_at),
        "endedAt": _iso(run.ended_at),
        "error": run.error,
        "updatedAt": _iso(SYSTEM_CLOCK.time_ns()),
    }


def json_bytes(value: Any) -> bytes:
    """Return a side file's bytes."""
    return json.dumps(value, indent=2, default=str).encode()


def _iso(time_ns: int | None) -> str | None:
    return None if time_ns is None else iso_time(time_ns)


def is_sound(name: str, value: Any) -> bool:
    """Whether what is said of an experiment is of its type: it may come from anybody."""
    if name in ("tags", "bindrs"):
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    return isinstance(value, dict if name == "metadata" else str)


def strange_side_file(directory: str, disk: Disk) -> str | None:
    """Return the path of a file that would be replaced by a side file, and is not ours; None where there is none.

    The public package of this name keeps its runs in the same places under the same names, and other tools may. Where
    there is a journal of ours, or one that begins, what lies beside it is ours.

    OSError where there are no descriptors or no memory to read it with.
    """
    paths = [os.path.join(directory, name) for name in (SIDE_FILE, PARAMETERS_FILE)]
    # First, for it takes no descriptor: most runs begin where nothing lies, and may begin where none is to be had.
    while (found := next(filter(os.path.lexists, paths), None)) is not None:
        if _is_journal(os.path.join(directory, "journal")) or read_side_file(directory, disk).keys() >= _OURS:
            return None
        if os.path.lexists(found):
            return found
        # a run that has ended has removed it meanwhile, in the outbox
    return None


def _is_journal(directory: str) -> bool:
    try:
        names = os.listdir(directory)
    except NOT_THERE:
        return False
    return not names or any(parse_segment_name(name) is not None for name in names)
