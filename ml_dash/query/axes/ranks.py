"""Ranks: which process of a distributed training has written a row.

A row does not say so, for that would cost in every row. Its writer does, once: the id of a writer that is a rank ends
with it, ``…-r3``. So whoever knows the writer of a row knows the rank, in a journal and at a server, and a forked child
has that of its parent. Processes that no launcher has started, and that were given none, have no rank.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, TypeAlias

from ml_dash.errors import InvalidArgumentError
from ml_dash.protocol import RANK_MAX
from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    import numpy.typing as npt

    from ml_dash.journal.index import JournalIndex
    from ml_dash.query.selection import Range
    from ml_dash.series import Series

    Array: TypeAlias = npt.NDArray[Any]

RANK = "rank"
"""What the column of the ranks is called, unless a field has the name."""
_DIGITS_MAX = 6
_LISTED = 8
NO_RANK = -1
"""In arrays of ranks: that of rows whose writer has none."""


def rank_of(writer: str) -> int | None:
    """Return the rank of a writer, by its id; None where it has none."""
    begin, _, rank = writer.rpartition("-r")
    is_one = begin and len(rank) <= _DIGITS_MAX and rank.isascii() and rank.isdigit()
    return int(rank) if is_one else None


def ranks_of(writers: Iterable[str]) -> frozenset[int]:
    """Return the ranks that there are among writers."""
    return frozenset(rank for writer in writers if (rank := rank_of(writer)) is not None)


def checked_rank(value: Any) -> int | None:
    """Return `value` if it can be a rank, or None; else raise `InvalidArgumentError`."""
    if value is None:
        return None
    try:
        # a bool is an int to Python, and a mistake here; `index` takes numpy's integers
        number = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number <= RANK_MAX:
        raise InvalidArgumentError(
            f"rank={value!r:.100} is not a rank: give the number of a process among those of a training, from 0 on, "
            "or leave it out"
        )
    return number


def known_rank(rank: int | None, known: Collection[int]) -> int | None:
    """Return a rank that was asked for; raise `InvalidArgumentError` where no process of the experiment has it."""
    rank = checked_rank(rank)
    if rank is None or rank in known:
        return rank
    some = sorted(known)
    listed = ", ".join(map(str, some[:_LISTED])) + (f" … {some[-1]}" if len(some) > _LISTED else "")
    there = f"there are {listed}" if some else "no process of the experiment has one"
    raise InvalidArgumentError(f"rank={rank}: there is no such rank, {there}")


class RankSpan(NamedTuple):
    """Rows of a series that are of one rank, or of none."""

    first: int
    stop: int
    rank: int | None


class Ranks:
    """Whose the rows of a series are.

    Args:
        spans: Yields them from one index to before another, in order, cut or not.
        count: How many rows there are.
    """

    def __init__(self, spans: Callable[[int, int], Iterable[RankSpan]], count: int) -> None:
        self._spans = spans
        self._count = count

    @classmethod
    def of_one(cls, rank: int, count: int) -> Ranks:
        """Return what says of all rows that they are of this rank: of those that were asked for by it."""
        return cls(lambda first, stop: [RankSpan(first, stop, rank)], count)

    def spans(self, first: int, stop: int) -> Iterator[RankSpan]:
        """Yield whose the rows from one index to before another are, those of a rank that follow one another as one."""
        before: RankSpan | None = None
        for each in self._spans(first, stop):
            span = RankSpan(max(each.first, first), min(each.stop, stop), each.rank)
            if span.first >= span.stop:
                continue
            if before is not None and before.stop == span.first and before.rank == span.rank:
                before = before._replace(stop=span.stop)
                continue
            if before is not None:
                yield before
            before = span
        if before is not None:
            yield before

    def of(self, rows: Array) -> Array:
        """Return the rank of each of these rows, whose indices ascend, as int64; `NO_RANK` where there is none."""
        import numpy as np

        found = np.full(len(rows), NO_RANK, np.int64)
        if len(rows):
            for first, stop, rank in self.spans(int(rows[0]), int(rows[-1]) + 1):
                if rank is not None:
                    found[rows.searchsorted(first) : rows.searchsorted(stop)] = rank
        return found

    def ranges(self, rank: int) -> list[Range]:
        """Return where the rows of a rank are."""
        return [(span.first, span.stop) for span in self.spans(0, self._count) if span.rank == rank]

    def counts(self) -> dict[int | None, int]:
        """Return how many rows each rank has, and under None how many have none; in order."""
        found: dict[int | None, int] = {}
        for first, stop, rank in self.spans(0, self._count):
            found[rank] = found.get(rank, 0) + stop - first
        return dict(sorted(found.items(), key=lambda item: NO_RANK if item[0] is None else item[0]))


def journal_ranks(index: JournalIndex, series: Series) -> Ranks | None:
    """Return whose the rows of a series of a journal are; None where no writer of the journal has a rank."""
    if not ranks_of(index.catalogues):
        return None
    spans: list[RankSpan] = []
    first = 0
    for writer, catalogue in index.catalogues.items():  # the rows of each are one behind the other
        stop = first + catalogue.count(series)
        spans.append(RankSpan(first, stop, rank_of(writer)))
        first = stop
    return Ranks(lambda *_: spans, first)


def whose(ranges: Iterable[Range], ranks: Ranks | None, rank: int | None) -> Iterator[RankSpan]:
    """Yield whose the rows in ranges are; all of this `rank`, where that is not None."""
    for first, stop in ranges:
        if ranks is None or rank is not None:
            yield RankSpan(first, stop, rank)
        else:
            yield from ranks.spans(first, stop)


def rank_column(ranks: Array) -> Array | None:
    """Return ranks as a column: int64 where each row has one, else float64 with NaN; None where no row has."""
    import numpy as np

    has_none = ranks == NO_RANK
    if has_none.all():
        return None
    return np.where(has_none, np.nan, ranks) if has_none.any() else ranks
