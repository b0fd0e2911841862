"""Dicts by position: wherever keyword arguments are taken, and these win."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import sys
import types
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest

import ml_dash
from ml_dash import Experiment, InvalidCallError, MLDashError, ml_dash_experiment
from ml_dash.sdk.guidance.calls import explained

CALLS: dict[str, tuple[Callable[..., Any], Callable[[Experiment], Any]]] = {
    "metrics.log": (
        lambda exp, *given, **data: exp.metrics.log(*given, **data),
        lambda exp: _last(exp.metrics.read()),
    ),
    "metrics(…).log": (
        lambda exp, *given, **data: exp.metrics("m").log(*given, **data),
        lambda exp: _last(exp.metrics("m").read()),
    ),
    "buffer": (
        lambda exp, *given, **data: exp.metrics("b").buffer(*given, **data),
        lambda exp: {name: values[-1] for name, values in exp.metrics("b").buffer.peek().items()},
    ),
    "metrics.buffer": (
        lambda exp, *given, **data: exp.metrics.buffer(*given, **data),
        lambda exp: {name: values[-1] for name, values in exp.metrics.buffer.peek().items()},
    ),
    "summary_cache.store": (
        lambda exp, *given, **data: exp.metrics("s").summary_cache.store(*given, **data),
        lambda exp: {name: values[-1] for name, values in exp.metrics("s").summary_cache.peek().items()},
    ),
    "summary_cache.set": (
        lambda exp, *given, **data: exp.metrics("f").summary_cache.set(*given, **data),
        lambda exp: _last(_summarized(exp).read()),
    ),
    "tracks(…).append": (
        lambda exp, *given, **data: exp.tracks("t").append(*given, **data),
        lambda exp: {
            name: value
            for name, value in exp.tracks("t").read()["entries"][-1].items()
            if name != "timestamp"
        },
    ),
    "params.set": (
        lambda exp, *given, **data: exp.params.set(*given, **data),
        lambda exp: exp.params.get(),
    ),
}


def _summarized(exp: Experiment) -> Any:
    exp.metrics("f").summary_cache.summarize()
    return exp.metrics("f")


def _last(page: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in page["data"][-1]["data"].items() if name != "_ts"}


@pytest.mark.filterwarnings("ignore:.*ended with values buffered")
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", [dict, MappingProxyType, ChainMap], ids=lambda kind: kind.__name__)
def test_a_dict_is_taken_by_position_and_keywords_win(
    name: str, kind: Callable[[Any], Mapping[str, Any]], root: str
) -> None:
    call, read = CALLS[name]
    exp = Experiment("a/b/c", dash_root=root, echo=False).run.start()
    call(exp, kind({"a": 1, "b/c": 2}), {"d": 4}, a=3)
    assert read(exp) == {"a": 3, "b/c": 2, "d": 4}
    exp.metrics.buffer.log_summary()
    exp.metrics("s").summary_cache.summarize()
    exp.run.complete()


def test_a_group_is_one_in_a_dict_too(exp: Experiment) -> None:
    exp.metrics.log({"epoch": 1, "train": {"loss": 0.5}, "eval": {"loss": 0.6}})
    assert _last(exp.metrics("train").read()) == {"epoch": 1, "loss": 0.5}


def test_columns_may_be_a_dict(exp: Experiment) -> None:
    exp.metrics("c").log_columns({"a": [1, 2], "b/c": [3, 4]}, a=[5, 6])
    assert _last(exp.metrics("c").read()) == {"a": 6, "b/c": 4}


def test_a_dict_may_have_the_time(exp: Experiment) -> None:
    exp.metrics("train").log({"_ts": 3.0, "loss": 0.5})
    assert exp.metrics("train").read()["data"][0]["data"] == {"loss": 0.5, "_ts": 3.0}


def test_a_dict_that_raises_is_refused_and_nothing_is_logged(exp: Experiment) -> None:
    class Odd(Mapping[str, Any]):
        def __getitem__(self, key: str) -> Any:
            raise ZeroDivisionError

        def __iter__(self) -> Iterator[str]:
            return iter(["a"])

        def __len__(self) -> int:
            return 1

    for call in (exp.metrics.log, exp.metrics("m").log, exp.metrics("m").buffer, exp.tracks("t").append):
        with pytest.raises(InvalidCallError, match="Odd that cannot be read"):
            call(Odd())
    assert exp.status().logged == 0


# --- params.set


@dataclasses.dataclass
class Data:
    lr: float = 0.1
    seed: int = 1


class Plain:
    lr = 0.1
    seed = 1


CONFIGS = {
    "dict": {"lr": 0.1, "seed": 1},
    "namespace": argparse.Namespace(lr=0.1, seed=1),
    "simple namespace": types.SimpleNamespace(lr=0.1, seed=1),
    "dataclass": Data(),
    "dataclass's class": Data,
    "plain class": Plain,
    "plain object": Plain(),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_configuration_is_taken_whole(config: Any, exp: Experiment) -> None:
    exp.params.set(config, seed=2)
    assert exp.params.get() == {"lr": 0.1, "seed": 2}


def test_a_configuration_of_omegaconf_is_taken_whole(exp: Experiment) -> None:
    """With its interpolations resolved."""
    omegaconf = pytest.importorskip("omegaconf")
    exp.params.set(omegaconf.OmegaConf.create({"lr": 0.1, "model": {"lr": "${lr}"}}))
    assert exp.params.get() == {"lr": 0.1, "model.lr": 0.1}


def test_a_model_of_pydantic_is_taken_whole(exp: Experiment) -> None:
    pydantic = pytest.importorskip("pydantic")
    exp.params.set(pydantic.create_model("Config", lr=(float, 0.1), seed=(int, 1))())
    assert exp.params.get() == {"lr": 0.1, "seed": 1}


def test_no_library_is_loaded_to_see_what_a_configuration_is(exp: Experiment) -> None:
    before = {name for name in ("omegaconf", "pydantic", "attrs", "torch") if name in sys.modules}
    exp.params.set(argparse.Namespace(lr=0.1))
    assert {name for name in ("omegaconf", "pydantic", "attrs", "torch") if name in sys.modules} == before


def test_of_several_configurations_the_later_one_wins(exp: Experiment) -> None:
    exp.params.set(
        {"lr": 0.1, "model": {"depth": 1, "width": 2}}, {"model": {"depth": 3}}, model={"width": 4}
    )
    assert exp.params.get() == {"lr": 0.1, "model.depth": 3, "model.width": 4}


# --- explained


def test_an_error_within_a_call_is_what_it_is() -> None:
    """Only a call that does not fit is told of."""

    @explained("f(1)")
    def raises(value: Any) -> Any:
        return value + "x"

    with pytest.raises(TypeError) as caught:
        raises(1)
    assert type(caught.value) is TypeError
    assert list(inspect.signature(raises).parameters) == ["value"]


def test_a_call_that_does_not_fit_is_told_by_the_name_and_the_number_that_a_script_sees(
    exp: Experiment,
) -> None:
    """Not by the class that it is of, and not with the object as its first argument."""
    wrong: Any = exp
    for call, said in (
        (lambda: wrong.run.cancel(1), "exp.run.cancel() takes no positional arguments but 1 was given"),
        (
            lambda: wrong.files("a").list(1, 2),
            "exp.files('models').list() takes no positional arguments but 2 were",
        ),
        (lambda: wrong.flush(1, 2), "exp.flush() takes at most 1 positional argument but 2 were given"),
        (wrong.run, "exp.run() missing 1 required positional argument: 'function'"),
        (lambda: wrong.metrics("a", "b", "c"), "exp.metrics() takes 1 positional argument but 3 were given"),
    ):
        with pytest.raises(InvalidCallError) as caught:
            call()
        assert str(caught.value).startswith(said)


def test_every_public_call_says_what_to_write_where_its_arguments_do_not_fit(exp: Experiment) -> None:
    """But `aflush`: of a coroutine function, `explained` would make a plain one. Keywords of `log` are data."""
    metric, track, files = exp.metrics("train"), exp.tracks("pose"), exp.files("models")
    parts: list[Any] = [
        exp,
        exp.run,
        exp.params,
        exp.logs,
        exp.metrics,
        metric,
        metric.buffer,
        metric.summary_cache,
    ]
    parts += [exp.metrics.buffer, exp.tracks, track, exp.files, files]
    silent = {
        f"{type(part).__name__}.{name}"
        for part in parts
        for name in dir(part)
        if not name.startswith("_") and inspect.isroutine(getattr(part, name)) and name != "aflush"
        if not _refuses(getattr(part, name))
    }
    assert silent == set()
    assert _refuses(ml_dash.open)
    assert _refuses(ml_dash_experiment)
    assert _refuses(Experiment)


def _refuses(call: Callable[..., object]) -> bool:
    """Whether a call with too many arguments is told of, or of one that takes any number, with an odd keyword."""
    for given, data in ((range(9), {}), ((), {"odd": 1})):
        try:
            call(*given, **data)
        except MLDashError:
            return True
        except TypeError:
            return False
    return False
