"""Event files of TensorBoard, which tensorboardX, torch, Keras and others write: a directory of them is a run.

=====================================  ==============================================================================
there                                  here
=====================================  ==============================================================================
scalar ``train/loss`` at a step        a row ``{"step", "loss"}`` of the metric ``train``
scalar ``loss``                        a row of the unnamed metric
scalar ``env/step``                    a row ``{"step", "value"}`` of the metric ``env/step``
text                                   a message, with ``tag`` and ``step``
hparams                                parameters, and how the run ended where a session says so
``wall_time``                          the time of the row
=====================================  ==============================================================================

Anything else (histograms, images, graphs, …) is told of, and left where it is.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.errors import InvalidArgumentError, InvalidParameterError
from ml_dash.identity import current_user
from ml_dash.importers.tensorboard.event_file import (
    BrokenError,
    Message,
    Record,
    joined,
    messages,
    number,
    parse,
    read_records,
    signed,
    tensor_values,
    text,
)
from ml_dash.importers.growing_file import GrowingFile, RewrittenError
from ml_dash.importers.source import Described, Item, Part, Position, Row
from ml_dash.importers.times import from_seconds
from ml_dash.journal.foreign_disk import ForeignDisk
from ml_dash.sdk.series_port import check_name
from ml_dash.series import Kind, Series
from ml_dash.status import RunStatus
from ml_dash.values.params import flatten_params

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.importers.report import RunReport
    from ml_dash.importers.source import Store

_EVENTS = ".tfevents."
_LOGS, _PARAMS = Series(Kind.LOG, None), Series(Kind.PARAMS, None)
_ENDS = {1: RunStatus.COMPLETED, 2: RunStatus.FAILED}  # of plugins/hparams/api.proto
_HPARAMS = "hparams"
_KINDS = {4: "an image", 5: "a histogram", 6: "a sound"}


class TensorBoard:
    """The runs at a path or below it.

    Args:
        path: A directory, mostly the one that ``tensorboard --logdir`` gets.
        under: The prefix below which runs get their places; None is ``<user>/<name of the directory>``.
    """

    name = "tensorboard"

    def __init__(self, path: str, under: str | None = None) -> None:
        self._path = path
        name = os.path.basename(os.path.abspath(path))
        self._under = under or f"{current_user()}/{name}"

    def runs(self) -> list[EventRun]:
        """See `Source.runs`."""
        found = []
        for directory, directories, files in os.walk(self._path):
            directories.sort()
            events = sorted(name for name in files if _EVENTS in name)
            if events:
                relative = os.path.relpath(directory, self._path)
                below = [] if relative == os.curdir else relative.split(os.sep)
                found.append(EventRun(directory, "/".join([self._under.strip("/"), *below]), events))
        if not found:
            raise InvalidArgumentError(
                f"there is no event file in {self._path!r} or below it: name the directory that `tensorboard "
                "--logdir` gets"
            )
        return found


class EventRun:
    """A directory with event files."""

    def __init__(self, directory: str, prefix: str, names: list[str]) -> None:
        self.place, self.prefix = directory, prefix
        self._names = names
        self._disk = ForeignDisk(directory)
        self.described = Described()

    @property
    def key(self) -> str | None:
        """See `SourceRun.key`: a file's name has its time, machine and process in it."""
        return self._names[0]

    def describe(self, report: RunReport) -> Described:
        """See `SourceRun.describe`."""
        path = os.path.join(self.place, self._names[0])
        try:
            with GrowingFile(path, self._disk.open, None) as file:
                first = next((record.data for record in read_records(file) if record.data), None)
            started = None if first is None else from_seconds(number(parse(first).get(1, [b""])[0], "d"))
        except (OSError, BrokenError):
            started = None  # it is told when the file is read
        if started is None:
            started = os.stat(self.place).st_mtime_ns
            report.note(path, "it does not say when it began: the directory's time is taken")
        self.described.started_ns = started
        return self.described

    def parts(self, report: RunReport) -> Iterator[Part]:
        """See `SourceRun.parts`."""
        del report
        for name in self._names:
            yield EventFile(name, os.path.join(self.place, name), self._disk, self.described)


class _Event(NamedTuple):
    time_ns: int
    step: int
    values: list[Message]


