"""Which rows of a metric are shown: those of all attempts, of one of them, or of the newest for each step.

Without being asked for anything else, a reader is shown all rows, but for those that a later attempt has superseded: it
was started with ``resume_from=STEP``, and repeats what earlier ones have logged from that step on. Rows keep their
indices, whatever is shown, and rows without a ``step`` are never superseded.
"""

from __future__ import annotations

import operator
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ml_dash.errors import InvalidArgumentError
from ml_dash.journal.block_ops import slice_block
from ml_dash.query.attempts import superseded_from
from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ml_dash.journal.blocks import Block
    from ml_dash.query.attempts import Attempt

AttemptChoice: TypeAlias = "int | Literal['all'] | None"
"""The number of an attempt, ``"all"``, or None for the newest of each step."""

_STEP = "step"
_BRIDGED = 8192
"""Rows that are read together though some between them are not shown: they are probably in the same block."""

Range: TypeAlias = tuple[int, int]
"""The index of a first row, and the one behind the last."""
Blocks: TypeAlias = "Callable[[int, int], Iterator[tuple[int, Block]]]"
"""Yields the blocks that have any of the rows from one index up to another, each with its first row's index."""


class Span(NamedTuple):
    """Rows of a series that are of one attempt."""

    first: int
    stop: int
    attempt: int


def checked_attempt(value: Any) -> AttemptChoice:
    """Return `value` if it can choose an attempt, else raise `InvalidArgumentError`."""
    if value is None or value == "all":
        return value  # type: ignore[no-any-return]
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise InvalidArgumentError(
            f"attempt={value!r} is not an attempt: give its number, from 1 on, 'all' for the rows of all of them, or "
            "leave it out for the newest of each step"
        )
    return number


class Shown:
    """The rows of a series that are shown.

    Attributes:
        count: How many there are.
        superseded: How many others a later attempt has superseded.
    """

    def __init__(
        self, blocks: Blocks, total: int, ranges: Sequence[Range] | None = None, superseded: int = 0
    ) -> None:
        self._blocks = blocks
        self._total = total
        self.ranges = ranges
        self.count = total if ranges is None else sum(stop - first for first, stop in ranges)
        self.superseded = superseded

    def only(self, ranges: Sequence[Range]) -> Shown:
        """Return those of them that lie in these ranges, which ascend."""
        if self.ranges is None:
            return Shown(self._blocks, self._total, ranges)
        return Shown(self._blocks, self._total, list(_common(self.ranges, ranges)))

    @property
    def stop(self) -> int:
        """The index behind the last of them."""
        return self._total if self.ranges is None else self.ranges[-1][1] if self.ranges else 0

    def ranges_from(self, start: int) -> list[Range]:
        """Return the rows from an index on, as ranges."""
        return _within([(0, self._total)] if self.ranges is None else self.ranges, start, self._total)

    @property
    def notes(self) -> dict[str, int]:
        """What an answer says of rows that are not in it."""
        return {"superseded": self.superseded} if self.superseded else {}

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Block]]:
        """Yield the rows from `start` up to `stop`, in blocks, each with its first row's index; more may be in them.

        What is not shown is in none of them.
        """
        stop = self._total if stop is None else stop
        if self.ranges is None:
            yield from self._blocks(start, stop)
            return
        for together in _bridged(_within(self.ranges, start, stop)):
            ends = [end for _, end in together]
            for first, block in self._blocks(together[0][0], together[-1][1]):
                last = first + block.count
                for begin, end in together[bisect_right(ends, first) :]:
                    if begin >= last:
                        break
                    at, to = max(begin, first), min(end, last)
                    yield at, slice_block(block, at - first, to - first)

    def pieces(self, first: int, block: Block) -> Iterator[tuple[int, Block]]:
        """Yield what is shown of a block whose first row has this index, in pieces, each with its first row's index."""
        if self.ranges is None:
            yield first, block
            return
        for begin, end in _within(self.ranges, first, first + block.count):
            yield begin, slice_block(block, begin - first, end - first)

    def covered(self, first: int, rows: int) -> int:
        """Return how many of these rows are shown."""
        if self.ranges is None:
            return rows
        return sum(end - begin for begin, end in _within(self.ranges, first, first + rows))


