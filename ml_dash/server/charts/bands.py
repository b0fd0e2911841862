"""Bands: what several runs do together, over an x that they have in common.

The x of a band are those of its runs' points, where there are no more than it may have; else multiples of a power of
two, and both ends of its runs. So none is told at a step that nobody has logged. There each run has the number on the
straight line between its points to the left and to the right (or, if asked for, that of its last point); it begins and
ends where its own points do, and nothing is extrapolated. So how many runs count is told for each point.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ml_dash.server.charts.lines import cell_width

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml_dash.server.charts.lines import Line
    from ml_dash.server.charts.numbers import Array

Fill = Literal["linear", "last"]
_TOGETHER = 64
"""Runs whose numbers are worked out at once."""


class Member(NamedTuple):
    """A run's points that have a number, from left to right: x, the number, and the lowest and the highest of each."""

    x: Array
    y: Array
    low: Array
    high: Array

    @property
    def nbytes(self) -> int:
        """Of its arrays."""
        return sum(each.nbytes for each in {id(each): each for each in self}.values())


class Band(NamedTuple):
    """Several runs together.

    Attributes:
        cell: How far points are apart, in units of x; 0 where they are those of the runs.
        columns: ``x``, ``y`` (the mean), ``std`` (of a sample; NaN of one run), ``min``, ``max``, ``count`` (of runs).
    """

    cell: float
    columns: dict[str, Array]


def member_of(line: Line) -> Member:
    """Return what counts of a run's line: smoothed, where that was asked for."""
    columns = line.columns
    y = columns.get("smooth", columns["y"])
    some = np.isfinite(y)
    if "smooth" in columns:
        return Member(columns["x"][some], y[some], y[some], y[some])
    x, y, low, high = (columns[name][some] for name in ("x", "y", "min", "max"))
    # of single rows they are one array
    return Member(x, y, y, y) if (low == high).all() else Member(x, y, low, high)


def band(members: Sequence[Member], start: float | None, stop: float | None, width: int, fill: Fill) -> Band:
    """Return at most `width` points, and the ends, of what these runs do together.

    Args:
        members: The runs; one without points counts nowhere.
        start: The lowest x; None for the lowest of any run.
        stop: The x up to which, exclusive; None for the highest of any run, inclusive.
        width: How many points at most, besides both ends.
        fill: What a run has between two of its points.
    """
    found = [each for each in members if len(each.x)]
    low = min((float(each.x[0]) for each in found), default=math.nan)
    high = max((float(each.x[-1]) for each in found), default=math.nan)
    first, last = (low if start is None else max(low, start)), (high if stop is None else min(high, stop))
    is_open = stop is not None and last == stop
    cell, x = 0.0, _own(found, first, last, width, open_ended=is_open)
    if x is None:
        cell, x = _grid(first, last, width, open_ended=is_open)
        # where nothing but the range begins, there is no point
        x = x[1:] if first > low and len(x) > 1 and x[0] % (cell or 1) else x
    count = np.zeros(len(x), np.int64)
    mean, squares = np.zeros(len(x)), np.zeros(len(x))
    lowest, highest = np.full(len(x), np.inf), np.full(len(x), -np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        for group in _alike(found):
            along = group[0].x
            begin, end = np.searchsorted(x, along[0]), np.searchsorted(x, along[-1], "right")
            here = slice(begin, end)
            inside = _within(along, first, last)
            if begin < end:
                y, least, most = _at(group, x[here], fill)
            elif cell and inside.start < inside.stop:
                # they are shorter than a cell
                nearest = int(np.abs(x - along[inside.start]).argmin())
                here = slice(nearest, nearest + 1)
                middle = (inside.start + inside.stop) // 2
                y = _column(group, 1, slice(middle, middle + 1))
                least = _column(group, 2, inside).min(axis=1, keepdims=True)
                most = _column(group, 3, inside).max(axis=1, keepdims=True)
            else:
                continue
            # as of Chan, Golub and LeVeque: a difference of sums of squares would lose all digits of numbers that lie
            # close together
            before, together = count[here], count[here] + len(group)
            middle = _mean(y)
            off, share = middle - mean[here], len(group) / together
            # of numbers near the largest float the difference of two is beyond it, which their mean is not
            mean[here] = np.where(
                np.isfinite(off), mean[here] + off * share, mean[here] * (1 - share) + middle * share
            )
            squares[here] += ((y - middle) ** 2).sum(axis=0) + off**2 * (before * share)
            count[here] = together
            np.minimum(lowest[here], least.min(axis=0), out=lowest[here])
            np.maximum(highest[here], most.max(axis=0), out=highest[here])
            if cell and inside.start < inside.stop:
                _keep_spikes(group, inside, x, lowest, highest)
        std = np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)
    some = count > 0
    columns = {"x": x, "y": mean, "std": std, "min": lowest, "max": highest, "count": count}
    return Band(cell, {name: column[some] for name, column in columns.items()})


