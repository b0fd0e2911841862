"""Blocks: the rows of one series, as columns, and the bytes that they become in a frame's data.

A block has one time a row and any number of columns. A column holds the values of one field that have one
type; a field whose values have several types has several columns. Rows that lack a value are not listed.
The bytes are specified in ``docs/journal-format.md``.
"""

from __future__ import annotations

import itertools
import struct
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, TypeAlias

from ml_dash.forks import guarded_imports
from ml_dash.journal.objects import check_containers, objects_of, to_msgpack
from ml_dash.limits.sparing import check_numpy
from ml_dash.records import NamedTuple
from ml_dash.series import Kind, Series

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[Any]
    Values: TypeAlias = Sequence[Any] | Array

TIME_BYTES = 8
POSITION_BYTES = 4
VALUE_BYTES = {"f": 8, "i": 8, "b": 1}
"""Bytes of one value, for the types whose values all have the same size."""

_STRUCT_CODES = {"f": "d", "i": "q", "b": "?"}
DTYPES = {"f": "<f8", "i": "<i8", "b": "?"}
"""What numpy calls the types of a column's numbers."""

# A listing asks for a run's status and parameters alone, and numpy's import takes longer than all the rest of it.
_WITHOUT_NUMPY = frozenset({Kind.RUN, Kind.PARAMS})
_LIST_CODES = {"<i8": (8, "q"), "<f8": (8, "d"), "<u4": (4, "I"), "u1": (1, "B")}
"""Size and `struct` code of a numpy dtype, for numbers that are given as a list."""


class Column(NamedTuple):
    """The values of one field and one type.

    Attributes:
        field: The field's name.
        type: ``"f"`` float64, ``"i"`` int64, ``"b"`` bool, ``"o"`` anything that msgpack carries.
        rows: Positions in the block of the rows that have a value, ascending; None when all of them have.
        values: One value for each of these rows.
    """

    field: str
    type: str
    rows: Values | None
    values: Values


class Block(NamedTuple):
    """Consecutive rows of one series. `times` are nanoseconds since the epoch, one a row."""

    series: Series
    times: Values
    columns: Sequence[Column]

    @property
    def count(self) -> int:  # type: ignore[override]  # `tuple.count` means nothing here
        """How many rows there are."""
        return len(self.times)


class ColumnHead(NamedTuple):
    """What a frame's meta says of a column. `nbytes` counts its row positions and its values."""

    field: str
    type: str
    count: int  # type: ignore[assignment]  # `tuple.count` means nothing here
    sparse: bool
    nbytes: int


class BlockHead(NamedTuple):
    """What a frame's meta says of a block. `nbytes` is its whole length in the frame's data.

    `series.kind` is a plain int where the number is of a kind that this version does not know.
    """

    series: Series
    rows: int
    columns: tuple[ColumnHead, ...]
    nbytes: int


def encode_block(block: Block) -> tuple[list[Any], list[bytes | memoryview]]:
    """Return the block's entry in a frame's meta, and the pieces of its data.

    Values come as Python sequences or as numpy arrays, column by column; sequences are encoded without numpy.

    Raises:
        ValueError: A column has another number of values than of rows, or values that are not of its type.
            Or its field is no string.
    """
    count = len(block.times)
    pieces = [*_pack_column(Column("time", "i", None, block.times), count)]
    heads: list[list[Any]] = []
    for column in block.columns:
        if not isinstance(column.field, str):
            raise ValueError(f"a field's name is a str, not {column.field!r}")  # noqa: TRY004 - as documented
        positions, values = _pack_column(column, count)
        pieces += (positions, values)
        nbytes = len(positions) + len(values)
        heads.append([column.field, column.type, len(column.values), column.rows is not None, nbytes])
    return [int(block.series.kind), block.series.name, count, heads], pieces


def object_columns(head: BlockHead, data: memoryview) -> Iterator[memoryview]:
    """Yield the bytes of a block's columns of objects, as msgpack, without decoding them."""
    at = TIME_BYTES * head.rows
    for column in head.columns:
        if column.type == "o":
            yield data[at + (POSITION_BYTES * column.count if column.sparse else 0) : at + column.nbytes]
        at += column.nbytes


def decode_block(head: BlockHead, data: bytes | memoryview, *, strict: bool = False) -> Block:
    """Return the block of these bytes: views of `data` for numbers, lists for objects.

    A mark stands for what is nested too deep; `strict` refuses the block then.

    Columns of a type that this version does not know are left out.

    `data` is the block's part of the frame's data, whose checksum was found right.

    Raises:
        ValueError: The bytes are not what the head says.
    """
    if len(data) != head.nbytes:
        raise ValueError(f"a block of {head.nbytes} bytes was given {len(data)}")
    view = memoryview(data)
    offset = TIME_BYTES * head.rows
    times = _numbers(view[:offset], "<i8", head)
    columns = []
    for column in head.columns:
        if column.type in VALUE_BYTES or column.type == "o":
            columns.append(_decode_column(column, head, view[offset : offset + column.nbytes], strict))
        offset += column.nbytes
    return Block(head.series, times, columns)


