"""What waits in a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from ml_dash.events.column_event import ColumnEvent
from ml_dash.slabs.slab import Chunk

if TYPE_CHECKING:
    from ml_dash.values.pack import DeferredEvent

Event: TypeAlias = "bytes | DeferredEvent | ColumnEvent"
"""A row, packed ``[series number, nanoseconds, fields]`` or on its way to that; or many."""
Item: TypeAlias = "Event | Chunk"
"""An event, or many of them where they lie in a slab."""


def rows_of(item: Item) -> int:
    """Return how many rows an item stands for."""
    return item.rows if isinstance(item, (ColumnEvent, Chunk)) else 1
