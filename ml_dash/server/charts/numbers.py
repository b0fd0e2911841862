"""The numbers of a field in a block, as float64: what charts are made of.

Ints and bools become float64 too, so ints beyond 2**53 are rounded to the nearest one. An int beyond int64, which the
journal stores as an object, is a number as well; strings, None and lists are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ml_dash.query.columns import columns_named, leaf_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TypeAlias

    import numpy.typing as npt

    from ml_dash.journal.blocks import Block, Column

    Array: TypeAlias = npt.NDArray[Any]


class Numbers(NamedTuple):
    """The numbers of one field in a block of rows.

    Attributes:
        rows: Positions of the rows that have a number, ascending; None if all rows have one.
        values: One float64 for each of these rows, NaN and infinities included.
    """

    rows: Array | None
    values: Array


def all_numbers(block: Block) -> dict[str, Numbers]:
    """Return the numbers of every field of `block` that has any, nested ones by their dotted path."""
    return _by_field(leaf_columns(block), block.count)


def numbers_of(block: Block, fields: Iterable[str]) -> Mapping[str, Numbers]:
    """Return the numbers of those of `fields` that have any; no other column is touched."""
    return _by_field(columns_named(block, frozenset(fields)), block.count)


def _by_field(columns: Iterable[Column], count: int) -> dict[str, Numbers]:
    parts: dict[str, list[Numbers]] = {}
    for column in columns:
        part = _objects(column, count) if column.type == "o" else _numbers(column)
        if len(part.values):
            parts.setdefault(column.field, []).append(part)
    return {name: found[0] if len(found) == 1 else _joined(found, count) for name, found in parts.items()}


def _numbers(column: Column) -> Numbers:
    rows = None if column.rows is None else np.asarray(column.rows)
    return Numbers(rows, np.asarray(column.values).astype(np.float64, copy=False))


def _objects(column: Column, count: int) -> Numbers:
    """Return the ints among a column of objects."""
    rows = range(count) if column.rows is None else column.rows
    found = [(row, value) for row, value in zip(rows, column.values, strict=True) if isinstance(value, int)]
    positions = np.array([row for row, _ in found], np.int64)
    return Numbers(positions, np.array([float(value) for _, value in found], np.float64))


def _joined(parts: Sequence[Numbers], count: int) -> Numbers:
    """Make one of the columns of a field that has several types."""
    everywhere = np.arange(count)
    rows = np.concatenate([everywhere if part.rows is None else part.rows for part in parts])
    values = np.concatenate([part.values for part in parts])
    order = np.argsort(rows)
    return Numbers(rows[order], values[order])
