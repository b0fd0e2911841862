from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from ml_dash.errors import InvalidArgumentError
from ml_dash.values.aggregate import parse_aggregations, summarize

NAMES = ("mean", "std", "min", "max", "count", "median", "sum", "first", "last")


def summary(values: Sequence[float], *names: str) -> dict[str, float]:
    return summarize(values, parse_aggregations(names))


def one(values: Sequence[float], name: str) -> float:
    return summary(values, name)[name]


def test_every_aggregation_of_a_few_values() -> None:
    assert summary([4.0, 1.0, 3.0, 2.0], *NAMES, "p0", "p25", "p100") == {
        "mean": 2.5,
        "std": pytest.approx(1.2909944487358056),
        "min": 1.0,
        "max": 4.0,
        "count": 4,
        "median": 2.5,
        "sum": 10.0,
        "first": 4.0,
        "last": 2.0,
        "p0": 1.0,
        "p25": 1.75,
        "p100": 4.0,
    }


def test_without_names_the_mean_is_taken() -> None:
    assert summary([1.0, 2.0]) == {"mean": 1.5}


def test_results_come_in_the_order_of_the_names_each_once() -> None:
    assert list(summary([1.0], "max", "p5", "max", "mean", "p5")) == ["max", "p5", "mean"]


def test_one_value_has_a_deviation_of_zero() -> None:
    assert one([7.5], "std") == 0.0


def test_nan_is_left_out_of_every_aggregate() -> None:
    with_nan = summary([math.nan, 2.0, math.nan, 4.0, math.nan], *NAMES, "p90")
    assert with_nan == summary([2.0, 4.0], *NAMES, "p90")
    assert with_nan["count"] == 2


@pytest.mark.parametrize("values", [[], [math.nan, math.nan]])
def test_of_no_values_count_and_sum_are_zero_and_the_rest_is_nan(values: list[float]) -> None:
    result = summary(values, *NAMES, "p50")
    assert (result.pop("count"), result.pop("sum")) == (0, 0.0)
    assert all(math.isnan(value) for value in result.values())


def test_the_infinities_are_values() -> None:
    values = [1.0, math.inf, 2.0]
    assert summary(values, "mean", "min", "max", "count", "sum", "median", "p75", "last") == {
        "mean": math.inf,
        "min": 1.0,
        "max": math.inf,
        "count": 3,
        "sum": math.inf,
        "median": 2.0,
        "p75": math.inf,
        "last": 2.0,
    }
    assert math.isnan(one(values, "std"))
    assert math.isnan(one([math.inf, -math.inf], "mean"))
    assert one([-math.inf, 0.0], "p25") == -math.inf


def test_values_near_the_largest_float_do_not_overflow() -> None:
    assert one([1e308, 1e308, 1e308], "mean") == 1e308
    assert one([sys.float_info.max] * 3, "mean") == sys.float_info.max
    assert one([1e308, 1e308, -1e308], "sum") == pytest.approx(1e308)
    assert one([1e308, 1e308], "sum") == math.inf
    assert one([-1e308, -1e308], "sum") == -math.inf
    assert one([1e200, -1e200], "std") == pytest.approx(math.sqrt(2) * 1e200)
    assert one([-1.7e308, 1.7e308], "p50") == 0.0
    assert one([-1.7e308, 1.7e308], "p100") == 1.7e308


def test_many_small_values_do_not_lose_digits() -> None:
    assert one([0.1] * 1_000_000, "mean") == 0.1
    assert one([1e16, 1.0, -1e16], "sum") == 1.0


def test_ints_and_bools_count_as_numbers() -> None:
    assert summary([True, 2, False], "sum", "max", "mean") == {"sum": 3.0, "max": 2.0, "mean": 1.0}


def test_the_count_is_an_int_and_everything_else_a_float() -> None:
    types = {name: type(value) for name, value in summary([1, 2], *NAMES, "p1").items()}
    assert types.pop("count") is int
    assert set(types.values()) == {float}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "avg",
        "Mean",
        "p",
        "p101",
        "p100.1",
        "p-1",
        "p1e1",
        "p5.",
        "P50",
        "p\u0665",
        "p50 ",
        "mean,std",
        None,
        50,
    ],
)
def test_an_unknown_name_is_refused_with_those_that_are_known(name: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_aggregations(["mean", name])
    assert f"aggregation {name!r} is not known" in str(caught.value)
    assert all(known in str(caught.value) for known in (*NAMES, "p99.9"))


def test_a_list_of_names_in_place_of_names_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="is not known"):
        parse_aggregations([["mean", "std"]])  # type: ignore[list-item]


VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


@given(VALUES)
def test_moments_agree_with_numpy(values: list[float]) -> None:
    result = summary(values, *NAMES)
    array = np.array(values)
    assert result["mean"] == pytest.approx(array.mean(), rel=1e-9, abs=1e-6)
    assert result["sum"] == pytest.approx(array.sum(), rel=1e-9, abs=1e-6)
    assert result["std"] == pytest.approx(array.std(ddof=1) if len(values) > 1 else 0.0, rel=1e-9, abs=1e-6)
    assert result["median"] == pytest.approx(np.median(array), rel=1e-9, abs=1e-6)
    assert (result["min"], result["max"]) == (array.min(), array.max())
    assert (result["first"], result["last"], result["count"]) == (values[0], values[-1], len(values))


@given(VALUES, st.integers(0, 1000).map(lambda tenths: tenths / 10))
def test_percentiles_agree_with_numpy(values: list[float], percent: float) -> None:
    ours = one(values, f"p{percent}")
    assert ours == pytest.approx(np.percentile(values, percent), rel=1e-12, abs=1e-9)
    assert min(values) <= ours <= max(values)


@given(st.lists(st.floats(), max_size=20), st.sampled_from([*NAMES, "p0", "p33.3", "p50", "p100"]))
def test_no_values_whatever_raise_an_error(values: list[float], name: str) -> None:
    assert isinstance(one(values, name), (float, int))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_mean_and_percentiles_of_finite_values_lie_between_the_extremes(values: list[float]) -> None:
    low, high = min(values), max(values)
    slack = 1e-12 * max(abs(low), abs(high))
    for name in ("mean", "median", "p10", "p99.9"):
        assert low - slack <= one(values, name) <= high + slack
