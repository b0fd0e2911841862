"""Which rank has written which rows of a stored block: its writer says so, and of a merged one, what was noted then.

A block as it came is of one writer, whose id has the rank. One that was made of several by the compactor has a list,
rank by rank, of how many rows are whose: a few bytes for each block that it was made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.journal.objects import from_msgpack, to_msgpack
from ml_dash.query.axes.ranks import RankSpan, rank_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def packed_ranks(parts: Iterable[tuple[str | None, int]]) -> bytes | None:
    """Return what is noted of a block that is made of others, in order, each given by its writer and its rows.

    None where no writer has a rank.
    """
    runs: list[tuple[int | None, int]] = []
    for writer, rows in parts:
        rank = None if writer is None else rank_of(writer)
        if runs and runs[-1][0] == rank:
            runs[-1] = rank, runs[-1][1] + rows
        else:
            runs.append((rank, rows))
    return to_msgpack(runs) if any(rank is not None for rank, _ in runs) else None


def block_spans(first: int, rows: int, writer: str | None, packed: bytes | None) -> Iterator[RankSpan]:
    """Yield whose the rows of a block are, of which the first has this index."""
    if packed is None:
        yield RankSpan(first, first + rows, None if writer is None else rank_of(writer))
        return
    for rank, count in from_msgpack(packed):
        yield RankSpan(first, first + count, rank)
        first += count
