"""PyTorch's modules and state dicts."""

from __future__ import annotations

import pickle
from typing import Any, BinaryIO

from ml_dash.errors import InvalidArgumentError, MissingExtraError

__all__ = ["write_torch"]


def write_torch(model: Any, file: BinaryIO) -> None:
    """Write an object by ``torch.save``.

    Raises:
        MissingExtraError: PyTorch is not installed.
        InvalidArgumentError: it cannot be saved.
    """
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
