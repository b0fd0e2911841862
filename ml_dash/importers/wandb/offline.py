"""Runs of wandb in a directory: each with a log, and files beside it.

=====================================  ==============================================================================
there                                  here
=====================================  ==============================================================================
``entity/project/group/name``          the prefix; without a name the run's id, without an entity the user
``log({"train/loss": …})``             a row ``{"step", "loss"}`` of the metric ``train``, at ``_timestamp``
media                                  media values, see `values`
``config``                             parameters; ``summary`` too, where it was set by itself
``notes``, ``tags``                    readme, tags
what was printed                       lines of the console
``alert``                              a message
load of the machine                    rows of the metric ``system``
``exit``                               COMPLETED, or FAILED where the exit code is not 0
files                                  files; those that wandb made by itself below ``wandb/``
=====================================  ==============================================================================

A run that was resumed has a directory for each time: together they are one run. Numbers of fields are those of
``wandb_internal.proto``.
"""

from __future__ import annotations

import os
import re
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.errors import InvalidArgumentError, InvalidParameterError
from ml_dash.identity import current_user, made_safe
from ml_dash.importers.growing_file import GrowingFile, RewrittenError
from ml_dash.importers.logged import Logged, items_of
from ml_dash.importers.protobuf import BrokenError, Message, messages, parse, signed, text
from ml_dash.importers.saved_files import saved_file
from ml_dash.importers.source import Described, Item, NotUnderstoodError, Part, Position, Row
from ml_dash.importers.times import from_seconds
from ml_dash.importers.wandb.log_file import read_log
from ml_dash.importers.wandb.numbers import number, texts_in
from ml_dash.importers.wandb.values import Media, plain_value
from ml_dash.journal.foreign_disk import ForeignDisk
from ml_dash.series import Kind, Series
from ml_dash.status import RunStatus
from ml_dash.values.params import flatten_params

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ml_dash.importers.report import RunReport
    from ml_dash.importers.source import Store

_LOG = re.compile(r"run-(.+)\.wandb")
_History = tuple[int, Any, dict[str, Any]]
"""Time, step, and values by their names."""
_SEGMENT = 255  # bytes
_OWN_ARTIFACTS = frozenset({"run_table", "wandb-history", "job", "code"})
"""Types of artifacts that wandb makes by itself of what a run has besides."""
_LOGS, _PARAMS = Series(Kind.LOG, None), Series(Kind.PARAMS, None)
_CONSOLE, _SYSTEM = Series(Kind.CONSOLE, None), Series(Kind.METRIC, "system")
_HISTORY, _SUMMARY, _OUTPUT, _CONFIG, _STATS, _ALERT, _RAW, _RUN, _EXIT, _ARTIFACT = (
    2, 3, 4, 5, 7, 10, 13, 17, 18, 8,
)  # fmt: skip
_SILENT = frozenset({1, 6, 9, 11, 12, 16, 19, 20, 21, 22, 23, 24, 25, 26, 27, 100, 200})
"""Kinds of records that say nothing of results: their number, lists of files, telemetry, axes, requests."""
_STREAMS = {0: "stderr", 1: "stdout"}
_OWN = ("_step", "_timestamp", "_runtime")
_LEVELS = {"INFO": "info", "WARN": "warn", "ERROR": "error"}
_LINE_MAX = 10_000
_NOTHING = object()
_BY_ITSELF = frozenset(
    {"config.yaml", "requirements.txt", "wandb-metadata.json", "wandb-summary.json", "output.log",
     "conda-environment.yaml", "diff.patch"}
)  # fmt: skip


class Wandb:
    """The runs at a path or below it.

    Args:
        path: The directory ``wandb`` of a script, one of its runs, one log, or any directory above.
    """

    name = "wandb"

    def __init__(self, path: str) -> None:
        self._path = path

    def runs(self) -> list[LoggedRun]:
        """See `Source.runs`."""
        logs: list[_Log] = []
        if os.path.isfile(self._path):
            logs.append(_Log.of(self._path))
        for directory, directories, files in os.walk(self._path):
            directories.sort()
            logs += [_Log.of(os.path.join(directory, name)) for name in sorted(files) if _LOG.fullmatch(name)]
        if not logs:
            raise InvalidArgumentError(
                f"there is no run of wandb in {self._path!r} or below it: name the directory `wandb` that a script "
                "has made, with directories like offline-run-20260101_120000-abc12345 in it"
            )
        runs: dict[str, list[_Log]] = {}
        for log in logs:
            runs.setdefault(log.key, []).append(log)
        return [LoggedRun(each) for each in runs.values()]


