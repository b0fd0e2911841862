"""Event files of TensorBoard: a directory for each experiment, which `tensorboard --logdir` shows as a run.

Its scalars are floats of 32 bits at whole steps; a row without a step has its number as one, and what is neither a
number, a text nor a medium that TensorBoard knows is counted as left out.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from ml_dash.cli.exporting.project import Whole, steps_of
from ml_dash.cli.exporting.source import Content, Part, Source
from ml_dash.cli.file_source import FileSource
from ml_dash.errors import MLDashError
from ml_dash.importers.tensorboard.event_writer import EventWriter
from ml_dash.journal.blocks import Block, Column, as_list, block_rows
from ml_dash.query.files import FileQuery, full_name
from ml_dash.storage.placing import writing

_MEDIA = frozenset({"image", "video", "audio", "histogram", "figure", "text", "mask"})
_IMAGES = frozenset({"png", "jpg", "jpeg", "gif", "bmp"})
_STEP = "step"


class Events:
    """The event file of one experiment.

    Attributes:
        scalars: How many were written.
        others: How many texts, images, sounds and histograms.
        left_out: How many values have no place in it.
    """

    def __init__(self, whole: Whole, files: FileSource) -> None:
        self._whole, self._files = whole, files
        self._by_name: Mapping[str, dict[str, Any]] | None = None
        self.scalars = self.others = self.left_out = 0

    def write(self, directory: str) -> None:
        """Write it below a directory, at the place that the prefix names."""
        listed = self._whole.listed
        place = os.path.join(directory, *listed.prefix.split("/"))
        os.makedirs(place, exist_ok=True)
        started_ns = listed.started_ns or listed.created_ns or 0
        name = f"events.out.tfevents.{started_ns // 1_000_000_000:010d}.ml-dash"
        with writing(os.path.join(place, name)) as out, tempfile.TemporaryDirectory() as scratch:
            self._write(out, scratch, started_ns)

    def _write(self, out: BinaryIO, scratch: str, started_ns: int) -> None:
        whole = self._whole
        writer = EventWriter(out, started_ns)
        params = whole.view.params()
        if params:
            writer.hparams(params, started_ns, whole.listed.ended_ns, whole.listed.status)
        for part in whole.metrics.parts():
            self._rows(writer, part, scratch)
        logs = Source(
            whole.rows, Content.LOGS, whole.rows.series(Content.LOGS.kind), with_name=False, shown={}
        )
        for part in logs.parts():
            self._messages(writer, part)

    def _rows(self, writer: EventWriter, part: Part, scratch: str) -> None:
        import numpy as np

        block = part.block
        told = steps_of(block)
        steps = np.where(np.isfinite(told), np.rint(np.nan_to_num(told)), part.start + np.arange(block.count))
        steps = np.clip(steps, -(2.0**62), 2.0**62).astype(np.int64)
        times = np.asarray(block.times)
        media = {(row, field): value for row, field, value in _media(block)}
        fields = {field for _, field in media}
        for (row, field), value in media.items():
            where = _tag(block, field), int(times[row]), int(steps[row])
            self._medium(writer, where, value, scratch)
        for column in self._whole.metrics.columns(block):
            if column.field == _STEP or any(column.field.startswith(f"{field}.") for field in fields):
                continue
            at = np.arange(block.count) if column.rows is None else np.asarray(column.rows)
            tag = _tag(block, column.field)
            if column.type in "fib":
                writer.scalars(tag, times[at], steps[at], np.asarray(column.values).astype(np.float64))
                self.scalars += len(at)
            else:
                self._objects(writer, tag, column, times[at].tolist(), steps[at].tolist())

    def _objects(
        self, writer: EventWriter, tag: str, column: Column, times: list[int], steps: list[int]
    ) -> None:
        for value, time_ns, step in zip(as_list(column.values), times, steps, strict=True):
            if isinstance(value, str):
                writer.text(tag, time_ns, step, value)
                self.others += 1
            elif value is not None:
                self.left_out += 1

    def _messages(self, writer: EventWriter, part: Part) -> None:
        for row, (time_ns, fields) in enumerate(zip(part.block.times, block_rows(part.block), strict=True)):
            metadata = fields.get("metadata") or {}
            # one that was imported from an event file goes back to its tag and step
            tag, step = metadata.get("tag"), metadata.get("step")
            if not isinstance(tag, str) or not isinstance(step, int):
                tag, step = f"logs/{fields.get('level')}", part.start + row
            writer.text(tag, int(time_ns), step, str(fields.get("message")))
            self.others += 1

    def _medium(
        self, writer: EventWriter, where: tuple[str, int, int], value: Mapping[str, Any], scratch: str
    ) -> None:
        kind, extension = value["_type"], os.path.splitext(str(value["file"]))[1][1:].lower()
        is_image = extension in _IMAGES
        if not is_image and kind not in {"audio", "histogram"}:
            self.left_out += 1
            return
        try:
            data = self._content(str(value["file"]), scratch)
            if is_image:
                writer.image(*where, data, int(value.get("width") or 0), int(value.get("height") or 0))
            elif kind == "audio":
                writer.audio(*where, data, value)
            else:
                told = json.loads(data)
                if told["counts"]:
                    writer.histogram(*where, told["counts"], told["edges"])
        except (MLDashError, OSError, ValueError, KeyError, TypeError):
            self.left_out += 1
            return
        self.others += 1

    def _content(self, name: str, scratch: str) -> bytes:
        if self._by_name is None:
            self._by_name = {full_name(row): row for row in self._files.files(FileQuery())}
        path = os.path.join(scratch, "content")
        self._files.fetch(self._by_name[name], path, lambda _: None)
        with open(path, "rb") as file:
            return file.read()


def _media(block: Block) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield the media values of a block's rows."""
    for column in block.columns:
        if column.type != "o":
            continue
        rows = range(block.count) if column.rows is None else as_list(column.rows)
        for row, value in zip(rows, column.values, strict=True):
            if isinstance(value, dict) and value.get("_type") in _MEDIA and "file" in value:
                yield row, column.field, value


def _tag(block: Block, field: str) -> str:
    return field if block.series.name is None else f"{block.series.name}/{field}"
