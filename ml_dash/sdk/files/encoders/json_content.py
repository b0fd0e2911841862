"""Objects as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

from ml_dash.errors import InvalidArgumentError

__all__ = ["json_bytes"]


def json_bytes(content: Any) -> bytes:
    """Return an object as JSON in UTF-8, indented, as Python's `json` writes it: NaN and the infinities as such.

    Numpy's scalars and arrays are taken as the numbers and lists that they hold; keys are as `json` has them.

    Raises:
        InvalidArgumentError: it holds something that JSON has no form for, or refers to itself.
    """
    try:
        return json.dumps(content, indent=2, ensure_ascii=False, default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgumentError(
            f"save_json() cannot write this {type(content).__qualname__}: {error}; pass dicts, lists, texts, numbers, "
            "bools and None, or use save_pkl()"
        ) from error


def _plain(value: Any) -> Any:
    """Return what stands for a value that `json` does not know."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.generic, numpy.ndarray)):
        return _of_array(value.tolist())
    raise TypeError(f"a {type(value).__module__}.{type(value).__qualname__} has no form in JSON")


def _of_array(value: Any) -> Any:
    """Refuse what numpy hands out as it is: complex numbers and times, which `json` would ask about for ever."""
    if isinstance(value, (list, str, int, float, bool, type(None))):
        return value
    raise TypeError(f"a {type(value).__qualname__} has no form in JSON")
