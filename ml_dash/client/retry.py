"""When to try again: exponential back-off with full jitter, and what a server asks for by ``Retry-After``.

Full jitter (a uniform draw from 0 to the bound) spreads the clients of a server that comes back best of all simple
rules: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import random
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RETRY_AFTER_MAX", "Backoff", "Randomness", "retry_after_seconds"]

RETRY_AFTER_MAX = 600.0
"""Seconds: no server is obeyed for longer, lest a wrong clock silences a client for a year."""

_NANOSECONDS = 1_000_000_000


class Randomness(Protocol):
    """What is asked of a source of random numbers."""

    def uniform(self, a: float, b: float, /) -> float:
        """Return a number between these two."""
        ...


class Backoff:
    """How long to wait before the next try.

    Args:
        first: Seconds that the first wait has at most.
        most: Seconds that any wait has at most.
        rng: Where the jitter comes from.

    Example:
        >>> backoff = Backoff()
        >>> await asyncio.sleep(backoff.next())
    """

    def __init__(
        self,
        first: float = 0.5,
        most: float = 60.0,
        rng: Randomness = random,  # the module itself: its source is seeded anew in every forked child
    ) -> None:
        self._first = first
        self._most = most
        self._rng = rng
        self._failures = 0

    def next(self, retry_after: float | None = None) -> float:
        """Return the seconds to wait after one more failure: not less than the server asks for."""
        bound = min(self._most, self._first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        jitter = self._rng.uniform(0.0, bound)
        if retry_after is None:
            return jitter
        # All whom a server has sent away must not come back at the same moment.
        return min(retry_after, RETRY_AFTER_MAX) + min(jitter, max(1.0, retry_after / 10))

    def reset(self) -> None:
        """Begin anew: it worked."""
        self._failures = 0


def retry_after_seconds(value: str | None, time_ns: Callable[[], int]) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for; None where it is absent or makes no sense.

    Args:
        value: The header: a number of seconds, or a date as of RFC 9110.
        time_ns: The time, for a date.
    """
    if value is None:
        return None
    try:
        seconds = float(value) if value.strip().replace(".", "", 1).isdigit() else _until(value, time_ns())
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_MAX)


def _until(date: str, now_ns: int) -> float:
    return parsedate_to_datetime(date).timestamp() - now_ns / _NANOSECONDS
