from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ml_dash.journal.blocks import Block, Column
from ml_dash.query.listing import summary
from ml_dash.query.listing.summary import AGGREGATES, FieldSummary, block_summaries, summarized
from ml_dash.series import Kind, Series

TRAIN = Series(Kind.METRIC, "train")


def block_of(rows: list[dict[str, Any]]) -> Block:
    """Columns as the journal has them: one for each field and type, sparse where a row lacks it."""
    columns: dict[tuple[str, str], tuple[list[int], list[Any]]] = {}
    for at, row in enumerate(rows):
        for name, value in row.items():
            is_int = isinstance(value, int) and -(2**63) <= value < 2**63
            kind = (
                "b"
                if isinstance(value, bool)
                else "i"
                if is_int
                else "f"
                if isinstance(value, float)
                else "o"
            )
            positions, values = columns.setdefault((name, kind), ([], []))
            positions.append(at)
            values.append(value)
    dtypes = {"b": np.bool_, "i": np.int64, "f": np.float64}
    return Block(
        TRAIN,
        np.arange(len(rows), dtype=np.int64),
        [
            Column(
                name,
                kind,
                None if len(positions) == len(rows) else np.array(positions, np.uint32),
                values if kind == "o" else np.array(values, dtypes[kind]),
            )
            for (name, kind), (positions, values) in columns.items()
        ],
    )


def one(rows: list[dict[str, Any]], field: str = "x") -> FieldSummary:
    return block_summaries(100, block_of(rows))[field]


def test_values_are_summarised_with_the_steps_of_their_rows() -> None:
    found = one([{"x": 3.0, "step": 10}, {"x": 1.0, "step": 20}, {"x": 2.0, "step": 30}])
    assert found == FieldSummary(3, 0, 3.0, 2.0, 1.0, 3.0, 6.0, 10, 30, 20, 10)
    assert found.mean == 2.0
    assert [found.step_of(each) for each in AGGREGATES] == [30, 10, 20, 10, None, None]
    assert [found.value(each) for each in AGGREGATES] == [2.0, 3.0, 1.0, 3.0, 2.0, 3]


def test_a_row_without_a_step_is_at_its_index() -> None:
    found = one([{"x": 1}, {"y": 1}, {"x": 2, "step": math.nan}, {"x": 3, "step": 0.5}])
    assert (found.min_step, found.max_step) == (100, 0.5)
    assert one([{"y": 0}, {"x": 2, "step": math.nan}, {"x": 1}]).first_step == 101


def test_nan_is_neither_the_least_nor_the_largest_and_may_be_the_last() -> None:
    found = one([{"x": math.nan}, {"x": 2.0}, {"x": 1.0}, {"x": math.nan}])
    assert (found.count, found.nan, found.first, found.min, found.max, found.total) == (
        4,
        2,
        2.0,
        1.0,
        2.0,
        3.0,
    )
    assert math.isnan(found.last)  # type: ignore[arg-type]
    assert (found.first_step, found.last_step, found.mean) == (101, 103, 1.5)


def test_of_nothing_but_nan_the_last_is_known_alone() -> None:
    for count in (1, 100):
        found = one([{"x": math.nan}] * count)
        assert (found.count, found.nan, found.first, found.min, found.mean) == (
            count,
            count,
            None,
            None,
            None,
        )
        assert math.isnan(found.last)  # type: ignore[arg-type]
        assert found.last_step == 99 + count


def test_bools_count_as_numbers_and_texts_have_a_last_one_alone() -> None:
    assert one([{"x": True}, {"x": False}, {"x": True}, {"x": True}]).mean == 0.75
    found = one([{"x": "warm"}, {"x": 3}, {"x": "c" * 2000}])
    assert (found.count, found.first, found.last, found.last_step, found.max) == (1, 3, "c" * 1000, 102, 3)
    assert one([{"x": "warm"}, {"x": 3}]).last == 3
    nothing = one([{"x": [1, 2]}, {"x": None}])
    assert nothing == FieldSummary()


def test_whole_numbers_stay_exact_whatever_their_size() -> None:
    found = one([{"x": 2**53 + 1}, {"x": 2**70}, {"x": -(2**70)}])
    assert (found.min, found.max, found.first) == (-(2**70), 2**70, 2**53 + 1)
    assert one([{"x": 10**400}, {"x": 1}]).total == math.inf
    assert one([{"x": 2**62}] * 100).total == 100 * 2.0**62


