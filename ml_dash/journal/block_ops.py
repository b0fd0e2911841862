"""Making one block of several, and less of one: row indices, values and types stay what they are."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from ml_dash.journal.blocks import VALUE_BYTES, Block, BlockHead, Column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml_dash.journal.blocks import Array, Values

_TYPES = frozenset({*VALUE_BYTES, "o"})


def can_merge(head: BlockHead) -> bool:
    """Say whether all of a block is understood: columns of types of a later version would be left out."""
    return all(column.type in _TYPES for column in head.columns)


def merge_blocks(blocks: Sequence[Block]) -> Block:
    """Return consecutive blocks of one series as one block."""
    import numpy as np

    times = np.concatenate([np.asarray(block.times, np.int64) for block in blocks])
    parts: dict[tuple[str, str], list[tuple[int, int, Column]]] = {}
    start = 0
    for block in blocks:
        for column in block.columns:
            parts.setdefault((column.field, column.type), []).append((start, block.count, column))
        start += block.count
    columns = []
    for (field, kind), found in parts.items():
        values = [column.values for _, _, column in found]
        # spares the positions of small blocks that have every field, of which there are most
        is_everywhere = sum(map(len, values)) == len(times)
        rows = None
        if not is_everywhere:
            rows = [
                np.arange(at, at + count) if column.rows is None else np.asarray(column.rows, np.int64) + at
                for at, count, column in found
            ]
        columns.append(join_columns(field, kind, rows, values, len(times)))
    return Block(blocks[0].series, times, columns)


def join_columns(
    field: str, kind: str, rows: Sequence[Array] | None, values: Sequence[Values], count: int
) -> Column:
    """Return one column, of a block of `count` rows, made of pieces.

    Args:
        field: The field's name.
        kind: Its type.
        rows: The positions in the block of each piece's rows, in any order, none twice; None where the pieces have
            every row, in order.
        values: The pieces' values; numbers as arrays of the type, for an empty list would count as floats.
        count: How many rows the block has.
    """
    import numpy as np

    if kind == "o":
        joined: Any = [value for piece in values for value in piece]
    else:
        joined = np.concatenate(values)
    if rows is None:
        return Column(field, kind, None, joined)
    positions = np.concatenate(rows)
    if (positions[1:] < positions[:-1]).any():
        order = np.argsort(positions)
        positions = positions[order]
        joined = [joined[at] for at in order.tolist()] if kind == "o" else joined[order]
    is_everywhere = len(positions) == count
    return Column(field, kind, None if is_everywhere else positions.astype(np.uint32), joined)


def slice_block(block: Block, start: int, stop: int) -> Block:
    """Return rows `start` to `stop` of a block; its own memory, where that can be."""
    if start <= 0 and stop >= block.count:
        return block
    columns = []
    for field, kind, rows, values in block.columns:
        if rows is None:
            columns.append(Column(field, kind, None, values[start:stop]))
            continue
        first, last = bisect_left(rows, start), bisect_left(rows, stop)
        if first < last:
            positions: Any = rows[first:last]
            moved = [row - start for row in positions] if isinstance(positions, list) else positions - start
            kept = values[first:last]
            columns.append(Column(field, kind, None if len(kept) == stop - start else moved, kept))
    return Block(block.series, block.times[start:stop], columns)


def within(
    blocks: Iterator[tuple[int, Block]], since_ns: int | None, until_ns: int | None
) -> Iterator[tuple[int, Block]]:
    """Yield the runs of rows whose times lie in the bounds, with their indices; None bounds nothing."""
    import numpy as np

    if since_ns is None and until_ns is None:
        yield from blocks
        return
    for first, block in blocks:
        times = np.asarray(block.times)
        kept = np.ones(len(times), bool)
        if since_ns is not None:
            kept &= times >= since_ns
        if until_ns is not None:
            kept &= times <= until_ns
        edges = np.flatnonzero(np.diff(np.concatenate(([False], kept, [False]))))
        for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            yield first + start, slice_block(block, start, stop)
