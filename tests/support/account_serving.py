"""A real server on a real socket, in a thread of its own, with a clock that tests turn."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import TracebackType

from aiohttp import web

from ml_dash.clock import Clock
from ml_dash.server.settings import ServerSettings
from ml_dash.server.store import Store


class Hands:
    """A clock that goes only when it is turned."""

    def __init__(self, seconds: float = 1_800_000_000) -> None:
        self.now = int(seconds * 1e9)

    def time_ns(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return self.now / 1e9

    def turn(self, seconds: float) -> None:
        self.now += int(seconds * 1e9)

    async def sleep(self, seconds: float) -> None:
        """What sleeping is to who lives by this clock."""
        self.turn(seconds)


def open_store(directory: Path, clock: Clock) -> Store:
    """A new server's store, in which nothing is."""
    return Store.open(ServerSettings(data=str(directory)), clock)


class Served:
    """An application on a port of loopback, while the block lasts."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self.url = ""

    def __enter__(self) -> Served:  # noqa: PYI034 - Self is in no module of Python 3.10
        self._thread.start()
        assert self._ready.wait(30), "the server does not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = web.AppRunner(self._app, access_log=None, auto_decompress=False, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
