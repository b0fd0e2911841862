"""How many bytes of requests may be in memory at once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ml_dash.server.errors import busy

if TYPE_CHECKING:
    from collections.abc import Iterator


class Memory:
    """The bytes that all requests share. Used on the event loop only, hence without a lock."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0
        """How many bytes are taken."""

    @contextmanager
    def budget(self) -> Iterator[Budget]:
        """Give one request's share, which is returned at the end."""
        share = Budget(self)
        try:
            yield share
        finally:
            self.used -= share.taken

    def take(self, size: int) -> None:
        """Take bytes, or refuse. Alone, one request always gets what it asks for.

        Raises:
            ApiError: 503.
        """
        if self.used and self.used + size > self._limit:
            raise busy(f"the server is already working on {self.used} bytes of requests")
        self.used += size


class Budget:
    """One request's share of the memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.taken = 0

    def take(self, size: int) -> None:
        """Take this many bytes more."""
        self._memory.take(size)
        self.taken += size

    def cover(self, size: int) -> None:
        """Take what is needed to have this many bytes in all."""
        if size > self.taken:
            # in steps, so that not every chunk asks
            self.take(max(size - self.taken, self.taken, 1 << 16))
