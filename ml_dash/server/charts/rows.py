"""What a chart is asked for (checked), where its data comes from, and how rows of it are read."""

from __future__ import annotations

import contextlib
import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ml_dash.protocol import WIDTH_MAX, ErrorCode
from ml_dash.query.axes.clocks import INDEX, TIME
from ml_dash.query.times import seconds_array
from ml_dash.server.charts.numbers import numbers_of
from ml_dash.server.charts.parts import Parts, concatenate, of_rows
from ml_dash.server.charts.summaries import gather
from ml_dash.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ml_dash.journal.blocks import Block
    from ml_dash.query.axes.as_of import Clock
    from ml_dash.query.selection import Shown
    from ml_dash.server.charts.numbers import Array, Numbers
    from ml_dash.server.charts.summaries import Buckets


ELSEWHERE = ""
"""As x: what another metric said last at the time of the row, by the source's clock."""
_BRIDGED = 8192
"""Runs that are at most this many rows apart are read at once: they are probably in the same block."""


class ChartRequest(NamedTuple):
    """Valid arguments; `start` and `stop` are infinite if they were not given."""

    field: str
    x: str
    start: float
    stop: float
    width: int

    @property
    def fields(self) -> list[str]:
        """The fields whose numbers are needed."""
        return [self.field] if self.x in (INDEX, TIME, ELSEWHERE) else [self.field, self.x]


def checked_request(field: Any, x: Any, start: Any, stop: Any, width: Any) -> ChartRequest:
    """Return the request.

    Raises:
        ApiError: 400 `invalid`: it names the argument, its value and what is allowed.
    """
    for name, value in (("field", field), ("x", x)):
        if not isinstance(value, str) or not value:
            raise _invalid(name, value, "give the name of a field, as metrics lists them")
    # a bool is an int to Python, and a mistake here
    if isinstance(width, bool) or not isinstance(width, int) or not 1 <= width <= WIDTH_MAX:
        raise _invalid("width", width, f"give the number of pixels, a whole number from 1 to {WIDTH_MAX}")
    low, high = _bound("start", start, -math.inf), _bound("stop", stop, math.inf)
    if low > high:
        raise _invalid("start", start, f"it is beyond stop={stop!r}; exchange the two")
    return ChartRequest(field, x, low, high, width)


def _bound(name: str, value: Any, default: float) -> float:
    if value is None:
        return default
    number = math.nan
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # an int beyond the largest float: refused below, like NaN
        with contextlib.suppress(OverflowError):
            number = float(value)
    if math.isnan(number):
        raise _invalid(name, value, "give a number that a float can hold, in the unit of x, or leave it out")
    return number


def _invalid(name: str, value: Any, remedy: str) -> ApiError:
    # Python refuses to write out an int of thousands of digits
    is_huge = isinstance(value, int) and value.bit_length() > 1000
    shown = f"an int of {value.bit_length()} bits" if is_huge else repr(value)
    shown = shown if len(shown) <= 100 else f"{shown[:100]}…"
    return ApiError(400, ErrorCode.INVALID, f"{name}={shown} is not possible for a chart: {remedy}")


class ChartSource(NamedTuple):
    """One series, as a chart needs it: it must not change while the chart is made.

    Attributes:
        rows: How many rows the series has; their indexes are 0 to `rows` - 1.
        summaries: Yields the first row's index, the number of rows and `summarize`'s bytes of each block that has rows
            from `start` to `stop` (exclusive), in the order of their rows. No block is read.
        shown: Which of them the chart is of, and the blocks of these.
        fields: The names of its fields; of very many, not all.
        started_ns: Gives the time at which the experiment's first run was started, in nanoseconds since the epoch; None
            where nothing tells it.
        clock: What x is, where it is a field of another metric.
        kept: Gives the buckets of some fields of all rows, where those that were looked at lately are kept.
        is_distributed: Whether several ranks of a training have logged the rows, so that those of one step are of
            different ranks.
    """

    rows: int
    summaries: Callable[[int, int], Iterator[tuple[int, int, bytes]]]
    shown: Shown
    fields: Sequence[str] = ()
    started_ns: Callable[[], int | None] = lambda: None
    clock: Clock | None = None
    kept: Callable[[Sequence[str]], Buckets] | None = None
    is_distributed: bool = False

    def buckets(self, start: int, stop: int, fields: Sequence[str]) -> Buckets:
        """Return the buckets that have any of the rows from `start` to `stop`."""
        if self.kept is None:
            return gather(self.summaries(start, stop), fields)
        found = self.kept(fields)
        if start <= 0 and stop >= self.rows:
            return found
        return found.where((found.start < stop) & (found.start + found.rows > start))


