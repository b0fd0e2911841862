"""Decorated functions: each call is a block of a run, and gets the experiment."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from ml_dash.errors import InvalidArgumentError
from ml_dash.sdk.guidance.calls import explained

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R")

_NAME = "experiment"
_WHERE = f"the experiment is given to it besides, as its parameter {_NAME!r}, or without one of that name as the first"


if TYPE_CHECKING:

    class _Block(Protocol):
        """What a run is around a call, of a function of either kind; gives the experiment."""

        def __enter__(self) -> Any: ...
        def __exit__(self, kind: object, error: BaseException | None, traceback: object, /) -> None: ...
        async def __aenter__(self) -> Any: ...
        async def __aexit__(
            self, kind: object, error: BaseException | None, traceback: object, /
        ) -> None: ...


def decorated(function: Callable[..., R], run: Callable[[], _Block]) -> Callable[..., R]:
    """Return `function`, called with the experiment inside of the run that `run` gives for each call.

    Raises:
        InvalidArgumentError: it is no function, or one around which no run can be, or has no place for the experiment.
    """
    import inspect

    given: Any = function
    # An object may be callable by a method of any kind.
    bodies = given, getattr(type(given), "__call__", None)  # noqa: B004 - not whether it is callable, but by what
    # A generator's body would run when the run around the call has ended already.
    if not callable(given) or any(
        inspect.isgeneratorfunction(body) or inspect.isasyncgenfunction(body) for body in bodies
    ):
        raise InvalidArgumentError(
            f"exp.run cannot decorate {function!r}: decorate a function or an async function, and in a generator "
            "open the run with `with exp.run:`"
        )
    place = _place(given)
    # Not found out before the run is there: what stands around a function may give it more than its signature says.
    called = explained(f"`def {getattr(given, '__name__', 'train')}({_NAME}, …)`: {_WHERE}")(given)

    def arguments(
        experiment: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if place is None or len(args) < place:
            return args, {**kwargs, _NAME: experiment}
        return (*args[:place], experiment, *args[place:]), kwargs

    if any(inspect.iscoroutinefunction(body) for body in bodies):

        @functools.wraps(given)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            async with run() as experiment:
                args, kwargs = arguments(experiment, args, kwargs)
                return await called(*args, **kwargs)

        return cast("Callable[..., R]", call_async)

    @functools.wraps(given)
    def call(*args: Any, **kwargs: Any) -> R:
        with run() as experiment:
            args, kwargs = arguments(experiment, args, kwargs)
            return cast("R", called(*args, **kwargs))

    return call


def _place(function: Callable[..., object]) -> int | None:
    """Return before how many of a call's own positional arguments the experiment comes; None: it goes by its name."""
    import inspect

    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return 0  # implemented in C
    positional = [each for each in parameters if each.kind < each.KEYWORD_ONLY]
    for index, parameter in enumerate(positional):
        if parameter.name == _NAME and parameter.kind is not parameter.VAR_POSITIONAL:
            return index
    own = 1 if positional and positional[0].name in {"self", "cls"} else 0  # a method, decorated in its class
    if any(each.name == _NAME and each.kind is each.KEYWORD_ONLY for each in parameters):
        return None
    if len(positional) > own:
        return own
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return None
    raise InvalidArgumentError(
        f"{function!r} has no parameter for the experiment: give it one, as in `def train(experiment):`"
    )
