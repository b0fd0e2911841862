"""Blocks in the order of their earliest rows: whoever looks for the first entries of a long track reads hardly more."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ml_dash.journal.block_ops import slice_block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ml_dash.journal.blocks import Block

_TOGETHER = 8192
"""Rows that are read at once, where those behind one another are the next by time, too: small blocks are many."""


class Stretch(NamedTuple):
    """Rows one behind the other, `first` to before `stop`, none of which is older than `min_ns`."""

    min_ns: int
    first: int
    stop: int


def blocks_by_time(
    stretches: Iterable[Stretch],
    blocks: Callable[[int, int], Iterator[tuple[int, Block]]],
    is_due: Callable[[int], bool],
) -> Iterator[tuple[int, Block]]:
    """Yield the rows of stretches, those of the earliest first, each with its first row's index.

    `blocks` gives blocks with any of the rows from one index to before another. The end is where `is_due`, called with
    the earliest time that may be left, says so.
    """
    for min_ns, first, stop in _joined(sorted(stretches)):
        if not is_due(min_ns):
            return
        for at, block in blocks(first, stop):
            begin = max(first - at, 0)
            yield at + begin, slice_block(block, begin, min(stop - at, block.count))


def _joined(stretches: list[Stretch]) -> Iterator[Stretch]:
    before: Stretch | None = None
    for each in stretches:
        if before is None:
            before = each
        elif each.first == before.stop and each.stop - before.first <= _TOGETHER:
            before = before._replace(stop=each.stop)
        else:
            yield before
            before = each
    if before is not None:
        yield before
