"""Whatever a value does when it is looked at, and whatever warnings are made of, the training loop goes on."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment, InvalidArgumentError, ValueWarning
from ml_dash.errors import InvalidParameterError
from tests.support.fake_tensors import FakeTensor
from tests.support.hostile import HOSTILE
from tests.support.scripts import python

CALLS: dict[str, Callable[[Experiment, Any], object]] = {
    "log": lambda exp, value: exp.log(value),
    "log(…, k=…)": lambda exp, value: exp.log("x", k=value),
    "log(metadata=…)": lambda exp, value: exp.log("x", metadata={"k": value}),
    "metrics(…).log": lambda exp, value: exp.metrics("m").log(k=value),
    "metrics.log": lambda exp, value: exp.metrics.log(k=value),
    "metrics.log of a group": lambda exp, value: exp.metrics.log(g={"k": value}),
    "summary_cache.set": lambda exp, value: exp.metrics("m").summary_cache.set(k=value),
    "tracks(…).append": lambda exp, value: exp.tracks("t").append(k=value),
    "files.save_text(metadata=…)": lambda exp, value: exp.files.save_text("x", to="a", metadata={"k": value}),
    "run.fail": lambda exp, value: exp.run.fail(value),
}


@pytest.mark.sample(3)
@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("name", CALLS)
def test_a_value_that_raises_is_stored_as_what_can_be_told_of_it(name: str, value: Any, root: str) -> None:
    """Neither the loop nor the other fields of the row suffer from it."""
    if name == "log" and hasattr(value, "items"):
        pytest.skip("a message is a text, and a dict is refused")
    exp = Experiment("a/b/c", dash_root=root, echo=True).run.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ValueWarning)
        CALLS[name](exp, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of what summary_cache.set has left
        exp.run.complete()

    status = exp.status()
    assert status.logged == status.durable == (0 if name in {"run.fail", "summary_cache.set"} else 1)
    assert not status.dropped
    exp.logs.read()
    exp.metrics("m").read()
    exp.metrics("m").stats()
    exp.metrics.list()


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_value_that_raises_is_refused_where_only_numbers_and_times_are_taken(value: Any, root: str) -> None:
    """With our error, as any other that is none."""
    with Experiment("a/b/c", dash_root=root, echo=False).run as exp:
        if not isinstance(value, (float, int, str)):
            with pytest.raises(InvalidArgumentError, match="not a number"):
                exp.metrics("m").buffer(k=value)
            with pytest.raises(InvalidArgumentError, match="not a time"):
                exp.metrics("m").log(x=1, _ts=value)


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_parameter_that_raises_is_stored_or_refused(value: Any, root: str) -> None:
    """And never with the error of the foreign code, which no `except` of the script's is for."""
    with Experiment("a/b/c", dash_root=root, echo=False).run as exp:
        for given in (value, {"k": value}, [value]):
            with contextlib.suppress(InvalidParameterError):
                exp.params.set(p=given)


def test_a_parameter_that_is_refused_is_named(root: str) -> None:
    exp = Experiment("a/b/c", dash_root=root, echo=False).run.start()
    with pytest.raises(InvalidParameterError, match=r"'p\.k'.*ZeroDivisionError"):
        exp.params.set(p={"k": HOSTILE["path"]})
    exp.run.complete()


@pytest.mark.parametrize("value", [1j, [1j, 2]])
def test_metadata_on_a_device_may_be_what_no_journal_has_a_type_for(value: Any, root: str) -> None:
    """It is fetched when the run starts, where nobody expects an error of it."""
    about = {"a": 1, "k": FakeTensor(value)}
    with Experiment("a/b/c", dash_root=root, echo=False, metadata=about).run as exp:
        exp.metrics("m").log(x=1)

    metadata = (exp.view.run().experiment or {})["metadata"]
    assert metadata["a"] == 1
    assert "1j" in str(metadata["k"])


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_metadata_that_raises_does_not_stop_an_experiment(value: Any, root: str) -> None:
    """It is described with what can be told."""
    with Experiment("a/b/c", dash_root=root, echo=False, metadata={"a": 1, "k": value}).run as exp:
        exp.metrics("m").log(x=1)

    assert (exp.view.run().experiment or {})["metadata"]["a"] == 1


def test_a_message_without_a_text_is_stored_as_its_repr(root: str) -> None:
    """And the one that has neither says so."""
    with Experiment("a/b/c", dash_root=root, echo=False).run as exp:
        exp.log(HOSTILE["__str__"])
        exp.log(HOSTILE["__repr__"])

    first, second = (row["message"] for row in exp.logs.read()["data"])
    assert "Unspeakable object at" in first
    assert second == "<unrepresentable: ZeroDivisionError>"


@pytest.mark.slow
def test_warnings_that_are_errors_are_logged_and_not_raised(tmp_path: Path) -> None:
    """What they tell of has been dealt with: the loop goes on, and the user's own exception is not replaced."""
    printed = python(
        """
        import logging, sys, warnings
        from ml_dash import Experiment

        warnings.simplefilter("error")
        logging.basicConfig(stream=sys.stdout, format="%(name)s: %(message).60s")
        exp = Experiment("a/b/c", dash_root="dash", echo=False, description="why")
        try:
            with exp.run:
                exp.log("x", k=object())
                exp.metrics("train").log(loss=object())
                exp.tracks("pose").append(x=object())
                exp.metrics("train").buffer(loss=1.0)
                raise RuntimeError("mine")
        except RuntimeError as error:
            print(error, exp.run.status)
        exp.run.start()
        exp.metrics("train").buffer(loss=3.0)
        exp.run.complete()
        print(exp.run.status, exp.status().durable)
        """,
        tmp_path,
    )

    assert [line.partition("…")[0] for line in printed.splitlines()] == [
        "ml_dash.warnings: FutureWarning: description= is a synonym of readme=: use rea",
        "ml_dash.warnings: ValueWarning: metadata.k=",
        "ml_dash.warnings: ValueWarning: loss=",
        "ml_dash.warnings: ValueWarning: x=",
        "ml_dash.warnings: UserWarning: 'a/b/c' ended with values buffered for ['train'",
        "mine FAILED",
        "ml_dash.warnings: UserWarning: 'a/b/c' ended with values buffered for ['train'",
        "COMPLETED 5",
    ]
