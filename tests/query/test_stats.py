"""Streaming statistics: exact, whatever the batches, with every kind of value."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ml_dash.journal.blocks import Block, Column
from ml_dash.query.stats import ExactSum, SeriesStats
from tests.support.view_journals import SECOND, TRAIN, block_of

FINITE = st.floats(allow_nan=False, allow_infinity=False)
INT64 = st.integers(-(2**63), 2**63 - 1)


def stats_of(*batches: list[dict[str, Any]]) -> dict[str, Any]:
    """The statistics of rows that come in these blocks, a second apart."""
    statistics = SeriesStats()
    start = 0
    for batch in batches:
        rows = [((start + at) * SECOND, fields) for at, fields in enumerate(batch)]
        statistics.add(start, block_of(TRAIN, rows))
        start += len(batch)
    return statistics.as_dict()


def field(values: list[Any], per_block: int = 1000) -> dict[str, Any]:
    """The statistics of one field with these values."""
    rows = [{"x": value} for value in values]
    batches = [rows[at : at + per_block] for at in range(0, len(rows), per_block)]
    found: dict[str, Any] = stats_of(*batches)["fields"]["x"]
    return found


def same(left: float, right: float) -> bool:
    """Equal, where NaN is equal to itself."""
    return left == right or (math.isnan(left) and math.isnan(right))


@given(st.lists(FINITE, min_size=1, max_size=80), st.integers(1, 80))
@settings(deadline=None)
def test_the_mean_is_the_float_nearest_to_the_true_one(values: list[float], per_block: int) -> None:
    true = sum(map(Fraction, values)) / len(values)
    assert field(values, per_block)["mean"] == float(true)


@given(st.lists(INT64, min_size=1, max_size=80), st.integers(1, 80))
@settings(deadline=None)
def test_ints_are_summed_exactly_too(values: list[int], per_block: int) -> None:
    found = field(values, per_block)
    assert found["mean"] == sum(values) / len(values)
    assert (found["min"], found["max"], found["last"]) == (min(values), max(values), values[-1])
    assert type(found["min"]) is int


@given(st.lists(FINITE, min_size=1, max_size=50))
@settings(deadline=None)
def test_the_fast_sum_of_floats_is_the_slow_one(values: list[float]) -> None:
    fast, slow = ExactSum(), ExactSum()
    fast.add_floats(np.array(values))
    for value in values:
        slow.add(value)
    assert fast._units == slow._units


@given(st.lists(INT64, min_size=1, max_size=50))
def test_the_fast_sum_of_ints_is_the_slow_one(values: list[int]) -> None:
    fast, slow = ExactSum(), ExactSum()
    fast.add_ints(np.array(values, np.int64))
    for value in values:
        slow.add(value)
    assert fast._units == slow._units


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), -1])
def test_a_long_column_of_large_ints_does_not_overflow(value: int) -> None:
    assert field([value] * 1000)["mean"] == float(value)


def test_a_column_without_values_counts_nothing() -> None:
    statistics = SeriesStats()
    statistics.add(0, Block(TRAIN, [0], [Column("x", "f", [], [])]))
    assert statistics.as_dict()["fields"]["x"]["count"] == 0


@pytest.mark.parametrize(
    "values",
    [
        [5e-324] * 100,
        [5e-324, 1.7e308] * 50,
        [1.7976931348623157e308] * 100,
        [1e308, 1e308, -1e308] * 40,
        [0.1] * 1000,
        [1e16, 1.0, -1e16] * 33,
        [-0.0] * 40,
    ],
    ids=["subnormal", "both ends", "largest", "overflowing sum", "tenths", "cancelling", "zeros"],
)
def test_extreme_values_neither_drift_nor_overflow(values: list[float]) -> None:
    assert field(values)["mean"] == float(sum(map(Fraction, values)) / len(values))


@given(
    st.lists(st.one_of(st.none(), st.floats(), INT64, st.booleans(), st.text()), max_size=60),
    st.integers(1, 60),
)
@settings(deadline=None)
def test_mixed_values_agree_with_the_plain_definition(values: list[Any], per_block: int) -> None:
    """NaN is counted and left out; bools, texts and None are counted; infinities count as IEEE has it."""
    if not values:
        assert stats_of()["fields"] == {}
        return
    found = field(values, per_block)
    numbers = [
        value for value in values if type(value) is int or (type(value) is float and not math.isnan(value))
    ]
    assert found["count"] == len(values)
    assert found["nan"] == sum(type(value) is float and math.isnan(value) for value in values)
    assert found["min"] == (min(numbers) if numbers else None)
    assert found["max"] == (max(numbers) if numbers else None)
    last, expected = found["last"], values[-1]
    assert type(last) is type(expected)
    assert last == expected or (isinstance(last, float) and same(last, expected))
    infinite = sum(value for value in numbers if type(value) is float and math.isinf(value))
    if not numbers:
        assert found["mean"] is None
    elif infinite != 0:
        assert same(found["mean"], infinite)
    else:
        finite = [Fraction(value) for value in numbers]
        assert found["mean"] == float(sum(finite) / len(finite))


def test_infinities_of_both_signs_have_no_mean() -> None:
    found = field([math.inf, 1.0, -math.inf])
    assert math.isnan(found["mean"])
    assert (found["min"], found["max"]) == (-math.inf, math.inf)


def test_one_infinity_is_the_mean() -> None:
    assert field([1.0, math.inf, 2.0])["mean"] == math.inf
    assert field([1.0] * 100 + [-math.inf])["mean"] == -math.inf


def test_only_nan_has_no_numbers() -> None:
    found = field([math.nan] * 3)
    assert math.isnan(found.pop("last"))
    assert found == {"count": 3, "nan": 3, "min": None, "max": None, "mean": None}


def test_bools_and_texts_have_a_count_and_a_last_value() -> None:
    nothing = {"nan": 0, "min": None, "max": None, "mean": None}
    assert field([True, False]) == {"count": 2, "last": False, **nothing}
    assert field(["a", "b", "c"]) == {"count": 3, "last": "c", **nothing}


def test_ints_beyond_int64_are_numbers() -> None:
    assert field([2**64 - 1, 1]) == {
        "count": 2,
        "nan": 0,
        "min": 1,
        "max": 2**64 - 1,
        "mean": float(2**63),
        "last": 1,
    }


def test_items_of_nested_dicts_are_fields_with_dotted_names() -> None:
    found = stats_of([{"eval": {"loss": 1.0, "by": {"class": 2}}}, {"eval": {"loss": 3.0}}])["fields"]
    assert list(found) == ["eval.loss", "eval.by.class"]
    assert (found["eval.loss"]["mean"], found["eval.loss"]["count"]) == (2.0, 2)
    assert found["eval.by.class"]["last"] == 2


def test_the_mark_of_an_unstorable_value_is_a_value() -> None:
    mark = {"__repr__": "<lock>", "__type__": "_thread.lock"}
    found = stats_of([{"x": mark}, {"x": {}}])["fields"]
    assert list(found) == ["x"]
    assert (found["x"]["count"], found["x"]["last"]) == (2, {})


def test_the_last_value_is_that_of_the_last_row_whatever_its_type() -> None:
    """A field of several types has several columns, in the order in which the types first came."""
    found = field(["text", 1.5, "text", 2, "text", 3.5, True])
    assert found["last"] is True
    assert found["count"] == 7


def test_a_row_of_one_field_is_its_value_and_one_of_several_a_dict() -> None:
    found = stats_of([{"loss": 1.0}, {"loss": 2.0, "acc": 0.5}])
    assert found["firstValue"] == 1.0
    assert found["lastValue"] == {"loss": 2.0, "acc": 0.5}
    assert found["firstDataAt"] == "1970-01-01T00:00:00.000000Z"
    assert found["lastDataAt"] == "1970-01-01T00:00:01.000000Z"


def test_nothing_gives_none() -> None:
    assert stats_of() == {
        "firstValue": None,
        "lastValue": None,
        "firstDataAt": None,
        "lastDataAt": None,
        "fields": {},
    }