class _Log(NamedTuple):
    """One log, and what it says first of its run."""

    path: str
    disk: ForeignDisk
    run_id: str
    run: Message

    @classmethod
    def of(cls, path: str) -> _Log:
        directory, name = os.path.split(os.path.abspath(path))
        disk = ForeignDisk(directory)
        match = _LOG.fullmatch(name)
        run: Message = {}
        try:
            with GrowingFile(os.path.join(directory, name), disk.open, None) as file:
                run = _first_run(file)
        except (OSError, BrokenError):
            pass  # it is told when the log is read
        run_id = _text(run, 1) or (match[1] if match else os.path.splitext(name)[0])
        return cls(os.path.join(directory, name), disk, run_id, run)

    @property
    def key(self) -> str:
        """What tells the run apart from all others."""
        return f"{_text(self.run, 2) or ''}/{_text(self.run, 3) or ''}/{self.run_id}"

    @property
    def started_ns(self) -> int | None:
        """When it began."""
        return _time(messages(self.run, 17)[0]) if 17 in self.run else None


def _first_run(file: GrowingFile) -> Message:
    for record in read_log(file):
        if record.data is not None and _RUN in (message := parse(record.data)):
            return messages(message, _RUN)[0]
    return {}


class LoggedRun:
    """One run: all logs of its id, the oldest first."""

    def __init__(self, logs: list[_Log]) -> None:
        self._logs = sorted(logs, key=lambda log: (log.started_ns or 0, log.path))
        self.place = os.path.dirname(self._logs[-1].path)
        self.key = self._logs[0].key
        self.short = made_safe(self._logs[0].run_id, fallback="run", limit=_SEGMENT)
        self.described = Described()

    @property
    def prefix(self) -> str:
        """See `SourceRun.prefix`: as `ml_dash.compat.wandb` calls it."""
        run = self._logs[-1].run
        parts = [
            _text(run, 2) or current_user(),
            _text(run, 3) or "uncategorized",
            _text(run, 6),
            _text(run, 8) or self._logs[0].run_id,
        ]
        safe = [made_safe(part, fallback="run", limit=_SEGMENT) for part in parts if part]
        return "/".join(segment.replace("{", "(").replace("}", ")") for segment in safe)

    def describe(self, report: RunReport) -> Described:
        """See `SourceRun.describe`."""
        started = next((log.started_ns for log in self._logs if log.started_ns is not None), None)
        if started is None:
            started = os.stat(self._logs[0].path).st_mtime_ns
            report.note(self._logs[0].path, "it does not say when it began: the file's time is taken")
        run = self._logs[-1].run
        told = {"wandb_id": self._logs[0].run_id, "name": _text(run, 8), "job_type": _text(run, 7)}
        told |= {"sweep_id": _text(run, 12), "host": _text(run, 13)}
        git: Message = (messages(run, 21) or [{}])[0]
        metadata: dict[str, Any] = {name: value for name, value in told.items() if value}
        if commit := _text(git, 2):
            metadata["git"] = {"commit": commit, "remote": _text(git, 1)}
        said = {"readme": _text(run, 9), "tags": [text(tag) for tag in run.get(10, [])] or None}
        self.described = Described({**said, "metadata": metadata}, started)
        return self.described

    def parts(self, report: RunReport) -> Iterator[Part]:
        """See `SourceRun.parts`."""
        del report
        for log in self._logs:
            # by the directory, which has the time in its name: a run has one for each time that it was resumed
            directory = os.path.basename(os.path.dirname(log.path))
            part = LogPart(f"{directory}/{os.path.basename(log.path)}", log, self.described)
            yield part
            yield FilesPart(f"{directory}/files", log, part)


