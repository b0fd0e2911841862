"""Smoothing of a line over all of its series, in units of x: neither zoom nor width changes it.

Numbers come in parts, each the mean of some rows that lie in an interval of x: mostly of one row, or of 1,024.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ml_dash.protocol import ErrorCode
from ml_dash.server.errors import ApiError

if TYPE_CHECKING:
    from ml_dash.server.charts.numbers import Array

_VIEW = 1000.0
"""Into how many pieces an extent is divided: a step of one of them has the whole weight."""
_HIGHEST = 0.999
_NATS = 300.0
"""Powers of e in one go: sums of floats with such weights are far from the largest one."""
_BINS_A_SIGMA, _BINS_MAX, _SIGMAS = 8, 1 << 16, 4.0


class Smooth(NamedTuple):
    """How a line is smoothed.

    Attributes:
        kind: ``ema``, ``mean`` or ``gaussian``.
        amount: For ``ema`` from 0 to 1: the weight of what was before, as of a slider; the average is weighted by time,
            that is by the distance in x. For ``mean`` the width of the interval, in units of x, whose middle each
            point is. For ``gaussian`` the standard deviation in units of x.
    """

    kind: Literal["ema", "mean", "gaussian"]
    amount: float

    def check(self) -> None:
        """Refuse amounts that mean nothing.

        Raises:
            ApiError: 400 `invalid`.
        """
        remedy = (
            "give a weight from 0 to below 1"
            if self.kind == "ema"
            else "give a finite number from 0 on, in units of x"
        )
        if not 0 <= self.amount < (1 if self.kind == "ema" else math.inf):
            raise ApiError(
                400,
                ErrorCode.INVALID,
                f"amount={self.amount!r} is not possible for the smoothing {self.kind!r}: {remedy}",
            )


def reach(smooth: Smooth, extent: float) -> tuple[float, float]:
    """Return how far to the left and to the right of a point numbers count for it, in units of x."""
    if smooth.kind == "ema":
        return math.inf, 0.0
    far = smooth.amount / 2 if smooth.kind == "mean" else min(smooth.amount, extent) * _SIGMAS
    return far, far


def smoothed(
    smooth: Smooth, extent: float, low: Array, high: Array, mean: Array, count: Array, at: Array
) -> Array:
    """Return smoothed numbers of some parts.

    Args:
        smooth: How.
        extent: That of the whole series in x.
        low: The lowest x of each part.
        high: Its highest one.
        mean: The mean of its rows.
        count: How many these are; of a part without any, its mean counts for nothing.
        at: Which parts to return them for.

    Returns:
        For each of `at` a number; NaN where nothing counts.
    """
    if extent <= 0 or smooth.amount <= 0:
        return np.where(count[at] > 0, mean[at], np.nan)
    order = np.argsort(high, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    low, high, mean, count = low[order], high[order], mean[order], count[order].astype(np.float64)
    at = place[at]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if smooth.kind == "ema":
            return _ema(smooth.amount, extent, low, high, mean, count)[at]
        if smooth.kind == "mean":
            return _running_mean(smooth.amount, low, high, mean, count, at)
        return _gaussian(smooth.amount, low, high, mean, count, at)


def _ema(amount: float, extent: float, low: Array, high: Array, mean: Array, count: Array) -> Array:
    """Return the exponential moving average, weighted by time.

    It is the TWEMA of Weights & Biases, as its documentation has it (docs.wandb.ai, "Smooth line plots"): at each
    point, what was before has the weight ``min(sqrt(amount), 0.999) ** (1000 * step in x / extent of x)``; and it is
    divided by the sum of all weights, so that it begins at the first point. A part of n rows counts as n points, at
    equal steps from its lowest x to its highest.
    """
    rate = -math.log(min(math.sqrt(amount), _HIGHEST)) * _VIEW / extent
    between = np.where(count > 1, (high - low) / np.maximum(count - 1, 1), 0.0) * rate
    weight = np.where(between > 0, np.expm1(-between * count) / np.expm1(-between), count)
    past = (high - high[0]) * rate
    chunk = np.floor(past / _NATS)
    result = np.empty(len(mean))
    total = sum_of_weights = 0.0
    base = 0.0
    cuts = np.flatnonzero(np.concatenate(([True], chunk[1:] != chunk[:-1])))
    for begin, end in zip(cuts.tolist(), [*cuts[1:].tolist(), len(mean)], strict=True):
        decayed = math.exp(-min(float(past[begin]) - base, 2 * _NATS))
        base = float(past[begin])
        growth = np.exp(past[begin:end] - base)
        weights = np.cumsum(weight[begin:end] * growth) + sum_of_weights * decayed
        totals = np.cumsum(weight[begin:end] * growth * mean[begin:end]) + total * decayed
        result[begin:end] = totals / weights
        base = float(past[end - 1])
        total, sum_of_weights = float(totals[-1] / growth[-1]), float(weights[-1] / growth[-1])
    return result


def _running_mean(width: float, low: Array, high: Array, mean: Array, count: Array, at: Array) -> Array:
    """Return the mean of all rows that are at most half a width away; those of a part lie evenly in it."""
    rows = np.concatenate(([0.0], np.cumsum(count)))
    sums = np.concatenate(([0.0], np.cumsum(count * mean)))

    def until(x: Array, side: Literal["left", "right"]) -> tuple[Array, Array]:
        whole = np.searchsorted(high, x, side)
        part = np.minimum(whole, len(high) - 1)
        share = np.clip((x - low[part]) / (high[part] - low[part]), 0.0, 1.0)
        share = np.where((whole < len(high)) & (high[part] > low[part]), share, 0.0)
        return rows[whole] + share * count[part], sums[whole] + share * count[part] * mean[part]

    middle = low[at] / 2 + high[at] / 2
    rows_left, sums_left = until(middle - width / 2, "left")
    rows_right, sums_right = until(middle + width / 2, "right")
    number = rows_right - rows_left
    return np.where(number > 0, (sums_right - sums_left) / number, np.where(count[at] > 0, mean[at], np.nan))


def _gaussian(sigma: float, low: Array, high: Array, mean: Array, count: Array, at: Array) -> Array:
    """Return the mean of all rows, weighted by their distance in x; they are put into bins of an eighth of sigma."""
    middle = low / 2 + high / 2
    first, last = float(middle.min()), float(middle.max())
    width = max(sigma / _BINS_A_SIGMA, (last - first) / _BINS_MAX)
    place = (middle - first) / width
    number = int(place.max()) + 2
    taps = min(math.ceil(_SIGMAS * sigma / width), number)
    kernel = np.exp(-0.5 * (np.arange(-taps, taps + 1) * (width / sigma)) ** 2)
    # a row counts for the bins to its left and to its right, the more the nearer it is to them
    left = np.floor(place).astype(np.int64)
    share = place - left

    def spread(weights: Array) -> Array:
        bins = np.bincount(left, weights * (1 - share), number) + np.bincount(
            left + 1, weights * share, number
        )
        found: Array = np.convolve(bins, kernel)[taps : taps + number]
        return found[left[at]] * (1 - share[at]) + found[left[at] + 1] * share[at]

    rows = spread(count)
    return np.where(rows > 0, spread(count * mean) / rows, np.nan)
