"""Charts against a plain reference that looks at every row."""

from __future__ import annotations

import json
import math
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ml_dash.journal.blocks import Block, Column
from ml_dash.query.axes.as_of import Clock
from ml_dash.query.selection import Shown
from ml_dash.server.charts import chart as charts
from ml_dash.server.charts.chart import ChartLimits
from ml_dash.server.charts.parts import COLUMNS
from ml_dash.server.charts.rows import ChartSource
from ml_dash.server.errors import ApiError
from tests.server.charts.charted import (
    ASKED,
    BUCKETS,
    ROWS,
    ROWS_ONLY,
    SECOND,
    TRAIN,
    Charted,
    Row,
    block_of,
    ordered,
    pixels,
    points,
    rising,
    tallies,
    through_a_frame,
    totals,
)
from tests.support.examples import many


def chart(series: Charted, *args: Any, **named: Any) -> dict[str, Any]:
    source = ChartSource(series.rows, series.summaries, Shown(series.blocks, series.rows))
    return charts.chart(source, *args, **named)


def charted(rows: list[Row], per_block: int, bucket: int) -> Charted:
    return Charted([block_of(rows[at : at + per_block]) for at in range(0, len(rows), per_block)], bucket)


@given(ROWS, ASKED, st.integers(1, 30))
def test_rows_are_drawn_as_the_reference_draws_them(
    rows: list[Row], asked: dict[str, Any], per_block: int
) -> None:
    start, stop = ordered(asked["bounds"])
    field, x, width = asked["field"], asked["x"], asked["width"]
    drawn = chart(charted(rows, per_block, 4), field, x, start, stop, width, ROWS_ONLY)
    found = points(rows, field, x, start, stop)
    assert (drawn["resolution"], drawn["exact"], drawn["rows"]) == ("rows", True, len(rows))
    assert drawn["points"] == len(found)
    expected = list(pixels(found, width).values())
    columns = drawn["buckets"]
    assert list(columns) == list(COLUMNS)
    assert {len(column) for column in columns.values()} == {len(expected)}
    for pixel, here in enumerate(expected):
        along, values = [each for each, _ in here], [value for _, value in here]
        for name, value in tallies(values).items():
            assert columns[name][pixel] == value, name
        assert (columns["xMin"][pixel], columns["xMax"][pixel]) == (min(along), max(along))
        assert min(along) <= columns["x"][pixel] <= max(along)
        check_mean(columns, pixel, values)


def check_mean(columns: dict[str, list[Any]], pixel: int, values: list[float]) -> None:
    finite = [value for value in values if math.isfinite(value)]
    mean = columns["mean"][pixel]
    if not finite:
        assert mean is None
        return
    assert columns["min"][pixel] <= mean <= columns["max"][pixel]
    slack = 1e-12 * max(map(abs, finite))
    assert math.isclose(mean, sum(value / len(finite) for value in finite), rel_tol=1e-9, abs_tol=slack)


@given(ROWS, ASKED, st.integers(1, 30), st.integers(1, 9))
@settings(max_examples=many(200))
def test_totals_are_exact_in_both_resolutions(
    rows: list[Row], asked: dict[str, Any], per_block: int, bucket: int
) -> None:
    start, stop = ordered(asked["bounds"])
    field, x = asked["field"], asked["x"]
    found = points(rows, field, x, start, stop)
    expected = tallies([value for _, value in found])
    del expected["first"], expected["last"]
    for limits in (ROWS_ONLY, BUCKETS):
        drawn = chart(charted(rows, per_block, bucket), field, x, start, stop, asked["width"], limits)
        assert drawn["exact"]
        assert drawn["points"] == len(found)
        assert totals(drawn) == expected
        assert len(drawn["buckets"]["x"]) <= asked["width"]
        assert drawn["buckets"]["x"] == sorted(drawn["buckets"]["x"])