def test_infinities_have_the_mean_that_ieee_gives_them_or_none() -> None:
    assert one([{"x": math.inf}] * 20).mean == math.inf
    for count in (1, 20):
        assert one([{"x": math.inf}, {"x": -math.inf}] * count).mean is None


def test_items_of_nested_dicts_are_fields() -> None:
    found = block_summaries(0, block_of([{"a": {"b": 1.0, "c": "x"}}, {"a": {"b": 3.0}}]))
    assert (found["a.b"].mean, found["a.c"].last) == (2.0, "x")


def test_a_summary_survives_json() -> None:
    found = one([{"x": 3.0, "step": 10}, {"x": 1.0, "step": 20}])
    assert FieldSummary.from_json(found.to_json()) == found
    assert found.to_json()["minStep"] == 20
    assert FieldSummary.from_json(FieldSummary().to_json()) == FieldSummary()


def drawn(random_: random.Random) -> list[dict[str, Any]]:
    choices: list[Callable[[], Any]] = [
        lambda: random_.randint(-5, 5),
        random_.random,
        lambda: math.nan,
        lambda: random_.random() < 0.5,
        lambda: random_.choice("abc"),
        lambda: 2**80,
        lambda: None,
    ]
    kinds = random_.sample(choices, random_.randint(1, 3))
    rows: list[dict[str, Any]] = []
    for _ in range(random_.randint(1, 60)):
        row: dict[str, Any] = {}
        if random_.random() < 0.8:
            row["x"] = random_.choice(kinds)()
        if random_.random() < 0.8:
            row["step"] = random_.randint(0, 100)
        rows.append(row)
    return rows


def expected(rows: list[dict[str, Any]]) -> FieldSummary:
    """The same, told row by row."""
    known = [(at, row) for at, row in enumerate(rows) if isinstance(row.get("x"), (int, float, str))]
    numbers = [(at, row["x"], row.get("step", at)) for at, row in known if not isinstance(row["x"], str)]
    some = [each for each in numbers if not math.isnan(each[1])]
    least = min(some, key=lambda each: each[1], default=None)
    largest = max(some, key=lambda each: each[1], default=None)
    last = known[-1] if known else None
    return FieldSummary(
        len(numbers),
        len(numbers) - len(some),
        some[0][1] if some else None,
        last[1]["x"] if last else None,
        least[1] if least else None,
        largest[1] if largest else None,
        sum(float(each[1]) for each in some),
        some[0][2] if some else None,
        last[1].get("step", last[0]) if last else None,
        least[2] if least else None,
        largest[2] if largest else None,
    )


@pytest.mark.parametrize("seed", range(60))
def test_blocks_however_they_are_cut_have_the_summary_of_their_rows(seed: int) -> None:
    random_ = random.Random(seed)
    rows = drawn(random_)
    cuts = sorted({0, len(rows), *(random_.randint(0, len(rows)) for _ in range(random_.randint(0, 4)))})
    blocks = [(start, block_of(rows[start:stop])) for start, stop in itertools.pairwise(cuts)]
    found = summarized(blocks).get("x", FieldSummary())
    wanted = expected(rows)
    for name in FieldSummary._fields:
        one, other = getattr(found, name), getattr(wanted, name)
        assert one == pytest.approx(other, nan_ok=True) if isinstance(other, float) else one == other, name


@pytest.mark.parametrize("step", [None, "i", "f", "sparse", "nan"])
@pytest.mark.parametrize("count", [1, 2, 40])
def test_columns_that_are_looked_at_together_are_as_each_by_itself(
    monkeypatch: pytest.MonkeyPatch, step: str | None, count: int
) -> None:
    random_ = random.Random(count)
    rows: list[dict[str, Any]] = []
    for at in range(count):
        row: dict[str, Any] = {
            f"f{number}": random_.choice([-0.5, 0.25, 1e300, math.inf]) for number in range(4)
        }
        row |= {f"i{number}": random_.choice([2**62, -3, 7]) for number in range(3)}
        row |= {"nan": math.nan if at % 3 == 0 else 2.0, "f9": -at / 8, "text": "a", "ok": at % 2 == 0}
        if step is not None and (step != "sparse" or at % 2):
            row["step"] = {"f": at / 2, "nan": math.nan if at else 3.0}.get(step, 10 * at)
        if at % 3:
            row["now and then"] = at
        rows.append(dict(sorted(row.items(), key=lambda item: item[0][-1])))
    block = block_of(rows)
    together = block_summaries(100, block)
    monkeypatch.setattr(summary, "_BESIDE_ROWS", 0)
    alone = block_summaries(100, block)
    assert repr(together) == repr(alone)
    assert len(together) >= 11
