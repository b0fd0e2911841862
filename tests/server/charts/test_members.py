"""Members of a band that are drawn at once are what each of them is when it is drawn alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ml_dash.journal.blocks import Block, Column
from ml_dash.query.selection import Shown
from ml_dash.server.charts import bands, members
from ml_dash.server.charts.bands import Fill, Member, band, member_of
from ml_dash.server.charts.lines import LineRequest, Read, cells, line_of, read
from ml_dash.server.charts.members import members_of
from ml_dash.server.charts.rows import ChartSource
from tests.server.charts.charted import TRAIN, Charted
from tests.support.examples import many

STEPS = [
    np.arange(40),
    np.arange(40) * 3,
    np.sort(np.random.default_rng(0).normal(size=40)),
    np.repeat(np.arange(20), 2),
    np.arange(40)[::-1],
    np.arange(7),
    np.array([5]),
    np.empty(0, np.int64),
]
VALUES = st.sampled_from(["plain", "nan", "infinite", "huge", "whole"])


def series(steps: Any, kind: str, seed: int) -> Charted:
    values = np.random.default_rng(seed).normal(size=len(steps))
    if kind == "whole":
        column = Column("y", "i", None, (values * 100).astype(np.int64))
    else:
        if len(values):
            values[len(values) // 2] *= {"plain": 1, "nan": math.nan, "infinite": math.inf, "huge": 1}[kind]
        column = Column("y", "f", None, np.sign(values) * 1.7e308 if kind == "huge" else values)
    step = Column("step", "i" if steps.dtype == np.int64 else "f", None, steps)
    times = np.arange(len(steps)) + 10**18
    return Charted([Block(TRAIN, times, [step, column])] if len(steps) else [], 4)


def read_of(chart: Charted, request: LineRequest, *, is_distributed: bool = False) -> Read:
    shown = Shown(chart.blocks, chart.rows)
    source = ChartSource(
        chart.rows, chart.summaries, shown, ("y", "step"), lambda: None, is_distributed=is_distributed
    )
    return read(source, request)


def same(one: Member, other: Member) -> bool:
    """Whether the numbers are the same, and means so but for the order in which they were added up."""
    for each in ("x", "low", "high"):
        if not np.array_equal(getattr(one, each), getattr(other, each)):
            return False
    largest = np.maximum(np.abs(one.low), np.abs(one.high))
    return bool((np.abs(one.y / 2 - other.y / 2) <= largest * 1e-13).all())


@given(
    st.lists(st.tuples(st.integers(0, len(STEPS) - 1), VALUES, st.booleans()), max_size=12),
    st.sampled_from(["step", "index", "time", "relative", "y"]),
    st.integers(1, 60),
    st.sampled_from([(None, None), (3.0, 17.0), (None, 11.5), (100.0, 200.0)]),
    st.integers(1, 5),
)
@settings(max_examples=many(200))
def test_members_are_what_each_is_alone(
    runs: list[tuple[int, str, bool]], x: str, width: int, bounds: tuple[Any, Any], together: int
) -> None:
    request = LineRequest("y", x, *bounds, width)
    found = {
        str(at): read_of(series(STEPS[steps], kind, at), request, is_distributed=distributed)
        for at, (steps, kind, distributed) in enumerate(runs)
    }
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(members, "_TOGETHER", together)
        drawn = members_of(found)
    assert drawn.keys() == found.keys()
    for id_, member in drawn.items():
        assert same(member, member_of(line_of(found[id_]))), runs[int(id_)]


def test_runs_that_have_logged_at_the_same_steps_are_drawn_by_as_many_calls_as_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []

    def counted(parts: Any, request: Any) -> Any:
        calls.append(len(parts.row))
        return cells(parts, request)

    monkeypatch.setattr(members, "cells", counted)
    request = LineRequest("y", "step", None, None, 10)
    for count in (1, members._TOGETHER):
        calls.clear()
        found = {str(at): read_of(series(STEPS[0], "plain", at), request) for at in range(count)}
        assert len(members_of(found)) == count
        assert calls == [40]
    # each is kept for as long as its run does not change: without what the others have
    assert all(each.base is None for member in members_of(found).values() for each in member[1:])


@given(
    st.lists(st.tuples(st.integers(0, len(STEPS) - 1), VALUES), max_size=12),
    st.sampled_from([(None, None), (3.0, 17.0), (None, 11.5), (100.0, 200.0)]),
    st.integers(1, 60),
    st.sampled_from(["linear", "last"]),
    st.integers(1, 5),
)
@settings(max_examples=many(200))
def test_a_band_is_the_same_however_its_members_are_grouped(
    runs: list[tuple[int, str]], bounds: tuple[Any, Any], width: int, fill: Fill, together: int
) -> None:
    request = LineRequest("y", "step", None, None, 30)
    found = {
        str(at): read_of(series(STEPS[steps], kind, at), request) for at, (steps, kind) in enumerate(runs)
    }
    grouped = list(members_of(found).values())
    alone = [each._replace(x=each.x.copy()) for each in grouped]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bands, "_TOGETHER", together)
        one, other = (band(some, *bounds, width, fill).columns for some in (grouped, alone))
    for name in ("x", "count", "min", "max"):
        assert np.array_equal(one[name], other[name]), name
    largest = np.maximum(np.abs(one["min"]), np.abs(one["max"]))
    assert (np.abs(one["y"] / 2 - other["y"] / 2) <= largest * 1e-13).all()
    some = np.isfinite(other["std"])
    assert np.array_equal(some, np.isfinite(one["std"]))
    # the square of what is added up is compared: of equal numbers it is nearly 0
    assert (np.abs(one["std"][some] - other["std"][some]) <= largest[some] * 1e-7).all()


def test_between_numbers_of_which_the_difference_is_none_there_are_numbers() -> None:
    x, y = np.array([0.0, 1.0]), np.array([-1.7e308, 1.7e308])
    zero = np.zeros(1)
    between = [Member(np.array([each]), zero, zero, zero) for each in (0.25, 0.5, 0.75)]
    found = band([*[Member(x, y, y, y)] * 2, *between], None, None, 9, "linear").columns
    assert found["x"].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert found["y"].tolist() == pytest.approx([-1.7e308, -1.7e308 / 3, 0.0, 1.7e308 / 3, 1.7e308])


def test_equal_numbers_have_no_spread() -> None:
    x = np.array([0.0, 1.0])
    alike = [Member(x if each % 3 else x.copy(), *[np.array([0.1, 0.7])] * 3) for each in range(10)]
    found = band(alike, None, None, 4, "linear").columns
    assert (found["y"].tolist(), found["std"].tolist()) == ([0.1, 0.7], [0.0, 0.0])