@pytest.mark.slow
@given(st.integers(41, 200), st.integers(1, 10), st.integers(1, 50), st.integers(1, 7), st.randoms())
def test_buckets_of_a_rising_x_are_at_most_a_bucket_away(
    count: int, width: int, per_block: int, bucket: int, random: Any
) -> None:
    rows = [(at * SECOND, {"y": random.random(), "step": at}) for at in range(count)]
    series = charted(rows, per_block, bucket)
    for x in ("index", "time", "step"):
        drawn = chart(series, "y", x, None, None, width, BUCKETS)
        assert drawn["resolution"] == "buckets"
        columns = drawn["buckets"]
        for pixel in range(len(columns["x"])):
            low, high = int(columns["xMin"][pixel]), int(columns["xMax"][pixel])
            values = [fields["y"] for _, fields in rows[low : high + 1]]
            for name, value in tallies(values).items():
                assert columns[name][pixel] == value, name
            check_mean(columns, pixel, values)
            assert high - low < (count - 1) / width + 2 * bucket


@pytest.mark.parametrize("blocks", [40, 80])
@pytest.mark.parametrize("x", ["index", "time", "step"])
def test_only_the_edges_of_a_long_range_are_read(blocks: int, x: str) -> None:
    series = rising(blocks * 8192, 8192)
    stop = series.rows - 100.5
    drawn = chart(series, "y", x, 100.5, stop, 200)
    assert (drawn["resolution"], drawn["exact"]) == ("buckets", True)
    assert drawn["points"] == series.rows - 201
    assert totals(drawn)["min"] == 101
    assert totals(drawn)["max"] == series.rows - 101
    assert series.rows_read == 2 * 8192
    assert series.summaries_read == blocks


def test_no_row_is_read_for_the_whole_series() -> None:
    series = rising(40 * 8192, 8192)
    drawn = chart(series, "y", "index", None, None, 1000)
    assert (series.rows_read, series.summaries_read) == (0, 40)
    assert drawn["points"] == series.rows


def test_a_range_of_the_index_leaves_the_other_blocks_alone() -> None:
    series = rising(80 * 8192, 8192)
    chart(series, "y", "index", 8192 * 30, 8192 * 50, 100)
    assert (series.rows_read, series.summaries_read) == (0, 20)
    chart(series, "y", "index", 8192 * 30, 8192 * 32, 100)
    assert (series.rows_read, series.summaries_read) == (2 * 8192, 20)


@pytest.mark.parametrize("x", ["time", "step"])
def test_a_short_range_is_found_by_summaries_and_read(x: str) -> None:
    series = rising(80 * 8192, 8192)
    drawn = chart(series, "y", x, 300_000, 300_100, 100)
    assert (drawn["resolution"], drawn["points"]) == ("rows", 100)
    assert drawn["buckets"]["min"] == [float(at) for at in range(300_000, 300_100)]
    assert series.rows_read == 8192


def test_a_field_in_few_rows_of_a_long_series_is_drawn_row_by_row() -> None:
    series = rising(20 * 8192, 8192)
    sparse = through_a_frame(
        Block(TRAIN, np.arange(10), [Column("val", "f", np.array([3, 7]), np.array([1.0, 2.0]))])
    )
    both = Charted([*[block for _, block, _ in series._stored], sparse])
    drawn = chart(both, "val", "index", None, None, 100)
    assert (drawn["resolution"], drawn["buckets"]["min"]) == ("rows", [1.0, 2.0])
    assert both.rows_read == 10


def test_zooming_in_ends_with_rows() -> None:
    series = rising(40 * 8192, 8192)
    low, high, resolutions = 0.0, float(series.rows), []
    while high - low > 10:
        drawn = chart(series, "y", "step", low, high, 50)
        resolutions.append(drawn["resolution"])
        assert totals(drawn)["count"] == math.ceil(high) - math.ceil(low)
        low, high = low + (high - low) / 4, high - (high - low) / 4
    assert resolutions == sorted(resolutions)
    assert set(resolutions) == {"buckets", "rows"}


