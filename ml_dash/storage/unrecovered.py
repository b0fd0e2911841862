"""What processes may have left in shared memory that the journal lacks, in words: why, and what to do.

The journal tells whose runs have not ended (`ml_dash.query.runs.Unended`); what lies in shared memory, here, tells why
it is not in the journal. So it is asked after the look that recovers (`ml_dash.storage.recovery.catch_up`).
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from ml_dash.slabs.found import FoundSlab, OtherVersionError, find_slabs, is_locked
from ml_dash.slabs.layout import SUFFIX
from ml_dash.slabs.place import QUEUE_DIR
from ml_dash.storage.recovery import REFUSED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_dash.query.runs import RunInfo, Unended

_MAYBE = "rows of its last second may be missing"


class Told(Protocol):
    """What a journal tells of its runs; see `ml_dash.query.runs.RunInfo`."""

    @property
    def unended(self) -> Sequence[Unended]:
        """Writers that may have left rows in shared memory."""

    @property
    def damaged(self) -> int:
        """How many events were damaged where they waited."""


class Slabs:
    """What lies in shared memory, looked at once for all experiments of a list, and not before one needs it."""

    @cached_property
    def _paths(self) -> dict[str, str]:
        return {os.path.basename(path): path for path in find_slabs()}

    def missing_of(self, run: Told, *, dead_only: bool = False) -> list[str]:
        """Return what may be missing in a journal; where `dead_only`, of runs that count as dead."""
        found = [
            _missing(each, self._paths.get(f"{each.writer}{SUFFIX}"))
            for each in run.unended
            if each.is_silent or not dead_only
        ]
        if run.damaged:
            found.append(
                f"shared memory was damaged at {run.damaged:,} or more of the events that waited there"
            )
        return [text for text in found if text]


def missing_of(run: RunInfo, *, dead_only: bool = False) -> list[str]:
    """Return what may be missing in one journal, see `Slabs`."""
    return Slabs().missing_of(run, dead_only=dead_only)


def _missing(unended: Unended, path: str | None) -> str:
    """Return why rows of a writer are missing, whose slab is this, and what to do; "" where none is."""
    if path is None and unended.is_here:
        return (
            f"{_MAYBE}: the shared memory of a process that died on {unended.host} is not here. It was removed, or "
            f"lies where {QUEUE_DIR} said then: set that as it was, and look again"
        )
    if path is None:
        return f"rows of its last second may wait in shared memory of {unended.host}: show or sync it there"
    try:
        slab = FoundSlab(path)
    except OtherVersionError:
        return f"rows wait in {path}, of another version of ml-dash: look again with that version"
    except (OSError, ValueError) as error:
        return f"{_MAYBE}: what held them cannot be read: {error}"
    try:
        if is_locked(path) or (path in REFUSED and slab.rows_wait() is None):
            return ""
    finally:
        slab.close()
    reason = REFUSED.get(path, "it says nothing of the journal's last frame")
    return (
        f"rows wait in shared memory, {path}, and could not be written to the journal: {reason}. Look again when that "
        "is mended, before this machine is started anew"
    )
