"""Rows placed by another metric's value at their time: alike on a disk and at a server, read, as columns, and drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ml_dash import Experiment, InvalidArgumentError
from ml_dash.series import Kind, Series
from ml_dash.server.local.view import LocalView
from ml_dash.storage.survey import survey
from tests.support.seen import Seen
from tests.support.two_places import KINDS, TestPlace, new_place

PREFIX = "alice/vision/clocks"


@pytest.fixture(scope="module", params=KINDS)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPlace]:
    """Training steps every second from second 10 on; rollouts and evaluations now and then, on clocks of their own."""
    found = new_place(request.param, tmp_path_factory.mktemp(request.param))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("ML_DASH_QUIET", "1")
        found.settings(monkeypatch)
        with found.experiment(PREFIX).run as exp:
            for second in range(10, 30):
                lr = {"head": second / 2}
                exp.metrics("train").log(step=100 * second, loss=1 / second, lr=lr, _ts=second)
            exp.metrics("a/b").log(c=7, _ts=12)
            exp.metrics.log(epoch=3, _ts=20)
            for at in (5, 10, 15.5, 29, 99):
                exp.metrics("val").log(acc=at / 100, n=1, _ts=at)
            exp.metrics("val").log(acc=0.5, _ts=15.5)  # logged late, and without an n
    yield found
    if found.server is not None:
        found.server.stop()


@pytest.fixture
def exp(written: TestPlace, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """The experiment, for reading."""
    written.settings(monkeypatch)
    return written.experiment(PREFIX)


STEPS = [None, 1000, 1500, 2900, 2900, 1500]
XS: list[tuple[str, list[Any]]] = [
    ("train/step", STEPS),
    ("train/loss", [None, *(1 / each for each in (10, 15, 29, 29, 15))]),
    ("train/lr.head", [None, 5.0, 7.5, 14.5, 14.5, 7.5]),
    ("a/b/c", [None, None, 7, 7, 7, 7]),
    ("epoch", [None, None, None, 3, 3, None]),
    ("n", [1, 1, 1, 1, 1, None]),
    ("index", [0, 1, 2, 3, 4, 5]),
    ("time", [5.0, 10.0, 15.5, 29.0, 99.0, 15.5]),
]


def test_rows_have_the_x_that_was_asked_for(exp: Experiment) -> None:
    val = exp.metrics("val")
    for x, expected in XS:
        rows = val.read(x=x)["data"]
        assert [row["x"] for row in rows] == expected, x
        assert [type(row["x"]) for row in rows] == list(map(type, expected)), x
        # a page of its own, and another choice of rows, are the same
        assert [row["x"] for row in val.read(2, 3, x=x)["data"]] == expected[2:5], x
        assert [row["x"] for row in val.read(x=x, attempt="all")["data"]] == expected, x
        columns = val.to_numpy(x=x)
        if x in ("index", "time", "n"):
            assert sorted(columns) == ["_ts", "acc", "index", "n"]  # it is there already
            continue
        wanted = [math.nan if each is None else each for each in expected]
        np.testing.assert_array_equal(columns[x], wanted)
    assert "x" not in val.read()["data"][0]
    assert val.to_numpy(x="train/step")["train/step"].dtype == np.float64  # the first row has none
    assert exp.metrics("a/b").to_numpy(x="train/step")["train/step"].tolist() == [1200]
    assert val.to_pandas(x="train/step")["train/step"].tolist()[1:] == STEPS[1:]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            "train/stp",
            "neither 'index' or 'time', nor a field of the metric 'val'.*did you mean 'train/step'",
        ),
        ("nope", "there are 'acc', 'n', 'train/step'"),
        ("train", "did you mean 'train/"),
        ("val/step", "nor a field of the metric 'val'"),
        ("", "is not what rows can be placed by"),
        (3, "is not what rows can be placed by"),
    ],
)
def test_an_x_that_there_is_not_is_told_with_those_that_there_are(
    x: Any, message: str, exp: Experiment
) -> None:
    for ask in (exp.metrics("val").read, exp.metrics("val").to_numpy):
        with pytest.raises(InvalidArgumentError, match=message):
            ask(x=x)


def test_charts_are_drawn_over_it(written: TestPlace, exp: Experiment) -> None:
    """The rows before the clock began have no place; a narrower range is one of the clock's values."""

    def chart(x: str, start: float | None = None, stop: float | None = None) -> dict[str, Any]:
        if written.server is None:
            view = LocalView(survey(written.where).experiments[0], 90.0)
            return view.chart(Series(Kind.METRIC, "val"), "acc", x, start, stop, 1000)
        bounds = {"start": start, "stop": stop}
        asked = {name: str(bound) for name, bound in bounds.items() if bound is not None}
        found: dict[str, Any] = Seen(written.server, PREFIX).get(
            "metrics/series", name="val", field="acc", x=x, **asked
        )
        return found

    drawn = chart("train/step")
    assert (drawn["points"], drawn["exact"], drawn["x"]) == (5, True, "train/step")
    assert drawn["buckets"]["x"] == [1000.0, 1500.0, 2900.0]
    assert drawn["buckets"]["count"] == [1, 2, 2]
    assert chart("train/step", 1200, 2900)["buckets"]["mean"] == [pytest.approx((0.155 + 0.5) / 2)]
    # of several runs, some may not have logged it: as for a field
    assert chart("nowhere/step")["points"] == 0
