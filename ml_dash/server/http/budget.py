"""How many bytes of requests may be in memory at once.

What has arrived counts, and never what a request says that it will send: anybody may say that, and send nothing. One
token may have half of the memory at most, in all of its requests together, so that others get through whatever it does.
Alone, one request always gets what it asks for.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ml_dash.server.errors import busy

if TYPE_CHECKING:
    from collections.abc import Iterator


_STEP_MIN, _STEP_MAX = 1 << 16, 1 << 20


class Memory:
    """The bytes that all requests share. Used on the event loop only, hence without a lock.

    Attributes:
        used: How many bytes are taken.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0
        self._by_token: Counter[str] = Counter()

    @contextmanager
    def budget(self, token: str) -> Iterator[Budget]:
        """Give the share of one request of a token, which is returned at the end."""
        share = Budget(self, token)
        try:
            yield share
        finally:
            self.used -= share.taken
            self._by_token[token] -= share.taken
            if not self._by_token[token]:
                del self._by_token[token]  # tokens come and go, without end

    def take(self, token: str, size: int, taken: int) -> None:
        """Take bytes for a request that has `taken` some, or refuse.

        Raises:
            ApiError: 503.
        """
        others, own = self.used - taken, self._by_token[token] - taken
        if others and self.used + size > self._limit:
            raise busy(f"the server is already working on {others} bytes of other requests")
        if own and own + taken + size > self._limit // 2:
            raise busy(f"the server is already working on {own} bytes of other requests with this token")
        self.used += size
        self._by_token[token] += size


class Budget:
    """One request's share of the memory."""

    def __init__(self, memory: Memory, token: str) -> None:
        self._memory = memory
        self._token = token
        self.taken = 0

    def cover(self, size: int) -> None:
        """Take what is needed to have this many bytes in all."""
        if size > self.taken:
            # in steps, so that not every chunk asks
            more = max(size - self.taken, min(self.taken, _STEP_MAX), _STEP_MIN)
            self._memory.take(self._token, more, self.taken)
            self.taken += more
