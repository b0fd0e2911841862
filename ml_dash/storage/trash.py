"""The trash of a root: what was deleted lies there, and can be restored, until its time is over.

It is the directory ``.trash`` in the root, which no reader takes for an owner, since no segment of a prefix begins with
a dot. Each entry has a directory whose name begins with the time of the deletion, with the experiment's own directory
in it, as it was, and a file that says what it was called, and until when it stays. To delete is a rename on the same
disk: no room is needed for it, and none is gained before the trash is emptied.

A run that goes on writes on, into the trash, for its files are open; only what it opens anew appears where it was. So a
restoration puts both together again.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from typing import TYPE_CHECKING, NamedTuple

from ml_dash.clock import SYSTEM_CLOCK, Clock
from ml_dash.errors import ExperimentExistsError
from ml_dash.identity import current_user
from ml_dash.journal.disk import REAL_DISK
from ml_dash.journal.feed import writers
from ml_dash.query.times import NANOSECONDS
from ml_dash.storage.relocating import JOURNAL, merge, prune, relocate
from ml_dash.storage.survey import is_experiment

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
    """

    prefix: str
    place: str
    deleted_ns: int
    purge_ns: int
    deleted_by: str | None

    @property
    def directory(self) -> str:
        """The experiment's directory."""
        return os.path.join(self.place, _EXPERIMENT)


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
        found = (_read(os.path.join(directory, name)) for name in names)
        return [entry for entry in found if entry is not None]

    def put(self, prefix: str, directory: str) -> Trashed:
        """Move an experiment into the trash.

        Raises:
            OSError: It cannot be moved; it is where it was.
        """
        now = self._clock.time_ns()
        place = os.path.join(self.root, TRASH, f"{now:016x}-{os.urandom(4).hex()}")
        entry = Trashed(prefix, place, now, now + KEPT_DAYS * 86_400 * NANOSECONDS, current_user())
        os.makedirs(place)
        about = {
            "prefix": prefix,
            "deletedNs": entry.deleted_ns,
            "purgeNs": entry.purge_ns,
            "deletedBy": entry.deleted_by,
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


def _read(place: str) -> Trashed | None:
    """Return an entry; None where there is none (yet)."""
    if not os.path.lexists(os.path.join(place, _EXPERIMENT)):
        return None
    born = os.path.basename(place).partition("-")[0]
    try:
        path = os.path.join(place, _ABOUT)
        about = json.loads(REAL_DISK.read_at(path, 0, min(REAL_DISK.size(path), _BYTES_MAX)))
        deleted_ns = int(born, 16)
        prefix, purge_ns, by = about["prefix"], about["purgeNs"], about.get("deletedBy")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # of somebody else, or damaged: it is let be
    is_sound = isinstance(prefix, str) and isinstance(purge_ns, int) and not isinstance(purge_ns, bool)
    if not is_sound:
        return None
    return Trashed(prefix, place, deleted_ns, purge_ns, by if isinstance(by, str) else None)


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