def _within(along: Array, first: float, last: float) -> slice:
    """Return which of these x lie in a range."""
    return slice(int(np.searchsorted(along, first)), int(np.searchsorted(along, last, "right")))


def _column(group: Sequence[Member], at: int, inside: slice) -> Array:
    """Return some of the numbers of runs with the same x, a row a run."""
    return np.stack([each[at][inside] for each in group])


def _keep_spikes(group: Sequence[Member], inside: slice, x: Array, lowest: Array, highest: Array) -> None:
    """Have each x know the lowest and the highest of all points that are nearest to it: spikes may lie between two.

    Args:
        group: Runs with the same x.
        inside: Which of their points count.
        x: That of the band.
        lowest: What it knows so far.
        highest: Likewise.
    """
    place = np.searchsorted(x[:-1] / 2 + x[1:] / 2, group[0].x[inside])
    starts = np.flatnonzero(np.concatenate(([True], place[1:] != place[:-1])))
    place = place[starts]
    low, high = _column(group, 2, inside).min(axis=0), _column(group, 3, inside).max(axis=0)
    lowest[place] = np.minimum(lowest[place], np.minimum.reduceat(low, starts))
    highest[place] = np.maximum(highest[place], np.maximum.reduceat(high, starts))


def _own(members: Sequence[Member], low: float, high: float, width: int, *, open_ended: bool) -> Array | None:
    """Return the x of all points of these runs in a range; None where these are none, or more than `width`."""
    found = np.empty(0)
    for x in {id(each.x): each.x for each in members}.values():
        end = np.searchsorted(x, high, "left" if open_ended else "right")
        some = x[np.searchsorted(x, low) : end]
        if len(some) > width:
            return None
        # runs mostly have the same steps
        if not np.array_equal(some, found):
            found = np.union1d(found, some)
            if len(found) > width:
                return None
    return found if len(found) else None


def _grid(low: float, high: float, width: int, *, open_ended: bool) -> tuple[float, Array]:
    if not low <= high:
        return 0.0, np.empty(0)
    if low == high:
        return 0.0, np.empty(0) if open_ended else np.array([low])
    cell = cell_width(low, high, width, open_ended=open_ended)
    if cell is None:
        return 0.0, np.array([low, high])
    inner = np.arange(math.floor(low / cell) + 1, math.ceil(high / cell)) * cell
    ends = [inner] if open_ended else [inner, np.array([high])]
    return cell, np.concatenate([np.array([low]), *ends])


def _alike(members: Sequence[Member]) -> Iterator[Sequence[Member]]:
    """Yield members in groups of which all have the same array as their x."""
    groups: dict[int, list[Member]] = {}
    for each in members:
        groups.setdefault(id(each.x), []).append(each)
    for group in groups.values():
        for at in range(0, len(group), _TOGETHER):
            yield group[at : at + _TOGETHER]


def _mean(y: Array) -> Array:
    """Return the mean of each column; of equal numbers it is just that one."""
    mean: Array = y[0] + (y - y[0]).mean(axis=0)
    return mean if np.isfinite(mean).all() else (y / len(y)).sum(axis=0)


def _at(group: Sequence[Member], x: Array, fill: Fill) -> tuple[Array, Array, Array]:
    """Return the numbers of runs with the same x at some x, which all lie between their first point and their last.

    Of each of the three, a row a run.
    """
    along = group[0].x
    right = np.searchsorted(along, x, "right")
    y, low, high = (_column(group, at, slice(None)) for at in (1, 2, 3))
    if fill == "last":
        return y[:, right - 1], low[:, right - 1], high[:, right - 1]
    right = np.minimum(right, len(along) - 1)
    left = np.maximum(right - 1, 0)
    width = along[right] - along[left]
    share = np.where(width > 0, (x - along[left]) / np.where(width > 0, width, 1.0), 1.0)
    y, low, high = (table[:, left] * (1 - share) + table[:, right] * share for table in (y, low, high))
    return y, low, high
