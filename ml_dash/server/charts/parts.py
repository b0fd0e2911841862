"""Parts of a chart: rows, and runs of rows of which only a summary is known, in one form, and made into pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_dash.server.charts.numbers import Array


COLUMNS = (
    "x",
    "xMin",
    "xMax",
    "count",
    "min",
    "max",
    "mean",
    "first",
    "last",
    "nan",
    "posInf",
    "negInf",
)
"""What a chart says of each pixel."""

_NUMBERS = ("min", "max", "mean", "first", "last")
_FEW = 4
_LARGEST = np.finfo(np.float64).max


class Parts(NamedTuple):
    """Arrays of one item a part. A part is a row, or a run of rows.

    `x_min` and `x_max` are the lowest and the highest x of its rows, `row` the index of its first one. The others are
    as in `ml_dash.server.charts.summaries.STATS`: `min` to `last` are of the finite values, and NaN where `count` is 0.
    """

    row: Array
    x_min: Array
    x_max: Array
    count: Array  # type: ignore[assignment]  # `tuple.count` means nothing here
    nan: Array
    pos_inf: Array
    neg_inf: Array
    min: Array
    max: Array
    mean: Array
    first: Array
    last: Array

    def where(self, chosen: Array) -> Parts:
        """Return the parts that a mask or an index array chooses."""
        return Parts(*(column[chosen] for column in self))

    @property
    def points(self) -> int:
        """How many rows with a value there are."""
        columns = (self.count, self.nan, self.pos_inf, self.neg_inf)
        # of bools, which single rows have, to count is many times as fast as to add
        return sum(int(np.count_nonzero(each) if each.dtype == bool else each.sum()) for each in columns)


def of_rows(row: Array, x: Array, values: Array) -> Parts:
    """Return a part for each row: its index, its x and its value."""
    finite = np.isfinite(values)
    if finite.all():
        none = np.zeros(len(values), bool)
        return Parts(row, x, x, finite, none, none, none, values, values, values, values, values)
    number = np.where(finite, values, np.nan)
    others = np.isnan(values), values == np.inf, values == -np.inf
    return Parts(row, x, x, finite, *others, number, number, number, number, number)


def concatenate(parts: Sequence[Parts]) -> Parts:
    """Return all the parts, each list of which is in the order of its rows, in the order of their rows."""
    if len(parts) == 1:
        return parts[0]
    found = Parts(*map(np.concatenate, zip(*parts, strict=True)))
    # "first" and "last" go by the order of the rows; to look costs far less than to sort what is sorted already
    if (found.row[1:] < found.row[:-1]).any():
        found = found.where(np.argsort(found.row, kind="stable"))
    return found


def into_pixels(parts: Parts, width: int) -> dict[str, list[Any]]:
    """Merge parts by the pixel that their x lies in.

    Args:
        parts: In the order of their rows.
        width: Into how many pixels of equal width the extent of x is divided.

    Returns:
        A list for each of `COLUMNS`, of one item for each pixel that any part lies in, from left to right.
    """
    if not len(parts.row):
        return {name: [] for name in COLUMNS}
    pixel = equal_pixels(parts, width)
    if (pixel[1:] < pixel[:-1]).any():
        order = np.argsort(pixel, kind="stable")
        pixel, parts = pixel[order], parts.where(order)
    return _columns(merged(parts, np.flatnonzero(np.diff(pixel, prepend=-1))))


def equal_pixels(parts: Parts, width: int) -> Array:
    """Return the number of the pixel in which the middle of each part lies, if their extent is divided into `width`."""
    low, high = parts.x_min.min(), parts.x_max.max()
    if low == high:
        return np.zeros(len(parts.row), np.int64)
    middle = middles(parts.x_min, parts.x_max)
    if low < 0 < high and high / 2 - low / 2 > _LARGEST / 2:
        # halves, since the difference would be beyond the largest float
        middle, low, high = middle / 2, low / 2, high / 2
    # clipped: the highest x itself would lie just behind the last pixel
    pixel: Array = ((middle - low) / (high - low) * width).astype(np.int64)
    return np.clip(pixel, 0, width - 1)


def middles(low: Array, high: Array) -> Array:
    """Return what lies in the middle of each pair."""
    if low is high:
        return low
    # a single x is its own middle, to the last bit
    middle: Array = np.where(low == high, low, low / 2 + high / 2)
    return middle


def merged(parts: Parts, starts: Array) -> Parts:
    """Return one part for those between each of `starts` and the next; they are in the order of their rows there."""
    # where nothing is known, what cannot win: NaN would win every comparison
    known = parts.count > 0
    ends = np.append(starts[1:], len(known))
    is_known = bool(known.all())
    if is_known:  # mostly: half of the time is saved
        first, last = starts, ends - 1
        least, most, means = parts.min, parts.max, parts.mean
    else:
        position = np.arange(len(known))
        first = np.minimum.reduceat(np.where(known, position, len(known)), starts)
        last = np.maximum.reduceat(np.where(known, position, -1), starts)
        least, most = np.where(known, parts.min, np.inf), np.where(known, parts.max, -np.inf)
        means = np.where(known, parts.mean, 0.0)
    lowest, highest = _least(np.minimum, least, starts, ends), _least(np.maximum, most, starts, ends)
    if is_known and parts.count.dtype == bool:  # single rows, each of which has a number
        count = ends - starts
        mean = _means(means, None, count, starts)
    else:
        count = np.add.reduceat(parts.count, starts, dtype=np.int64)
        mean = _means(means, parts.count, count, starts)
    # rounding must not put a mean outside
    mean = np.minimum(np.maximum(mean, lowest), highest)
    # there are hardly ever any
    others = (
        np.add.reduceat(each, starts, dtype=np.int64) if each.any() else np.zeros(len(starts), np.int64)
        for each in (parts.nan, parts.pos_inf, parts.neg_inf)
    )
    numbers = (lowest, highest, mean, parts.first[np.minimum(first, len(known) - 1)], parts.last[last])
    return Parts(
        parts.row[starts],  # the first
        *_extents(parts, starts, ends),
        count,
        *others,
        *(numbers if is_known else (np.where(count > 0, each, np.nan) for each in numbers)),
    )


def _extents(parts: Parts, starts: Array, ends: Array) -> tuple[Array, Array]:
    """Return the lowest and the highest x of the parts from each of `starts` to before its end."""
    low, high = parts.x_min, parts.x_max
    if low is high and not (low[1:] < low[:-1]).any():
        return low[starts], low[ends - 1]
    return _least(np.minimum, low, starts, ends), _least(np.maximum, high, starts, ends)


def _least(least: np.ufunc, values: Array, starts: Array, ends: Array) -> Array:
    """Return the least (or most) of the values from each of `starts` to before its end."""
    longest = int((ends - starts).max(initial=0))
    if longest > _FEW:
        return least.reduceat(values, starts)
    # `reduceat` takes as long for each piece as for dozens of numbers
    found: Array = values[starts]
    for at in range(1, longest):
        found = least(found, values[np.minimum(starts + at, ends - 1)])
    return found


def _columns(pixels: Parts) -> dict[str, list[Any]]:
    """Return a list for each of `COLUMNS`."""
    columns = {
        "x": middles(pixels.x_min, pixels.x_max).tolist(),
        "xMin": pixels.x_min.tolist(),
        "xMax": pixels.x_max.tolist(),
        "count": pixels.count.tolist(),
        **{name: _or_none(getattr(pixels, name), pixels.count) for name in _NUMBERS},
        "nan": pixels.nan.tolist(),
        "posInf": pixels.pos_inf.tolist(),
        "negInf": pixels.neg_inf.tolist(),
    }
    return {name: columns[name] for name in COLUMNS}


def _means(means: Array, counts: Array | None, count: Array, starts: Array) -> Array:
    """Return the mean of each pixel, whose parts have `means` of `counts` values, or of one each, `count` together."""
    count = np.maximum(count, 1)
    with np.errstate(over="ignore", invalid="ignore"):
        sums = means if counts is None else means * counts
        together: Array = np.add.reduceat(sums, starts) / count
        if not np.isfinite(together).all():
            # the sum was beyond the largest float, which a mean is not
            counts = np.ones(len(means)) if counts is None else counts
            share = counts / np.repeat(count, np.diff(starts, append=len(means)))
            together = np.add.reduceat(means * share, starts)
    return together


def _or_none(numbers: Array, count: Array) -> list[float | None]:
    """Return numbers, with None where there is no finite value of which they could tell."""
    values: list[float | None] = numbers.tolist()
    for pixel in np.flatnonzero(count == 0).tolist():
        values[pixel] = None
    return values