def block_rows(block: Block, start: int = 0, stop: int | None = None) -> list[dict[str, Any]]:
    """Return rows `start` to `stop` (as in a slice) as dicts of Python values; only these are touched."""
    start, stop, _ = slice(start, stop).indices(block.count)
    rows: list[dict[str, Any]] = [{} for _ in range(start, stop)]
    for field, _, positions, values in block.columns:
        if positions is None:
            for row, value in zip(rows, as_list(values[start:stop]), strict=True):
                row[field] = value
        else:
            first = bisect_left(positions, start)
            last = max(first, bisect_left(positions, stop))
            wanted = zip(as_list(positions[first:last]), as_list(values[first:last]), strict=True)
            for position, value in wanted:
                rows[position - start][field] = value
    return rows


def _pack_column(column: Column, count: int) -> tuple[bytes, bytes | memoryview]:
    """Return the bytes of a column's row positions, none where every row has a value, and of its values."""
    _check_rows(column, count)
    try:
        positions = b"" if column.rows is None else _pack_positions(column.rows)
        if column.type == "o":
            objects = to_msgpack(as_list(column.values))
            check_containers(objects)
            return positions, objects
        if hasattr(column.values, "astype"):
            # "safe": a uint64 that does not fit must be an error, never another number
            numbers = column.values.astype(DTYPES[column.type], casting="safe", copy=False)
            if numbers.flags.c_contiguous and len(numbers):  # of an empty array there is no view
                return positions, numbers.data.cast("B")  # copied once, into the frame
            return positions, numbers.tobytes()
        code = _STRUCT_CODES[column.type]
        return positions, struct.pack(f"<{len(column.values)}{code}", *column.values)
    except (TypeError, OverflowError, struct.error) as error:
        raise ValueError(f"column {column.field!r} is not of type {column.type!r}: {error}") from error


def _check_rows(column: Column, count: int) -> None:
    """Refuse what no reader could make sense of: better an error here than a frame that nobody can read."""
    expected = count if column.rows is None else len(column.rows)
    if len(column.values) != expected:
        raise ValueError(f"column {column.field!r} has {len(column.values)} values for {expected} rows")
    if column.rows is not None and expected and not 0 <= column.rows[0] <= column.rows[-1] < count:
        raise ValueError(f"column {column.field!r} has values for rows outside a block of {count}")


def _pack_positions(rows: Values) -> bytes:
    if hasattr(rows, "astype"):
        return rows.astype("<u4").tobytes()
    return struct.pack(f"<{len(rows)}I", *rows)


def as_list(values: Values) -> list[Any]:
    """Return Python values: `tolist` is what makes a numpy array's items plain ints, floats and bools."""
    if hasattr(values, "tolist"):
        return values.tolist()  # type: ignore[no-any-return]
    return values if isinstance(values, list) else list(values)


def _decode_column(head: ColumnHead, block: BlockHead, data: memoryview, strict: bool) -> Column:
    split = POSITION_BYTES * head.count if head.sparse else 0
    positions = _positions(data[:split], block) if head.sparse else None
    return Column(head.field, head.type, positions, _decode_values(head, block, data[split:], strict))


def _decode_values(head: ColumnHead, block: BlockHead, data: memoryview, strict: bool) -> Values:
    if head.type == "o":
        values: Values = objects_of(data, strict=strict)
        if not isinstance(values, list):
            raise ValueError("objects are stored as one msgpack array")
    else:
        values = _flags(data, block) if head.type == "b" else _numbers(data, DTYPES[head.type], block)
    if len(values) != head.count:
        raise ValueError(f"column {head.field!r} holds {len(values)} values, not {head.count}")
    return values


def _positions(data: memoryview, block: BlockHead) -> Values:
    positions = _numbers(data, "<u4", block)
    if isinstance(positions, list):
        ascending = all(before < after for before, after in itertools.pairwise(positions))
    else:
        ascending = not (positions[1:] <= positions[:-1]).any()
    if len(positions) and (int(positions[-1]) >= block.rows or not ascending):
        raise ValueError(f"row positions are not ascending numbers below {block.rows}")
    return positions


def _flags(data: memoryview, block: BlockHead) -> Values:
    """A numpy bool of another byte than 0 or 1 is neither true nor false in all places: refuse it."""
    flags = _numbers(data, "u1", block)
    if len(flags) and (max(flags) if isinstance(flags, list) else flags.max()) > 1:
        raise ValueError("a bool is neither 0 nor 1")
    return [flag == 1 for flag in flags] if isinstance(flags, list) else flags.view("?")


def _numbers(data: memoryview, dtype: str, block: BlockHead) -> list[Any] | Array:
    """Return numbers as an array; of the series that have few as a list, for a run's status needs no numpy."""
    if block.series.kind in _WITHOUT_NUMPY:
        size, code = _LIST_CODES[dtype]
        return list(struct.unpack(f"<{len(data) // size}{code}", data))
    check_numpy()
    # a fork in the middle of numpy's import would leave the child with half of it
    with guarded_imports():
        import numpy as np

    return np.frombuffer(data, dtype)
