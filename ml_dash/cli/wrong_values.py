"""Values that cannot be taken, told in a person's words: of options, and of environment variables.

Typer quotes the library that checks options. Of a variable an error says which it was, where the command line has not
said the value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

import typer

_REASONS: dict[str, Callable[[str, dict[str, Any]], str]] = {
    "value_error": lambda _, context: str(context["error"]),
    "int_parsing": lambda value, _: f"{value!r} is not a whole number.",
    "int_parsing_size": lambda value, _: f"{value!r} is not a whole number that can be taken.",
    "int_from_float": lambda value, _: f"{value!r} is not a whole number.",
    "float_parsing": lambda value, _: f"{value!r} is not a number.",
    "greater_than_equal": lambda value, context: (
        f"{value} is less than {context['ge']:g}, the least that it can be."
    ),
    "less_than_equal": lambda value, context: (
        f"{value} is more than {context['le']}, the most that it can be."
    ),
}
"""By what pydantic calls the fault, of the value and what it says beside it."""

_QUOTED = re.compile("'([^']*)'")

_VARIABLES = (
    "ML_DASH_ROOT",
    "ML_DASH_API_URL",
    "ML_DASH_CONFIG_DIR",
    "ML_DASH_QUEUE_DIR",
    "ML_DASH_CA",
    "ML_DASH_TOKEN_ORIGIN",
    "ML_DASH_USER",
    "ML_DASH_PREFIX",
)
"""Variables whose values errors may be about."""


def reword(error: typer.BadParameter) -> None:
    """Say in a person's words why a value cannot be taken, and which one may be meant.

    Older versions of typer, which check by themselves, say it so already.
    """
    faults: list[dict[str, Any]] = getattr(error.__cause__, "errors", list)()
    if not faults:
        return
    fault = faults[0]
    if reason := _REASONS.get(fault["type"]):
        error.message = reason(fault["input"], fault.get("ctx", {}))
    offered = _QUOTED.findall(error.message.partition(" is not one of ")[2])
    if close := get_close_matches(str(fault["input"]).lower(), offered, 1):
        error.message += f" Did you mean {close[0]!r}?"


def told_with_variable(message: str, given: Iterable[str]) -> str:
    """Return an error's message, and which variable has the value that it names; `given` are the command's words."""
    words = [*given]
    for name in _VARIABLES:
        value = os.environ.get(name)
        if not value or name in message or any(value in word for word in words):
            continue
        if any(_is_named(each, message) for each in {value, os.path.expanduser(value)}):
            # not the value itself: a URL may have a password, which the message leaves out
            return f"{message} (that is from {name}: set another one, or unset it, if it is wrong)"
    return message


def _is_named(value: str, message: str) -> bool:
    if repr(value) in message:
        return True
    # a word alone may be there for any other reason
    return (
        "/" in value
        and re.search(rf"(?<![\w./-]){re.escape(value.rstrip('/'))}(?![\w.-])", message) is not None
    )
