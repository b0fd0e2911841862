"""Between threads and an event loop: where work is done that waits, and how a thread asks what only the loop can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

_T = TypeVar("_T")


class RunBlocking(Protocol):
    """Does something on another thread, and returns what it returns, or raises what it raises.

    `asyncio.to_thread` is one. What is used at the exit of an interpreter must be no executor: these take no work then.
    """

    def __call__(self, work: Callable[[], _T], /) -> Awaitable[_T]:
        """Do it."""


class Call(Protocol):
    """Runs a coroutine on an event loop, waits for it, and returns what it returns."""

    def __call__(self, coroutine: Coroutine[Any, Any, _T], /) -> _T:
        """Run it."""
