"""Rows in batches of bounded size: their keys and sizes are read first, then some of them at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import func

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import ColumnElement

K = TypeVar("K")

_BYTES = 1 << 20
_ROWS = 500
"""Keys of one statement: databases take several thousand."""


def size_of(*columns: ColumnElement[Any]) -> ColumnElement[int]:
    """Return how many bytes a row has in these columns; a database tells that without reading what is in them."""
    size: Any = 0
    for column in columns:
        size = size + func.coalesce(func.length(column), 0)
    return size  # type: ignore[no-any-return]


def batches(keys: Iterable[tuple[K, int]], nbytes: int = _BYTES) -> Iterator[list[K]]:
    """Yield keys, each given with the size of its row, in lists of about so many bytes, or of one larger row."""
    batch: list[K] = []
    size = 0
    for key, length in keys:
        if batch and (size + length > nbytes or len(batch) == _ROWS):
            yield batch
            batch, size = [], 0
        batch.append(key)
        size += length
    if batch:
        yield batch
