"""The as-of join: the last value of a field at or before each of some times.

A run has several clocks: training steps, rollouts, the wall's. A metric that was logged by one of them is drawn over
another one by what that said last: ``val/acc`` over ``train/step`` has, for each row of ``val``, the step that was
logged last when the row was.

Anybody who has blocks can join them, and times of any order::

    clock = Clock("step", shown.blocks, reaches)
    found = clock.at(times_ns)     # found.values: float64, NaN where there is none yet

`ml_dash.query.axes.clocks` finds out which clock a name such as ``train/step`` means, of a whole experiment.

How: the times asked for are sorted, and each row of the clock goes to the first of them that is not before it; there
the latest row stays. Then each time without one takes that of the time before it. So rows may come in any order, and in
memory are the answer, a million times at once, and some blocks, however long the clock is. Where it is known between
which times the rows of a stretch lie, only those are read that can tell something.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from ml_dash.query.columns import columns_named
from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

    from ml_dash.journal.blocks import Block, Column

    Array: TypeAlias = npt.NDArray[Any]
    Blocks: TypeAlias = Callable[[int, int | None], Iterator[tuple[int, Block]]]

_TOGETHER = 8192
"""Rows that are joined at once: of a slow run each has a block of its own."""
_ASKED = 1 << 20
"""Times that are asked for at once: what is kept of each is in memory."""
_EXACT = 2.0**53
"""Whole numbers up to this are themselves as floats."""


class Reach(NamedTuple):
    """Rows one behind the other, `first` to before `stop`, and the times between which theirs lie, in nanoseconds."""

    first: int
    stop: int
    min_ns: int
    max_ns: int


class AsOf(NamedTuple):
    """Of each time that was asked for: the last value at or before it.

    Attributes:
        values: float64, NaN where there is none. Whole numbers beyond 2**53 are rounded.
        known: Whether there is one; it may be NaN itself.
        whole: Whether it was logged as a whole number, and is one exactly.
    """

    values: Array
    known: Array
    whole: Array

    def as_list(self) -> list[int | float | None]:
        """Return Python's numbers, and None where there is none."""
        return [
            None if not known else int(value) if whole else value
            for value, known, whole in zip(
                self.values.tolist(), self.known.tolist(), self.whole.tolist(), strict=True
            )
        ]

    def as_array(self) -> Array:
        """Return int64 where each time has a whole number, else float64, with NaN where there is none."""
        return self.values.astype("int64") if self.whole.all() else self.values


class Clock:
    """A field that times are looked up in. Not for several threads at once.

    Args:
        field: Its name, dotted for an item of a dict. Only numbers tell the time: texts and None are passed over.
        blocks: Yields the blocks that have any of the rows from one index to before another (None: to the last one),
            each with its first row's index, as `Shown.blocks`.
        reaches: Where rows lie by their times, all of them; None where nobody knows. Then the first look reads all
            rows, and later ones those that it takes.
        state: Something else whenever it may tell another time; who keeps what was drawn by it compares that.
    """

    def __init__(
        self, field: str, blocks: Blocks, reaches: Iterable[Reach] | None = None, state: object = None
    ) -> None:
        self.state = state
        self._field = field
        self._blocks = blocks
        self._reaches = None if reaches is None else list(reaches)

    def at(self, times: Array) -> AsOf:
        """Return the last value at or before each of these times, int64 nanoseconds in any order.

        Of rows of one time the last by index counts. Before the first row there is none.
        """
        import numpy as np

        times = np.asarray(times, np.int64)
        order = None if (times[1:] >= times[:-1]).all() else np.argsort(times, kind="stable")
        found = AsOf(
            np.full(len(times), np.nan), np.zeros(len(times), np.bool_), np.zeros(len(times), np.bool_)
        )
        for start in range(0, len(times), _ASKED):
            place: Any = slice(start, start + _ASKED) if order is None else order[start : start + _ASKED]
            for column, part in zip(found, self._ascending(times[place]), strict=True):
                column[place] = part
        return found

    def _ascending(self, asked: Array) -> AsOf:
        """Return the last value at or before each of these times, which ascend."""
        latest = _Latest(asked)
        self._look(latest, int(asked[0]), int(asked[-1]))
        return latest.filled()

    def _look(self, latest: _Latest, low_ns: int, high_ns: int) -> None:
        if self._reaches is None:
            self._reaches = list(self._read_all(latest))
            return
        inside = [each for each in self._reaches if low_ns <= each.max_ns and each.min_ns <= high_ns]
        self._read(latest, inside)
        # the latest first: mostly the first of them has what was said last before all that is asked for
        before = sorted((each for each in self._reaches if each.max_ns < low_ns), key=attrgetter("max_ns"))
        for each in reversed(before):
            if latest.first_ns is not None and latest.first_ns > each.max_ns:
                break
            self._read(latest, [each])

    def _read_all(self, latest: _Latest) -> Iterator[Reach]:
        """Take in all rows; yield where those lie that have a value."""
        for points in _points(self._field, self._blocks(0, None)):
            latest.add(points)
            yield points.reach

    def _read(self, latest: _Latest, reaches: Iterable[Reach]) -> None:
        for first, stop in _joined(sorted(reaches)):
            for points in _points(self._field, self._blocks(first, stop)):
                latest.add(points)


