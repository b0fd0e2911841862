"""What charts were made of lately, in bounded memory: buckets of whole series, and pieces of rows.

The lines of a page are mostly of few experiments and metrics, and somebody who zooms or scrolls asks for the same ones
again. So the summaries of a series are read once for all fields that a request asks for, and kept as arrays; later only
what has come since is read. The rows at both edges of a range are read once for all fields too.

Rows that are stored are never changed, and keep their numbers. So nothing here becomes untrue while a key stands for
the same series, numbered in the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ml_dash.journal.block_ops import slice_block
from ml_dash.journal.blocks import Block, Column
from ml_dash.server.charts.summaries import BUCKET, Buckets, gather
from ml_dash.server.recent import RecentBytes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
    from typing import Any, TypeAlias

    Summaries: TypeAlias = "Callable[[int, int], Iterator[tuple[int, int, bytes]]]"
    """Yields the first row, the number of rows and the summary of what has rows from one index up to another."""
    Read: TypeAlias = "Callable[[int, int], Iterator[tuple[int, Block]]]"
    """Yields the blocks that have any of the rows from one index up to another, each with its first row's index."""

_BUCKETS_BYTES = _PIECES_BYTES = 64 << 20
_PIECE_ROWS = 131_072
"""More rows are not kept: they are read once, for a series whose x jumps about."""
_OBJECT_BYTES = 100


class _Known(NamedTuple):
    """The buckets of a series' first rows, as far as they are whole."""

    stop: int
    buckets: Buckets

    @property
    def nbytes(self) -> int:
        start, rows, times, stats = self.buckets
        return start.nbytes + rows.nbytes + times.nbytes + sum(each.nbytes for each in stats.values())


class LookedAt:
    """Buckets and rows that were looked at last. Any thread may ask."""

    def __init__(self, buckets_bytes: int = _BUCKETS_BYTES, pieces_bytes: int = _PIECES_BYTES) -> None:
        self._buckets: RecentBytes[Hashable, _Known] = RecentBytes(buckets_bytes)
        self._pieces: RecentBytes[Hashable, list[tuple[int, Block]]] = RecentBytes(pieces_bytes)

    def buckets(
        self,
        key: Hashable,
        summaries: Summaries,
        rows: int,
        fields: Sequence[str],
        more: Collection[str] = (),
    ) -> Buckets:
        """Return the buckets of a series, see `ml_dash.server.charts.summaries.gather`.

        Args:
            key: What tells the series from others, and from itself numbered otherwise.
            summaries: Gives those that are not known.
            rows: How many rows the series has.
            fields: What is returned of each bucket.
            more: What will be asked for as well, and is read on the way.
        """
        known = self._buckets.get(key)
        if known is not None and known.stop > rows:
            # whoever asks looks at the series as it was before
            return gather(summaries(0, rows), fields)
        if known is not None and all(field in known.buckets.stats for field in fields):
            tail = list(summaries(known.stop, rows)) if known.stop < rows else []
            # what was merged meanwhile begins before
            if not tail or tail[0][0] >= known.stop:
                return self._with_tail(key, known, tail, fields)
        everything = dict.fromkeys((*fields, *more, *(known.buckets.stats if known else ())))
        parts = list(summaries(0, rows))
        nothing = _Known(0, gather((), list(everything)))
        return self._with_tail(key, nothing, parts, fields)

    def _with_tail(
        self, key: Hashable, known: _Known, tail: Sequence[tuple[int, int, bytes]], fields: Sequence[str]
    ) -> Buckets:
        """Keep what of a tail is whole, and return all of it."""
        everything = list(known.buckets.stats)
        whole = len(tail)
        # a run of few rows goes on, and would leave ever smaller buckets
        while whole and tail[whole - 1][1] < BUCKET:
            whole -= 1
        if whole:
            joined = _joined(known.buckets, gather(tail[:whole], everything))
            known = _Known(tail[whole - 1][0] + tail[whole - 1][1], joined)
            self._buckets.put(key, known, known.nbytes)
        start, rows, times, stats = known.buckets
        found = Buckets(start, rows, times, {field: stats[field] for field in fields})
        return _joined(found, gather(tail[whole:], fields)) if whole < len(tail) else found

    def pieces(self, key: Hashable, read: Read, start: int, stop: int) -> Iterator[tuple[int, Block]]:
        """Yield the rows from `start` up to `stop` of a series, in blocks, each with its first row's index.

        Args:
            key: As of `buckets`.
            read: Gives those that are not known.
            start: The first row.
            stop: The row to stop before; the series has all of these.
        """
        if stop - start > _PIECE_ROWS:
            yield from read(start, stop)
            return
        known = self._pieces.get((key, start, stop))
        if known is None:
            known, size = [], 0
            for first, block in read(start, stop):
                skipped = max(start - first, 0)
                piece, nbytes = copied(slice_block(block, skipped, min(stop - first, block.count)))
                known.append((first + skipped, piece))
                size += nbytes
            self._pieces.put((key, start, stop), known, size)
        yield from known


def _joined(first: Buckets, second: Buckets) -> Buckets:
    """Return buckets one behind the other, of the fields that both have."""
    if not len(first.start):
        return second
    return Buckets(
        np.concatenate([first.start, second.start]),
        np.concatenate([first.rows, second.rows]),
        np.concatenate([first.times, second.times]),
        {field: np.concatenate([stats, second.stats[field]]) for field, stats in first.stats.items()},
    )


def copied(block: Block) -> tuple[Block, int]:
    """Return a block that holds nothing of the bytes that it was read from, and how many it has itself."""
    times = np.array(block.times, np.int64)
    columns = [Column(each.field, each.type, _own(each.rows), _own(each.values)) for each in block.columns]
    nbytes = times.nbytes + sum(_size(values) for each in columns for values in (each.rows, each.values))
    return Block(block.series, times, columns), nbytes


def _own(values: Any) -> Any:
    return np.array(values) if isinstance(values, np.ndarray) else values


def _size(values: Any) -> int:
    if values is None:
        return 0
    return values.nbytes if isinstance(values, np.ndarray) else _OBJECT_BYTES * len(values)
