"""Objects as pickles, which ML-Dash writes and never loads."""

from __future__ import annotations

import pickle
from typing import Any, BinaryIO

from ml_dash.errors import InvalidArgumentError

__all__ = ["write_pickle"]


def write_pickle(content: Any, file: BinaryIO) -> None:
    """Write an object by `pickle`, in a protocol that every supported Python reads.

    Raises:
        InvalidArgumentError: it cannot be pickled.
    """
    try:
        pickle.dump(content, file, protocol=4)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidArgumentError(
            f"save_pkl() cannot pickle this {type(content).__qualname__}: {error}; pass what pickle takes, such as "
            "its data in dicts, lists and arrays"
        ) from error
