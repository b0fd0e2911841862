"""Trees of the public package that is called ml-dash as well.

What lies in the directory of one of its experiments, as versions 0.5 to 0.11 were seen to write it:

================================  ===================================================================================
file                              what is in it
================================  ===================================================================================
``experiment.json``               ``name``, ``project``, ``prefix`` (not before 0.6), ``description``, ``tags``, …
``parameters.json``               ``version``, ``data`` (flat), ``createdAt``, ``updatedAt``
``logs/logs.jsonl``               a line a message: ``timestamp``, ``level``, ``message``, ``metadata``
``metrics/<name>/data.jsonl``     a line a row: ``index``, ``data`` (with ``_ts`` from 0.9 on), ``createdAt``
``metrics/<name>/metadata.json``  the ``name``, null for the unnamed metric
``tracks/<topic>/data.jsonl``     a line an entry: ``timestamp`` and the fields; it is written anew when entries merge
``tracks/<topic>/metadata.json``  the ``topic``, whose slashes are underscores in the directory's name
``files/.files_metadata.json``    the ``files``: see `ml_dash_files`
================================  ===================================================================================

Nothing says how a run ended.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.identity import current_user
from ml_dash.importers.json_files import read_document
from ml_dash.importers.ml_dash_files import Files
from ml_dash.importers.ml_dash_rows import Lines, Parameters, Reading, entry_row, log_row, metric_row
from ml_dash.importers.source import Described, Part
from ml_dash.importers.times import from_iso
from ml_dash.journal.disk import NOT_THERE
from ml_dash.journal.foreign_disk import ForeignDisk
from ml_dash.sdk.about import About
from ml_dash.sdk.series_port import check_name
from ml_dash.series import Kind, Series
from ml_dash.storage.side_file import PARAMETERS_FILE, SIDE_FILE
from ml_dash.storage.survey import STRANGE_PARTS, survey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.importers.report import RunReport

_KNOWN = frozenset({"name", "project", "prefix", "folder", "created_at", "updated_at", "write_protected"})
_SAID = {"readme": "description", "tags": "tags", "bindrs": "bindrs", "metadata": "metadata"}
_LOCKS = (".lock", ".log_sequence")


class MLDashTree:
    """The experiments of the public package at a path or below it."""

    name = "ml-dash"

    def __init__(self, path: str) -> None:
        self._path = path

    def runs(self) -> list[MLDashRun]:
        """See `Source.runs`."""
        found = survey(self._path)
        if not found.strange:
            more = next((f": cannot read {path!r} ({why})" for path, why in found.refused.items()), "")
            raise InvalidArgumentError(
                f"there is nothing in {self._path!r} that the public package ml-dash has written{more}: name the "
                "directory of an experiment of it, or one above"
            )
        return [MLDashRun(directory, self._path) for directory in found.strange]


class MLDashRun:
    """One experiment's directory."""

    short = None

    def __init__(self, directory: str, root: str) -> None:
        self.place = directory
        self._root = root
        self._disk = ForeignDisk(directory)
        self._fault = ""
        try:
            self._record = read_document(self._disk, os.path.join(directory, SIDE_FILE))
        except NOT_THERE:
            self._record, self._fault = {}, "it is not there"
        except (OSError, ValueError) as error:
            self._record, self._fault = {}, f"it cannot be read ({error})"

    @property
    def prefix(self) -> str | None:
        """See `SourceRun.prefix`."""
        name, project, prefix = (self._text(key) for key in ("name", "project", "prefix"))
        if prefix:
            return prefix
        if name and project:
            return "/".join(filter(None, (current_user(), project, self._text("folder"), name)))
        relative = os.path.relpath(self.place, self._root)
        return None if relative == os.curdir else relative.replace(os.sep, "/")

    @property
    def key(self) -> str | None:
        """See `SourceRun.key`."""
        created = self._text("created_at")
        return None if created is None else f"{self.prefix} of {created}"

    def describe(self, report: RunReport) -> Described:
        """See `SourceRun.describe`."""
        path = os.path.join(self.place, SIDE_FILE)
        if self._fault:
            report.note(path, self._fault)
        for name in sorted(self._record.keys() - _KNOWN - set(_SAID.values())):
            report.note(path, f"{name!r} is not known")
        if self._record.get("write_protected"):
            report.note(path, "nothing here is write-protected")
        started = from_iso(self._record.get("created_at"))
        if started is None:
            started = os.stat(self.place).st_mtime_ns
            report.note(path, "it does not say when it began: the directory's time is taken")
        return Described(self._described(path, report), started)

    def _described(self, path: str, report: RunReport) -> dict[str, Any]:
        said: dict[str, Any] = {}
        for ours, theirs in _SAID.items():
            value = self._record.get(theirs)
            if value is None or value == []:
                continue
            given = {"readme": None, "tags": None, "bindrs": None, "metadata": None, ours: value}
            try:
                said |= About(self.place, description=None, **given).record()
            except InvalidArgumentError as error:
                report.note(path, f"{theirs!r} is left out: {error}")
        return said

    def _text(self, name: str) -> str | None:
        value = self._record.get(name)
        return value if isinstance(value, str) else None

    def parts(self, report: RunReport) -> Iterator[Part]:
        """See `SourceRun.parts`."""
        listed = _Listing(self.place, self._disk, report)
        if listed.take("logs/logs.jsonl"):
            yield Lines("logs/logs.jsonl", self._path("logs/logs.jsonl"), self._disk, log_row)
        if listed.take(PARAMETERS_FILE):
            yield Parameters(PARAMETERS_FILE, self._path(PARAMETERS_FILE), self._disk)
        for name in listed.below("metrics"):
            yield from self._series(listed, f"metrics/{name}", "name", "metric", report)
        for name in listed.below("tracks"):
            yield from self._series(listed, f"tracks/{name}", "topic", "topic", report)
        yield Files(self.place, self._disk, listed.take_files())
        listed.tell_rest()

    def _series(self, listed: _Listing, place: str, key: str, what: str, report: RunReport) -> Iterator[Part]:
        record: dict[str, Any] = {}
        if listed.take(f"{place}/metadata.json"):
            try:
                record = read_document(self._disk, self._path(f"{place}/metadata.json"))
            except (OSError, ValueError) as error:
                report.note(self._path(f"{place}/metadata.json"), f"it cannot be read ({error})")
        if not listed.take(f"{place}/data.jsonl"):
            return
        # An unnamed metric's directory is called None; so is one that was called "None", and both have one file.
        folder = place.partition("/")[2]
        name = record.get(key, None if (what, folder) == ("metric", "None") else folder)
        try:
            if name is not None or what == "topic":
                check_name(what, name)
        except InvalidArgumentError as error:
            report.note(self._path(place), str(error))
            return
        for more in ("description", "tags", "metadata"):
            if record.get(more):
                report.note(self._path(f"{place}/metadata.json"), f"a metric has no {more} here")
        path = self._path(f"{place}/data.jsonl")
        if what == "metric":
            read: Reading = partial(metric_row, Series(Kind.METRIC, name))
        else:
            read = partial(entry_row, Series(Kind.TRACK, name), self._disk.modified_ns(path))
        yield Lines(f"{place}/data.jsonl", path, self._disk, read, merges=what == "topic")

    def _path(self, name: str) -> str:
        return os.path.join(self.place, *name.split("/"))


