"""What an experiment says of itself: its name, where its runs were meant to be sent, and which writers are done."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from ml_dash.clock import SYSTEM_CLOCK, Clock
from ml_dash.journal.disk import REAL_DISK, Disk
from ml_dash.journal.index import JournalIndex
from ml_dash.query.runs import fold_runs, writer_runs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_dash.query.runs import WriterRuns

__all__ = ["describe", "gone_writers", "meant_for"]


def describe(directory: str, *, disk: Disk = REAL_DISK) -> Mapping[str, Any]:
    """Return what is known of an experiment: its prefix, readme, tags, bindrs and metadata.

    ``experiment.json`` says it; where that is not there or damaged, the journal's newest start of a run does.

    Raises:
        JournalVersionError: A later version wrote the journal.
        OSError: The journal cannot be listed.
    """
    path = os.path.join(directory, "experiment.json")
    try:
        record = json.loads(disk.read_at(path, 0, disk.size(path)))
    except (OSError, ValueError, RecursionError):
        record = None
    if isinstance(record, dict) and isinstance(record.get("prefix"), str):
        return record
    # not by a view, which warns of damage: the report says what is lost
    index = JournalIndex(os.path.join(directory, "journal"), disk=disk)
    index.refresh()
    return fold_runs(writer_runs(index).values()).experiment or {}


def meant_for(directory: str, disk: Disk = REAL_DISK) -> dict[str, str | None]:
    """Return, for each writer of an experiment, the URL of the server that its run was meant for; None for local mode.

    A writer that began no run, as a forked child's, was meant for where all others were; where they differ, for none.

    Raises:
        JournalVersionError: A later version wrote the journal.
        OSError: The journal cannot be listed.
    """
    index = JournalIndex(os.path.join(directory, "journal"), disk=disk)
    index.refresh()
    runs = writer_runs(index)
    said = {writer: _url_of(own) for writer, own in runs.items() if own.rows}
    began = {writer: url for writer, url in said.items() if url is not _NOT_SAID}
    common = set(began.values())
    fallback = common.pop() if len(common) == 1 else None
    return {writer: began.get(writer, fallback) for writer in runs}


_NOT_SAID = ""


def _url_of(runs: WriterRuns) -> str | None:
    """Return the URL that a writer's newest start names."""
    starts = [fields for _, fields in runs.rows if fields.get("event") == "start"]
    if not starts:
        return _NOT_SAID
    about = starts[-1].get("experiment")
    url = about.get("url") if isinstance(about, dict) else None
    return url if isinstance(url, str) else None


def gone_writers(journal: str, clock: Clock = SYSTEM_CLOCK, disk: Disk = REAL_DISK) -> set[str]:
    """Return the writers of a journal all of whose runs have ended, or whose process is dead or silent."""
    index = JournalIndex(journal, disk=disk)
    index.refresh()
    found = {id_: fold_runs([own], now_ns=clock.time_ns()) for id_, own in writer_runs(index).items()}
    return {writer for writer, info in found.items() if info.status != "RUNNING" or info.stale}
