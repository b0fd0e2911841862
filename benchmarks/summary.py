"""From raw rounds to figures: medians, ratios to the deque of the same round, and the targets."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, NamedTuple

from benchmarks.contenders import BASELINE
from benchmarks.measure import PERCENTILES

__all__ = ["METRICS", "SLOWDOWN_TARGET", "Metric", "Slowdown", "best", "ratios", "rounds", "slowdown"]

SLOWDOWN_TARGET = 1.003
_RESAMPLES = 2000


class Metric(NamedTuple):
    """One figure of the tight loop.

    Attributes:
        title: for tables, with the unit.
        section: of the results, where the rounds are.
        pick: takes the figure out of a round.
        digits: behind the decimal point.
        target: what ours should reach, on the machine of the targets.
        reference: what the deque reached on that machine, None where it has no such figure.
        more_is_better: whether the target is a lower bound.
        ratio_target: what ours should reach relative to the deque; by default target / reference.
    """

    title: str
    section: str
    pick: Callable[[dict[str, Any]], float]
    digits: int
    target: float
    reference: float | None = None
    more_is_better: bool = False
    ratio_target: float | None = None

    def reached(self, value: float, target: float) -> bool:
        """Say whether a value is as good as the target."""
        return value >= target if self.more_is_better else value <= target

    @property
    def ratio_goal(self) -> float | None:
        """The target as a ratio to the deque, which moves less with the machine."""
        if self.ratio_target is not None or self.reference is None:
            return self.ratio_target
        return self.target / self.reference


def _percentile(percent: float) -> Callable[[dict[str, Any]], float]:
    place = PERCENTILES.index(percent)
    return lambda round_: float(round_["us"][place])


def _of(key: str) -> Callable[[dict[str, Any]], float]:
    return lambda round_: float(round_[key])


METRICS = (
    Metric("p50 µs", "latency", _percentile(50.0), 2, 1.3, 0.30),
    Metric("p99 µs", "latency", _percentile(99.0), 2, 2.5, 2.6),
    Metric("p99.9 µs", "latency", _percentile(99.9), 1, 8, 9.6),
    Metric("max µs", "latency", _percentile(100.0), 0, 2000),
    Metric("calls/s, loop", "rate", _of("loop_per_s"), 0, 750_000, 1_122_000, more_is_better=True),
    Metric(
        "calls/s until closed",
        "rate",
        _of("closed_per_s"),
        0,
        700_000,
        1_103_000,
        more_is_better=True,
        ratio_target=0.65,
    ),
    Metric("CPU µs/step", "rate", _of("cpu_us"), 2, 1.5, 0.9),
    Metric("bytes/step", "rate", _of("bytes"), 1, 34),
    Metric("peak RSS MB", "rate", _of("rss_mb"), 0, 70, 63),
    Metric("import s", "start", _of("import_s"), 3, 0.05),
    Metric("start s", "start", _of("start_s"), 3, 0.01),
)


def rounds(results: dict[str, Any], contender: str, metric: Metric) -> list[float]:
    """Return a figure's value in each round; none where it was not measured."""
    return [metric.pick(round_) for round_ in results.get(metric.section, {}).get(contender, [])]


def best(values: Sequence[float], metric: Metric) -> float:
    """Return the best round: what the machine allows when nobody else is on it."""
    return max(values) if metric.more_is_better else min(values)


def ratios(results: dict[str, Any], contender: str, metric: Metric) -> list[float]:
    """Return a figure relative to the deque's of the same round."""
    own, base = rounds(results, contender, metric), rounds(results, BASELINE, metric)
    return [a / b for a, b in zip(own, base, strict=False) if b]  # `nothing` has no start to time


class Slowdown(NamedTuple):
    """How much longer a step takes with logging: the ratio of medians, and its 95 % confidence interval."""

    ratio: float
    low: float
    high: float
    best: float
    cpu_us: float

    @property
    def verdict(self) -> bool | None:
        """Whether the target is reached; None where the noise is too large to say."""
        if self.low > SLOWDOWN_TARGET:
            return False
        return True if self.high <= SLOWDOWN_TARGET else None


def slowdown(raw: dict[str, list[float]]) -> Slowdown:
    """Compare the blocks of a paced loop, with a bootstrap over pairs of neighbouring blocks."""
    pairs = list(zip(raw["bare_s"], raw["logging_s"], strict=True))
    source = random.Random(0)
    resampled = sorted(_ratio(source.choices(pairs, k=len(pairs))) for _ in range(_RESAMPLES))
    cpu = median(b - a for a, b in zip(raw["bare_cpu_s"], raw["logging_cpu_s"], strict=True))
    return Slowdown(
        ratio=_ratio(pairs),
        low=resampled[round(0.025 * _RESAMPLES)],
        high=resampled[round(0.975 * _RESAMPLES) - 1],
        best=min(raw["logging_s"]) / min(raw["bare_s"]),
        cpu_us=cpu * 1e6,
    )


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    return median(logging for _, logging in pairs) / median(bare for bare, _ in pairs)