def test_an_x_that_jumps_about_is_read_row_by_row_up_to_a_limit() -> None:
    def jumping(values: Any) -> Any:
        return values * 7919 % 1000

    series = rising(20 * 8192, 8192, jumping=jumping)
    drawn = chart(series, "y", "jumping", None, None, 100)
    assert (drawn["resolution"], len(drawn["buckets"]["x"])) == ("rows", 100)
    limited = chart(series, "y", "jumping", None, None, 100, ChartLimits(most_rows=1))
    assert (limited["resolution"], limited["exact"], limited["points"]) == ("buckets", True, series.rows)


def test_beyond_the_limit_a_bucket_is_taken_by_its_middle_and_the_answer_says_so() -> None:
    series = rising(20 * 8192, 8192)
    drawn = chart(series, "y", "step", 100, 100_000, 100, ChartLimits(exact_rows=1, most_rows=1))
    assert (drawn["resolution"], drawn["exact"], series.rows_read) == ("buckets", False, 0)
    assert drawn["points"] == 98 * 1024


def test_runs_of_rows_that_are_far_apart_are_read_apart() -> None:
    series = rising(40 * 8192, 8192)
    chart(series, "y", "time", 0.5, series.rows - 1.5, 100)
    assert series.reads == [(0, 1024), (series.rows - 1024, series.rows)]


def test_several_writers_whose_times_overlap_are_drawn_by_time() -> None:
    first = [(at * SECOND, {"y": 1.0}) for at in range(0, 40, 2)]
    second = [(at * SECOND, {"y": 2.0}) for at in range(1, 40, 2)]
    drawn = chart(charted([*first, *second], 5, 2), "y", "time", None, None, 4, ROWS_ONLY)
    assert drawn["buckets"]["count"] == [10, 10, 10, 10]
    assert drawn["buckets"]["mean"] == [1.5] * 4
    assert drawn["buckets"]["first"] == [1.0] * 4
    assert drawn["buckets"]["last"] == [2.0] * 4


def test_an_empty_series_has_an_empty_chart() -> None:
    drawn = chart(Charted([]), "y", "index", None, None, 100)
    assert (drawn["rows"], drawn["points"], drawn["buckets"]["x"]) == (0, 0, [])


@pytest.mark.parametrize("limits", [ROWS_ONLY, BUCKETS])
@pytest.mark.parametrize("x", ["index", "time", "step"])
def test_a_single_row_is_a_single_pixel(x: str, limits: ChartLimits) -> None:
    drawn = chart(charted([(7 * SECOND, {"y": 1.5, "step": -3})], 1, 4), "y", x, None, None, 100, limits)
    assert drawn["buckets"]["x"] == [{"index": 0.0, "time": 7.0, "step": -3.0}[x]]
    assert drawn["buckets"]["mean"] == [1.5]


@pytest.mark.parametrize("limits", [ROWS_ONLY, BUCKETS])
def test_nothing_but_nan_is_counted_and_has_no_numbers(limits: ChartLimits) -> None:
    drawn = chart(
        charted([(at, {"y": math.nan}) for at in range(9)], 5, 2), "y", "index", None, None, 1, limits
    )
    assert drawn["points"] == 9
    assert drawn["buckets"] == {
        "x": [4.0], "xMin": [0.0], "xMax": [8.0], "count": [0], "min": [None], "max": [None], "mean": [None],
        "first": [None], "last": [None], "nan": [9], "posInf": [0], "negInf": [0],
    }  # fmt: skip


@pytest.mark.parametrize("limits", [ROWS_ONLY, BUCKETS])
def test_an_x_from_one_end_of_the_floats_to_the_other_is_divided_too(limits: ChartLimits) -> None:
    largest = np.finfo(np.float64).max.item()
    rows = [(0, {"y": 1.0, "x": x}) for x in (-largest, 0.0, largest)]
    drawn = chart(charted(rows, 1, 1), "y", "x", None, None, 2, limits)
    assert drawn["buckets"]["count"] == [1, 2]


