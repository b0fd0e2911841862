"""Making one block of several, and less of one: row indices, values and types stay what they are."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from ml_dash.journal.blocks import VALUE_BYTES, Block, BlockHead, Column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["can_merge", "merge_blocks", "slice_block", "within"]

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
    columns = [_joined(field, kind, found, len(times)) for (field, kind), found in parts.items()]
    return Block(blocks[0].series, times, columns)


def _joined(field: str, kind: str, parts: list[tuple[int, int, Column]], count: int) -> Column:
    import numpy as np

    if kind == "o":
        values: Any = [value for _, _, column in parts for value in column.values]
    else:
        values = np.concatenate([np.asarray(column.values) for _, _, column in parts])
    if len(values) == count:
        return Column(field, kind, None, values)
    rows = [
        np.arange(start, start + rows) if column.rows is None else np.asarray(column.rows, np.int64) + start
        for start, rows, column in parts
    ]
    return Column(field, kind, np.concatenate(rows).astype(np.uint32), values)


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
