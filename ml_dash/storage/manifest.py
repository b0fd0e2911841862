"""What an experiment says of itself: its name, where its runs were meant to be sent, and which writers are done."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.clock import SYSTEM_CLOCK, Clock
from ml_dash.errors import JournalVersionError
from ml_dash.journal.blocks import block_rows
from ml_dash.journal.disk import REAL_DISK, Disk
from ml_dash.journal.index import JournalIndex
from ml_dash.processes import process_alive, process_space
from ml_dash.protocol import DESCRIBED, SAID
from ml_dash.query.runs import WriterRuns, fold_runs, writer_runs
from ml_dash.series import Kind, Series
from ml_dash.status import RunStatus
from ml_dash.storage.naming import name_by_place
from ml_dash.storage.side_file import is_sound, read_side_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_dash.journal.frame_table import Catalogue

_RUNS = Series(Kind.RUN, None)
_NOT_SAID = ""  # not None, which a start says that means local mode


class _Told(NamedTuple):
    """What a journal's runs say: of the experiment, of each writer's server, and which writers will write no more."""

    about: Mapping[str, Any]
    said_ns: Mapping[str, int]
    urls: dict[str, str | None]
    done: frozenset[str]
    unreadable: dict[str, str]
    torn: dict[str, int]
    processes: dict[str, tuple[int, str | None]]


class Manifest:
    """What an experiment's directory says of it.

    The journal is indexed once, and again only where it has grown. Of the index nothing is kept but what was asked of
    it: whoever looks through a root may hold the manifests of all its experiments.

    All methods raise `JournalVersionError` where a later version wrote the journal, and `OSError` where it cannot be
    listed. Of a segment that cannot be read nothing is said, but in `unreadable`.

    Args:
        directory: The experiment's.
        clock: The time.
        disk: The file system.
        name: What the experiment is to be called; None for the name that its place gives it, see `storage.naming`.
    """

    def __init__(
        self,
        directory: str,
        clock: Clock = SYSTEM_CLOCK,
        disk: Disk = REAL_DISK,
        *,
        name: str | None = None,
    ) -> None:
        self.directory = directory
        self.journal = os.path.join(directory, "journal")
        self._clock = clock
        self.disk = disk
        self._name = name
        self._told: _Told | None = None
        self._stamp: object = None

    def describe(self) -> Mapping[str, Any]:
        """Return what is known of the experiment: its prefix, readme, tags, bindrs and metadata.

        ``experiment.json`` says it; where that is not there or damaged, the journal does. The prefix is the one that
        it has now; if that is another one than it was logged under, this is its ``formerly``.
        """
        said = self._said()
        prefix = said.get("prefix")
        if not isinstance(prefix, str):
            return said if self._name is None else {**said, "prefix": self._name}
        root = said.get("root")
        name = self._name or name_by_place(self.directory, prefix, root if isinstance(root, str) else None)
        return said if name == prefix else {**said, "prefix": name, "formerly": prefix}

    def last_word(self) -> Mapping[str, Any]:
        """Do as `describe` does, with what the journal says later than ``experiment.json``, and when (`SAID`).

        The process that wrote both may have been killed between the two.
        """
        try:
            told = self._read()
        except JournalVersionError:
            return self.describe()
        said = {name: told.about[name] for name in DESCRIBED if is_sound(name, told.about.get(name))}
        return {**self.describe(), **said, SAID: {name: told.said_ns[name] for name in said}}

    def _said(self) -> Mapping[str, Any]:
        record = read_side_file(self.directory, self.disk)
        return record if isinstance(record.get("prefix"), str) else self._read().about

    def meant_for(self) -> dict[str, str | None]:
        """Return, for each writer, the URL of the server that its run was meant for; None for local mode.

        What was logged in local mode is meant for the server of the next run that has one: an experiment is one thing,
        and whoever gives it a server later gives it all that was there before. A writer that began no run, as a forked
        child's, was meant for where all others were; where they differ, for none. Where no writer says it,
        ``experiment.json`` does.
        """
        return self._read().urls

    def done_writers(self) -> frozenset[str]:
        """Return the writers all of whose runs have ended, or whose process is dead or silent."""
        told = self._read()
        if len(told.done) < len(told.urls):
            told = self._read(anew=True)  # by now, others may be dead or silent
        return told.done

    def of_others(self) -> frozenset[str]:
        """Return the writers whose process is another one of this machine that lives: it sends what it has written."""
        processes = self._read().processes
        return frozenset(
            writer
            for writer, (pid, born) in processes.items()
            if pid != os.getpid() and process_alive(pid, born)
        )

    def torn(self) -> Mapping[str, int]:
        """Return how many bytes at the ends of a writer's files are no complete frame, for those that are done."""
        told = self._read()
        return {writer: size for writer, size in told.torn.items() if writer in told.done}

    def began_behind(self, known: Mapping[str, int]) -> frozenset[str]:
        """Return the writers that began a run in a frame that these watermarks, by writer, do not reach."""
        index = JournalIndex(self.journal, disk=self.disk)
        index.refresh()
        return frozenset(
            writer
            for writer, catalogue in index.catalogues.items()
            if _begins(index, catalogue, known.get(writer, 0))
        )

    def unreadable(self) -> dict[str, str]:
        """Return why segments cannot be read, by path: what else is asked here is answered without them."""
        return self._read().unreadable

    def _read(self, *, anew: bool = False) -> _Told:
        stamp = self._look()
        if anew or self._told is None or stamp != self._stamp:
            # the stamp is the older one: what is written meanwhile is read the next time
            self._stamp, self._told = stamp, self._index()
        return self._told

    def _look(self) -> object:
        """Return what changes whenever the journal does."""
        try:
            names = self.disk.list(self.journal)
            return [(name, self.disk.size(os.path.join(self.journal, name))) for name in names]
        except OSError:
            return object()  # a file went away just now: equal to nothing, so that the journal is read again

    def _index(self) -> _Told:
        # not by a view, which warns of damage: a report says what is lost
        index = JournalIndex(self.journal, disk=self.disk)
        index.refresh()
        runs = writer_runs(index)
        said = {writer: _url_of(own) for writer, own in runs.items() if own.rows}
        began = _with_later_servers({writer: url for writer, url in said.items() if url is not _NOT_SAID})
        common = set(began.values())
        # Where no start is left, as where the directory was moved away under the run, the side file says it.
        side = read_side_file(self.directory, self.disk).get("url") if not began else None
        fallback = common.pop() if len(common) == 1 else side if isinstance(side, str) else None
        now = self._clock.time_ns()
        # each writer by itself: together, one that is alive would hide another that is dead
        found = {writer: fold_runs([own], now_ns=now) for writer, own in runs.items()}
        files = index.files
        unread = {files[path].writer for path in index.unreadable if path in files}
        torn: Counter[str] = Counter()
        for path, size in index.torn.items():
            torn[files[path].writer] += size
        # One without a start of its own that can be read may have one that cannot: it is not of local mode by that.
        unknown = {writer for writer in unread if writer not in began and fallback is None}
        together = fold_runs(runs.values(), now_ns=now)
        return _Told(
            together.experiment or {},
            together.said_ns,
            {writer: began.get(writer, fallback) for writer in runs if writer not in unknown},
            frozenset(
                writer
                for writer, info in found.items()
                if writer not in unread and (info.status != RunStatus.RUNNING or info.stale)
            ),
            index.unreadable,
            torn,
            {writer: process for writer, own in runs.items() if (process := _process_of(own)) is not None},
        )


