"""Lines: one field of a metric over x, as a page of many charts draws it, in arrays.

A line's x is divided into *cells*, whose width is a power of two, and that begin at multiples of it. So a live run's
older cells stay as they are while it grows, lines of one chart have the same cells, and each cell of a step has as many
steps as the next. In each is one point:

- its ``x`` is one that was logged, of the row in the middle;
- its ``y`` is the mean of the cell's numbers; where they all have one x, it is the number that was logged last (a
  resumed run may repeat steps, and the mean of both is none that anybody logged). Of several ranks it is the mean of
  theirs;
- ``min`` and ``max`` keep each spike.

Long series are made of the summaries of 1,024 rows (`ml_dash.server.charts.chart`). What is read row by row then, which
is the newest rows and the edges of a range, is put together in the same way: a line never has single rows beside means
of a thousand.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ml_dash.query.axes.clocks import INDEX, TIME
from ml_dash.query.times import NANOSECONDS
from ml_dash.server.charts.chart import LIMITS, drawn
from ml_dash.server.charts.parts import equal_pixels, merged, middles
from ml_dash.server.charts.rows import checked_request
from ml_dash.server.charts.smoothing import Smooth, reach, smoothed
from ml_dash.server.charts.summaries import BUCKET

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_dash.server.charts.chart import ChartLimits, Drawn
    from ml_dash.server.charts.numbers import Array
    from ml_dash.server.charts.parts import Parts
    from ml_dash.server.charts.rows import ChartRequest, ChartSource

WORDS = ("step", "relative", INDEX, TIME)
"""As x: what is no field's name."""
STEP = "step"
"""As x: what rows call their step; their index in a series that has no such field."""
RELATIVE = "relative"
"""As x: seconds since the experiment's first run was started."""
_EXPONENTS = -1074, 1022
"""Of powers of two that a float has."""


class LineRequest(NamedTuple):
    """What is asked for: see `ml_dash.server.charts.chart.chart`, and `ml_dash.server.charts.smoothing`."""

    field: str
    x: str
    start: float | None
    stop: float | None
    width: int
    smooth: Smooth | None = None

    def checked(self) -> LineRequest:
        """Return the request.

        Raises:
            ApiError: 400 `invalid`: it names the argument, its value and what is allowed.
        """
        checked_request(self.field, self.x, self.start, self.stop, self.width)
        if self.smooth is not None:
            self.smooth.check()
        return self


class Line(NamedTuple):
    """A line.

    Attributes:
        x: What it is drawn over: ``index`` where steps were asked for, and the series has none.
        points: Rows that have a value, in range.
        resolution: ``"rows"`` or ``"buckets"``.
        exact: Whether all of what is in range is in it, and nothing else.
        cell: The width of a cell, in units of x; 0 where there is one x only.
        columns: ``x``, ``y``, ``min``, ``max`` (float64), ``count``, ``nan``, ``posInf``, ``negInf`` (int64), and
            ``smooth`` (float64) where it was asked for: one item a point, from left to right.
    """

    x: str
    points: int
    resolution: str
    exact: bool
    cell: float
    columns: dict[str, Array]


class Read(NamedTuple):
    """What was read of a source for a line.

    Attributes:
        asked: For which line.
        x: The field that it is drawn over.
        origin: Where the asker's x is 0.
        request: What was asked of the source.
        parts: Rows, or buckets alone.
        found: What they are made of.
        is_distributed: As the source's.
    """

    asked: LineRequest
    x: str
    origin: float
    request: ChartRequest
    parts: Parts
    found: Drawn
    is_distributed: bool

    @property
    def name(self) -> str:
        """What the line is drawn over, as who asks for it calls that."""
        return self.x if self.asked.x == STEP else self.asked.x


def read(source: ChartSource, asked: LineRequest, limits: ChartLimits = LIMITS) -> Read:
    """Read what `line_of` draws.

    Raises:
        ApiError: 400 `invalid`: an argument is invalid.
    """
    x, origin = _x_of(source, asked.x)
    start, stop = (None if bound is None else bound + origin for bound in (asked.start, asked.stop))
    request = checked_request(asked.field, x, start, stop, asked.width)
    found = drawn(source, request, limits)
    return Read(asked, x, origin, request, _together(found), found, source.is_distributed)


def line(source: ChartSource, asked: LineRequest, limits: ChartLimits = LIMITS) -> Line:
    """Return at most `asked.width` points of a field over x; pixels in which nothing lies are left out.

    Where the source has a clock, x is what another metric said last at the time.

    Raises:
        ApiError: 400 `invalid`: an argument is invalid.
    """
    some = read(source, asked, limits)
    smooth = asked.smooth
    if smooth is None:
        return line_of(some)
    return line_of(some, lambda parts, centre: _smooth(source, some.request, limits, smooth, parts, centre))


def line_of(some: Read, smooth: Callable[[Parts, Array], Array] | None = None) -> Line:
    """Return a line of what was read; `smooth` gives the smoothed numbers of parts at some of them."""
    parts, found = some.parts, some.found
    if not len(parts.row):
        return _nothing(some)
    cell, numbers = cells(parts, some.request)
    if (numbers[1:] < numbers[:-1]).any():
        order = np.argsort(numbers, kind="stable")
        numbers, parts = numbers[order], parts.where(order)
    starts, centre = starts_of(numbers)
    points = merged(parts, starts)
    is_repeated = (points.x_min == points.x_max) & (not some.is_distributed)
    columns = {
        "x": parts.x_min[centre] - some.origin,
        "y": np.where(is_repeated, points.last, points.mean),
        "min": points.min,
        "max": points.max,
        "count": points.count,
        "nan": points.nan,
        "posInf": points.pos_inf,
        "negInf": points.neg_inf,
    }
    if smooth is not None:
        columns["smooth"] = smooth(parts, centre)
    if (columns["x"][1:] < columns["x"][:-1]).any():
        # of an x that jumps about, where the rows of buckets overlap
        order = np.argsort(columns["x"], kind="stable")
        columns = {name: column[order] for name, column in columns.items()}
    return Line(some.name, found.parts.points, found.resolution, found.exact, cell, columns)