class _State:
    """What the records so far have left open, as it is stored beside a position."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        self.status: str | None = known.get("status")
        self.lines: dict[str, str] = dict(known.get("lines", {}))
        self.taken: set[str] = set(known.get("taken", ()))
        self.time_ns: int = known.get("time", 0)
        # A summary has the last value of all that was logged, and what was set by itself: the names tell them apart.
        self.names: set[str] = set(known.get("names", ()))
        self.summary: dict[str, Any] = dict(known.get("summary", {}))
        # It precedes the values that it has: what came since the last ones may be of those that follow.
        self.fresh: dict[str, Any] = dict(known.get("fresh", {}))
        self.told: dict[str, Any] = dict(known.get("told", {}))
        self._listed: tuple[list[str], list[str]] = [], []

    def stored(self) -> dict[str, Any]:
        """Return it as plain data, which does not change any more."""
        taken, names = self._listed
        if len(taken) != len(self.taken) or len(names) != len(self.names):
            self._listed = taken, names = sorted(self.taken), sorted(self.names)
        return {
            "status": self.status,
            "lines": dict(self.lines),
            "taken": taken,
            "time": self.time_ns,
            "names": names,
            "summary": dict(self.summary),
            "fresh": dict(self.fresh),
            "told": self.told,
        }

    def log(self, names: Iterable[str]) -> None:
        """Take the names of what was logged."""
        for name in names:
            if name not in self.names:
                self.names.add(name)
                self.summary.pop(name, None)
                self.fresh.pop(name, None)
        self.settle()

    def settle(self) -> None:
        """Take what came in the summary for what was set by itself."""
        if self.fresh:
            self.summary |= self.fresh
            self.fresh = {}

    def results(self) -> dict[str, Any]:
        """Return what was set in the summary by itself, and was not told of yet."""
        return {
            name: value
            for name, value in self.summary.items()
            if not name.startswith("_") and self.told.get(name, _NOTHING) != value
        }


class LogPart:
    """The records of one log; how the run ended goes into `described`."""

    def __init__(self, name: str, log: _Log, described: Described) -> None:
        self.name, self._log, self._described = name, log, described
        self.files = os.path.join(os.path.dirname(log.path), "files")
        self.media: Media | None = None
        self._state = _State({})
        self._left_out = 0
        self._known: dict[bytes, str] = {}
        self._readers: dict[int, Callable[[Message], Iterator[Row]]] = {
            _RUN: self._run,
            _CONFIG: self._config,
            _SUMMARY: self._summary,
            _RAW: self._lines,
            _OUTPUT: self._lines,
            _STATS: self._stats,
            _ALERT: self._alert,
            _EXIT: self._exit,
        }

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        self._state = _State(position or {})
        media = self.media = Media(self.files, self._log.disk, store.staging)
        media.taken = self._state.taken
        self._described.status = self._state.status or self._described.status
        path = self._log.path
        try:
            with GrowingFile(path, self._log.disk.open, position) as file:
                yield from items_of(self._logged(file, media, report), partial(self._leave_out, report))
        except RewrittenError:
            report.note(
                path, "it was written anew since it was imported: import it under another name (--as)"
            )
        except BrokenError as error:
            report.note(path, str(error))
        except OSError as error:
            report.note(path, f"it cannot be read ({error.strerror or error})")

    def _logged(self, file: GrowingFile, media: Media, report: RunReport) -> Iterator[Logged]:
        where = file.position
        for record in read_log(file):
            self._left_out = 0
            if record.data is None:
                self._leave_out(report, record.fault)
            history, rows = self._read(record.data, media, report) if record.data else (None, ())
            if record.position is None:
                continue
            where = record.position
            position = where | self._state.stored()
            time_ns, step, values = history or (self._state.time_ns, None, {})
            yield Logged(time_ns, step, values, position, rows, self._left_out)
        if results := self._state.results():
            self._state.told = self._state.told | results
            rows = ()
            try:
                rows = (Row(_PARAMS, self._state.time_ns, {"set": flatten_params({"summary": results})}),)
            except InvalidParameterError as error:
                self._leave_out(report, f"the summary is left out: {error}")
            yield Logged(self._state.time_ns, None, {}, where | self._state.stored(), rows)

    def _leave_out(self, report: RunReport, reason: str) -> None:
        self._left_out += 1
        report.note(self._log.path, reason)

    def _read(self, data: bytes, media: Media, report: RunReport) -> tuple[_History | None, tuple[Row, ...]]:
        """Return what a record logs of metrics, and its other rows."""
        history: _History | None = None
        rows: list[Row] = []
        try:
            for kind, several in parse(data).items():
                for value in several if kind not in _SILENT else ():
                    if kind in {_HISTORY, _SUMMARY} and isinstance(value, bytes):
                        is_taken, found = self._numbers(kind, value)
                        history = found or history
                        if is_taken:
                            continue
                    message = parse(value)
                    if kind == _HISTORY:
                        history = self._history(message, media, report)
                    elif kind in self._readers:
                        rows += self._readers[kind](message)
                    elif kind != _ARTIFACT or _text(message, 4) not in _OWN_ARTIFACTS:
                        raise NotUnderstoodError(_unknown(kind, message))
        except (BrokenError, NotUnderstoodError, InvalidArgumentError, InvalidParameterError) as error:
            self._leave_out(report, str(error))
        return history, tuple(rows)

    def _numbers(self, kind: int, data: bytes) -> tuple[bool, _History | None]:
        """Take a record of plain numbers; return whether it was one, and what it logs of metrics."""
        texts = texts_in(data, with_step=kind == _HISTORY)
        if texts is None:
            return False, None
        if kind == _SUMMARY:
            # of what was logged, and by wandb itself, the summary says nothing more
            return all(self._decoded(name) in self._state.names or name[:1] == b"_" for name in texts), None
        try:
            values = {self._decoded(name): number(text_) for name, text_ in texts.items()}
        except ValueError:
            return False, None
        own = [values.pop(name, None) for name in _OWN]
        if not isinstance(own[0], int) or not isinstance(own[1], float):
            return False, None
        time_ns = from_seconds(own[1])
        if time_ns is None or any(name.startswith("_wandb") for name in values):
            return False, None
        self._pass([time_ns])
        self._state.log(values)
        return True, (time_ns, own[0], values)

    def _decoded(self, name: bytes) -> str:
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = text(name)
        return known

    def _run(self, message: Message) -> Iterator[Row]:
        self._pass([_time(each) for each in messages(message, 17)])
        return self._params([each for config in messages(message, 4) for each in messages(config, 1)])

    def _config(self, message: Message) -> Iterator[Row]:
        return self._params(messages(message, 1))

    def _alert(self, message: Message) -> Iterator[Row]:
        words = ": ".join(filter(None, (_text(message, 1), _text(message, 2))))
        level = _LEVELS.get(_text(message, 3) or "", "warn")
        yield Row(_LOGS, self._state.time_ns, {"message": words, "level": level, "metadata": None})

    def _exit(self, message: Message) -> Iterator[Row]:
        is_well = signed(message.get(1, [0])[0]) == 0
        status = RunStatus.COMPLETED if is_well else RunStatus.FAILED
        self._state.status = self._described.status = status.value
        self._state.settle()
        return self._rest_of_lines()

    def _pass(self, times: Iterable[int]) -> None:
        """Take times of records: what has none of its own gets the latest."""
        self._state.time_ns = max([self._state.time_ns, *times])

    def _history(self, message: Message, media: Media, report: RunReport) -> _History:
        values = _nested(messages(message, 1))
        own = {name: values.pop(name, None) for name in _OWN}
        steps = [signed(step.get(1, [0])[0]) for step in messages(message, 2)]
        step = own["_step"] if isinstance(own["_step"], (int, float)) else steps[0] if steps else None
        time_ns = from_seconds(own["_timestamp"]) or self._state.time_ns
        self._pass([time_ns])
        self._state.log(values)
        row: dict[str, Any] = {}
        for name, value in values.items():
            if name.startswith("_wandb"):
                continue
            try:
                row.update(_values_of(name, value, media))
            except NotUnderstoodError as error:
                self._leave_out(report, f"{name!r} is left out: {error}")
        return time_ns, step, row

    def _summary(self, message: Message) -> Iterator[Row]:
        for item in messages(message, 1):
            name, *below = _path(item)
            if not below and name not in self._state.names:
                self._state.fresh[name] = plain_value(item.get(16, [b"null"])[0])
        return iter(())

    def _params(self, items: list[Message], above: tuple[str, ...] = ()) -> Iterator[Row]:
        given: dict[str, Any] = {}
        for item in items:
            path = _path(item)
            if path and path[0] != "_wandb":
                given[".".join((*above, *path))] = plain_value(item.get(16, [b"null"])[0])
        if given:
            yield Row(_PARAMS, self._state.time_ns, {"set": flatten_params(given)})

    def _lines(self, message: Message) -> Iterator[Row]:
        """Yield the lines that are whole: what was printed comes in pieces."""
        stream = _STREAMS.get(signed(message.get(1, [0])[0]), "stdout")
        times = [_time(each) for each in messages(message, 2)]
        self._pass(times)
        text_ = self._state.lines.get(stream, "") + text(message.get(3, [b""])[0])
        *lines, rest = text_.split("\n")
        self._state.lines[stream] = rest[-_LINE_MAX:]
        return self._printed(stream, lines)

    def _printed(self, stream: str, lines: Iterable[str]) -> Iterator[Row]:
        for line in lines:
            # of a progress bar its last state, as a terminal shows it
            shown = line.rstrip("\r").rpartition("\r")[2][:_LINE_MAX]
            yield Row(_CONSOLE, self._state.time_ns, {"stream": stream, "text": shown})

    def _rest_of_lines(self) -> Iterator[Row]:
        for stream, rest in sorted(self._state.lines.items()):
            if rest:
                yield from self._printed(stream, [rest])
        self._state.lines = {}

    def _stats(self, message: Message) -> Iterator[Row]:
        times = [_time(each) for each in messages(message, 2)]
        self._pass(times)
        fields = {
            text(item.get(1, [b""])[0]): plain_value(item.get(16, [b"null"])[0])
            for item in messages(message, 3)
        }
        if fields:
            yield Row(_SYSTEM, times[0] if times else self._state.time_ns, fields)


class FilesPart:
    """The files beside a log, but those of its media, which are here already."""

    def __init__(self, name: str, log: _Log, part: LogPart) -> None:
        self.name, self._log, self._part = name, log, part

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        del position
        taken = self._part.media.taken if self._part.media else set()
        disk = self._log.disk
        for directory, directories, files in os.walk(self._part.files):
            directories.sort()
            for file in sorted(files):
                path = os.path.join(directory, file)
                relative = os.path.relpath(path, self._part.files).replace(os.sep, "/")
                if relative in taken:
                    continue
                name = f"wandb/{relative}" if relative in _BY_ITSELF else relative
                try:
                    modified_ns = disk.modified_ns(path)
                except OSError as error:
                    report.note(path, f"it is left out: {error.strerror or error}")
                    continue
                yield from saved_file(store, path, disk.open, name, modified_ns, report)


def _values_of(name: str, value: Any, media: Media) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict) and "_type" in value:
        return media.values_of(name, value)
    return [(name, value)]


def _unknown(kind: int, message: Message) -> str:
    if kind == _ARTIFACT:
        return f"the artifact {_text(message, 5)!r} is left out: its files are not beside the log"
    return f"a record of the kind {kind} is not known"


def _path(item: Message) -> list[str]:
    """Return the name of an item, or the names that lead to it."""
    return [text(each) for each in item.get(2) or item.get(1, [])]


def _nested(items: Iterable[Message]) -> dict[str, Any]:
    """Return values by their names: a dictionary comes as one item for each of its leaves, with the names above it."""
    found: dict[str, Any] = {}
    for item in items:
        level = found
        *above, name = _path(item) or [""]
        for each in above:
            below = level.get(each)
            if not isinstance(below, dict):
                below = level[each] = {}
            level = below
        level[name] = plain_value(item.get(16, [b"null"])[0])
    return found


def _text(message: Message, field: int) -> str | None:
    """Return the text in a field; None where there is none, or an empty one."""
    return text(message[field][0]) or None if field in message else None


def _time(timestamp: Message) -> int:
    """Return a google.protobuf.Timestamp as nanoseconds."""
    seconds, nanoseconds = (signed(timestamp.get(field, [0])[0]) for field in (1, 2))
    return max(-(2**63), min(seconds * 1_000_000_000 + nanoseconds, 2**63 - 1))
