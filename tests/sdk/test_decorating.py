"""Decorated functions: where the experiment goes among the arguments, and whose run a call is."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ml_dash import Experiment, InvalidArgumentError, InvalidCallError, ml_dash_experiment
from tests.sdk.run_rows import statuses


@pytest.fixture(params=["exp.run", "ml_dash_experiment"])
def decorate(request: pytest.FixtureRequest, root: str) -> Callable[[Any], Any]:
    """Either of the two decorators."""
    if request.param == "exp.run":
        return Experiment("a/b/c", dash_root=root, echo=False).run
    return ml_dash_experiment("a/b/c", dash_root=root, echo=False)


# --- the experiment's place


def first(exp: Any, lr: Any = None, *more: Any, **named: Any) -> Any:
    return exp, lr, more, named


def behind(lr: Any, experiment: Any, *more: Any, **named: Any) -> Any:
    return experiment, lr, more, named


def behind_with_default(lr: Any = None, experiment: Any = None, *more: Any, **named: Any) -> Any:
    return experiment, lr, more, named


def by_keyword(lr: Any = None, *more: Any, experiment: Any, **named: Any) -> Any:
    return experiment, lr, more, named


def by_position(lr: Any, experiment: Any, /, *more: Any, **named: Any) -> Any:
    return experiment, lr, more, named


def variadic(*all_of_them: Any, **named: Any) -> Any:
    return all_of_them[0], all_of_them[1], all_of_them[2:], named


def only_keywords(*, lr: Any = None, **named: Any) -> Any:
    return named.pop("experiment"), lr, (), named


class Callables:
    """Functions that are not plain ones."""

    def method(self, exp: Any, lr: Any = None, *more: Any, **named: Any) -> Any:
        return exp, lr, more, named

    def method_by_name(self, lr: Any = None, experiment: Any = None, *more: Any, **named: Any) -> Any:
        return experiment, lr, more, named

    def __call__(self, lr: Any, experiment: Any, *more: Any, **named: Any) -> Any:
        return experiment, lr, more, named


@pytest.mark.parametrize(
    "function",
    [
        first,
        behind,
        behind_with_default,
        by_keyword,
        by_position,
        variadic,
        Callables().method,
        Callables().method_by_name,
        Callables(),
        functools.partial(behind),
    ],
)
def test_the_experiment_goes_by_its_name_else_first(
    function: Callable[..., Any], decorate: Callable[[Any], Any]
) -> None:
    """And the other arguments are the function's own, in their places."""
    experiment, *rest = decorate(function)({"lr": 1}, 2, 3, seed=4)

    assert isinstance(experiment, Experiment)
    assert rest == [{"lr": 1}, (2, 3), {"seed": 4}]


@pytest.mark.parametrize("function", [first, behind, behind_with_default, by_keyword, only_keywords])
def test_the_other_arguments_may_all_be_given_by_name(
    function: Callable[..., Any], decorate: Callable[[Any], Any]
) -> None:
    """Wherever the experiment's own place is."""
    experiment, *rest = decorate(function)(lr={"lr": 1}, seed=4)

    assert isinstance(experiment, Experiment)
    assert rest == [{"lr": 1}, (), {"seed": 4}]


def test_methods_can_be_decorated_in_their_class(decorate: Callable[[Any], Any]) -> None:
    """The object itself keeps its place."""

    class Trainer(Callables):
        method = decorate(Callables.method)
        method_by_name = decorate(Callables.method_by_name)

    trainer = Trainer()
    for method in (trainer.method, trainer.method_by_name):
        experiment, *rest = method(1, seed=4)
        assert isinstance(experiment, Experiment)
        assert rest == [1, (), {"seed": 4}]


@pytest.mark.parametrize("function", [lambda: None, lambda *, lr: lr])
def test_a_function_with_no_place_for_the_experiment_is_refused_at_once(
    function: Callable[..., Any], decorate: Callable[[Any], Any]
) -> None:
    """And not at its first call."""
    with pytest.raises(
        InvalidArgumentError, match=r"no parameter for the experiment.*def train\(experiment\)"
    ):
        decorate(function)


async def test_a_call_that_forgets_the_experiment_is_told_of_it(decorate: Callable[[Any], Any]) -> None:
    """Python alone would count one argument more than the call has; an error of the body's own stays as it is."""

    def train(lr: float) -> Any:
        return int(lr, lr)  # type: ignore[call-overload]

    async def train_later(lr: float) -> Any:
        return train(lr)

    with pytest.raises(InvalidCallError, match=r"2 were given: write `def train\(experiment, …\)`: the exp"):
        decorate(train)(0.1)
    with pytest.raises(InvalidCallError, match=r"write `def train_later\(experiment, …\)`"):
        await decorate(train_later)(0.1)
    with pytest.raises(TypeError) as raised:
        decorate(train)()
    assert not isinstance(raised.value, InvalidCallError)


