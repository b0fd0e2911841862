"""The trash of a root: what was deleted lies there, and can be restored, until its time is over.

It is the directory ``.trash`` in the root, which no reader takes for an owner, since no segment of a prefix begins with
a dot. Each entry has a directory whose name begins with the time of the deletion, with the experiment's own directory
in it, as it was, and a file that says what it was called, and until when it stays. To delete is a rename on the same
disk: no room is needed for it, and none is gained before the trash is emptied.

A run that goes on writes on, into the trash, for its files are open; only what it opens anew appears where it was. So a
restoration puts both together again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.clock import SYSTEM_CLOCK, Clock
from ml_dash.errors import ExperimentExistsError
from ml_dash.identity import current_user
from ml_dash.journal.disk import REAL_DISK
from ml_dash.journal.feed import writers
from ml_dash.journal.foreign_disk import ForeignDisk
from ml_dash.protocol import INDEX_MAX
from ml_dash.query.times import NANOSECONDS
from ml_dash.storage.relocating import JOURNAL, merge, prune, relocate
from ml_dash.storage.standing import is_experiment

if TYPE_CHECKING:
    from collections.abc import Callable

TRASH = ".trash"
KEPT_DAYS = 30
"""How long what was deleted can be restored."""
_EXPERIMENT, _ABOUT = "experiment", "about.json"
_BYTES_MAX = 1 << 20


class Trashed(NamedTuple):
    """An experiment in a trash.

    Attributes:
        prefix: What it was called.
        place: The directory of the entry.
        deleted_ns: When it was deleted; times are nanoseconds since the epoch.
        purge_ns: Until when it stays at least.
        deleted_by: The user who deleted it; None where that is not known.
        rows: How many rows its metrics have; None where that is not known.
    """

    prefix: str
    place: str
    deleted_ns: int
    purge_ns: int
    deleted_by: str | None
    rows: int | None

    @property
    def id(self) -> str:
        """What it is called where several of one name are told apart."""
        return entry_id(self.place)

    @property
    def directory(self) -> str:
        """The experiment's directory."""
        return os.path.join(self.place, _EXPERIMENT)


def entry_id(place: str) -> str:
    """Return the id of the entry that lies there; it looks as that of an experiment."""
    digest = hashlib.sha256(os.path.basename(place).encode("utf-8", "surrogatepass")).hexdigest()
    return f"exp_{digest[:20]}"


class Trash:
    """The trash of one root."""

    def __init__(self, root: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self.root = root
        self._clock = clock

    @property
    def entries(self) -> list[Trashed]:
        """What is in it, what was deleted last first; nothing where it cannot be read."""
        directory = os.path.join(self.root, TRASH)
        try:
            names = sorted(os.listdir(directory), reverse=True)
        except OSError:
            return []
        disk = ForeignDisk(directory)
        found = (_read(os.path.join(directory, name), disk) for name in names)
        return [entry for entry in found if entry is not None]

    def put(self, prefix: str, directory: str, rows: int | None = None) -> Trashed:
        """Move an experiment, whose metrics have so many rows, into the trash.

        Raises:
            OSError: It cannot be moved; it is where it was.
        """
        now = self._clock.time_ns()
        place = os.path.join(self.root, TRASH, f"{now:016x}-{os.urandom(4).hex()}")
        purge_ns = now + KEPT_DAYS * 86_400 * NANOSECONDS
        entry = Trashed(prefix, place, now, purge_ns, current_user(), rows)
        os.makedirs(place)
        about = {
            "prefix": prefix,
            "deletedNs": entry.deleted_ns,
            "purgeNs": entry.purge_ns,
            "deletedBy": entry.deleted_by,
            "rows": rows,
            "host": platform.node(),
        }
        REAL_DISK.replace(os.path.join(place, _ABOUT), json.dumps(about, indent=1).encode())
        try:
            relocate(directory, entry.directory, journal_first=True)
        except BaseException:
            # what was moved already is kept, and can be restored
            if not os.path.isdir(entry.directory):
                shutil.rmtree(place, ignore_errors=True)
            raise
        prune(os.path.dirname(directory), self.root)
        return entry

    def take_out(self, entry: Trashed, directory: str, prefix: str) -> None:
        """Move an experiment out of the trash to where it is called `prefix`.

        Raises:
            ExperimentExistsError: There is another one.
            OSError: It cannot be moved; who does it again completes it.
        """
        if is_experiment(directory):
            if not _goes_on(entry.directory, directory):
                raise ExperimentExistsError(
                    f"there is an experiment {prefix!r} under {self.root!r}: restore the deleted one under another name"
                )
            merge(entry.directory, directory)
        else:
            relocate(entry.directory, directory)
        shutil.rmtree(entry.place, ignore_errors=True)
        prune(os.path.join(self.root, TRASH), self.root)

    def empty(self, which: Callable[[Trashed], bool] | None = None) -> list[Trashed]:
        """Remove for good what the function says, or else what has lain there for its time; return what that was.

        Raises:
            OSError: Something cannot be removed.
        """
        now = self._clock.time_ns()
        removed = []
        for entry in self.entries:
            if entry.purge_ns <= now if which is None else which(entry):
                # first what makes it an entry: what a crash leaves of it is nobody's experiment
                _remove(entry.directory)
                shutil.rmtree(entry.place)
                removed.append(entry)
        prune(os.path.join(self.root, TRASH), self.root)
        return removed


def _read(place: str, disk: ForeignDisk) -> Trashed | None:
    """Return an entry; None where there is none (yet)."""
    if not os.path.lexists(os.path.join(place, _EXPERIMENT)):
        return None
    born = os.path.basename(place).partition("-")[0]
    try:
        path = os.path.join(place, _ABOUT)
        about = json.loads(disk.read_at(path, 0, min(disk.size(path), _BYTES_MAX)))
        deleted_ns = int(born, 16)
        prefix, purge_ns, by = about["prefix"], about["purgeNs"], about.get("deletedBy")
        rows = about.get("rows")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # of somebody else, or damaged: it is let be
    if not (isinstance(prefix, str) and _is_number(deleted_ns) and _is_number(purge_ns)):
        return None
    by = by if isinstance(by, str) else None
    return Trashed(prefix, place, deleted_ns, purge_ns, by, rows if _is_number(rows) else None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= INDEX_MAX


def _goes_on(trashed: str, directory: str) -> bool:
    """Whether an experiment is what the runs of a deleted one have written since."""
    try:
        here, there = (set(writers(os.path.join(path, JOURNAL))) for path in (directory, trashed))
    except OSError:
        return False
    return bool(here) and here <= there


def _remove(directory: str) -> None:
    if os.path.islink(directory):
        os.remove(directory)  # what it leads to is not ours to remove
    else:
        shutil.rmtree(directory)
