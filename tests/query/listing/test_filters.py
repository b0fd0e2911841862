"""The filter language: the same table of cases is run by the dashboard's tests, of its twin in TypeScript."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from ml_dash.errors import InvalidFilterError
from ml_dash.query.listing.binding import Bound, bind, bind_order, value_of
from ml_dash.query.listing.comparing import holds, sort_key
from ml_dash.query.listing.filters import Comparison, parse
from ml_dash.query.listing.listed import ListedExperiment
from ml_dash.query.listing.naming import AllNames, FieldTarget, KnownNames, ParamTarget, RecordTarget
from ml_dash.query.listing.summary import FieldSummary
from ml_dash.query.patterns import pattern_matcher
from ml_dash.query.times import NANOSECONDS

CASES = json.loads((Path(__file__).parent / "filter_cases.json").read_text(encoding="utf-8"))
SECOND = NANOSECONDS


def said(comparison: Comparison) -> list[str]:
    name = comparison.name if comparison.aggregate is None else f"{comparison.aggregate}({comparison.name})"
    return [name, comparison.operator, comparison.value, *(["*"] if comparison.is_pattern else [])]


@pytest.mark.parametrize("case", CASES["parsed"], ids=lambda case: case["text"])
def test_a_text_is_taken_apart(case: dict[str, Any]) -> None:
    found = parse(case["text"])
    assert found.words == case.get("words", [])
    assert found.globs == case.get("globs", [])
    assert [said(each) for each in found.comparisons] == case.get("comparisons", [])
    told = [f"{case['text'][start:stop]} | {message}" for start, stop, message in found.problems]
    assert told == case.get("problems", [])


@pytest.mark.parametrize("case", CASES["holds"], ids=repr)
def test_a_comparison_holds_or_does_not(case: list[Any]) -> None:
    value, operator, wanted, expected, *pattern = case
    value = float("nan") if value == "NaN" else value
    assert holds(value, operator, wanted, is_pattern=bool(pattern)) is expected


@pytest.mark.parametrize(("pattern", "prefix", "expected"), CASES["globs"])
def test_a_pattern_fits_whole_prefixes(pattern: str, prefix: str, expected: bool) -> None:
    assert pattern_matcher(pattern)(prefix) is expected
    assert parse(pattern).globs in ([pattern], [])


def test_whole_numbers_are_compared_by_each_digit() -> None:
    assert not holds(1152921504606846977, "=", "1152921504606846976")
    assert holds(1152921504606846977, ">", "1152921504606846976")
    assert holds(1152921504606846977, ">", "1e18")


def summary(*values: float | str) -> FieldSummary:
    numbers = [value for value in values if not isinstance(value, str)]
    low, high = min(numbers, default=None), max(numbers, default=None)
    return FieldSummary(len(numbers), 0, numbers[0] if numbers else None, values[-1], low, high, sum(numbers))


def experiment(**change: Any) -> ListedExperiment:
    start = 1769860800 * SECOND  # 2026-01-31T12:00:00Z
    given: dict[str, Any] = {
        **dict(prefix="a/p/x", owner="a", project="p", folder="", name="x", tags=("base",), status="RUNNING"),
        **dict(
            started_ns=start, ended_ns=start + 600 * SECOND, rows=10, readme="Baseline", note="looks wrong"
        ),
        "params": {
            "lr": 0.1,
            "opt": "adam",
            "model.layers": 3,
            "big": 9007199254740993,
            "odd": float("inf"),
            "sizes": [64, 64],
        },
        "metrics": {
            "train": {"loss": summary(0.9, 0.5), "accuracy": summary(0.1)},
            "eval": {"accuracy": summary(0.2, 0.8, 0.7)},
            None: {"reward": summary(7), "a/b": summary(1), "phase": summary("warm")},
        },
        "best": {("eval", "accuracy"): "max"},
    }
    return ListedExperiment(**{**given, **change})


ONE = experiment()
NAMES = KnownNames([ONE])


def bound(text: str, names: KnownNames = NAMES) -> Bound:
    return bind(parse(text), names).checked()


def problem(text: str) -> str:
    with pytest.raises(InvalidFilterError) as raised:
        bound(f"x {text}")
    ((start, stop, message),) = raised.value.problems
    assert f"x {text}"[start:stop] == text
    assert message in str(raised.value)
    return message


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("lr < 1", ParamTarget("lr")),
        ("LR < 1", ParamTarget("lr")),
        ("params.lr < 1", ParamTarget("lr")),
        ("config.lr < 1", ParamTarget("lr")),
        ("model/layers = 3", ParamTarget("model.layers")),
        ("status = running", RecordTarget("status")),
        ("tag:x", RecordTarget("tags")),
        ("train/loss < 1", FieldTarget("train", "loss")),
        ("train.loss < 1", FieldTarget("train", "loss")),
        ("metrics.train.loss < 1", FieldTarget("train", "loss")),
        ("summary.loss < 1", FieldTarget("train", "loss")),
        ("loss < 1", FieldTarget("train", "loss")),
        ("reward > 1", FieldTarget(None, "reward")),
        ("metric.reward > 1", FieldTarget(None, "reward")),
        ("a/b > 1", FieldTarget(None, "a/b")),
        ("max(eval/accuracy) > 1", FieldTarget("eval", "accuracy", "max")),
        ("best(metrics.eval/accuracy) > 1", FieldTarget("eval", "accuracy", "best")),
        ("count(loss) > 1", FieldTarget("train", "loss", "count")),
    ],
)
def test_a_name_means_what_there_is(text: str, target: object) -> None:
    assert [condition.target for condition in bound(text).conditions] == [target]


def test_a_parameter_comes_before_what_it_is_called_like() -> None:
    names = KnownNames([experiment(params={"status": 1, "loss": 2, "train/loss": 3, "metrics.loss": 4})])
    for name in ("status", "loss", "train/loss", "metrics.loss"):
        assert bound(f"{name} < 1", names).conditions[0].target == ParamTarget(name)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("nothing < 1", "called ‘nothing’; there are lr, opt, model.layers, big and"),
        ("lrr < 1", "did you mean lr"),
        ("max(acuracy) > 1", "did you mean eval/accuracy, train/accuracy"),
        ("max(lr) > 1", "no experiment has a metric’s field called ‘lr’: it is a parameter"),
        ("max(params.lr) > 1", "‘params.lr’: it is a parameter, which has one value: write params.lr"),
        (
            "max(params.train/losss) > 1",
            "no experiment has a metric’s field called ‘train/losss’: did you mean train/loss",
        ),
        (
            "max(metrics.train/losss) > 1",
            "no experiment has a metric’s field called ‘train/losss’: did you mean train/loss",
        ),
        ("-tag:old", "there is no ‘-’ before a name: what is not to be is written with !=, as ‘tag!=…’"),
        ("!params.lr=1", "as ‘params.lr!=…’"),
        ("avg(loss) > 1", "there is no ‘avg(…)’: write last, first, min, max, mean, count or best"),
        ("accuracy > 1", "may be train/accuracy, eval/accuracy: write one of them"),
        ("lr < abc", "‘abc’ is not one"),
        ("loss < abc", "‘abc’ is not one"),
        ("lr = 1,000", "‘1,000’ is not one"),
        ("rows > many", "‘many’ is not one"),
        ("status = runing", "write running, completed, failed, cancelled, stale or"),
        ("status > running", "= or !="),
        ("tag < x", "= or !="),
        ("note > x", "= or !="),
        ("started > yesterday", "2026-01-31"),
        ("started > 2026-13-01", "2026-01-31"),
        ("duration > long", "90s"),
    ],
)
def test_what_cannot_be_understood_is_told_with_what_is_possible(text: str, part: str) -> None:
    assert part in problem(text)


def test_an_error_survives_pickling() -> None:
    error = InvalidFilterError.of("filter", "lr <", [(0, 4, "needs a value")])
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.problems) == (str(error), [(0, 4, "needs a value")])


def test_where_there_is_nothing_yet_nothing_is_unknown() -> None:
    """A script may ask for the best run of a sweep that has only begun."""
    empty = KnownNames()
    assert bound("lr < 1", empty).is_empty
    assert not bound("lr < 1", empty).matches(experiment(params={}, metrics={}), 0)
    assert bound("lr != 1", empty).matches(experiment(params={}, metrics={}), 0)
    assert bind_order("-max(val/acc)", empty) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("BASE", True),
        ("baseline wrong", True),
        ("absent", False),
        ("a/p/*", True),
        ("a/q/*", False),
        ("lr < 1", True),
        ("odd = Infinity", True),
        ("odd > 1e300", True),
        ("odd = -inf", False),
        ("lr < inf", True),
        ("lr = nan", False),
        ("lr != nan", True),
        ("big = 9007199254740993", True),
        ("big = 9007199254740992", False),
        ("opt = 'Adam'", True),
        ("opt = a*", True),
        ("opt < 5", False),
        ("sizes = [64,64]", True),
        ("sizes = '[64, 64]'", True),
        ("sizes = *64]", True),
        ("train/loss = 0.5", True),
        ("first(train/loss) = 0.9", True),
        ("mean(train/loss) = 0.7", True),
        ("max(train/loss) > 0.8 min(train/loss) < 0.6", True),
        ("best(eval/accuracy) = 0.8", True),
        ("best(train/loss) = 0.5", True),
        ("count(eval/accuracy) = 3", True),
        ("phase = Warm", True),
        ("count(phase) = 0", True),
        ("started = 2026-01-31", True),
        ("started > 2026-01-31", False),
        ("started >= 2026", True),
        ("started = 2026-01", True),
        ("started < '2026-01-31 12:30'", True),
        ("started = 2026-01-31T12:00:00.000000Z", True),
        ("started != 2026-01-31T12:01", True),
        ("active > 2026", False),
        ("active != 2026", True),
        ("active = *", False),
        ("duration = 10min", True),
        ("duration < 0.5h", True),
        ("duration < 60", False),
        ("status = running", True),
        ("status != 'not started'", True),
        ("note:wrong readme:base", True),
        ("note != wrong", False),
        ("note:*", True),
        ("host = x", False),
        ("name = X owner:a project:p prefix:a/p/x", True),
        ("tag:base tag!=other", True),
    ],
)
def test_a_filter_holds_or_does_not(text: str, expected: bool) -> None:
    assert bound(text).matches(ONE, 0) is expected


def test_a_run_that_goes_on_takes_until_now_and_a_stale_one_until_its_last_sign_of_life() -> None:
    start = 100 * SECOND
    running = experiment(started_ns=start, ended_ns=None)
    stale = experiment(started_ns=start, ended_ns=None, stale=True, active_ns=start + 5 * SECOND)
    assert bound("duration = 9").matches(running, start + 9 * SECOND)
    assert bound("duration = 5 status:stale").matches(stale, start + 9 * SECOND)
    assert not bound("duration = *").matches(experiment(started_ns=start, ended_ns=None, status=None), 0)


def test_names_of_several_places_count_together() -> None:
    names = AllNames(
        [KnownNames([experiment(params={"lr": 1})]), KnownNames([experiment(params={"lr": "x"})])]
    )
    assert bind(parse("lr < abc"), names).checked().conditions  # it is no number everywhere


def test_experiments_are_sorted_by_any_value_and_what_has_none_comes_last() -> None:
    values: list[Any] = [3, None, "b", 1, float("nan"), "A", 2**60, -1]
    listed = [experiment(name=str(at), params={"v": value}) for at, value in enumerate(values)]
    for text, expected in (("v", "7 3 0 6 5 2"), ("-params.v", "2 5 6 0 3 7")):
        order = bind_order(text, KnownNames(listed))
        assert order is not None
        found = sorted(
            listed,
            key=lambda each: sort_key(value_of(order.target, each, 0), descending=order.descending),
            reverse=order.descending,
        )
        names = [each.name for each in found]
        assert " ".join(names[:6]) == expected
        assert set(names[6:]) == {"1", "4"}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "write one name"),
        ("-", "write one name"),
        ("lr, loss", "write one name"),
        ("lr < 1", "write one name"),
        ("-lrr", "did you mean lr"),
        ("tags", "has no order"),
        ("accuracy", "may be train/accuracy"),
    ],
)
def test_an_order_that_cannot_be_understood_is_refused(text: str, part: str) -> None:
    with pytest.raises(InvalidFilterError, match=part):
        bind_order(text, NAMES)


def test_hostile_texts_take_no_time() -> None:
    """Time that grows with a power of their length would end in the test's time-out."""
    for text in (
        "a*" * 2000,
        "(" * 20_000,
        "max(" * 5000,
        '"' * 10_001,
        "lr=" * 5000,
        "9" * 100_000 + " < lr",
    ):
        parse(text)
        holds("a" * 1000, "=", text, is_pattern=True)
