"""Parquet, in row groups of a bounded number of values.

A field is int64, float64, bool, string or binary where all its values are that, and null where a row has none.
Ints among floats become floats if each of them is one exactly. A field of anything else (several types, lists,
ints beyond int64, texts that are not UTF-8) is JSON text. NaN stays NaN.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from ml_dash.cli.exporting.source import Content, Part, Source
from ml_dash.errors import MissingExtraError
from ml_dash.journal.blocks import Column
from ml_dash.query.columns import free_name
from ml_dash.query.json_text import json_text
from ml_dash.query.times import seconds_array

# A row group is in memory as a whole: at 8 bytes a value this is 32 MB, however many columns there are.
_VALUES_MAX = 4_000_000
_ROWS_MAX = 131_072
# With fewer, the statistics of each column and group would outweigh its values.
_ROWS_MIN = 256
# Up to here every int is a float64 (IEEE 754: 53 bits).
_EXACT_INT = 2**53
_DTYPES: dict[str, str] = {"int64": "<i8", "double": "<f8", "bool": "?"}
_TYPES = {"i": "int64", "f": "double", "b": "bool", "s": "string", "y": "binary"}


def import_pyarrow() -> Any:
    """Return pyarrow, with its parquet module."""
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("Export to parquet", "pyarrow", "parquet") from error
    return pa


def write_parquet(source: Source, out: BinaryIO) -> int:
    """Write all rows; return how many there were. The journal is read twice: first for the columns' types."""
    pa = import_pyarrow()
    tables = _Tables(source, _field_types(source), pa)
    rows = 0
    # Format 2.6 is the first that holds nanoseconds; older ones cut times to microseconds.
    with pa.parquet.ParquetWriter(out, tables.schema, version="2.6") as writer:
        waiting: list[Part] = []
        held = 0
        for part in source.parts():
            waiting.append(part)
            held += part.block.count
            rows += part.block.count
            if held >= tables.rows_max:
                writer.write_table(tables.table(waiting))
                waiting, held = [], 0
        if waiting:
            writer.write_table(tables.table(waiting))
    return rows


def _field_types(source: Source) -> dict[str, str]:
    import numpy as np

    found: dict[str, set[str]] = {}
    for column in (column for part in source.parts() for column in source.columns(part.block)):
        kinds = found.setdefault(column.field, set())
        if column.type == "i":
            ints = np.asarray(column.values)
            # not by abs(): that of the smallest int64 is itself
            exact = not len(ints) or bool(ints.min() >= -_EXACT_INT and ints.max() <= _EXACT_INT)
            kinds.add("i" if exact else "I")
        elif column.type in "fb":
            kinds.add(column.type)
        else:
            kinds.update(_kind(value) for value in column.values if value is not None)
    return {field: _type_of(kinds) for field, kinds in found.items()}


def _kind(value: Any) -> str:
    """Return the kind of a value that was stored as an object."""
    if isinstance(value, bytes):
        return "y"
    if isinstance(value, str):
        # halves of surrogate pairs, which a Python string may hold, have no form in UTF-8
        is_utf8 = value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)
        return "s" if is_utf8 else "j"
    # before int, of which bool is a subclass
    if isinstance(value, bool):
        return "b"
    if isinstance(value, float):
        return "f"
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return "i" if abs(value) <= _EXACT_INT else "I"
    return "j"


def _type_of(kinds: set[str]) -> str:
    if kinds <= {"i", "I"} and kinds:
        return "int64"
    if kinds == {"i", "f"}:
        return "double"
    # A field of nothing but None has no kind: as strings, every reader takes it.
    return _TYPES.get(next(iter(kinds)), "json") if len(kinds) == 1 else "json" if kinds else "string"


