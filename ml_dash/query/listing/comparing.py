"""Whether a value is what a condition asks for; and what a table keeps of a value, so that SQL can say the same."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ml_dash.query.json_text import writable
from ml_dash.query.listing.tokens import number_of
from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">="]
EXACT_MAX = 2**53
"""Whole numbers beyond are not exact as float64."""
TEXT_MAX = 1000
"""Characters of a text that tables keep, and that conditions look at."""
NAN = "nan"
_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=str)


def folded(text: str) -> str:
    """Return a text without its case: none of what people write here depends on that."""
    return text.casefold()


def holds(
    value: Any, operator: Operator, wanted: str, *, is_pattern: bool = False, as_text: bool = False
) -> bool:
    """Say whether a value is what is asked for: as numbers where a number is asked for, else as texts in any case.

    What is no number is neither above nor below one, nor the other way round, and NaN is so of nothing. Of several
    values, as of tags, one must be equal, or with ``!=`` none. What is not there is only unequal.

    Args:
        value: A number, a text, a bool, or a list of texts; None where there is none.
        operator: How it is compared.
        wanted: With what.
        is_pattern: Whether a ``*`` in `wanted` stands for any characters; alone it means any value at all.
        as_text: Whether it is a text, whatever it looks like.
    """
    if value is None:
        return operator == "!="
    if isinstance(value, (list, tuple)):
        found = any(holds(each, "=", wanted, is_pattern=is_pattern, as_text=True) for each in value)
        return found == (operator == "=")
    if is_pattern:
        return _fits(value, wanted) == (operator == "=")
    order = _compare(folded(value), folded(wanted)) if as_text else _order(value, wanted)
    if order is None:
        return operator == "!="
    return {
        "=": order == 0,
        "!=": order != 0,
        "<": order < 0,
        "<=": order <= 0,
        ">": order > 0,
        ">=": order >= 0,
    }[operator]


def _fits(value: Any, pattern: str) -> bool:
    if pattern.strip("*") == "":
        return True
    text = kept(value)
    return text is not None and text.text is not None and pattern_of(pattern)(text.text)


@lru_cache(maxsize=256)
def pattern_of(pattern: str) -> Callable[[str], bool]:
    """Return what tells which folded texts a pattern means, in which ``*`` stands for any characters.

    Of what stands between two stars the first place counts: no pattern goes back on it, and takes long.
    """
    first, *others = folded(pattern).split("*")
    if not others:
        return first.__eq__
    *middle, last = others

    def fits(text: str) -> bool:
        if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
            return False
        at, end = len(first), len(text) - len(last)
        for part in middle:
            at = text.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True

    return fits


def _order(value: Any, wanted: str) -> int | None:
    """Return below 0, 0 or above 0, as the value is below, at or above what is asked for; None for none of these."""
    other = number_of(wanted)
    if other is None:
        text = text_of(value)
        return None if text is None else _compare(text, folded(wanted)[:TEXT_MAX])
    number = number_in(value)
    return None if number is None else _compare(number, other)


def number_in(value: Any) -> int | float | None:
    """Return the number that a value is, or that its text says; None where it is none, and of NaN."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return number_of(value)
    return value if isinstance(value, (int, float)) and not math.isnan(value) else None


def text_of(value: Any) -> str | None:
    """Return a value as the text by which it is compared; None of a number other than NaN."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return NAN if math.isnan(value) else None
    return folded(value if isinstance(value, str) else json_text(value))[:TEXT_MAX]


def json_text(value: Any) -> str:
    """Return a list or a dict as the text by which it is compared and shown: ``[64,64]``."""
    try:
        return _JSON.encode(value)
    except (TypeError, RecursionError):
        # hardly any has keys that JSON does not have, as a time
        return _JSON.encode(writable(value))


def _compare(one: Any, other: Any) -> int:
    return int(one > other) - int(one < other)


class Kept(NamedTuple):
    """A value as tables keep it.

    Attributes:
        number: The number that it is, or that its text says, as float64.
        text: The text by which it is compared; of a whole number that float64 does not hold, its digits.
    """

    number: float | None
    text: str | None


def kept(value: Any) -> Kept | None:
    """Return a parameter, or a last value, as tables keep it; None of one that is not there."""
    if value is None:
        return None
    number, text = number_in(value), text_of(value)
    if isinstance(number, int) and abs(number) > EXACT_MAX:
        text = str(number)
    return Kept(None if number is None else to_float(number), text)


def to_float(number: float) -> float:
    """Return a number as float64: what is beyond is infinite."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def comparable(value: Any) -> Any:
    """Return a parameter as conditions and sorts see it: what is not plain as its text."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else json_text(value)


def sort_key(value: Any, *, descending: bool) -> tuple[int, Any]:
    """Return what sorts a value among others: numbers before texts, or behind; what is not there last both ways.

    Numbers are sorted as float64. To be sorted with ``reverse=descending``.
    """
    text = None if value is None else text_of(value)
    number = None if value is None else number_in(value)
    if number is None and text in {None, NAN}:
        return (-1 if descending else 2, 0)
    return (1, text) if number is None else (0, to_float(number))
