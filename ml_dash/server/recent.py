"""A cache in bounded memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


# not functools.lru_cache: entries are also set anew, looked for and removed
class Recent(OrderedDict[K, V]):
    """A dict of the entries that were set last: beyond `most`, the one that was set longest ago is forgotten."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)


class RecentBytes(Generic[K, V]):
    """What was used last, in so many bytes. Any thread may ask."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._used = 0
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """Return what is kept under a key."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value of so many bytes, in place of what was used longest ago."""
        with self._lock:
            _, before = self._kept.pop(key, (None, 0))
            self._used -= before
            if size > self._most:
                return
            self._kept[key] = value, size
            self._used += size
            while self._used > self._most:
                _, (_, freed) = self._kept.popitem(last=False)
                self._used -= freed
