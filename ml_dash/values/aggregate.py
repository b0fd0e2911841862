"""Aggregations of buffered values: `mean`, `std`, `min`, …, and percentiles such as `p50` and `p99.9`.

NaN is left out of every one, so that `count` is the number of values that are not NaN. The infinities are
values like any other. Of no values at all the count and the sum are 0, and everything else is NaN.
"""

from __future__ import annotations

import math
import re
from functools import partial
from typing import TYPE_CHECKING

from ml_dash.errors import InvalidArgumentError
from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_PERCENTILE = r"p(?P<percent>[0-9]{1,3}(?:\.[0-9]+)?)"

# Sums that overflow are taken of values this much smaller; a power of two, so that no digit is lost.
SCALE = 2.0**64


class Aggregation(NamedTuple):
    """A known aggregation: the name under which its result is stored, and how to compute it."""

    name: str
    compute: Callable[[_Sample], float]


def parse_aggregations(names: Sequence[str]) -> tuple[Aggregation, ...]:
    """Return the aggregations with these names, each once, in order; `mean` where there are no names.

    Raises:
        InvalidArgumentError: A name is not known; the message lists those that are.
    """
    # A dict drops repetitions and keeps the order; a list given by mistake is not hashable.
    return tuple({aggregation.name: aggregation for aggregation in map(_parse, names or ("mean",))}.values())


def summarize(values: Iterable[float], aggregations: Iterable[Aggregation]) -> dict[str, float]:
    """Return each aggregation of `values` by its name.

    Example:
        >>> summarize([1.0, 3.0], parse_aggregations(["mean", "count", "p50"]))
        {'mean': 2.0, 'count': 2, 'p50': 2.0}
    """
    sample = _Sample(values)
    return {aggregation.name: aggregation.compute(sample) for aggregation in aggregations}


class _Sample:
    """The values without NaN, in the order in which they came."""

    def __init__(self, values: Iterable[float]) -> None:
        self.values = [number for number in map(float, values) if not math.isnan(number)]
        # Not by `functools.cached_property`, which holds a lock of all samples before Python 3.12: a child that was
        # forked while another thread summarises would wait for it for ever.
        self._ordered: list[float] | None = None
        self._mean: float | None = None

    @property
    def ordered(self) -> list[float]:
        if self._ordered is None:
            self._ordered = sorted(self.values)
        return self._ordered

    @property
    def mean(self) -> float:
        if self._mean is None:
            self._mean = self._computed_mean()
        return self._mean

    def _computed_mean(self) -> float:
        """The arithmetic mean; of finite values it is finite, even where their sum is not."""
        count = len(self.values)
        if not count:
            return math.nan
        total = _sum(self.values)
        if math.isinf(total) and not any(map(math.isinf, self.values)):
            mean = math.fsum(value / SCALE for value in self.values) / count * SCALE
            return min(max(mean, min(self.values)), max(self.values))
        return total / count

    def std(self) -> float:
        """The sample standard deviation (divided by n - 1), and 0.0 for one value."""
        count = len(self.values)
        if count < 2:
            return 0.0 if count else math.nan
        if math.isinf(self.mean):
            return math.nan
        # math.dist scales by the largest difference, so that its squares do not overflow.
        return math.dist(self.values, [self.mean] * count) / math.sqrt(count - 1)

    def percentile(self, percent: float) -> float:
        """The percentile by linear interpolation, as numpy's default does it (Hyndman and Fan's method 7)."""
        if not self.ordered:
            return math.nan
        position = (percent / 100) * (len(self.ordered) - 1)
        below = math.floor(position)
        return _between(self.ordered[below], self.ordered[math.ceil(position)], position - below)


def _sum(values: list[float]) -> float:
    try:
        return math.fsum(values)
    except OverflowError:  # a partial sum is too large, which need not be so for the whole
        return math.fsum(value / SCALE for value in values) * SCALE
    except ValueError:  # both infinities are among the values
        return math.nan


def _between(low: float, high: float, share: float) -> float:
    """Return the point between two neighbours, never outside of them."""
    if low == high or share == 0:
        return low
    if math.isinf(high - low):
        return low * (1 - share) + high * share
    # From the nearer end, as numpy does, so that rounding cannot lead past the other one.
    return low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share)


NAMED: Mapping[str, Callable[[_Sample], float]] = {
    "mean": lambda sample: sample.mean,
    "std": _Sample.std,
    "min": lambda sample: next(iter(sample.ordered), math.nan),
    "max": lambda sample: next(reversed(sample.ordered), math.nan),
    "count": lambda sample: len(sample.values),
    "median": partial(_Sample.percentile, percent=50),
    "sum": lambda sample: _sum(sample.values),
    "first": lambda sample: next(iter(sample.values), math.nan),
    "last": lambda sample: next(reversed(sample.values), math.nan),
}


def _parse(name: str) -> Aggregation:
    if isinstance(name, str):
        if name in NAMED:
            return Aggregation(name, NAMED[name])
        match = re.fullmatch(_PERCENTILE, name)
        if match and float(match["percent"]) <= 100:
            return Aggregation(name, partial(_Sample.percentile, percent=float(match["percent"])))
    raise InvalidArgumentError(
        f"aggregation {name!r} is not known; use {', '.join(NAMED)}, or a percentile from p0 to p100, "
        "such as p99.9"
    )