class _Listing:
    """The files of an experiment's directory, of which in the end those are told that nobody took."""

    def __init__(self, directory: str, disk: ForeignDisk, report: RunReport) -> None:
        self._directory, self._report = directory, report
        self._disk = disk
        self._left: set[str] = set()
        for at, directories, files in os.walk(directory, onerror=self._refused):
            relative = os.path.relpath(at, directory).replace(os.sep, "/")
            if at == directory:
                # Others are experiments that lie below this one, and are found by themselves.
                directories[:] = [each for each in directories if each in STRANGE_PARTS]
            for name in directories:
                if os.path.islink(linked := os.path.join(at, name)):
                    report.note(linked, "it is a link, and links are not followed here")
            here = "" if relative == os.curdir else f"{relative}/"
            self._left |= {here + name for name in files if not name.endswith(_LOCKS)}
        self._left.discard(SIDE_FILE)

    def _refused(self, error: OSError) -> None:
        self._report.note(str(error.filename), f"it cannot be read ({error.strerror})")

    def take(self, name: str) -> bool:
        """Whether there is such a file; then it is not told of as one that nobody took."""
        is_there = name in self._left
        self._left.discard(name)
        return is_there

    def below(self, folder: str) -> list[str]:
        """Return the names of the directories with data in one."""
        parts = (name.split("/") for name in self._left)
        return sorted({part[1] for part in parts if part[0] == folder and len(part) == 3})

    def take_files(self) -> set[str]:
        """Return what lies below ``files``."""
        taken = {name for name in self._left if name.startswith("files/")}
        self._left -= taken
        return taken

    def tell_rest(self) -> None:
        """Tell of what nobody took."""
        for name in sorted(self._left):
            self._report.note(
                os.path.join(self._directory, *name.split("/")), "it is not known what this file is"
            )
