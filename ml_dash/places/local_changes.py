"""A local root, changed as `Changes` says.

Tags, notes and readmes are rows of the journal, as what a run itself says of its experiment, by a writer of their own:
so they may be changed while a run goes on, by several at once, and the newest wins. Names are places: who moves or
deletes moves a directory, under which nobody may be writing. Whether a name is free is asked before, so who changes
names has the root to itself meanwhile, as far as that machine goes: else two could move to one place, or take one entry
out of the trash.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from ml_dash.clock import SYSTEM_CLOCK, RisingClock
from ml_dash.errors import (
    ChangedMeanwhileError,
    ExperimentExistsError,
    ExperimentMissingError,
    ExperimentRunningError,
    JournalError,
    JournalWriteError,
    MLDashError,
    StopError,
)
from ml_dash.events.batch import Batcher
from ml_dash.identity import current_user, parse_prefix
from ml_dash.journal.disk import REAL_DISK
from ml_dash.journal.foreign_disk import ForeignDisk
from ml_dash.journal.frame import new_writer_id
from ml_dash.journal.index import JournalIndex
from ml_dash.journal.latest import latest_ns
from ml_dash.journal.writer import JournalWriter
from ml_dash.places.changing import Deleted, Stop, checked_reason, checked_text
from ml_dash.query.runs import fold_runs, writer_runs
from ml_dash.series import Kind, Series
from ml_dash.settings import Settings
from ml_dash.status import RunStatus
from ml_dash.storage.file_locks import directory_lock
from ml_dash.storage.marks import mark_changed
from ml_dash.storage.recovery import catch_up
from ml_dash.storage.relocating import JOURNAL, prune, relocate
from ml_dash.storage.side_file import NOTE, README, SIDE_FILE, STOP_FILE, is_sound, json_bytes, read_side_file
from ml_dash.storage.standing import is_experiment
from ml_dash.storage.stopping import StopRequest, read_stop, write_stop
from ml_dash.storage.trash import Trash
from ml_dash.values.pack import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml_dash.identity import Identity
    from ml_dash.places.changing import NewTags
    from ml_dash.query.runs import RunInfo
    from ml_dash.storage.trash import Trashed

_RUN = Series(Kind.RUN, None)


class LocalChanges:
    """Changes the experiments in one root; see `ml_dash.places.changing.Changes`."""

    def __init__(self, root: str) -> None:
        self._root = os.path.abspath(root)
        self._trash = Trash(self._root)
        self._stale_after = Settings.from_environment().stale_after

    def delete(self, prefix: str, *, force: bool = False) -> Deleted:
        """See `Changes.delete`."""
        identity, directory = self._found(prefix)
        with self._naming(), self._alone(identity, directory), _writing(directory):
            catch_up(directory)
            index = _index_of(directory)
            if not force and self._goes_on(index):
                raise self._running(identity, "deleted", "end it first, or delete it all the same (--force)")
            entry = self._trash.put(identity.prefix, directory, None if index is None else _rows_of(index))
            if not force and self._goes_on(_index_of(entry.directory)):
                # it has started between the two: back to where it believes to be
                self._trash.take_out(entry, directory, identity.prefix)
                raise self._running(identity, "deleted", "try again when it has ended")
            self._trash.empty()
        return _deleted(entry)

    def restore(self, prefix: str, to: str | None = None) -> str:
        """See `Changes.restore`."""
        name = _identity(prefix).prefix
        here = is_experiment(_identity(to or prefix).directory(self._root))
        hint = "it is not deleted" if here else "`ml-dash trash` lists what is"
        return self._restored(lambda entry: entry.prefix == name, f"{name!r}", hint, to)

    def restore_entry(self, id: str, to: str | None = None) -> str:
        """Do as `restore` with the entry of the trash that has this id, see `Trashed.id`."""
        return self._restored(lambda entry: entry.id == id, f"entry {id!r}", "somebody has restored it", to)

    def move(self, prefix: str, to: str) -> str:
        """See `Changes.move`."""
        identity, directory = self._found(prefix)
        target = _identity(to)
        place = target.directory(self._root)
        if target.prefix == identity.prefix:
            return target.prefix
        with self._naming(), self._alone(identity, directory), _writing(directory):
            if is_experiment(place):
                raise ExperimentExistsError(
                    f"there is an experiment {target.prefix!r} under {self._root!r}: choose another name, or move "
                    "or delete that one first"
                )
            catch_up(directory)
            if self._goes_on(_index_of(directory)):
                raise self._running(
                    identity, "moved", "its process writes to that directory; wait for its end"
                )
            relocate(directory, place)
            if self._goes_on(_index_of(place)):
                relocate(place, directory)
                raise self._running(identity, "moved", "wait for its end")
            _rename_side_file(place, target)
            prune(directory, self._root)
        return target.prefix

    def tag(self, prefix: str, news: NewTags) -> list[str]:
        """See `Changes.tag`."""
        identity, directory = self._found(prefix)
        with self._alone(identity, directory):
            before = self._said(directory).get("tags") or []
            tags = news.applied(before)
            if tags != before:
                self._say(directory, {"tags": tags})
        return tags

    def note(self, prefix: str, text: str, before: str | None = None) -> None:
        """See `Changes.note`."""
        self._write(prefix, NOTE, text, before)

    def read_note(self, prefix: str) -> str | None:
        """See `Changes.read_note`."""
        return self._read(prefix, NOTE)

    def readme(self, prefix: str, text: str, before: str | None = None) -> None:
        """See `Changes.readme`."""
        self._write(prefix, README, text, before)

    def read_readme(self, prefix: str) -> str | None:
        """See `Changes.read_readme`."""
        return self._read(prefix, README)

    def stop(self, prefix: str, reason: str | None = None) -> Stop:
        """See `Changes.stop`."""
        identity, directory = self._found(prefix)
        checked_reason(reason)
        with self._alone(identity, directory), _writing(directory):
            catch_up(directory)
            run = self._run(_read_index(directory))
            if run.status != RunStatus.RUNNING:
                raise StopError(f"no run of {identity.prefix!r} goes on: there is nothing to stop")
            known = read_stop(directory, ForeignDisk(directory))
            if known is None or set(known.attempts).isdisjoint(run.names):
                known = StopRequest(SYSTEM_CLOCK.time_ns(), run.names, current_user(), reason or None)
                write_stop(directory, known, REAL_DISK)
                mark_changed(directory)
        return Stop(identity.prefix, known.at_ns, known.by, known.reason, known.seen_ns)

    def cancel_stop(self, prefix: str) -> None:
        """See `Changes.cancel_stop`."""
        identity, directory = self._found(prefix)
        with self._alone(identity, directory), _writing(directory):
            known = read_stop(directory, ForeignDisk(directory))
            if known is None:
                return
            run = self._run(_read_index(directory))
            if known.seen_ns is not None and not set(known.attempts).isdisjoint(run.names):
                raise StopError(
                    f"the run of {identity.prefix!r} has seen that it is asked to stop: that is not taken back"
                )
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(directory, STOP_FILE))
            mark_changed(directory)

    def trash(self) -> list[Deleted]:
        """See `Changes.trash`."""
        return [_deleted(entry) for entry in self._trash.entries]

    def empty_trash(self) -> list[Deleted]:
        """Remove for good what is in the trash, whatever its time is; return what that was."""
        with self._naming(), _writing(self._root):
            return [_deleted(entry) for entry in self._trash.empty(lambda _: True)]

    def servers_of(self, prefix: str) -> list[str]:
        """Return the URLs of the servers that have an experiment under its name, as far as this disk knows."""
        _, directory = self._found(prefix)
        found: set[str] = set()
        with contextlib.suppress(OSError):
            for name in os.listdir(directory):
                if name.endswith(".cursor"):
                    with contextlib.suppress(OSError, ValueError):
                        path = os.path.join(directory, name)
                        found.update(json.loads(REAL_DISK.read_at(path, 0, REAL_DISK.size(path))))
        return sorted(found)

    # --- what they have in common

    def _found(self, prefix: str) -> tuple[Identity, str]:
        identity = _identity(prefix)
        directory = identity.directory(self._root)
        if not is_experiment(directory):
            raise self._missing(identity)
        return identity, directory

    def _missing(self, identity: Identity) -> ExperimentMissingError:
        return ExperimentMissingError(
            f"there is no experiment {identity.prefix!r} under {self._root!r}: `ml-dash ls` lists all"
        )

    def _restored(self, which: Callable[[Trashed], bool], what: str, hint: str, to: str | None) -> str:
        with self._naming():
            found = next(filter(which, self._trash.entries), None)
            if found is None:
                raise ExperimentMissingError(f"there is no {what} in the trash of {self._root!r}: {hint}")
            target = _identity(to or found.prefix)
            directory = target.directory(self._root)
            with _writing(found.place):
                self._trash.take_out(found, directory, target.prefix)
                if target.prefix != found.prefix:
                    _rename_side_file(directory, target)
            # it may have been put together with what its runs have written since
            mark_changed(directory)
        return target.prefix

    def _read(self, prefix: str, what: str) -> str | None:
        _, directory = self._found(prefix)
        return self._said(directory).get(what) or None

    def _write(self, prefix: str, what: str, text: str, before: str | None) -> None:
        identity, directory = self._found(prefix)
        checked_text(what, text)
        with self._alone(identity, directory):
            now = self._said(directory).get(what) or ""
            if now == text:
                return
            if before is not None and before != now:
                raise ChangedMeanwhileError(
                    f"the {what} of {identity.prefix!r} was changed meanwhile: read it again, and put both together"
                )
            self._say(directory, {what: text})

    @contextlib.contextmanager
    def _naming(self) -> Iterator[None]:
        """Hold up all others of this machine who would give an experiment of this root another name, or none.

        Taken before `_alone`.
        """
        with directory_lock(self._root):
            yield

    @contextlib.contextmanager
    def _alone(self, identity: Identity, directory: str) -> Iterator[None]:
        """Hold up all others of this machine who would change, move or delete the experiment.

        What is said of an experiment that is moved meanwhile would make a directory anew where it was.

        Raises:
            ExperimentMissingError: Another one has moved or deleted it meanwhile.
        """
        with directory_lock(directory) as is_there:
            if not (is_there and is_experiment(directory)):
                raise self._missing(identity)
            yield

    def _running(self, identity: Identity, what: str, remedy: str) -> ExperimentRunningError:
        return ExperimentRunningError(f"a run of {identity.prefix!r} goes on, so it is not {what}: {remedy}")

    def _goes_on(self, index: JournalIndex | None) -> bool:
        # of what cannot be read, nobody can tell, and it must be possible to clear it away
        if index is None:
            return False
        try:
            run = self._run(index)
        except (JournalError, OSError):
            return False
        return run.status == RunStatus.RUNNING and not run.stale

    def _run(self, index: JournalIndex) -> RunInfo:
        return fold_runs(writer_runs(index).values(), stale_after=self._stale_after)

    def _said(self, directory: str) -> dict[str, Any]:
        said = read_side_file(directory, REAL_DISK)
        told = self._run(_read_index(directory)).experiment or {}
        return {**said, **{name: value for name, value in told.items() if is_sound(name, value)}}

    def _say(self, directory: str, said: dict[str, Any]) -> None:
        """Say something of an experiment from outside of its runs: in its journal, then in its side file."""
        journal = os.path.join(directory, JOURNAL)
        with _writing(directory):
            time_ns = RisingClock(SYSTEM_CLOCK).next_ns(latest_ns(journal))
            # a root may be somebody else's: no link in it is written through
            writer = JournalWriter(journal, new_writer_id(time_ns), disk=ForeignDisk(directory))
            row = {"event": "update", "experiment": said}
            try:
                writer.append(Batcher().blocks([pack([0, time_ns, row])], [_RUN]))
            finally:
                writer.close()
                mark_changed(directory)
            _change_side_file(directory, said)


def _read_index(directory: str) -> JournalIndex:
    index = JournalIndex(os.path.join(directory, JOURNAL), disk=ForeignDisk(directory))
    index.refresh()
    return index


def _index_of(directory: str) -> JournalIndex | None:
    try:
        return _read_index(directory)
    except (JournalError, OSError):
        return None


def _rows_of(index: JournalIndex) -> int:
    return sum(map(index.count, index.series(Kind.METRIC)))


def _identity(prefix: str) -> Identity:
    return parse_prefix(prefix, user=current_user, now_ns=SYSTEM_CLOCK.time_ns)


def _deleted(entry: Trashed) -> Deleted:
    return Deleted(entry.prefix, entry.place, entry.deleted_ns, entry.purge_ns, entry.deleted_by)


def _rename_side_file(directory: str, identity: Identity) -> None:
    names = {name: getattr(identity, name) for name in ("prefix", "owner", "project", "folder", "name")}
    _change_side_file(directory, names)


def _change_side_file(directory: str, news: dict[str, Any]) -> None:
    """Change what the readable side file says; where there is none, the journal says it."""
    record = read_side_file(directory, REAL_DISK)
    if record:
        REAL_DISK.replace(os.path.join(directory, SIDE_FILE), json_bytes({**record, **news}))


@contextlib.contextmanager
def _writing(directory: str) -> Iterator[None]:
    """Say of a disk that refuses what that means here."""
    try:
        yield
    except MLDashError:  # some are OSErrors as well, and say what they are
        raise
    except OSError as error:
        raise JournalWriteError(
            f"{directory!r} cannot be changed: {error.strerror or error}. It may be another user's, or on a disk that "
            "may only be read"
        ) from error
