"""Lines against a plain reference that looks at every row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ml_dash.journal.blocks import Block, Column
from ml_dash.query.axes.as_of import Clock
from ml_dash.query.selection import Shown
from ml_dash.server.charts import lines
from ml_dash.server.charts.chart import ChartLimits
from ml_dash.server.charts.lines import Line, LineRequest, line
from ml_dash.server.charts.rows import ChartSource
from ml_dash.server.charts.smoothing import Smooth
from ml_dash.server.charts.wire import Mark, read_mark, sent
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
    points,
    rising,
    tallies,
    through_a_frame,
)
from tests.support.examples import many

EMA = Smooth("ema", 0.6)


def source_of(series: Charted, *fields: str, started_ns: int | None = None) -> ChartSource:
    shown = Shown(series.blocks, series.rows)
    return ChartSource(series.rows, series.summaries, shown, fields, lambda: started_ns)


def charted(rows: list[Row], per_block: int = 10, bucket: int = 4) -> Charted:
    return Charted([block_of(rows[at : at + per_block]) for at in range(0, len(rows), per_block)], bucket)


def drawn(
    series: Charted, x: str = "step", width: int = 1000, limits: ChartLimits = ROWS_ONLY, **asked: Any
) -> Line:
    request = LineRequest("y", x, asked.get("start"), asked.get("stop"), width, asked.get("smooth"))
    with pytest.MonkeyPatch.context() as patched:
        if limits is BUCKETS:
            patched.setattr(lines, "BUCKET", 4)
        return line(source_of(series, "y", "step"), request, limits)


def told_of(drawn: Line, known: Mark | None = None, *, as_bytes: bool = False) -> dict[str, Any]:
    return sent(drawn.columns, Mark("question", "version", "state", 0, ""), known, as_bytes=as_bytes)


def by_cell(found: list[tuple[float, float]], cell: float) -> list[list[tuple[float, float]]]:
    cells: dict[float, list[tuple[float, float]]] = {}
    for each in found:
        cells.setdefault(math.floor(each[0] / cell) if cell else 0, []).append(each)
    return [cells[number] for number in sorted(cells)]


@given(ROWS, ASKED, st.integers(1, 30))
@settings(max_examples=many(200))
def test_a_line_is_the_one_of_the_reference(rows: list[Row], asked: dict[str, Any], per_block: int) -> None:
    """Each point tells of the rows of one cell, at an x that one of them has."""
    start, stop = ordered(asked["bounds"])
    field, x, width = asked["field"], asked["x"], asked["width"] + 1
    fields = sorted({name for _, each in rows for name in each})
    source = source_of(charted(rows, per_block), *fields)
    result = line(source, LineRequest(field, x, start, stop, width), ROWS_ONLY)
    found = points(rows, field, result.x, start, stop)
    columns = result.columns
    assert (result.points, result.exact, len(columns["x"]) <= width) == (len(found), True, True)
    if found and max(each for each, _ in found) / 2 - min(each for each, _ in found) / 2 > 1e300:
        return  # divided otherwise: such cells are no powers of two
    expected = by_cell(found, result.cell)
    assert len(columns["x"]) == len(expected)
    for at, here in enumerate(expected):
        told = tallies([value for _, value in here])
        for name in ("count", "nan", "posInf", "negInf"):
            assert columns[name][at] == told[name], name
        for name in ("min", "max"):
            assert told[name] is None if math.isnan(columns[name][at]) else columns[name][at] == told[name]
        assert columns["x"][at] in {along for along, _ in here}
        if told["count"] and len({along for along, _ in here}) == 1:
            assert columns["y"][at] == told["last"]


@given(st.integers(1, 400), st.integers(2, 50), st.sampled_from(["index", "step", "time"]))
def test_points_of_steps_are_steps_and_a_cell_is_a_power_of_two(count: int, width: int, x: str) -> None:
    rows = [(at * SECOND, {"y": float(at), "step": 3 * at}) for at in range(count)]
    for limits in (ROWS_ONLY, BUCKETS):
        result = drawn(charted(rows), x, width, limits)
        logged = {"index": range(count), "step": range(0, 3 * count, 3), "time": range(count)}[x]
        assert set(result.columns["x"].tolist()) <= set(logged)
        assert (np.diff(result.columns["x"]) > 0).all()
        assert result.cell == 0 if len(result.columns["x"]) == 1 else math.frexp(result.cell)[0] == 0.5
        assert result.columns["count"].sum() == count
    assert len(drawn(charted(rows), x, width).columns["x"]) >= min(count, width // 2 - 1)


def test_cells_stay_where_they_are_while_a_run_grows() -> None:
    """And a client that has them is told of the others only."""
    grown = [drawn(rising(count, 8192), width=300, limits=ChartLimits()) for count in (300_000, 303_000)]
    assert grown[0].cell == grown[1].cell
    settled = len(grown[0].columns["x"]) - 2
    for name, column in grown[0].columns.items():
        assert (column[:settled] == grown[1].columns[name][:settled]).all(), name
    first = told_of(grown[0])
    more = told_of(grown[1], read_mark(first["cursor"]))
    assert (first["first"], more["first"]) == (0, settled)
    assert (
        first["columns"]["x"]["data"][:settled] + more["columns"]["x"]["data"]
        == grown[1].columns["x"].tolist()
    )
    for known in (
        read_mark(first["cursor"])._replace(hash="x"),
        read_mark(first["cursor"])._replace(question="z"),
    ):
        assert told_of(grown[1], known)["first"] == 0


@pytest.mark.parametrize("tail", [1, 700, 1023, 1500, 9000])
def test_the_newest_rows_of_a_long_run_come_as_the_others_do(tail: int) -> None:
    """Small blocks, as of a live run, are not drawn one by one beside those of a thousand rows."""
    values = np.arange(200_000 + tail, dtype=np.float64)
    cuts = [*range(0, 196_608, 8192), *range(196_608, len(values), 100)]
    blocks = [
        through_a_frame(Block(TRAIN, values[a:b].astype(np.int64), [Column("y", "f", None, values[a:b])]))
        for a, b in zip(cuts, [*cuts[1:], len(values)], strict=True)
    ]
    for asked in ({}, {"start": 100.0, "stop": len(values) - 0.5}):
        result = drawn(Charted(blocks), "index", 3000, ChartLimits(), **asked)
        assert result.resolution == "buckets"
        assert result.columns["count"].sum() == len(values) - (100 if asked else 0)
        assert (result.columns["count"][1:-1] >= 800).all()


def test_a_spike_stays_however_narrow_a_chart_is() -> None:
    values = np.sin(np.arange(300_000))
    values[123_456] = 5.0
    series = Charted([
        through_a_frame(Block(TRAIN, np.arange(at, at + 1000), [Column("y", "f", None, values[at : at + 1000])]))
        for at in range(0, len(values), 1000)
    ])  # fmt: skip
    for width in (2, 10, 400):
        columns = drawn(series, "index", width, ChartLimits()).columns
        assert columns["max"].max() == 5.0
        assert columns["x"][columns["max"].argmax()] == pytest.approx(123_456, abs=300_000 / width * 2)


def test_of_repeated_steps_the_last_is_told() -> None:
    rows = [(at, {"y": 1.0, "step": at}) for at in range(100)] + [
        (at, {"y": 3.0, "step": at}) for at in range(50, 100)
    ]
    columns = drawn(charted(rows)).columns
    assert columns["x"].tolist() == list(range(100))
    assert columns["y"].tolist() == [1.0] * 50 + [3.0] * 50
    assert columns["count"].tolist() == [1] * 50 + [2] * 50


def test_x_is_a_step_if_rows_have_one_and_seconds_since_the_start_if_asked_for() -> None:
    series = charted([((100 + at) * SECOND, {"y": 1.0}) for at in range(5)])
    without = line(source_of(series, "y"), LineRequest("y", "step", None, None, 10), ROWS_ONLY)
    assert (without.x, without.columns["x"].tolist()) == ("index", [0, 1, 2, 3, 4])
    asked = LineRequest("y", "relative", 11.0, 13.5, 10)
    relative = line(source_of(series, "y", started_ns=90 * SECOND), asked, ROWS_ONLY)
    assert (relative.x, relative.columns["x"].tolist()) == ("relative", [11, 12, 13])
    unknown = line(source_of(series, "y"), asked._replace(start=None, stop=None), ROWS_ONLY)
    assert unknown.columns["x"].tolist() == [0, 1, 2, 3, 4]


def test_x_may_be_what_another_metric_was_at_the_time() -> None:
    """Of each row the last that was logged until then; rows before the first have none."""
    other = charted([(at * SECOND, {"tokens": float(at**2)}) for at in range(3, 50, 4)], 5)
    rows: list[Row] = [(at * SECOND + 1, {"y": float(at)}) for at in range(60)]
    clock = Clock("tokens", lambda start, stop: other.blocks(start, other.rows if stop is None else stop))
    source = source_of(charted(rows), "y")._replace(clock=clock)

    def over(start: float | None, stop: float | None, smooth: Smooth | None = None) -> Line:
        return line(source, LineRequest("y", "train/tokens", start, stop, 10_000, smooth), ROWS_ONLY)

    expected = [max(known**2 for known in range(3, 50, 4) if known <= at) for at in range(3, 60)]
    logged = sorted(set(expected))
    whole = over(None, None)
    assert (whole.x, whole.points, whole.exact) == ("train/tokens", 57, True)
    assert whole.columns["x"].tolist() == logged
    assert whole.columns["count"].tolist() == [expected.count(each) for each in logged]
    # of several rows of one x it is the last
    last = {x: at for at, x in enumerate(expected, 3)}
    assert whole.columns["y"].tolist() == [last[each] for each in logged]
    cut, smooth = over(100.0, 500.0, EMA), over(None, None, EMA).columns
    inside = [each for each in logged if 100 <= each < 500]
    assert cut.columns["x"].tolist() == over(100.0, 500.0).columns["x"].tolist() == inside
    known = dict(zip(smooth["x"].tolist(), smooth["smooth"].tolist(), strict=True))
    assert cut.columns["smooth"].tolist() == pytest.approx([known[each] for each in inside])
    assert over(1e9, None).points == 0


# --- smoothing


def twema(found: list[tuple[float, float]], amount: float) -> list[float]:
    """The average as W&B documents it, row by row."""
    extent = found[-1][0] - found[0][0]
    weight = min(math.sqrt(amount), 0.999)
    last = debias = 0.0
    before = found[0][0]
    smoothed = []
    for x, y in found:
        adjusted = weight ** ((x - before) / extent * 1000)
        last, debias, before = last * adjusted + y, debias * adjusted + 1, x
        smoothed.append(last / debias)
    return smoothed


def noisy(count: int) -> list[Row]:
    random = np.random.default_rng(count)
    steps = np.cumsum(random.integers(1, 9, count)).tolist()
    return [
        (at * SECOND, {"y": float(y), "step": step})
        for at, (y, step) in enumerate(zip(random.normal(size=count), steps, strict=True))
    ]


@pytest.mark.parametrize("amount", [0.001, 0.3, 0.6, 0.99, 0.9999])
def test_an_average_is_that_of_the_rows(amount: float) -> None:
    rows = noisy(500)
    columns = drawn(charted(rows), width=10_000, smooth=Smooth("ema", amount)).columns
    expected = twema(points(rows, "y", "step", None, None), amount)
    assert columns["smooth"].tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def reference(found: list[tuple[float, float]], smooth: Smooth) -> list[float]:
    x, y = np.array(found).T
    apart = np.abs(x[:, None] - x[None, :])
    weights = (
        apart <= smooth.amount / 2 if smooth.kind == "mean" else np.exp(-0.5 * (apart / smooth.amount) ** 2)
    )
    smoothed: list[float] = ((weights * y).sum(1) / weights.sum(1)).tolist()
    return smoothed


@pytest.mark.parametrize(("smooth", "off"), [(Smooth("mean", 40.0), 1e-9), (Smooth("gaussian", 15.0), 0.01)])
def test_means_over_an_interval_are_those_of_the_rows(smooth: Smooth, off: float) -> None:
    rows = noisy(400)
    columns = drawn(charted(rows), width=10_000, smooth=smooth).columns
    assert columns["smooth"].tolist() == pytest.approx(
        reference(points(rows, "y", "step", None, None), smooth), abs=off
    )


ASKED_FOR = ({"width": 50}, {"start": 1500.0, "stop": 1800.0}, {"width": 7, "start": 2500.0})


@pytest.mark.parametrize("smooth", [EMA, Smooth("mean", 60.0), Smooth("gaussian", 20.0)])
def test_neither_zoom_nor_width_changes_what_is_smoothed(smooth: Smooth) -> None:
    series = charted(noisy(1000), 100, 4)
    whole = drawn(series, width=10_000, smooth=smooth).columns
    exact = dict(zip(whole["x"].tolist(), whole["smooth"].tolist(), strict=True))
    for asked in ASKED_FOR:
        columns = drawn(series, smooth=smooth, **asked).columns
        assert len(columns["x"]) > 3
        for x, value in zip(columns["x"].tolist(), columns["smooth"].tolist(), strict=True):
            assert value == pytest.approx(exact[x], abs=0.01)


@pytest.mark.parametrize("smooth", [EMA, Smooth("mean", 60.0), Smooth("gaussian", 20.0)])
def test_summaries_are_smoothed_as_their_rows_would_be(smooth: Smooth) -> None:
    """Where part of a range is read row by row, too: there is no step where rows take over from summaries."""
    rows: list[Row] = [(at, {"y": math.sin(at / 300) + 0.001 * at, "step": at}) for at in range(4000)]
    series = charted(rows, 100, 4)
    exact = drawn(series, width=10_000, limits=ChartLimits(), smooth=smooth).columns["smooth"]
    resolutions = set()
    for asked in ({"width": 900}, *ASKED_FOR, {"width": 100, "start": 1000.0}):
        found = drawn(series, limits=BUCKETS, smooth=smooth, **asked)
        resolutions.add(found.resolution)
        # each point tells of a few rows, from its x on
        near = np.interp(found.columns["x"] + 2, np.arange(4000), exact)
        assert found.columns["smooth"].tolist() == pytest.approx(near.tolist(), abs=0.03)
    assert resolutions == {"rows", "buckets"}


def test_what_is_no_number_counts_for_nothing() -> None:
    rows: list[Row] = [
        (at, {"y": math.nan if at % 3 == 0 else math.inf if at % 3 == 1 else 2.0}) for at in range(30)
    ]
    for smooth in (EMA, Smooth("mean", 9.0), Smooth("gaussian", 2.0), Smooth("ema", 0.0)):
        columns = drawn(charted(rows), "index", smooth=smooth).columns
        assert {each for each in columns["smooth"].tolist() if not math.isnan(each)} == {2.0}
        assert (columns["nan"].sum(), columns["posInf"].sum()) == (10, 10)


@pytest.mark.parametrize(
    "smooth",
    [Smooth("ema", 1.0), Smooth("ema", -0.1), Smooth("mean", math.inf), Smooth("gaussian", math.nan)],
)
def test_an_amount_that_means_nothing_is_refused(smooth: Smooth) -> None:
    with pytest.raises(ApiError, match=r"amount=.* is not possible for the smoothing"):
        LineRequest("y", "step", None, None, 10, smooth).checked()


# --- what is sent


def test_columns_are_as_fine_as_a_chart_needs_and_x_is_exact() -> None:
    rows = [(1_700_000_000 * SECOND + at, {"y": 0.1 * at, "step": 2**24 + at}) for at in range(50)]
    columns = told_of(drawn(charted(rows)), as_bytes=True)["columns"]
    assert {name: column["type"] for name, column in columns.items()} == {"x": "float64", "y": "float32"}
    assert np.frombuffer(columns["x"]["data"], "<f8").tolist() == [2**24 + at for at in range(50)]
    near = [(at, {"y": 1e9 + at}) for at in range(50)]
    told = told_of(drawn(charted(near), "index"), as_bytes=True)["columns"]
    assert (told["x"]["type"], told["y"]["type"]) == ("float32", "float64")
    wide = told_of(drawn(charted(rows), width=10))["columns"]
    assert wide.keys() == {"x", "y", "min", "max", "count"}
    assert sum(wide["count"]["data"]) == 50


def test_an_empty_line_has_empty_columns() -> None:
    empty = drawn(charted([]), smooth=EMA)
    assert empty.points == 0
    told = told_of(empty)
    assert {name: column["data"] for name, column in told["columns"].items()} == {
        "x": [],
        "y": [],
        "smooth": [],
    }