def test_the_answer_is_plain_data() -> None:
    rows = [(at, {"y": math.nan if at % 2 else 1.0}) for at in range(20)]
    for limits in (ROWS_ONLY, BUCKETS):
        drawn = chart(charted(rows, 5, 2), "y", "time", None, None, 7, limits)
        assert msgpack.unpackb(msgpack.packb(drawn)) == drawn
        assert json.loads(json.dumps(drawn, allow_nan=False)) == drawn


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"width": 0}, "width=0 .* from 1 to 10000"),
        ({"width": 10_001}, "width=10001 .* from 1 to 10000"),
        ({"width": True}, "width=True"),
        ({"width": 1.5}, "width=1.5"),
        ({"width": "100"}, "width='100'"),
        ({"width": "1" * 500}, f"width='{'1' * 99}… is not possible"),
        ({"x": ""}, "x='' .* name of a field"),
        ({"x": None}, "x=None .* name of a field"),
        ({"field": ""}, "field='' .* name of a field"),
        ({"field": 3}, "field=3 .* name of a field"),
        ({"start": math.nan}, "start=nan .* give a number"),
        ({"start": "soon"}, "start='soon' .* give a number"),
        ({"stop": True}, "stop=True .* give a number"),
        ({"stop": 10**5000}, "stop=an int of 16610 bits .* a float can hold"),
        ({"start": 2, "stop": 1}, "start=2 .* beyond stop=1; exchange the two"),
    ],
)
def test_a_bad_argument_is_named_with_the_remedy(changed: dict[str, Any], words: str) -> None:
    arguments = {"field": "y", "x": "index", "start": None, "stop": None, "width": 100, **changed}
    with pytest.raises(ApiError, match=words) as caught:
        chart(Charted([]), **arguments)
    assert (caught.value.status, caught.value.code) == (400, "invalid")


def test_unknown_fields_are_empty_charts() -> None:
    series = rising(20 * 8192, 8192)
    for field, x in (("unknown", "index"), ("unknown", "step"), ("y", "unknown")):
        drawn = chart(series, field, x, None, None, 100)
        assert (drawn["points"], drawn["buckets"]["x"], drawn["exact"]) == (0, [], True)
    assert series.rows_read == 0


def test_a_long_range_over_a_clock_is_drawn_of_summaries() -> None:
    """The clock says ten steps a second, from second 1000 on: only the block in which it begins is read."""
    series = rising(40 * 8192, 8192)
    at = np.arange(1000, series.rows)
    said = Block(TRAIN, at * SECOND, [Column("step", "i", None, 10 * at)])
    clock = Clock("step", lambda *_: iter([(0, said)]))
    source = ChartSource(series.rows, series.summaries, Shown(series.blocks, series.rows), clock=clock)
    drawn = charts.chart(source, "y", "train/step", None, None, 200)
    assert (drawn["resolution"], drawn["exact"], drawn["x"]) == ("buckets", True, "train/step")
    assert drawn["points"] == series.rows - 1000
    assert (drawn["buckets"]["xMin"][0], drawn["buckets"]["xMax"][-1]) == (10_000.0, 10.0 * (series.rows - 1))
    assert series.rows_read == 8192
    drawn = charts.chart(source, "y", "train/step", 100_000, 200_000, 200)
    assert (drawn["points"], totals(drawn)["min"], totals(drawn)["max"]) == (10_000, 10_000, 19_999)


@pytest.mark.sample(2)
@pytest.mark.parametrize("most_rows", [1 << 21, 20 * 8192])
def test_of_a_rank_that_logs_in_turn_with_others_no_row_of_theirs_is_drawn(most_rows: int) -> None:
    """Each bucket has rows of both; where these are more than may be read, some are, from end to end."""
    series = rising(160 * 8192, 8192)
    own = [(at, at + 64) for at in range(0, series.rows, 128)]
    source = ChartSource(series.rows, series.summaries, Shown(series.blocks, series.rows).only(own))
    drawn = charts.chart(source, "y", "index", None, None, 200, ChartLimits(most_rows=most_rows))
    columns = drawn["buckets"]
    assert {int(y) // 64 % 2 for name in ("min", "max", "first", "last") for y in columns[name]} == {0}
    assert columns["x"][-1] > 0.85 * series.rows
    all_read = most_rows > series.rows
    assert (drawn["exact"], drawn["points"] == series.rows // 2) == (all_read, all_read)
    assert series.rows_read <= (series.rows if all_read else 2 * most_rows)