async def test_an_object_that_is_called_as_a_coroutine_is_awaited_in_its_run(
    decorate: Callable[[Any], Any],
) -> None:
    """The run is open for as long as the call takes."""

    class Train:
        async def __call__(self, lr: float, experiment: Experiment) -> Any:
            await asyncio.sleep(0)
            return lr, experiment.run.status

    assert await decorate(Train())(0.1) == (0.1, "RUNNING")
    assert await decorate(functools.partial(Train().__call__, 0.2))() == (0.2, "RUNNING")


def test_what_yields_is_refused(decorate: Callable[[Any], Any]) -> None:
    """Its body would run when the run around the call has ended."""

    class Train:
        def __call__(self, experiment: Experiment) -> Any:
            yield experiment

    for given in (Train(), Train().__call__, 5):
        with pytest.raises(InvalidArgumentError, match="cannot decorate"):
            decorate(given)


# --- whose run a call is


def test_each_call_of_a_function_with_an_experiment_of_its_own_is_a_run_of_its_own(root: str) -> None:
    """What one call says of the experiment, another one does not find in its hands."""

    @ml_dash_experiment(prefix="a/b/c", dash_root=root, echo=False, tags=["sweep"])
    def train(config: dict[str, Any], experiment: Experiment) -> Experiment:
        experiment.params.set(**config)
        experiment.metrics("train").log(lr=config["lr"])
        return experiment

    one, two = train({"lr": 1}), train({"lr": 2})

    assert one is not two
    assert one.tags == two.tags == ["sweep"]
    assert [row["data"]["lr"] for row in two.metrics("train").read()["data"]] == [1, 2]
    assert statuses(one.directory) == ["RUNNING", "COMPLETED"] * 2
    assert list(inspect.signature(train).parameters) == ["config", "experiment"]


def test_calls_in_several_threads_do_not_end_each_other(root: str) -> None:
    """The first one to be ready closes nothing of the others."""
    started = threading.Barrier(4)
    turns = [threading.Event() for _ in range(5)]
    turns[0].set()

    @ml_dash_experiment(prefix="a/b/c", dash_root=root, echo=False)
    def train(number: int, experiment: Experiment) -> str | None:
        started.wait()
        turns[number].wait()
        experiment.metrics("train").log(number=number)
        return experiment.run.status

    def work(number: int) -> Any:
        try:
            return train(number)
        finally:
            turns[number + 1].set()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == ["RUNNING"] * 4
    found = Experiment("a/b/c", dash_root=root)
    assert found.metrics("train").read()["total"] == 4
    assert statuses(found.directory) == ["RUNNING"] * 4 + ["COMPLETED"] * 4


async def test_calls_in_several_tasks_do_not_end_each_other(root: str) -> None:
    """Nor does the one that fails fail the others."""

    @ml_dash_experiment(prefix="a/b/c", dash_root=root, echo=False)
    async def train(number: int, experiment: Experiment) -> Experiment:
        await asyncio.sleep(0)
        experiment.metrics("train").log(number=number)
        if number == 0:
            raise ZeroDivisionError
        return experiment

    failed, *rest = await asyncio.gather(*map(train, range(4)), return_exceptions=True)

    assert isinstance(failed, ZeroDivisionError)
    assert [exp.run.status for exp in rest if isinstance(exp, Experiment)] == ["COMPLETED"] * 3
    assert Experiment("a/b/c", dash_root=root).metrics("train").read()["total"] == 4


def test_without_a_prefix_each_call_makes_up_a_name(root: str) -> None:
    """As each `Experiment()` does."""

    @ml_dash_experiment(dash_root=root, echo=False)
    def train(experiment: Experiment) -> str:
        return experiment.prefix

    assert train() != train()


def test_arguments_are_those_of_the_decoration(
    tmp_path: Any, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root is where it was, what could be read once only is kept, and a warning is given once."""
    monkeypatch.chdir(tmp_path)
    with pytest.warns(FutureWarning, match="description") as caught:
        decorate = ml_dash_experiment(
            "a/b/c", dash_root="dash", echo=False, tags=(tag for tag in ["a", "b"]), description="why"
        )
    train = decorate(lambda experiment: (experiment.directory, experiment.tags, experiment.readme))
    assert len(caught) == 1
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert [train() for _ in range(2)] == [(str(tmp_path / "dash/a/b/c"), ["a", "b"], "why")] * 2


@pytest.mark.slow
def test_nothing_is_kept_of_a_call_that_is_over(root: str) -> None:
    """A sweep of a thousand calls holds no thousand experiments."""
    experiments = weakref.WeakSet()  # type: ignore[var-annotated]

    @ml_dash_experiment(prefix="a/b/c", dash_root=root, echo=False)
    def train(experiment: Experiment) -> None:
        experiments.add(experiment)
        experiment.metrics("train").log(x=1)

    for _ in range(20):
        train()
    gc.collect()

    assert len(experiments) == 0