def _with_later_servers(began: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return where each writer's rows go, by where its run was meant for: names of writers sort by birth."""
    meant: dict[str, str | None] = {}
    later: str | None = None
    for writer in sorted(began, reverse=True):
        later = meant[writer] = began[writer] or later
    return meant


def _begins(index: JournalIndex, catalogue: Catalogue, after: int) -> bool:
    """Whether a run begins in a frame with a number above this one."""
    for place in catalogue.blocks(_RUNS, 0, catalogue.count(_RUNS)):
        if catalogue.place(place.frame).seq > after:
            for block in index.read_frame(catalogue, place.frame, [(_RUNS, place)]):
                if any(fields.get("event") == "start" for fields in block_rows(block)):
                    return True
    return False


def _process_of(runs: WriterRuns) -> tuple[int, str | None] | None:
    """Return the process of a writer's newest start, and which one of that number; None where it is none of here."""
    start = next((fields for _, fields in reversed(runs.rows) if fields.get("event") == "start"), {})
    pid, born, space = start.get("pid"), start.get("born"), start.get("space")
    if not isinstance(pid, int) or space is None or space != process_space():
        return None
    return pid, born if isinstance(born, str) else None


def _url_of(runs: WriterRuns) -> str | None:
    """Return the URL that a writer's newest start names."""
    starts = [fields for _, fields in runs.rows if fields.get("event") == "start"]
    if not starts:
        return _NOT_SAID
    about = starts[-1].get("experiment")
    url = about.get("url") if isinstance(about, dict) else None
    return url if isinstance(url, str) else None
