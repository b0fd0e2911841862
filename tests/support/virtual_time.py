"""An event loop whose time passes only when everybody waits: a day of an outage takes a moment."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["VirtualClock", "VirtualLoop", "run"]

BIRTH_NS = 1_700_000_000_000_000_000

_T = TypeVar("_T")


class _Selector(selectors.SelectSelector):
    """Waits for nobody: it lets the time pass instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits for ever")
        if timeout > 0:
            self.now += max(timeout, 1e-6)  # what is less than a rounding error would never pass
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module. Nothing outside the loop may be waited for: no socket, no other thread."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


class VirtualClock:
    """The loop's time, as `ml_dash.clock.Clock`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def time_ns(self) -> int:
        return BIRTH_NS + int(self._loop.time() * 1e9)

    def monotonic(self) -> float:
        return self._loop.time()


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run this in virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()