class EventFile:
    """One event file; what it says of the run's end goes into `described`."""

    def __init__(self, name: str, path: str, disk: ForeignDisk, described: Described) -> None:
        self.name, self._path = name, path
        self._disk, self._described = disk, described
        # A tag's first value says of which plugin it is, and the others need not.
        self._plugins: dict[str, str] = {}
        self._left_out = 0

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        del store
        known = position or {}
        self._plugins = dict(known.get("plugins", {}))
        self._described.status = known.get("status") or self._described.status
        try:
            with GrowingFile(self._path, self._disk.open, position) as file:
                for record in read_records(file):
                    self._left_out = 0
                    rows, time_ns = self._read(record, report)
                    if record.position is not None:
                        yield Item(rows, record.position | self._state(), time_ns, left_out=self._left_out)
        except RewrittenError:
            report.note(
                self._path, "it was written anew since it was imported: import it under another name (--as)"
            )
        except OSError as error:
            report.note(self._path, f"it cannot be read ({error.strerror or error})")

    def _state(self) -> dict[str, Any]:
        return {"plugins": self._plugins, "status": self._described.status}

    def _read(self, record: Record, report: RunReport) -> tuple[tuple[Row, ...], int | None]:
        try:
            if record.data is None:
                raise BrokenError(record.fault)
            event = _event(record.data)
        except BrokenError as error:
            self._leave_out(report, str(error))
            return (), None
        return tuple(self._rows(event, report)), event.time_ns

    def _leave_out(self, report: RunReport, reason: str) -> None:
        self._left_out += 1
        report.note(self._path, reason)

    def _rows(self, event: _Event, report: RunReport) -> Iterator[Row]:
        for value in event.values:
            tag = text(value.get(1, [b""])[0])
            try:
                yield from self._value(event, tag, value)
            except (BrokenError, InvalidArgumentError, InvalidParameterError) as error:
                self._leave_out(report, f"{tag!r} is left out: {error}")

    def _value(self, event: _Event, tag: str, value: Message) -> Iterator[Row]:
        metadata: Message = (messages(value, 9) or [{}])[0]
        plugin: Message = (messages(metadata, 1) or [{}])[0]
        name = text(plugin.get(1, [b""])[0]) or self._plugins.get(tag, "")
        if 8 in value:  # what it is, its plugin alone tells
            self._plugins[tag] = name
        if name == _HPARAMS:
            yield from self._hparams(event, parse(joined(plugin, 2)))
        elif 2 in value:
            yield _scalar(event, tag, number(value[2][0], "f"))
        elif 8 in value and name in {"scalars", "text"}:
            values = tensor_values(value[8][0])
            if name == "text":
                fields = {"level": "info", "metadata": {"tag": tag, "step": event.step}}
                yield Row(_LOGS, event.time_ns, {"message": "\n".join(map(str, values)), **fields})
            elif len(values) == 1:
                yield _scalar(event, tag, values[0])
            else:
                raise BrokenError(f"a scalar of {len(values)} values")
        else:
            kind = next((said for field, said in _KINDS.items() if field in value), None)
            raise BrokenError(f"{kind or 'a value of the plugin ' + repr(name)} has no place here")

    def _hparams(self, event: _Event, data: Message) -> Iterator[Row]:
        for start in messages(data, 3):
            given = {}
            for entry in messages(start, 1):
                given[text(entry.get(1, [b""])[0])] = _value_of(parse(entry.get(2, [b""])[0]))
            if given:
                yield Row(_PARAMS, event.time_ns, {"set": flatten_params(given)})
        for end in messages(data, 4):
            self._described.status = _ENDS.get(signed(end.get(1, [0])[0]), self._described.status)


def _event(data: bytes) -> _Event:
    message = parse(data)
    time_ns = from_seconds(number(message.get(1, [b""])[0], "d"))
    if time_ns is None:
        raise BrokenError("an event has no time")
    values = [value for summary in messages(message, 5) for value in messages(summary, 1)]
    return _Event(time_ns, signed(message.get(2, [0])[0]), values)


def _scalar(event: _Event, tag: str, value: Any) -> Row:
    metric, _, field = tag.rpartition("/")
    if field in {"", "step"}:  # it would take the place of the step
        metric, field = tag, "value"
    if metric:
        check_name("metric", metric)
    return Row(Series(Kind.METRIC, metric or None), event.time_ns, {"step": event.step, field: value})


def _value_of(value: Message) -> Any:
    """Return a google.protobuf.Value: null, number, text, truth value or list."""
    if 2 in value:
        return number(value[2][0], "d")
    if 3 in value:
        return text(value[3][0])
    if 4 in value:
        return bool(value[4][0])
    if 6 in value:
        return [_value_of(each) for each in messages(parse(value[6][0]), 1)]
    return None