def starts_of(numbers: Array) -> tuple[Array, Array]:
    """Return where each cell's parts begin, and which is in its middle, of ascending numbers of cells."""
    starts = np.flatnonzero(np.concatenate(([True], numbers[1:] != numbers[:-1])))
    return starts, (starts + np.append(starts[1:], len(numbers)) - 1) // 2


def _nothing(some: Read) -> Line:
    columns = dict.fromkeys(("x", "y", "min", "max", "count", "nan", "posInf", "negInf"), np.empty(0))
    more = {} if some.asked.smooth is None else {"smooth": np.empty(0)}
    return Line(some.name, 0, "rows", exact=True, cell=0.0, columns=columns | more)


def _x_of(source: ChartSource, x: str) -> tuple[str, float]:
    """Return the x of charts that is meant, and what of it is 0 for whoever asks."""
    if x == STEP:
        return (STEP if STEP in source.fields else INDEX), 0.0
    if x == RELATIVE:
        started_ns = source.started_ns()
        return TIME, _first_time(source) if started_ns is None else started_ns / NANOSECONDS
    return x, 0.0


def _first_time(source: ChartSource) -> float:
    """Return when the first row was logged, of what nothing tells when it was started."""
    for _, block in source.shown.blocks(0, 1):
        return float(block.times[0]) / NANOSECONDS
    return 0.0


def _together(found: Drawn) -> Parts:
    """Return a line's parts, of which none is a row if others are buckets: those of 1,024 rows are one."""
    parts = found.parts
    if found.resolution == "rows" or not len(parts.row):
        return parts
    group = parts.row // BUCKET
    if (group[1:] != group[:-1]).all():
        return parts
    return merged(parts, np.flatnonzero(np.concatenate(([True], group[1:] != group[:-1]))))


def cell_width(low: float, high: float, width: int, *, open_ended: bool) -> float | None:
    """Return the least power of two of which no more than `width` cells lie between two x.

    Args:
        low: The lowest x.
        high: The highest one, which is above it.
        width: How many cells.
        open_ended: Whether nothing lies at `high` itself.

    Returns:
        It; None where no such power is a float.
    """
    # halves: the difference of two floats may be beyond the largest one
    share, exponent = math.frexp((high / 2 - low / 2) / width)
    for each in range(exponent + (share > 0.5), _EXPONENTS[1] + 1):
        cell = math.ldexp(1.0, max(each, _EXPONENTS[0]))
        last = math.ceil(high / cell) - 1 if open_ended else math.floor(high / cell)
        if last - math.floor(low / cell) < width:
            return cell
    return None


def cells(parts: Parts, request: ChartRequest) -> tuple[float, Array]:
    """Return the width of a cell, and the number of the one in which the middle of each part lies."""
    middle = middles(parts.x_min, parts.x_max)
    is_open = math.isfinite(request.stop)
    low = request.start if math.isfinite(request.start) else float(middle.min())
    high = request.stop if is_open else float(middle.max())
    if low >= high:
        return 0.0, np.zeros(len(middle))
    cell = cell_width(low, high, request.width, open_ended=is_open)
    if cell is None:
        width = (high / 2 - low / 2) / request.width * 2
        return width, equal_pixels(parts, request.width).astype(np.float64)
    return cell, np.floor(middle / cell)


def _smooth(
    source: ChartSource,
    request: ChartRequest,
    limits: ChartLimits,
    smooth: Smooth,
    parts: Parts,
    centre: Array,
) -> Array:
    """Return the smoothed numbers at some parts of a range: the same whatever the range is, and however wide the chart.

    So what lies beside the range counts as well: for an average that looks back, all of the series.
    """
    whole = parts
    if math.isfinite(request.start) or math.isfinite(request.stop):
        everything = request._replace(start=-math.inf, stop=math.inf)
        whole = _together(drawn(source, everything, limits))
    extent = float(whole.x_max.max() / 2 - whole.x_min.min() / 2) * 2
    beside: list[Parts] = []
    if whole is not parts:
        left, right = reach(smooth, extent)
        if math.isfinite(request.start):
            beside += _before(source, request, limits, whole, request.start - left)
        if math.isfinite(request.stop) and right > 0:
            wanted = request._replace(start=request.stop, stop=request.stop + right)
            beside.append(_together(drawn(source, wanted, limits)))
    together = [parts, *beside]
    low, high, mean, count = (
        np.concatenate([getattr(each, name) for each in together])
        for name in ("x_min", "x_max", "mean", "count")
    )
    # the parts that are asked for are the first ones
    return smoothed(smooth, extent, low, high, np.where(count > 0, mean, 0.0), count, centre)


def _before(
    source: ChartSource, request: ChartRequest, limits: ChartLimits, whole: Parts, start: float
) -> list[Parts]:
    """Return what lies before a range, from `start` on; all of it where that is infinite."""
    if math.isfinite(start):
        return [_together(drawn(source, request._replace(start=start, stop=request.start), limits))]
    before = whole.where(whole.x_max < request.start)
    # what is in a bucket that goes on in the range
    on_edge = whole.x_min[(whole.x_max >= request.start) & (whole.x_min < request.start)]
    if not len(on_edge):
        return [before]
    edge = request._replace(start=float(on_edge.min()), stop=request.start)
    return [before, drawn(source, edge, limits).parts]