def shown(
    choice: AttemptChoice,
    attempts: Sequence[Attempt],
    spans: Callable[[], Sequence[Span]],
    blocks: Blocks,
    total: int,
    known: dict[tuple[int, int, float], list[Range]],
) -> Shown:
    """Return the rows that are shown.

    Args:
        choice: Which attempt's.
        attempts: All that there are.
        spans: Gives whose rows are whose, all of them, in order.
        blocks: Gives rows.
        total: How many there are.
        known: Remembers which rows of a span are not superseded from a step on.

    Raises:
        InvalidArgumentError: There is no such attempt.
    """
    if isinstance(choice, int):
        if choice > len(attempts):
            raise InvalidArgumentError(
                f"attempt={choice}: there is no such attempt, but {len(attempts)} of them, numbered from 1"
            )
        if len(attempts) == 1:
            return Shown(blocks, total)
        return Shown(
            blocks,
            total,
            joined_ranges((each.first, each.stop) for each in spans() if each.attempt == choice),
        )
    limits = superseded_from(attempts) if choice is None else {}
    if not limits:
        return Shown(blocks, total)
    found: list[Range] = []
    superseded = 0
    for span in spans():
        least = limits.get(span.attempt)
        if least is None:
            found.append((span.first, span.stop))
            continue
        key = span.first, span.stop, least
        if key not in known:
            known[key] = list(_before(least, blocks, span))
        found += known[key]
        superseded += span.stop - span.first - sum(stop - first for first, stop in known[key])
    return Shown(blocks, total, joined_ranges(found), superseded)


def merged_spans(spans: Iterable[Span]) -> list[Span]:
    """Return spans in which those of an attempt that follow one another are one; empty ones are left out."""
    found: list[Span] = []
    for span in spans:
        if span.first == span.stop:
            continue
        if found and found[-1].attempt == span.attempt and found[-1].stop == span.first:
            found[-1] = found[-1]._replace(stop=span.stop)
        else:
            found.append(span)
    return found


def _before(least: float, blocks: Blocks, span: Span) -> Iterator[Range]:
    """Yield the rows of a span that have no step, or one below `least`."""
    for first, block in blocks(span.first, span.stop):
        yield from kept_ranges(least, first, block, span.first, span.stop)


def kept_ranges(
    least: float, first: int, block: Block, start: int = 0, stop: int | None = None
) -> Iterator[Range]:
    """Yield the rows of a block that have no step, or one below `least`: those from `start` up to `stop`.

    Args:
        least: From which step on rows are superseded.
        first: The index of the block's first row.
        block: Rows of a metric.
        start: An index; so is `stop`.
        stop: None for the block's end.
    """
    import numpy as np

    hidden = np.zeros(block.count, np.bool_)
    for column in block.columns:
        if column.field == _STEP:
            rows = np.arange(block.count) if column.rows is None else np.asarray(column.rows, np.intp)
            hidden[rows] |= _at_least(column.values, column.type, least)
    kept = ~hidden
    kept[: max(start - first, 0)] = False
    if stop is not None:
        kept[max(stop - first, 0) :] = False
    edges = np.flatnonzero(np.diff(np.concatenate(([False], kept, [False]))))
    for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        yield first + begin, first + end


def _at_least(values: Any, kind: str, least: float) -> Any:
    import numpy as np

    if kind == "o":
        return np.array([_is_number(value) and value >= least for value in values], np.bool_)
    return np.asarray(values) >= least


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def joined_ranges(ranges: Iterable[Range]) -> list[Range]:
    """Return ranges, ascending, in which those that follow one another are one; empty ones are left out."""
    found: list[Range] = []
    for first, stop in ranges:
        if found and found[-1][1] == first:
            found[-1] = found[-1][0], stop
        elif first < stop:
            found.append((first, stop))
    return found


def _within(ranges: Sequence[Range], start: int, stop: int) -> list[Range]:
    at = bisect_right(ranges, start, key=lambda each: each[1])
    found = []
    for first, end in ranges[at:]:
        if first >= stop:
            break
        found.append((max(first, start), min(end, stop)))
    return found


def _common(some: Sequence[Range], others: Sequence[Range]) -> Iterator[Range]:
    """Yield what lies in ranges of both."""
    at = 0
    for first, stop in some:
        while at < len(others) and others[at][1] <= first:
            at += 1
        beyond = at
        while beyond < len(others) and others[beyond][0] < stop:
            yield max(first, others[beyond][0]), min(stop, others[beyond][1])
            beyond += 1


def _bridged(ranges: Sequence[Range]) -> Iterator[list[Range]]:
    """Yield ranges in groups, of those that are read together."""
    group: list[Range] = []
    for each in ranges:
        if group and each[0] - group[-1][1] > _BRIDGED:
            yield group
            group = []
        group.append(each)
    if group:
        yield group
