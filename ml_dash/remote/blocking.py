"""Where work is done that waits for the disk or for a name: never on the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["RunBlocking"]

_T = TypeVar("_T")


class RunBlocking(Protocol):
    """Does something on another thread, and returns what it returns, or raises what it raises.

    `asyncio.to_thread` is one. What is used at the exit of an interpreter must be no executor: these take no work then.
    """

    def __call__(self, work: Callable[[], _T], /) -> Awaitable[_T]:
        """Do it."""
        ...
