"""Calls whose arguments do not fit: what is meant by a dict is done, and of anything else it is said what to write."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

from ml_dash.errors import InvalidArgumentError, InvalidCallError
from ml_dash.values.pack import represent
from ml_dash.values.tensors import on_device

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

_UNEXPECTED = r"unexpected keyword argument '(\w+)'"
_TAKES = (
    r"takes (?:from (\d+) to )?(\d+) positional arguments? but (\d+)(?: positional.*\))? (?:was|were) given"
)
_LONG = 40


def explained(
    example: str, keywords: Mapping[str, str] | None = None, name: str | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function so that a call that does not fit its arguments says what to write.

    Not for the hot path, nor for coroutine functions.

    Args:
        example: a call that fits.
        keywords: what to write instead of keyword arguments that it does not have.
        name: what a script calls it, where that is not its name.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except TypeError as error:
                # Where the arguments do not fit, there is no frame of the function itself.
                if (
                    isinstance(error, InvalidCallError)
                    or error.__traceback__ is None
                    or error.__traceback__.tb_next
                ):
                    raise
                reason = _reason(function, str(error), name or _written(function, args))
            raise InvalidCallError(f"{reason}: {_remedy(function, reason, example, keywords or {})}")

        return call

    return decorate


def _written(function: Callable[..., object], args: tuple[Any, ...]) -> str:
    """Return how a script writes a function that it has called with these arguments."""
    *_, owner, name = ("", *function.__qualname__.split("."))
    if name == "__init__":
        return owner
    written = getattr(args[0], "_written", "") if args else ""
    if not written:
        return function.__qualname__
    return written if name == "__call__" else f"{written}.{name}"


def _reason(function: Callable[..., object], said: str, written: str) -> str:
    """Return what Python says of arguments that do not fit, by the name and the number that a script sees."""
    from inspect import signature

    reason = said.replace(f"{function.__qualname__}()", f"{written}()")
    if next(iter(signature(function).parameters), None) == "self":
        reason = re.sub(_TAKES, _without_self, reason)
    return reason


def _without_self(match: re.Match[str]) -> str:
    least, most, given = (int(number) - 1 if number else None for number in match.groups())
    assert most is not None and given is not None  # noqa: S101, PT018 - the pattern has both
    takes = f"{'at most ' if least is not None else ''}{most or 'no'} positional argument{'' if most == 1 else 's'}"
    return f"takes {takes} but {given} {'was' if given == 1 else 'were'} given"


def _remedy(function: Callable[..., object], reason: str, example: str, keywords: Mapping[str, str]) -> str:
    unexpected = re.search(_UNEXPECTED, reason)
    if unexpected is None:
        return f"write {example}"
    name = unexpected[1]
    if name in keywords:
        return f"write {keywords[name]}"
    from difflib import get_close_matches
    from inspect import signature

    known = [each for each in signature(function).parameters if each != "self"]
    close = get_close_matches(name, known, 1)
    return f"did you mean {close[0]}=?" if close else f"write {example}"


def signposted(written: str, names: Mapping[str, str]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a method that is taken for an object, as in ``exp.log.info('text')``: its attributes say what to write.

    They raise when they are called: those of a function cannot when they are read.

    Args:
        written: how the method is written.
        names: what to write instead of calls of its attributes, by their names.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        for name, hint in names.items():
            setattr(function, name, _refusing(f"{written}.{name}(…)", hint.format(name=name)))
        return function

    return decorate


def _refusing(call: str, hint: str) -> Callable[..., NoReturn]:
    def refuse(*_given: object, **_data: object) -> NoReturn:
        raise InvalidCallError(f"{call} is not possible: write {hint}")

    return refuse


def merged(given: tuple[Any, ...], data: dict[str, Any], written: str) -> dict[str, Any]:
    """Return the fields of a call that was given dicts, and keyword arguments, which win over equal keys.

    Args:
        given: the positional arguments.
        data: the keyword arguments.
        written: how the call is written.

    Raises:
        InvalidCallError: a positional argument is not a dict.
    """
    fields: dict[str, Any] = {}
    for each in given:
        if not isinstance(each, Mapping):
            raise InvalidCallError(_not_a_dict(given, each, data, written))
        try:
            fields |= {str(name): value for name, value in each.items()}
        except Exception as error:
            raise InvalidCallError(
                f"{written}(…) was given a {type(each).__qualname__} that cannot be read ({error!r:.200}): pass a dict"
            ) from error
    return {**fields, **data}


def _not_a_dict(given: tuple[Any, ...], odd: Any, data: Mapping[str, Any], written: str) -> str:
    named = [f"{name}={shown(value)}" for name, value in data.items()]
    call = f"{written}({', '.join([*map(shown, given), *named])})"
    if written.endswith(".log_columns"):
        columns = ", ".join(["loss=[0.5, 0.4]", *named])
        return f"{call} names no column for {shown(odd)}: write {written}({columns}), or pass a dict of lists"
    if isinstance(odd, str):
        return f"{call} names no field for {odd!r:.100}: write {_by_name(given, odd, named, written)}"
    if isinstance(odd, (int, float)) or callable(getattr(odd, "item", None)):
        dicts = given[: next(at for at, each in enumerate(given) if each is odd)]
        field = _BESIDE_A_DICT.get(written.rpartition(".")[2], "loss") if dicts else "loss"
        fields = ", ".join([*map(shown, dicts), f"{field}={shown(odd)}", *named])
        return f"{call} names no field for {shown(odd)}: write {written}({fields})"
    kind = type(odd).__qualname__
    return (
        f"{call} was given a {kind}, which is not a dict of fields: write {written}(loss=0.5), or pass a dict"
    )


_BESIDE_A_DICT = {"log": "step", "append": "_ts"}
"""What a number behind a dict is meant as, as in ``wandb.log({"loss": 0.5}, 3)``."""


def _by_name(given: tuple[Any, ...], odd: str, named: list[str], written: str) -> str:
    """Return a call that fits, for one that was given a name: of a field, or of a metric if it has fields."""
    values = list(map(shown, given[1:])) if given[0] is odd else []
    if not values and named and written == "exp.metrics.log":
        return f"exp.metrics({odd!r:.100}).log({', '.join(named)})"
    value = values[0] if values else "0.5"
    step = [f"step={values[1]}"] if len(values) > 1 and written.endswith(".log") else []
    field = f"{odd}={value}" if odd.isidentifier() else f"{{{odd!r:.100}: {value}}}"
    return f"{written}({', '.join([field, *step, *named])})"


def seconds(timeout: object) -> float | None:
    """Return how long a call may wait; None for as long as it takes.

    Raises:
        InvalidArgumentError: it is no number of seconds.
    """
    if timeout is None:
        return None
    if isinstance(timeout, (int, float)) and not isinstance(timeout, bool) and timeout >= 0:
        return timeout
    raise InvalidArgumentError(
        f"timeout={shown(timeout)} is not a number of seconds, 0 or more: pass timeout=10, or None to wait for as "
        "long as it takes"
    )


def flag(name: str, value: Any) -> bool:
    """Return a value that has to be True or False: of a text such as ``"no"`` nobody knows what Python takes it for.

    Raises:
        InvalidArgumentError: it is neither.
    """
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):  # numpy's, before and since 2.0
        return bool(value)
    raise InvalidArgumentError(
        f"{name}={shown(value)} is neither True nor False: write {name}=True, or {name}=False"
    )


def shown(value: Any) -> str:
    """Return what a message shows of a value, without waiting for a device."""
    if on_device(value):
        return f"<{type(value).__name__} on a device>"
    text = str(represent(value)["__repr__"])
    return text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"