def read_parts(source: ChartSource, request: ChartRequest, start: Array, rows: Array) -> Parts:
    """Read runs of rows, and return those that have a value and an x in range.

    Args:
        source: The series.
        request: What is asked for.
        start: Index of the first row of each run, ascending.
        rows: How many rows each run has; runs do not overlap.
    """
    stop = start + rows
    found: list[Parts] = []
    cuts = (np.flatnonzero(start[1:] - stop[:-1] > _BRIDGED) + 1).tolist()
    for begin, end in pairwise([0, *cuts, len(start)]):
        if begin < end:
            blocks = source.shown.blocks(int(start[begin]), int(stop[end - 1]))
            for first, block, along in _with_x(blocks, source.clock):
                found.append(_block_parts(block, first, along, request, start, stop))
    # there may be no rows
    return concatenate(found or [of_rows(np.empty(0, np.int64), np.empty(0), np.empty(0))])


def _with_x(
    blocks: Iterator[tuple[int, Block]], clock: Clock | None
) -> Iterator[tuple[int, Block, Array | None]]:
    """Yield blocks with the x of their rows, where that is a clock's."""
    if clock is None:
        for first, block in blocks:
            yield first, block, None
        return
    for some in _groups(blocks):
        along = clock.at(np.concatenate([np.asarray(block.times, np.int64) for _, block in some])).values
        at = 0
        for first, block in some:
            yield first, block, along[at : at + block.count]
            at += block.count


def _groups(blocks: Iterator[tuple[int, Block]]) -> Iterator[list[tuple[int, Block]]]:
    """Yield small blocks together: each look at a clock takes its time."""
    some: list[tuple[int, Block]] = []
    rows = 0
    for each in blocks:
        some.append(each)
        rows += each[1].count
        if rows >= _BRIDGED:
            yield some
            some, rows = [], 0
    if some:
        yield some


def _block_parts(
    block: Block, first: int, along: Array | None, request: ChartRequest, start: Array, stop: Array
) -> Parts:
    """Return the rows of a block that are in one of the runs and in range; `along` is their x, if it is a clock's."""
    numbers = numbers_of(block, request.fields)
    own = numbers.get(request.field)
    rows, values = _dense_rows(own, block.count)
    if along is not None:
        x = along[rows]
    elif request.x == INDEX:
        x = (rows + first).astype(np.float64)
    elif request.x == TIME:
        x = seconds_array(np.asarray(block.times, np.int64)[rows])
    else:
        x = _beside(own, numbers.get(request.x), rows, block.count)
    rows = rows + first
    wanted = np.isfinite(x)
    if math.isfinite(request.start) or math.isfinite(request.stop):
        wanted &= (x >= request.start) & (x < request.stop)
    if (
        len(start) > 1 or start[0] > first or stop[0] < first + block.count
    ):  # mostly one that has all of the block
        run = np.searchsorted(start, rows, side="right") - 1
        wanted &= (run >= 0) & (rows < stop[run])
    if wanted.all():
        return of_rows(rows, x, values)
    return of_rows(rows[wanted], x[wanted], values[wanted])


def _beside(own: Numbers | None, other: Numbers | None, rows: Array, count: int) -> Array:
    """Return the numbers of another field in the rows that have one of a field's own; NaN where there is none."""
    if own is not None and other is not None and own.rows is None and other.rows is None:
        return other.values
    positions, found = _dense_rows(other, count)
    every = np.full(count, np.nan)
    every[positions] = found
    return every[rows]


def _dense_rows(numbers: Numbers | None, count: int) -> tuple[Array, Array]:
    """Return the positions and the values of a field's numbers."""
    if numbers is None:
        return np.empty(0, np.int64), np.empty(0)
    rows = np.arange(count) if numbers.rows is None else numbers.rows.astype(np.int64)
    return rows, numbers.values
