"""A reverse proxy before a real server that takes bodies up to a limit only, as nginx does.

It runs on a loop in a thread of its own, and ends with the test that has opened it.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable
from types import TracebackType

import aiohttp
from aiohttp import web

__all__ = ["LimitingProxy"]

PAGE = "<html><head><title>413 Request Entity Too Large</title></head><body>nginx</body></html>"


class LimitingProxy:
    """See the module.

    Args:
        url: The server's.
        limit: Bytes of a body; it may be changed at any time.
        resets: Whether the connection is reset behind a refusal, as some proxies do, rather than read to its end.

    Attributes:
        url: Where to ask instead.
        early: Answers a request in the place of the server.
        refused: How many requests were refused.
        largest: Bytes of the largest body that was passed on.
    """

    def __init__(self, url: str, limit: int, *, resets: bool = False) -> None:
        self.limit = limit
        self.refused = self.largest = 0
        self.url = ""
        self.early: Callable[[web.Request], web.Response | None] = lambda _request: None
        self._server = url
        self._resets = resets
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> LimitingProxy:  # noqa: PYI034 - typing has no Self before Python 3.11
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        self._session = aiohttp.ClientSession(auto_decompress=False)
        self._runner = web.AppRunner(app, auto_decompress=False, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        await self._session.close()
        await self._runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _pass_on(self, request: web.Request) -> web.Response:
        early = self.early(request)
        if early is not None:
            return early
        if (request.content_length or 0) > self.limit:
            self.refused += 1
            if self._resets and request.transport is not None:
                request.transport.abort()
            return web.Response(status=413, text=PAGE, content_type="text/html")
        body = await request.read()
        self.largest = max(self.largest, len(body))
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in {"host", "content-length", "transfer-encoding", "connection"}
        }
        try:
            async with self._session.request(
                request.method, self._server + request.path_qs, data=io.BytesIO(body), headers=headers
            ) as answer:
                found = await answer.read()
                kept = {
                    name: value
                    for name, value in answer.headers.items()
                    if name.lower() not in {"content-length", "transfer-encoding", "connection", "date"}
                }
                return web.Response(status=answer.status, body=found, headers=kept)
        except aiohttp.ClientError:
            return web.Response(status=502, text="<html>502 Bad Gateway</html>", content_type="text/html")
