"""Records of numbers, which nearly all are: their names and values, without taking each message in them apart.

An item of a history or a summary is a message with a name and a JSON text. Of those with short names and plain numbers
one pattern finds all; that it has found them rightly, their lengths tell, which each is stored with.
"""

from __future__ import annotations

import re
from typing import Any

_ITEM = re.compile(
    rb"\x0a(.)[\x0a\x12](.)([^\x82]*?)\x82\x01(.)([-+0-9.eE]+|NaN|-?Infinity|true|false)(?=[\x0a\x12]|\Z)",
    re.DOTALL,
)
_AROUND = 7  # bytes of an item besides its name and its value, and of these the first two are its own tag and length
_STEP = b"\x12"
_WORDS: dict[bytes, Any] = {
    b"NaN": float("nan"),
    b"Infinity": float("inf"),
    b"-Infinity": float("-inf"),
    b"true": True,
    b"false": False,
}


def texts_in(data: bytes, *, with_step: bool) -> dict[bytes, bytes] | None:
    """Return the texts of values by names; None where there is anything else, but for a step behind them."""
    found: dict[bytes, bytes] = {}
    size = 0
    for length, name_length, name, value_length, value in _ITEM.findall(data):
        names, values = len(name), len(value)
        if (name_length[0], value_length[0], length[0]) != (names, values, names + values + _AROUND - 2):
            return None
        size += names + values + _AROUND
        found[name] = value
    rest = data[size:]
    if rest and not (with_step and rest[:1] == _STEP and len(rest) == 2 + rest[1]):
        return None
    return found


def number(text: bytes) -> Any:
    """Return what the text of a number says, as JSON does."""
    if text.lstrip(b"-").isdigit():
        return int(text)
    return _WORDS[text] if text in _WORDS else float(text)
