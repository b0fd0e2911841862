"""Requests that wait until an experiment changes: a page that shows what stands still asks for hardly anything."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from ml_dash.server.rows.library import Library

T = TypeVar("T")

_LOOK_SECONDS = 0.5
"""Between two looks; so long the end of the server waits for those who wait."""
_ANYHOW_SECONDS = 10.0
"""A run becomes stale by time alone, which no change tells."""
_WAITING_MAX = 200
"""Each has a connection. Others are answered at once."""


class Waits:
    """Those who wait for a library to change. Used on its event loop only."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._waiting = 0

    async def first(
        self, request: web.Request, seconds: float, ask: Callable[[], Awaitable[T | None]]
    ) -> T | None:
        """Return what `ask` finds once something has changed; None if nothing has, or nobody waits any more."""
        if self._waiting >= _WAITING_MAX:
            return None
        self._waiting += 1
        try:
            return await self._first(request, seconds, ask)
        finally:
            self._waiting -= 1

    async def _first(
        self, request: web.Request, seconds: float, ask: Callable[[], Awaitable[T | None]]
    ) -> T | None:
        loop = asyncio.get_running_loop()
        end, due = loop.time() + seconds, loop.time()
        known: str | None = None
        while not (self._library.closing or request.transport is None or request.transport.is_closing()):
            now = await self._library.query(self._library.changed)
            # the first time as well: something may have come since the list was made
            if now != known or loop.time() >= due:
                known, due = now, loop.time() + _ANYHOW_SECONDS
                found = await ask()
                if found is not None:
                    return found
            left = end - loop.time()
            if left <= 0:
                break
            await asyncio.sleep(min(left, _LOOK_SECONDS))
        return None