class _Points(NamedTuple):
    """Rows that have a value: their indices ascend."""

    rows: Array
    times: Array
    values: Array
    whole: Array

    @property
    def reach(self) -> Reach:
        return Reach(int(self.rows[0]), int(self.rows[-1]) + 1, int(self.times.min()), int(self.times.max()))


class _Latest:
    """Of each time asked for, ascending, the latest row that has come to it so far."""

    def __init__(self, asked: Array) -> None:
        import numpy as np

        self._asked = asked
        self._rows = np.full(len(asked), -1, np.int64)
        self._times = np.zeros(len(asked), np.int64)
        self._values = np.full(len(asked), np.nan)
        self._whole = np.zeros(len(asked), np.bool_)

    @property
    def first_ns(self) -> int | None:
        """The time of what is known at the first of the times; None where there is nothing."""
        return int(self._times[0]) if self._rows[0] >= 0 else None

    def add(self, points: _Points) -> None:
        import numpy as np

        if (points.times[1:] < points.times[:-1]).any():
            # stable: of one time, the last by index stays the last
            order = np.argsort(points.times, kind="stable")
            points = _Points(*(column[order] for column in points))
        place = np.searchsorted(self._asked, points.times)
        # those behind all that is asked for are last, and tell nothing; of those of one place the last one counts
        is_last = place < len(self._asked)
        is_last[:-1] &= place[1:] != place[:-1]
        rows, times, values, whole = (column[is_last] for column in points)
        place = place[is_last]
        known, known_at = self._rows[place], self._times[place]
        later = (known < 0) | (times > known_at) | ((times == known_at) & (rows > known))
        place = place[later]
        self._rows[place], self._times[place] = rows[later], times[later]
        self._values[place], self._whole[place] = values[later], whole[later]

    def filled(self) -> AsOf:
        import numpy as np

        # what came to an earlier time is earlier than all that came to a later one
        source = np.maximum.accumulate(np.where(self._rows >= 0, np.arange(len(self._rows)), -1))
        known = source >= 0
        values = np.where(known, self._values[source], np.nan)
        return AsOf(values, known, known & self._whole[source])


def _points(field: str, blocks: Iterable[tuple[int, Block]]) -> Iterator[_Points]:
    """Yield the rows that have a number for a field, those of small blocks together."""
    waiting: list[_Points] = []
    count = 0
    for first, block in blocks:
        for column in columns_named(block, (field,)):
            points = _points_of(first, block, column)
            if len(points.rows):
                waiting.append(points)
                count += len(points.rows)
        if count >= _TOGETHER:
            yield _together(waiting)
            waiting, count = [], 0
    if waiting:
        yield _together(waiting)


def _points_of(first: int, block: Block, column: Column) -> _Points:
    import numpy as np

    rows, values, whole = numbers_in(column, block.count)
    return _Points(rows + first, np.asarray(block.times, np.int64)[rows], values, whole)


def numbers_in(column: Column, count: int) -> tuple[Array, Array, Array]:
    """Return the positions of a column's numbers, each as a float64, and whether it is a whole number exactly.

    `count` is that of the block's rows. Bools are 0 and 1.
    """
    import numpy as np

    rows = np.arange(count) if column.rows is None else np.asarray(column.rows, np.int64)
    if column.type == "o":
        # an int beyond int64, which the journal stores as an object, is a number as well
        pairs = zip(rows.tolist(), column.values, strict=True)
        found = [(row, float(value)) for row, value in pairs if isinstance(value, int)]
        rows = np.array([row for row, _ in found], np.int64)
        values = np.array([value for _, value in found], np.float64)
    else:
        values = np.asarray(column.values).astype(np.float64)
    return rows, values, np.full(len(rows), column.type != "f") & (np.abs(values) <= _EXACT)


def _together(points: list[_Points]) -> _Points:
    import numpy as np

    joined = _Points(*map(np.concatenate, zip(*points, strict=True)))
    # the columns of a field that has several types come one after the other
    if (joined.rows[1:] < joined.rows[:-1]).any():
        joined = _Points(*(column[np.argsort(joined.rows)] for column in joined))
    return joined


def _joined(reaches: Iterable[Reach]) -> Iterator[tuple[int, int]]:
    """Yield the rows of reaches in ascending order, those that follow one another as one range."""
    begun: tuple[int, int] | None = None
    for each in reaches:
        if begun is not None and each.first != begun[1]:
            yield begun
            begun = None
        begun = (each.first if begun is None else begun[0]), each.stop
    if begun is not None:
        yield begun