class _Tables:
    """Makes Arrow tables of blocks, all of one schema."""

    def __init__(self, source: Source, types: dict[str, str], pa: Any) -> None:
        self._source = source
        self._types = types
        self._pa = pa
        arrow = {"json": "string"}
        names: dict[str, str] = {}
        for name, type_name in types.items():
            names[free_name(utf8(name), [*source.lead, _EXACT, *names])] = type_name
        lead = {name: self._lead_type(name) for name in source.lead}
        exact = {} if source.content is Content.LOGS else {_EXACT: pa.timestamp("ns", "UTC")}
        self.schema = pa.schema(
            [*lead.items(), *exact.items()]
            + [
                (name, pa.type_for_alias(arrow.get(type_name, type_name)))
                for name, type_name in names.items()
            ]
        )
        self.rows_max = max(_ROWS_MIN, min(_ROWS_MAX, _VALUES_MAX // max(len(types), 1)))

    def table(self, parts: list[Part]) -> Any:
        count = sum(part.block.count for part in parts)
        columns = [*self._lead_columns(parts), *self._field_columns(parts, count)]
        return self._pa.Table.from_arrays(columns, schema=self.schema)

    def _lead_type(self, name: str) -> Any:
        content = self._source.content
        if name == content.name_column:
            return self._pa.string()
        if name == content.index_column:
            return self._pa.int64()
        return self._pa.timestamp("ns", "UTC") if content is Content.LOGS else self._pa.float64()

    def _lead_columns(self, parts: list[Part]) -> list[Any]:
        import numpy as np

        pa, content = self._pa, self._source.content
        times = np.concatenate([np.asarray(part.block.times) for part in parts])
        exact = pa.array(times).view(pa.timestamp("ns", "UTC"))
        columns = []
        if self._source.with_name and content.name_column:
            names = [part.block.series.name for part in parts]
            columns.append(
                pa.concat_arrays(
                    pa.repeat(pa.scalar(name and utf8(name), pa.string()), part.block.count)
                    for name, part in zip(names, parts, strict=True)
                )
            )
        if content.index_column:
            spans = [np.arange(part.start, part.start + part.block.count) for part in parts]
            columns.append(pa.array(np.concatenate(spans), pa.int64()))
        if content is Content.LOGS:
            return [*columns, exact]
        return [*columns, pa.array(seconds_array(times)), exact]

    def _field_columns(self, parts: list[Part], count: int) -> list[Any]:
        filled: dict[str, _Filled] = {}
        at = 0
        for part in parts:
            for column in self._source.columns(part.block):
                if column.field not in filled:
                    filled[column.field] = _Filled(self._types[column.field], count)
                filled[column.field].put(at, part.block.count, column)
            at += part.block.count
        types = self.schema.types[len(self.schema) - len(self._types) :]
        return [
            filled[field].arrow(arrow_type, self._pa)
            if field in filled
            else self._pa.nulls(count, arrow_type)
            for field, arrow_type in zip(self._types, types, strict=True)
        ]


class _Filled:
    """One field's values for a row group, and which rows have none."""

    __slots__ = ("_as_json", "_missing", "_values")

    def __init__(self, type_name: str, count: int) -> None:
        import numpy as np

        self._as_json = type_name == "json"
        self._values = np.zeros(count, _DTYPES.get(type_name, object))
        self._missing = np.ones(count, bool)

    def put(self, at: int, count: int, column: Column) -> None:
        import numpy as np

        rows = np.arange(count) if column.rows is None else np.asarray(column.rows, np.intp)
        values = column.values
        if self._values.dtype == object or column.type == "o":
            for row, value in zip(
                rows.tolist(), np.asarray(values).tolist() if column.type != "o" else values, strict=True
            ):
                if value is not None:
                    self._values[at + row] = json_text(value) if self._as_json else value
                    self._missing[at + row] = False
        else:
            self._values[at + rows] = values
            self._missing[at + rows] = False

    def arrow(self, arrow_type: Any, pa: Any) -> Any:
        # `from_pandas` would take NaN for a missing value; here it is what was logged
        return pa.array(self._values, arrow_type, mask=self._missing, from_pandas=False)


_EXACT = "createdAt"


def utf8(name: str) -> str:
    """Python's strings may hold halves of surrogate pairs, Arrow's may not."""
    return name.encode("utf-8", "backslashreplace").decode()
