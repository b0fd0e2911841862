"""The blocks of many frames at once, where these differ in their numbers alone.

A steady run writes the same layout once a second: with thousands of metrics, that is thousands of blocks of a row each.
Decoded one by one they cost a hundred times what their numbers do. Laid on top of each other, such frames are a table
of bytes, and a column of it is one slice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.journal.blocks import DTYPES, POSITION_BYTES, TIME_BYTES, VALUE_BYTES, Block, Column
from ml_dash.limits.sparing import check_numpy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml_dash.journal.blocks import Array, BlockHead, ColumnHead
    from ml_dash.series import Kind


def is_stackable(heads: Sequence[BlockHead], kind: Kind) -> bool:
    """Say whether all values of a kind's blocks have one size each, so that their bytes lie at the same places."""
    return all(
        column.type in VALUE_BYTES for head in heads if head.series.kind == kind for column in head.columns
    )


def stacked(heads: Sequence[BlockHead], data: Sequence[bytes | memoryview], kind: Kind) -> Iterator[Block]:
    """Yield the blocks of a kind, each with the rows of all frames, one frame behind the other.

    Args:
        heads: What the meta of all of them says; `is_stackable`.
        data: The data of each, whose checksum was found right.
        kind: Of which series.

    Raises:
        ValueError: The bytes are not what the heads say.
    """
    check_numpy()
    import numpy as np

    table = np.frombuffer(b"".join(data), np.uint8).reshape(len(data), -1)
    offset = 0
    for head in heads:
        if head.rows and head.series.kind == kind:
            yield _block(head, table[:, offset : offset + head.nbytes])
        offset += head.nbytes


def _block(head: BlockHead, table: Array) -> Block:
    offset = TIME_BYTES * head.rows
    times = _numbers(table[:, :offset], "<i8").reshape(-1)
    columns = []
    for column in head.columns:
        columns.append(_column(column, head.rows, table[:, offset : offset + column.nbytes]))
        offset += column.nbytes
    return Block(head.series, times, columns)


def _column(head: ColumnHead, rows: int, table: Array) -> Column:
    split = POSITION_BYTES * head.count if head.sparse else 0
    values = _numbers(table[:, split:], "u1" if head.type == "b" else DTYPES[head.type])
    if head.type == "b":
        if (values > 1).any():
            raise ValueError("a bool is neither 0 nor 1")
        values = values.view("?")
    if not head.sparse:
        return Column(head.field, head.type, None, values.reshape(-1))
    import numpy as np

    positions = _numbers(table[:, :split], "<u4").astype(np.int64)
    if (positions >= rows).any() or (positions[:, 1:] <= positions[:, :-1]).any():
        raise ValueError(f"row positions are not ascending numbers below {rows}")
    positions += np.arange(len(table))[:, None] * rows
    return Column(head.field, head.type, positions.reshape(-1), values.reshape(-1))


def _numbers(table: Array, dtype: str) -> Array:
    import numpy as np

    return np.ascontiguousarray(table).view(dtype)
