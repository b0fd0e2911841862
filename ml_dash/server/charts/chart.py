"""Charts: one field of a series, with as many points as there are pixels, at a cost that does not grow with the rows.

A short range is read row by row. A long one is made of the summaries that the server stored when the rows came
(`ml_dash.server.charts.summaries`): about 1 % of the bytes, and no row is read but those at the edges of the range.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ml_dash.query.axes.clocks import INDEX, TIME
from ml_dash.query.times import seconds_array
from ml_dash.server.charts.parts import Parts, concatenate, into_pixels
from ml_dash.server.charts.rows import ELSEWHERE, ChartRequest, ChartSource, checked_request, read_parts

if TYPE_CHECKING:
    from ml_dash.query.axes.as_of import Clock
    from ml_dash.server.charts.numbers import Array
    from ml_dash.server.charts.summaries import Buckets


class ChartLimits(NamedTuple):
    """How many rows a chart may read.

    Attributes:
        exact_rows: A range of up to this many rows is read row by row (more, if the width is a quarter of more).
        most_rows: The most that is read where buckets will not do: at the edges of the range, where some rows of a
            bucket have no x, and where x jumps about.
    """

    exact_rows: int = 131_072
    most_rows: int = 1_048_576


LIMITS = ChartLimits()
_SAMPLED = 16
"""Buckets that are read one after the other, where not all can be."""


class Drawn(NamedTuple):
    """What there is of a field in a range of x.

    Attributes:
        parts: Rows, or runs of rows.
        resolution: ``"rows"`` or ``"buckets"``, see `chart`.
        exact: See `chart`.
    """

    parts: Parts
    resolution: str = "rows"
    exact: bool = True


def chart(
    source: ChartSource,
    field: str,
    x: str,
    start: float | None,
    stop: float | None,
    width: int,
    limits: ChartLimits = LIMITS,
) -> dict[str, Any]:
    """Return a field over x, at most `width` points of it.

    The extent of x is that of the rows in range: those whose x is finite and from `start` on and below `stop`, and
    that have a number as their `field`. It is divided into `width` pixels of equal width, and what lies in a pixel is
    merged. Pixels in which nothing lies are left out.

    What is exact: `points`, and over all pixels together the sums of `count`, `nan`, `posInf` and `negInf`, the lowest
    `min` and the highest `max`. With `resolution` ``"rows"`` each pixel is exact as well. With ``"buckets"`` up to
    1024 rows that were logged one after the other go together into the pixel in which the middle of their x lies,
    except at the edges of the range, where rows go one by one; so `x`, `xMin` and `xMax` are those of such buckets
    (and tell of all their rows, also of those without a value), and a point may be a bucket's length away from its
    pixel. Narrowing `start` and `stop` gives more detail, until rows are exact. Means are rounded as floats are, and
    ints beyond 2**53 are floats.

    x need not ascend. But buckets tell little of an x that jumps about, such as a loss: each covers most of the
    extent. So up to `limits.most_rows` rows are read then. Beyond, the picture is one of buckets all the same; and
    where more rows than these are in buckets of which only some rows are in range or have an x, such a bucket is
    taken whole if its middle is in range; and of those of which only some rows are shown (other ranks have logged
    between them), only as many are read, evenly among all. Only then `exact` is False.

    Args:
        source: The series.
        field: The field's name; an item of a dict by its dotted path. One that no row has gives no pixels.
        x: ``"index"`` (of the row in its series), ``"time"`` (seconds since the epoch), or a numeric field of the same
            series. (A field called ``index`` or ``time`` can be a chart's `field`, not its x.) Where the source has a
            clock, x is what that said last at the time of each row; rows before have none. A clock that does not ascend
            is taken for an x that jumps about.
        start: The lowest x, inclusive; None for all.
        stop: The x up to which, exclusive; None for all.
        width: Pixels, 1 to 10 000.
        limits: How many rows may be read.

    Returns:
        The arguments, `rows` of the series, `points` (rows that have a value, in range), `resolution`, `exact`, and
        `buckets`, a list for each column: `x` (the middle of `xMin` and `xMax`), `xMin`, `xMax`, `count` (of finite
        values), `min`, `max`, `mean`, `first` and `last` (of the finite values, in the order in which they were logged;
        None if there are none), and the numbers of `nan`, `posInf` and `negInf`.

    Raises:
        ApiError: 400 `invalid`: an argument is invalid.
    """
    request = checked_request(field, x, start, stop, width)
    found = drawn(source, request, limits)
    return {
        "field": field,
        "x": x,
        "start": start,
        "stop": stop,
        "width": width,
        "rows": source.rows,
        **source.shown.notes,
        "points": found.parts.points,
        "resolution": found.resolution,
        "exact": found.exact,
        "buckets": into_pixels(found.parts, width),
    }


def drawn(source: ChartSource, request: ChartRequest, limits: ChartLimits = LIMITS) -> Drawn:
    """Return what there is of a field in a range of x, rows or buckets: see `chart`."""
    if source.clock is not None:
        request = request._replace(x=ELSEWHERE)
    first, last = _row_range(source.rows, request)
    few = max(limits.exact_rows, 4 * request.width)
    if last - first <= few:
        return Drawn(read_parts(source, request, np.array([first]), np.array([last - first])))
    buckets = source.buckets(first, last, request.fields)
    parts, whole = _bucket_parts(buckets, request, source.clock)
    # buckets without a value or out of range are put aside first, so that they do not count against the limits
    touched = parts.count + parts.nan + parts.pos_inf + parts.neg_inf > 0
    covered = _covered(source, buckets)
    touched &= covered > 0
    touched &= np.isfinite(parts.x_min) & (parts.x_max >= request.start) & (parts.x_min < request.stop)
    # a bucket has rows that are not shown where an attempt begins or is superseded in it
    mixed = covered < buckets.rows
    whole &= ~mixed
    buckets, parts, whole, mixed = (
        buckets.where(touched),
        parts.where(touched),
        whole[touched],
        mixed[touched],
    )
    if buckets.rows.sum() <= (limits.most_rows if _jumps(parts, request.width) else few):
        return Drawn(read_parts(source, request, buckets.start, buckets.rows))
    whole &= (parts.x_min >= request.start) & (parts.x_max < request.stop)
    if buckets.rows[~whole].sum() > limits.most_rows:
        middle = parts.x_min / 2 + parts.x_max / 2
        chosen = (middle >= request.start) & (middle < request.stop) & ~mixed
        some = np.flatnonzero(mixed)
        share = math.ceil(buckets.rows[mixed].sum() / limits.most_rows)
        # several one after the other: they are in the same block
        some = some[np.arange(len(some)) // _SAMPLED % max(share, 1) == 0]
        sampled = read_parts(source, request, buckets.start[some], buckets.rows[some])
        return Drawn(concatenate([parts.where(chosen), sampled]), "buckets", exact=False)
    edges = read_parts(source, request, buckets.start[~whole], buckets.rows[~whole])
    return Drawn(concatenate([parts.where(whole), edges]), "buckets")


def _covered(source: ChartSource, buckets: Buckets) -> Array:
    """Return how many rows of each bucket are shown."""
    if source.shown.ranges is None:
        return buckets.rows
    pairs = zip(buckets.start.tolist(), buckets.rows.tolist(), strict=True)
    return np.array([source.shown.covered(*pair) for pair in pairs], np.int64)


def _row_range(rows: int, request: ChartRequest) -> tuple[int, int]:
    """Return the rows among which those in range are: known from their index only where that is x."""
    if request.x != INDEX:
        return 0, rows
    first, last = (math.ceil(min(max(bound, 0), rows)) for bound in (request.start, request.stop))
    return first, last


def _jumps(parts: Parts, width: int) -> bool:
    """Say whether buckets overlap in x, and by more than a few pixels, so that their middles tell little."""
    if not len(parts.row):
        return False
    # halves, here and below: the difference of two floats may be beyond the largest one
    spans = parts.x_max / 2 - parts.x_min / 2
    extent = parts.x_max.max() / 2 - parts.x_min.min() / 2
    share = float((spans / extent).sum()) if extent > 0 else 0.0
    # an x that ascends covers the extent once; twice is allowed for, as when a run was repeated from its start
    return share > 2 and share / len(spans) > 4 / width


def _bucket_parts(buckets: Buckets, request: ChartRequest, clock: Clock | None) -> tuple[Parts, Array]:
    """Return a part for each bucket, and whether all rows of the bucket have an x; x is NaN where none has one."""
    stats = buckets.stats[request.field]
    whole = np.ones(len(stats), np.bool_)
    if request.x == INDEX:
        low, high = buckets.start.astype(np.float64), (buckets.start + buckets.rows - 1).astype(np.float64)
    elif request.x == TIME:
        low, high = seconds_array(buckets.times["min"]), seconds_array(buckets.times["max"])
    elif clock is not None:
        earliest, latest = (clock.at(buckets.times[name]).values for name in ("min", "max"))
        # of a bucket that begins before the clock some rows have an x, or none has
        whole = np.isfinite(earliest)
        low, high = np.fmin(earliest, latest), np.fmax(earliest, latest)
    else:
        along = buckets.stats[request.x]
        low, high = along["min"], along["max"]
        whole = along["count"] == buckets.rows
    counts = (stats[name].astype(np.int64) for name in ("count", "nan", "pos_inf", "neg_inf"))
    numbers = (stats[name] for name in ("min", "max", "mean", "first", "last"))
    return Parts(buckets.start, low, high, *counts, *numbers), whole
