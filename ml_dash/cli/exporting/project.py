"""Many experiments as tables of parquet, which are joined by the prefix; docs/export.md has their schema.

Values are one a row, and not one a field: so the tables have the same columns whatever was logged, and a question over
a thousand runs is one query. `SCHEMA_VERSION` is raised where a column changes its name, its type or its meaning.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, NamedTuple

from ml_dash.cli.exporting.parquet import import_pyarrow, utf8
from ml_dash.cli.exporting.source import Content, Part, Source
from ml_dash.cli.rows import AnyRows
from ml_dash.journal.blocks import Block, Column, as_list
from ml_dash.query.json_text import json_text
from ml_dash.query.listing.listed import ListedExperiment
from ml_dash.query.view import View
from ml_dash.storage.placing import writing

SCHEMA_VERSION = 1
TABLES = ("experiments", "params", "points", "logs", "tracks", "files")
_VALUES_HELD = 262_144
"""Rows of a table that wait to be a row group."""
_EXACT = 2**53
"""Up to here every int is a float64."""


class Whole(NamedTuple):
    """An experiment to export: what lists say of it, its rows, those of each metric that count, and the rest."""

    listed: ListedExperiment
    rows: AnyRows
    metrics: Source
    view: View


class Tables:
    """The tables below a directory; a context, at whose end all of them are there, and none before.

    Attributes:
        counts: How many rows each has.
    """

    def __init__(self, directory: str) -> None:
        self._pa = pa = import_pyarrow()
        self._schemas = _schemas(pa)
        self._directory = directory
        self._stack = ExitStack()
        self._writers: dict[str, Any] = {}
        self._waiting: dict[str, list[Any]] = {name: [] for name in TABLES}
        self._held = dict.fromkeys(TABLES, 0)
        self.counts = dict.fromkeys(TABLES, 0)

    def __enter__(self) -> Tables:  # noqa: PYI034 - typing has no Self before Python 3.11
        os.makedirs(self._directory, exist_ok=True)
        with ExitStack() as stack:
            for name in TABLES:
                file = stack.enter_context(writing(os.path.join(self._directory, f"{name}.parquet")))
                writer = self._pa.parquet.ParquetWriter(file, self._schemas[name], version="2.6")
                self._writers[name] = stack.enter_context(writer)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:  # what is half written is no table
            self._stack.__exit__(kind, error, traceback)
            return
        with self._stack:
            for name in TABLES:
                self._flush(name)

    def add(self, whole: Whole) -> None:
        """Write all of an experiment."""
        prefix = utf8(whole.listed.prefix)
        self._rows("experiments", [_experiment(whole.listed)])
        self._rows("params", [_param(prefix, name, value) for name, value in whole.view.params().items()])
        for part in whole.metrics.parts():
            self._points(prefix, whole.metrics, part)
        logs = Source(
            whole.rows, Content.LOGS, whole.rows.series(Content.LOGS.kind), with_name=False, shown={}
        )
        for part in logs.parts():
            self._rows("logs", list(_messages(prefix, logs, part)))
        tracks = Source(
            whole.rows, Content.TRACKS, whole.rows.series(Content.TRACKS.kind), with_name=True, shown={}
        )
        for part in tracks.parts():
            self._entries(prefix, tracks, part)
        self._rows("files", [_file(prefix, row) for row in whole.view.files()])

    def _rows(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            self._put(name, self._pa.RecordBatch.from_pylist(list(rows), schema=self._schemas[name]))

    def _points(self, prefix: str, source: Source, part: Part) -> None:
        import numpy as np

        steps = steps_of(part.block)
        lead = {
            "prefix": prefix,
            "metric": None if part.block.series.name is None else utf8(part.block.series.name),
        }
        for column in source.columns(part.block):
            at = np.arange(part.block.count) if column.rows is None else np.asarray(column.rows)
            index = self._pa.array(part.start + at, self._pa.int64())
            step = self._pa.array(steps[at], mask=np.isnan(steps[at]))
            self._put(
                "points", self._values("points", lead, column, part.block, at, {"index": index, "step": step})
            )

    def _entries(self, prefix: str, source: Source, part: Part) -> None:
        import numpy as np

        lead: dict[str, str | None] = {"prefix": prefix, "topic": utf8(str(part.block.series.name))}
        for column in source.columns(part.block):
            at = np.arange(part.block.count) if column.rows is None else np.asarray(column.rows)
            self._put("tracks", self._values("tracks", lead, column, part.block, at, {}))

    def _values(
        self,
        table: str,
        lead: dict[str, str | None],
        column: Column,
        block: Block,
        at: Any,
        more: dict[str, Any],
    ) -> Any:
        """Return the values of a field as rows of a table."""
        import numpy as np

        pa, count = self._pa, len(at)
        times = pa.array(np.asarray(block.times)[at]).view(pa.timestamp("ns", "UTC"))
        numbers, texts = _numbers_and_texts(column, pa)
        columns = {
            **{name: pa.repeat(pa.scalar(text, pa.string()), count) for name, text in lead.items()},
            "field": pa.repeat(pa.scalar(utf8(column.field), pa.string()), count),
            "time": times,
            "value": numbers,
            "text": texts,
            **more,
        }
        schema = self._schemas[table]
        return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)

    def _put(self, name: str, batch: Any) -> None:
        self._waiting[name].append(batch)
        self._held[name] += batch.num_rows
        self.counts[name] += batch.num_rows
        if self._held[name] >= _VALUES_HELD:
            self._flush(name)

    def _flush(self, name: str) -> None:
        if self._waiting[name]:
            table = self._pa.Table.from_batches(self._waiting[name], schema=self._schemas[name])
            self._writers[name].write_table(table)
        self._waiting[name], self._held[name] = [], 0


def _schemas(pa: Any) -> dict[str, Any]:
    time, text, number = pa.timestamp("ns", "UTC"), pa.string(), pa.float64()
    lead = [("prefix", text)]
    tables = {
        "experiments": [
            *lead, ("owner", text), ("project", text), ("name", text), ("status", text), ("created_at", time),
            ("started_at", time), ("ended_at", time), ("attempts", pa.int64()), ("rows", pa.int64()),
            ("tags", pa.list_(text)), ("readme", text), ("note", text), ("metadata", text), ("host", text),
            ("error", text),
        ],
        "params": [*lead, ("name", text), ("value", number), ("text", text)],
        "points": [
            *lead, ("metric", text), ("field", text), ("index", pa.int64()), ("step", number), ("time", time),
            ("value", number), ("text", text),
        ],
        "logs": [
            *lead, ("index", pa.int64()), ("time", time), ("level", text), ("message", text), ("metadata", text),
        ],
        "tracks": [*lead, ("topic", text), ("field", text), ("time", time), ("value", number), ("text", text)],
        "files": [
            *lead, ("name", text), ("id", text), ("size", pa.int64()), ("checksum", text), ("content_type", text),
            ("uploaded_at", text), ("tags", pa.list_(text)), ("metadata", text),
        ],
    }  # fmt: skip
    version = {"ml_dash_schema": str(SCHEMA_VERSION)}
    return {name: pa.schema(columns).with_metadata(version) for name, columns in tables.items()}


def _experiment(listed: ListedExperiment) -> dict[str, Any]:
    texts = ("prefix", "owner", "project", "name", "readme", "note", "host", "error")
    return {
        **{name: _text(getattr(listed, name)) for name in texts},
        "status": "STALE" if listed.stale else listed.status,
        "created_at": listed.created_ns,
        "started_at": listed.started_ns,
        "ended_at": listed.ended_ns,
        "attempts": listed.attempts,
        "rows": listed.rows,
        "tags": [utf8(tag) for tag in listed.tags],
        "metadata": None if listed.metadata is None else utf8(json_text(dict(listed.metadata))),
    }


def _param(prefix: str, name: str, value: Any) -> dict[str, Any]:
    number, text = _number_and_text(value)
    return {"prefix": prefix, "name": utf8(name), "value": number, "text": text}


def _messages(prefix: str, source: Source, part: Part) -> Iterator[dict[str, Any]]:
    fields: dict[str, list[Any]] = {}
    for column in source.columns(part.block):
        values = fields.setdefault(column.field, [None] * part.block.count)
        rows = range(part.block.count) if column.rows is None else as_list(column.rows)
        for row, value in zip(rows, as_list(column.values), strict=True):
            values[row] = value
    for row, time_ns in enumerate(part.block.times):
        metadata = fields["metadata"][row] if "metadata" in fields else None
        yield {
            "prefix": prefix,
            "index": part.start + row,
            "time": int(time_ns),
            "level": _text(fields["level"][row]) if "level" in fields else None,
            "message": _text(fields["message"][row]) if "message" in fields else None,
            "metadata": None if metadata is None else utf8(json_text(metadata)),
        }


def _file(prefix: str, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "prefix": prefix,
        "name": utf8(f"{row['path'].strip('/')}/{row['filename']}".lstrip("/")),
        "id": row["id"],
        "size": row["sizeBytes"],
        "checksum": row["checksum"],
        "content_type": _text(row["contentType"]),
        "uploaded_at": row["uploadedAt"],
        "tags": [utf8(tag) for tag in row["tags"]],
        "metadata": None if row["metadata"] is None else utf8(json_text(row["metadata"])),
    }


def steps_of(block: Block) -> Any:
    """Return the step of each row; NaN where it has none that is a number."""
    import numpy as np

    steps = np.full(block.count, np.nan)
    for column in block.columns:
        if column.field == "step" and column.type in "fi":
            steps[slice(None) if column.rows is None else np.asarray(column.rows)] = column.values
    return steps


def _numbers_and_texts(column: Column, pa: Any) -> tuple[Any, Any]:
    """Return values as numbers, and as texts where a number would not say all."""
    import numpy as np

    count = len(column.values)
    if column.type in "fb":
        values = np.asarray(column.values).astype(np.float64)
        return pa.array(values, from_pandas=False), pa.nulls(count, pa.string())
    if column.type == "i":
        ints = np.asarray(column.values)
        is_exact = (ints >= -_EXACT) & (ints <= _EXACT)
        texts = pa.nulls(count, pa.string())
        if not is_exact.all():
            texts = pa.array(
                [None if exact else str(value) for exact, value in zip(is_exact, ints, strict=True)],
                pa.string(),
            )
        return pa.array(ints.astype(np.float64)), texts
    pairs = [_number_and_text(value) for value in column.values]
    return pa.array([number for number, _ in pairs], pa.float64()), pa.array(
        [text for _, text in pairs], pa.string()
    )


def _number_and_text(value: Any) -> tuple[float | None, str | None]:
    if value is None:
        return None, None
    if isinstance(value, (bool, float)):
        return float(value), None
    if isinstance(value, int):
        return float(value), None if abs(value) <= _EXACT else str(value)
    return None, _text(value if isinstance(value, str) else json_text(value))


def _text(value: Any) -> str | None:
    return None if value is None else utf8(str(value))
