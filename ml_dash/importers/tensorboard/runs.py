"""Event files of TensorBoard, which tensorboardX, torch, Keras and others write: a directory of them is a run.

=====================================  ==============================================================================
there                                  here
=====================================  ==============================================================================
scalar ``train/loss`` at a step        a row ``{"step", "loss"}`` of the metric ``train``
scalar ``loss``                        a row of the unnamed metric
scalar ``env/step``                    a row ``{"step", "value"}`` of the metric ``env/step``
image, sound, histogram                a row with a media value, see `tensorboard.media`
text                                   a message, with ``tag`` and ``step``
hparams                                parameters, and how the run ended where a session says so
``wall_time``                          the time of the row
=====================================  ==============================================================================

Anything else (graphs, curves, meshes, …) is told of, and left where it is.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.errors import InvalidArgumentError, InvalidParameterError
from ml_dash.identity import current_user
from ml_dash.importers.growing_file import GrowingFile, RewrittenError
from ml_dash.importers.media import NOTHING, Medium, Taken, without_media
from ml_dash.importers.named import Named, Points, blocks_of, named, rows_of
from ml_dash.importers.protobuf import BrokenError, Message, joined, messages, number, parse, signed, text
from ml_dash.importers.source import Described, Item, Part, Position, Row
from ml_dash.importers.tensorboard.event_columns import PIECE_BYTES, Columns, Form, Scalars, Single, plugin_of
from ml_dash.importers.tensorboard.event_file import Record, read_records, record_in, tensor_values
from ml_dash.importers.tensorboard.media import media_of
from ml_dash.importers.times import from_seconds
from ml_dash.journal.foreign_disk import ForeignDisk
from ml_dash.series import Kind, Series
from ml_dash.status import RunStatus
from ml_dash.values.params import flatten_params

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.importers.report import RunReport
    from ml_dash.importers.source import Store
    from ml_dash.journal.blocks import Block
    from ml_dash.storage.blobs import Staging

_EVENTS = ".tfevents."
_LOGS, _PARAMS = Series(Kind.LOG, None), Series(Kind.PARAMS, None)
_ENDS = {1: RunStatus.COMPLETED, 2: RunStatus.FAILED}  # of plugins/hparams/api.proto
_HPARAMS = "hparams"
_LEFT_OUT = {4: "a graph", 8: "a profile of a step", 9: "a graph"}
"""Fields of an event."""


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

    short = None

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
        self._names: dict[str, Named] = {}
        self._left_out = 0
        # where the record begins that is read by itself, and the scalars of such records among others
        self._place: int | None = None
        self._singles: list[Single] = []

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        known = position or {}
        self._plugins = dict(known.get("plugins", {}))
        self._described.status = known.get("status") or self._described.status
        try:
            with GrowingFile(self._path, self._disk.open, position) as file:
                yield from self._items(file, store.staging, report)
        except RewrittenError:
            report.note(
                self._path, "it was written anew since it was imported: import it under another name (--as)"
            )
        except OSError as error:
            report.note(self._path, f"it cannot be read ({error.strerror or error})")

    def _items(self, file: GrowingFile, staging: Staging, report: RunReport) -> Iterator[Item]:
        columns = Columns(self._is_scalar)
        while True:
            self._left_out, self._singles = 0, []
            piece = columns.take(file.peek(PIECE_BYTES))
            events = []
            if piece.nbytes:
                data = file.read(piece.nbytes)
                for start, end in piece.rest:
                    self._place = start if piece.scalars is not None else None
                    events.append(self._read(record_in(data[start:end]), staging, report))
            else:  # few, or one that is longer than a piece, or what cannot be read
                self._place = None
                record = next(read_records(file), None)
                if record is None:
                    return
                events.append(self._read(record, staging, report))
                if record.position is None:
                    return
            yield Item(
                tuple(row for taken, _ in events for row in taken.rows),
                file.position | self._state(),
                max((time_ns for _, time_ns in events if time_ns is not None), default=None),
                blobs=tuple(path for taken, _ in events for path in taken.blobs),
                left_out=self._left_out,
                blocks=self._blocks(piece.scalars),
            )

    def _state(self) -> dict[str, Any]:
        return {"plugins": self._plugins, "status": self._described.status}

    def _is_scalar(self, form: Form) -> bool:
        """Whether events of this form are scalars with a name that can be one here; for all others see `_value`."""
        plugin = form.plugin or self._plugins.get(form.tag, "")
        if plugin == _HPARAMS or (form.is_tensor and plugin != "scalars"):
            return False
        try:
            self._names[form.tag] = named(form.tag)
        except InvalidArgumentError:
            return False
        if form.is_tensor:
            self._plugins[form.tag] = plugin
        return True

    def _blocks(self, scalars: Scalars | None) -> tuple[Block, ...]:
        if scalars is None:
            return ()
        scalars = scalars.with_more(self._singles)
        points = Points(scalars.times, scalars.steps, scalars.values, scalars.tags)
        return blocks_of(points, [self._names[tag] for tag in scalars.names])

    def _read(self, record: Record, staging: Staging, report: RunReport) -> tuple[Taken, int | None]:
        try:
            if record.data is None:
                raise BrokenError(record.fault)
            event, fault = _event(record.data)
        except BrokenError as error:
            self._leave_out(report, str(error))
            return NOTHING, None
        if fault:
            self._leave_out(report, fault)
        return without_media(self._rows(event, staging, report)), event.time_ns

    def _leave_out(self, report: RunReport, reason: str) -> None:
        self._left_out += 1
        report.note(self._path, reason)

    def _rows(self, event: _Event, staging: Staging, report: RunReport) -> Iterator[Row]:
        for value in event.values:
            tag = text(value.get(1, [b""])[0])
            try:
                yield from self._value(event, tag, value, staging)
            except (BrokenError, InvalidArgumentError, InvalidParameterError) as error:
                self._leave_out(report, f"{tag!r} is left out: {error}")

    def _value(self, event: _Event, tag: str, value: Message, staging: Staging) -> Iterator[Row]:
        name = plugin_of(value) or self._plugins.get(tag, "")
        if 8 in value:  # what it is, its plugin alone tells
            self._plugins[tag] = name
        if name == _HPARAMS:
            yield from self._hparams(event, parse(joined(_plugin_in(value), 2)))
        elif 2 in value:
            yield from self._scalar(event, tag, number(value[2][0], "f"))
        elif 8 in value and name == "text":
            texts = "\n".join(map(str, tensor_values(value[8][0])))
            metadata = {"tag": tag, "step": event.step}
            yield Row(_LOGS, event.time_ns, {"message": texts, "level": "info", "metadata": metadata})
        elif 8 in value and name == "scalars":
            values = tensor_values(value[8][0])
            if len(values) != 1:
                raise BrokenError(f"a scalar of {len(values)} values")
            yield from self._scalar(event, tag, values[0])
        else:
            media = media_of(value, name, staging)
            values_by_name = {tag: media[0]} if len(media) == 1 else dict(_numbered(tag, media))
            yield from rows_of(values_by_name, event.time_ns, {"step": event.step})

    def _scalar(self, event: _Event, tag: str, value: Any) -> list[Row]:
        if self._place is None or type(value) is not float:
            return rows_of({tag: value}, event.time_ns, {"step": event.step})
        self._names[tag] = named(tag)
        self._singles.append(Single(self._place, event.time_ns, event.step, value, tag))
        return []

    def _hparams(self, event: _Event, data: Message) -> Iterator[Row]:
        for start in messages(data, 3):
            given = {}
            for entry in messages(start, 1):
                given[text(entry.get(1, [b""])[0])] = _value_of(parse(entry.get(2, [b""])[0]))
            if given:
                yield Row(_PARAMS, event.time_ns, {"set": flatten_params(given)})
        for end in messages(data, 4):
            self._described.status = _ENDS.get(signed(end.get(1, [0])[0]), self._described.status)


def _event(data: bytes) -> tuple[_Event, str]:
    """Return an event, and what of it has no place here."""
    message = parse(data)
    time_ns = from_seconds(number(message.get(1, [b""])[0], "d"))
    if time_ns is None:
        raise BrokenError("an event has no time")
    values = [value for summary in messages(message, 5) for value in messages(summary, 1)]
    left_out = next((said for field, said in _LEFT_OUT.items() if field in message), "")
    fault = f"{left_out} has no place here" if left_out else ""
    return _Event(time_ns, signed(message.get(2, [0])[0]), values), fault


def _plugin_in(value: Message) -> Message:
    metadata: Message = (messages(value, 9) or [{}])[0]
    return (messages(metadata, 1) or [{}])[0]


def _numbered(tag: str, media: list[Medium]) -> Iterator[tuple[str, Medium]]:
    for at, each in enumerate(media):
        yield f"{tag}.{at}", each


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
