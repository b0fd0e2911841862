"""Options' values that cannot be taken, told in a person's words: typer quotes the library that checks them."""

from __future__ import annotations

import re
from collections.abc import Callable
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
