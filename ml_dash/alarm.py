"""A sleep that any thread may end."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


class Alarm:
    """Lets one task of an asyncio loop sleep. What wakes it while it is awake ends its next sleep at once.

    A bare future and a timer: with anyio's event and cancel scope a round without work would cost the background thread
    twice as much.
    """

    def __init__(self) -> None:
        self._woken = False
        self._sleeping: asyncio.Future[None] | None = None

    async def sleep(self, seconds: float) -> bool:
        """Sleep at most `seconds`; True where woken."""
        import asyncio

        if not self._woken and seconds > 0:
            loop = asyncio.get_running_loop()
            self._sleeping = loop.create_future()
            timer = loop.call_later(seconds, self._end)
            try:
                # Whoever wakes us sets the flag first: it may have been set before there was a future to end.
                if not self._woken:
                    await self._sleeping
            finally:
                timer.cancel()
                self._sleeping = None
        woken, self._woken = self._woken, False
        return woken

    def wake(self) -> None:
        """End the sleep; from any thread."""
        self._woken = True
        sleeping = self._sleeping
        if sleeping is not None:
            with contextlib.suppress(RuntimeError):  # the loop has closed, and nobody sleeps any more
                sleeping.get_loop().call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self._sleeping is not None and not self._sleeping.done():
            self._sleeping.set_result(None)
