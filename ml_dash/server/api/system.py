"""The server itself: its health, readiness, counters and OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from ml_dash.protocol import ErrorCode
from ml_dash.server.api import contract
from ml_dash.server.errors import ApiError
from ml_dash.server.forwarding import base_of
from ml_dash.server.http.bodies import answer
from ml_dash.shapes import Health, Ready
from ml_dash.version import __version__

if TYPE_CHECKING:
    from ml_dash.server.http.routing import Binder
    from ml_dash.server.store import Store


def health_route(bind: Binder, server: str) -> web.RouteDef:
    """Return the route by which whoever asks learns that a server of this name is there."""

    async def health(request: web.Request) -> web.Response:
        return answer(request, Health(status="ok", server=server, version=__version__, api=["v1"]))

    return bind(contract.HEALTH, health)


def system_routes(bind: Binder, store: Store) -> list[web.RouteDef]:
    """Return the routes."""

    async def ready(request: web.Request) -> web.Response:
        # on a thread: after a failure it writes, to see whether that works again
        if not await store.database.run(store.is_ready):
            why = "is shutting down" if store.closing else "cannot write: see its log"
            raise ApiError(503, ErrorCode.BUSY, f"the server {why}", retryAfter=1)
        return answer(request, Ready(status="ready"))

    async def counters(_request: web.Request) -> web.Response:
        return web.Response(
            body=store.telemetry.render(),
            # the version of Prometheus' text format, by which it chooses its parser
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    async def openapi(request: web.Request) -> web.Response:
        # where its paths begin for who asks: below a path of a host they would lead elsewhere
        return web.json_response({**contract.document(), "servers": [{"url": base_of(request) or "/"}]})

    return [
        health_route(bind, "ml-dash"),
        bind(contract.READY, ready),
        bind(contract.COUNTERS, counters),
        bind(contract.OPENAPI, openapi),
    ]
