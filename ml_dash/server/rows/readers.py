"""The threads on which a library reads: a long question must hold up neither those who store nor the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

from ml_dash.server.errors import busy
from ml_dash.server.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

_THREADS = 4
_WAITING = 256


class Readers:
    """A few threads, and a bound to what waits for them."""

    def __init__(self) -> None:
        self._threads = Threads(_THREADS, thread_name_prefix="ml-dash-read")
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
