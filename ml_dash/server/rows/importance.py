"""How much parameters matter for a metric, told of the runs that there are: correlations, and a random forest.

The forest is scikit-learn's. Its importances are by permutation on runs that it was not trained with: by how much the
forest's prediction gets worse when a parameter's values are shuffled among these. So a forest that has learnt nothing
tells of nothing, and says so by its own score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_dash.errors import MissingExtraError
from ml_dash.journal.objects import to_msgpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_dash.server.charts.numbers import Array

LEAST_RUNS = 10
"""With fewer, a forest is a guess, and is not made."""
PARAMS_MAX = 200
"""Parameters of which correlations are told."""
_FOREST_PARAMS = 30
_FOLDS, _REPEATS, _TREES = 4, 3, 60
_CATEGORIES = 20
"""Texts and the like that are told apart; the rarer ones are one."""
_MISSING = object()


@dataclass(slots=True)
class Runs:
    """Takes runs, and tells how much their parameters matter."""

    metric: str
    name: str
    value: str
    targets: list[float] = field(default_factory=list)
    params: list[dict[str, Any]] = field(default_factory=list)

    def take(self, record: dict[str, Any]) -> bool:
        """Take a run that has a number to be told of; others are left out."""
        found = record.get("metrics", {}).get(self.metric, {}).get(self.name, {}).get(self.value)
        if isinstance(found, (int, float)) and not isinstance(found, bool) and math.isfinite(found):
            self.targets.append(float(found))
            self.params.append(record.get("params", {}))
        return True

    def told(self) -> dict[str, Any]:
        """Return what is told of them."""
        y = np.array(self.targets)
        columns = self._columns()
        found = {name: _correlated(column, y) for name, column in columns.items()}
        forest, importances = _forest(list(columns.values()), y)
        for name, (mean, std) in zip(columns, importances, strict=False):
            found[name] |= {"importance": mean, "importanceStd": std}
        ordered = sorted(
            found.items(), key=lambda item: (-(item[1]["importance"] or 0.0), -_strength(item[1]))
        )
        return {
            "runs": len(y),
            "data": [{"param": name, **each} for name, each in ordered],
            "forest": forest,
        }

    def _columns(self) -> dict[str, _Column]:
        """Return the parameters that differ, those that most runs have first."""
        counts: dict[str, int] = {}
        for params in self.params:
            for name in params:
                counts[name] = counts.get(name, 0) + 1
        names = sorted(counts, key=lambda name: -counts[name])
        found: dict[str, _Column] = {}
        for name in names:
            column = _column([params.get(name, _MISSING) for params in self.params])
            if column is not None:
                found[name] = column
            if len(found) == PARAMS_MAX:
                break
        return found


@dataclass(slots=True)
class _Column:
    """A parameter's values: as numbers, NaN where a run has none; or as columns of zeros and ones."""

    numbers: Array | None
    features: Array


def _column(values: Sequence[Any]) -> _Column | None:
    """Return the values of a parameter; None where they are all the same."""
    given = [each for each in values if each is not _MISSING]
    if all(isinstance(each, (int, float)) for each in given):
        numbers = np.array([math.nan if each is _MISSING else _number(each) for each in values])
        known = np.isfinite(numbers)
        if not known.any() or (known.all() and (numbers == numbers[0]).all()):
            return None
        numbers[~known] = np.nan
        filled = np.where(known, numbers, np.median(numbers[known]))
        features = filled[:, None] if known.all() else np.stack([filled, (~known).astype(float)], axis=1)
        return _Column(numbers, features)
    keys = [b"" if each is _MISSING else to_msgpack(each) for each in values]
    kinds, counts = np.unique(np.array(keys, dtype=object), return_counts=True)
    if len(kinds) < 2 or len(kinds) == len(keys) > _CATEGORIES:
        return None  # the same for all, or another one for each, as names are
    common = kinds[np.argsort(-counts, kind="stable")][:_CATEGORIES]
    return _Column(None, np.array([[key == kind for kind in common] for key in keys], dtype=float))


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _correlated(column: _Column, y: Array) -> dict[str, Any]:
    told: dict[str, Any] = {
        "correlation": None,
        "rankCorrelation": None,
        "importance": None,
        "importanceStd": None,
    }
    if column.numbers is None:
        return {**told, "runs": len(y)}
    known = np.isfinite(column.numbers)
    x, y = column.numbers[known], y[known]
    told["runs"] = len(y)
    told["correlation"] = _pearson(x, y)
    told["rankCorrelation"] = _pearson(_ranks(x), _ranks(y))
    return told


def _pearson(x: Array, y: Array) -> float | None:
    if len(x) < 3:
        return None
    with np.errstate(all="ignore"):
        x, y = x - x.mean(), y - y.mean()
        found = float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))
    return found if math.isfinite(found) else None


def _ranks(x: Array) -> Array:
    """Return the rank of each; those that are equal have the mean of theirs."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Array = (last - (counts - 1) / 2)[inverse]
    return ranks


def _strength(told: dict[str, Any]) -> float:
    return abs(float(told["rankCorrelation"] or 0.0))


def _forest(columns: Sequence[_Column], y: Array) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    """Return what is told of the forest, and the importance of each of the first parameters, with its deviation."""
    if len(y) < LEAST_RUNS:
        return {"score": None, "why": f"{len(y)} runs are too few: {LEAST_RUNS} are needed"}, []
    if not columns:
        return {"score": None, "why": "no parameter differs"}, []
    if (y == y[0]).all():
        return {"score": None, "why": "all runs have the same value"}, []
    try:
        from sklearn.ensemble import RandomForestRegressor
    except ImportError:
        lacking = MissingExtraError("A forest", "scikit-learn", "importance")
        return {"score": None, "why": f"{lacking}, where the server runs"}, []
    columns = columns[:_FOREST_PARAMS]
    features = np.concatenate([each.features for each in columns], axis=1)
    stops = np.cumsum([each.features.shape[1] for each in columns])
    order = np.random.default_rng(0).permutation(len(y))
    predicted: Array = np.empty(len(y))
    worse: list[list[float]] = [[] for _ in columns]
    spread = float(((y - y.mean()) ** 2).mean())
    for number in range(_FOLDS):
        apart = order[number::_FOLDS]
        rest = np.setdiff1d(order, apart)
        forest = RandomForestRegressor(_TREES, min_samples_leaf=2, random_state=number, n_jobs=1)
        forest.fit(features[rest], y[rest])
        predicted[apart] = forest.predict(features[apart])
        base = float(((predicted[apart] - y[apart]) ** 2).mean())
        shuffled = np.random.default_rng(number)
        for at, (first, stop) in enumerate(zip([0, *stops[:-1]], stops, strict=True)):
            for _ in range(_REPEATS):
                other = features[apart].copy()
                other[:, first:stop] = other[shuffled.permutation(len(apart)), first:stop]
                error = float(((forest.predict(other) - y[apart]) ** 2).mean())
                worse[at].append((error - base) / spread)
    score = 1 - float(((predicted - y) ** 2).mean()) / spread
    importances = [(max(float(np.mean(each)), 0.0), float(np.std(each))) for each in worse]
    why = None if score > 0 else "the forest predicts no better than the mean: its importances mean nothing"
    return {"score": score, "why": why}, importances
