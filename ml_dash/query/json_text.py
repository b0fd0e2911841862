"""What was logged, as JSON: msgpack carries more than JSON has, and whatever it is, it is written."""

from __future__ import annotations

import json
from typing import Any

_KEYS = (str, int, float, bool, type(None))
"""Types of keys that Python's `json` writes, each in its own way."""
_DEEPEST = 200
"""Python's recursion ends at about a thousand, and whoever asks is some way into it."""


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Return JSON; NaN and infinities are the literals that Python's `json` reads and writes.

    What JSON does not have (bytes, timestamps) gets the form of every value that cannot be stored as it is; as a key it
    is written as Python shows it. What is nested too deep to be written is left out, as ``"…"``.
    """
    try:
        return json.dumps(value, default=_unjson, indent=indent)
    except (TypeError, RecursionError):
        # hardly anything has such keys, or is so deep: only what does is copied
        return json.dumps(writable(value), default=_unjson, indent=indent)


def writable(value: Any, depth: int = 0) -> Any:
    """Return a value whose keys Python's `json` writes, and which is not nested too deep for it."""
    if not isinstance(value, (dict, list)):
        return value
    if depth == _DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {
            key if isinstance(key, _KEYS) else str(key): writable(item, depth + 1)
            for key, item in value.items()
        }
    return [writable(item, depth + 1) for item in value]


def _unjson(value: Any) -> dict[str, str]:
    return {"__repr__": repr(value), "__type__": f"{type(value).__module__}.{type(value).__qualname__}"}
