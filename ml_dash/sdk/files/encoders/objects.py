"""Objects as JSON, as pickles, which ML-Dash writes and never loads, and as PyTorch stores them."""

from __future__ import annotations

import json
import pickle
import sys
from typing import Any, BinaryIO

from ml_dash.errors import InvalidArgumentError, MissingExtraError


def json_bytes(content: Any) -> bytes:
    """Return an object as JSON in UTF-8, indented, as Python's `json` writes it: NaN and the infinities as such.

    Numpy's scalars and arrays are taken as the numbers and lists that they hold; keys are as `json` has them.
    """
    try:
        text = json.dumps(content, indent=2, ensure_ascii=False, default=_plain)
        try:
            return text.encode()
        except UnicodeEncodeError:  # lone surrogates, which JSON has as escapes only
            return json.dumps(content, indent=2, default=_plain).encode()
    except Exception as error:  # what it holds is the script's, and may raise anything
        raise InvalidArgumentError(
            f"save_json() cannot write this {type(content).__qualname__}: {error}; pass dicts, lists, texts, numbers, "
            "bools and None, or use save_pkl()"
        ) from error


def _plain(value: Any) -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.generic, numpy.ndarray)):
        return _of_array(value.tolist())
    raise TypeError(f"a {type(value).__module__}.{type(value).__qualname__} has no form in JSON")


def _of_array(value: Any) -> Any:
    """Refuse what numpy hands out as it is: complex numbers and times, which `json` would ask about for ever."""
    if isinstance(value, (list, str, int, float, bool, type(None))):
        return value
    raise TypeError(f"a {type(value).__qualname__} has no form in JSON")


def write_pickle(content: Any, file: BinaryIO) -> None:
    """Write an object by `pickle`, in a protocol that every supported Python reads."""
    try:
        # Protocol 4 has frames for large objects; 5 gains only for buffers that are passed beside the stream.
        pickle.dump(content, file, protocol=4)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidArgumentError(
            f"save_pkl() cannot pickle this {type(content).__qualname__}: {error}; pass what pickle takes, such as "
            "its data in dicts, lists and arrays"
        ) from error


def write_torch(model: Any, file: BinaryIO) -> None:
    """Write an object by ``torch.save``."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("save_torch()", "torch", "torch") from error
    try:
        torch.save(model, file)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidArgumentError(
            f"save_torch() cannot save this {type(model).__qualname__}: {error}; pass model.state_dict()"
        ) from error
