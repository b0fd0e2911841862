"""Worker threads that an event loop can wait for."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from ml_dash.server.errors import busy

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

# few: each may hold a large answer in memory, and ingest needs the cores as well
_READERS = 4
# beyond it an answer would come after the client has given up
_WAITING = 256


class Threads(ThreadPoolExecutor):
    """A pool of threads. Several of them, rather than one, keep slow work of one kind from holding up another."""

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function on one of the threads, and wait for what it returns."""
        call = partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self, call)


class Readers:
    """The threads on which a library reads, and a bound to what waits for them.

    A long question must hold up neither those who store nor the event loop.
    """

    def __init__(self) -> None:
        self._threads = Threads(_READERS, thread_name_prefix="ml-dash-read")
        self._asked = 0

    async def query(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function that reads, on one of the threads.

        Raises:
            ApiError: 503: too many wait already.
        """
        if self._asked >= _WAITING:
            raise busy(f"{self._asked} questions wait to be answered")
        self._asked += 1
        try:
            return await self._threads.run(function, *args, **kwargs)
        finally:
            self._asked -= 1

    def close(self) -> None:
        """Answer what was asked, and stop the threads."""
        self._threads.shutdown()
