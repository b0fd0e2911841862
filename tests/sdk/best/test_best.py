"""Best values: asked for, defined while they are logged, and in summaries; in a local root, and at a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash import Experiment, InvalidArgumentError, NotStartedError, ReadOnlyError
from ml_dash.query.listing.definitions import BestValue, definition_row, fold_definitions
from tests.support.two_places import TestPlace

PREFIX = "alice/vision/run"


def log(exp: Experiment) -> None:
    for step, acc in enumerate([0.1, 0.9, float("nan"), 0.5]):
        exp.metrics("val").log(acc=acc, loss=1 - acc, size=step, step=step * 100)


def test_the_best_value_has_its_step(place: TestPlace) -> None:
    with place.experiment(PREFIX) as exp:
        log(exp)
        exp.metrics("val").log(a={"b": 3}, text="x")
        best = exp.metrics("val").best("acc", mode="max")
        assert best is not None
        assert (best.value, best.step) == (0.9, 100)
    exp = ml_dash.open(PREFIX, place.where)
    val = exp.metrics("val")
    assert val.best("acc", "min") == BestValue(0.1, 0)
    assert val.best("acc", "last") == BestValue(0.5, 300)
    assert val.best("a.b", "max") == (3, 4)  # a row without a step is at its index
    assert val.best("text", "max") is None
    # what the names tell
    assert val.best("acc") == (0.9, 100)
    assert val.best("loss") == (1 - 0.9, 100)
    with pytest.raises(InvalidArgumentError, match="which value of 'size' is the best: write best"):
        val.best("size")
    with pytest.raises(InvalidArgumentError, match="mode='highest' is not known"):
        val.best("acc", "highest")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="has no field 'ac': did you mean 'acc'"):
        val.best("ac")


def test_a_metric_without_rows_has_no_best_value(place: TestPlace) -> None:
    with place.experiment(PREFIX) as exp:
        assert exp.metrics("val").best("acc", "max") is None
        assert exp.summary == {}


def test_superseded_rows_are_not_the_best(place: TestPlace) -> None:
    with place.experiment(PREFIX) as exp:
        log(exp)
    again = place.experiment(PREFIX)
    again.run.start(resume_from=100)
    again.metrics("val").log(acc=0.2, step=100)
    again.run.complete()
    assert again.metrics("val").best("acc", "max") == (0.2, 100)
    assert again.metrics("val").best("acc", "max", attempt="all") == (0.9, 100)
    assert ml_dash.experiments(place.where)[0].summary["val/acc"] == 0.2


def test_what_is_defined_counts_in_summaries_lists_and_for_whoever_opens_it(place: TestPlace) -> None:
    with place.experiment(PREFIX) as exp:
        exp.metrics.define("val/acc", best="max").define("reward", best="min")
        exp.metrics("val").define("size", best="max").define("loss", best="last").log(size=-1)
        exp.metrics("deep/er").define("acc", best="min")  # to be logged some day
        log(exp)
        exp.metrics.log(reward=2)
        exp.metrics.log(reward=3)
        expected = {"val/acc": 0.9, "val/loss": 0.5, "val/size": 3, "reward": 2}
        assert exp.summary == expected
        with pytest.raises(ReadOnlyError, match="made of what was logged"):
            exp.summary["val/acc"] = 1
    opened = ml_dash.open(PREFIX, place.where)
    assert opened.summary == expected
    assert opened.metrics("val").best("size") == (3, 300)
    assert opened.metrics("val").best("size", "min") == (-1, 0)
    assert opened.params.get() == {}
    (listed,) = ml_dash.experiments(place.where, "best(val/size)=3 best(reward)=2 best(val/acc)>0.8")
    assert listed.summary == expected


@pytest.mark.sample(2)
def test_what_is_defined_later_wins_in_another_run_too(place: TestPlace) -> None:
    with place.experiment(PREFIX) as exp:
        exp.metrics.define("val/acc", best="max")
        exp.params.set(lr=1)
        log(exp)
    with place.experiment(PREFIX) as exp:
        assert exp.summary["val/acc"] == 0.9
        exp.metrics.define("val/acc", best="min")
        assert exp.summary["val/acc"] == 0.1
        assert exp.params.get() == {"lr": 1}


def test_wrong_definitions_are_refused_at_once_and_lose_nothing(place: TestPlace) -> None:
    exp = place.experiment(PREFIX)
    with pytest.raises(NotStartedError, match="not started"):
        exp.metrics.define("val/acc", best="max")
    with exp.run:
        for name, best in (
            ("val/acc", "highest"),
            ("val/acc", None),
            ("", "max"),
            ("val/", "max"),
            ("/a", "max"),
            (3, "max"),
        ):
            with pytest.raises(InvalidArgumentError):
                exp.metrics.define(name, best=best)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match="cannot name a field"):
            exp.metrics("val").define("\n", best="max")
        with pytest.raises(
            ml_dash.InvalidCallError, match=r"write exp.metrics.define\('val/acc', best='max'\)"
        ):
            exp.metrics.define("val/acc")  # type: ignore[call-arg]
        log(exp)
        assert exp.summary["val/acc"] == 0.5
    with pytest.raises(NotStartedError, match="ended"):
        exp.metrics.define("val/acc", best="max")


def test_a_definition_is_a_row_that_older_readers_take_for_no_parameters(tmp_path: Path) -> None:
    place = TestPlace("root", str(tmp_path), tmp_path)
    with place.experiment(PREFIX) as exp:
        exp.metrics.define("val/acc", best="max")
        exp.params.set(lr=1)
    assert json.loads((tmp_path / PREFIX / "parameters.json").read_text()) == {"lr": 1}
    assert definition_row("val", "acc", "max")["set"] == {}


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"define": None},
        {"define": "val/acc"},
        {"define": [None, "x", 3, [], ["val"], ["val", "acc"], ["val", "acc", "median"], ["val", 3, "max"]]},
        {"define": [["val", "acc", "max", "since"]]},
        {"set": {"define": [["val", "acc", "min"]]}},
    ],
)
def test_what_a_later_version_may_say_is_passed_over(odd: dict[str, Any]) -> None:
    known = definition_row("val", "acc", "max")
    assert fold_definitions([known, odd]) == {("val", "acc"): "max"}
    assert fold_definitions([odd, known, {"set": {}, "clear": True}, odd]) == {}
