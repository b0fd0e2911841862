"""Routes about the server itself: is it there, is it ready, what does it count, what can be asked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from ml_dash.protocol import API, ErrorCode
from ml_dash.server.api.openapi import document
from ml_dash.server.errors import ApiError
from ml_dash.server.http.access import public, require_admin
from ml_dash.server.http.bodies import answer
from ml_dash.server.http.query_args import Arguments
from ml_dash.version import __version__

if TYPE_CHECKING:
    from ml_dash.server.store import Store

__all__ = ["system_routes"]


def system_routes(store: Store) -> list[web.RouteDef]:
    """Return the routes."""

    @public
    async def health(request: web.Request) -> web.Response:
        Arguments(request)
        return answer(request, {"status": "ok", "server": "ml-dash", "version": __version__, "api": ["v1"]})

    @public
    async def ready(request: web.Request) -> web.Response:
        Arguments(request)
        if not await store.database.run(store.is_ready):
            why = "is shutting down" if store.closing else "cannot write: see its log"
            raise ApiError(503, ErrorCode.BUSY, f"the server {why}", retryAfter=1)
        return answer(request, {"status": "ready"})

    async def metrics(request: web.Request) -> web.Response:
        Arguments(request)
        require_admin(request)
        return web.Response(
            body=store.telemetry.render(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    async def openapi(request: web.Request) -> web.Response:
        Arguments(request)
        return web.json_response(document())

    return [
        web.get(f"{API}/health", health, allow_head=False),
        web.get(f"{API}/ready", ready, allow_head=False),
        web.get("/metrics", metrics, allow_head=False),
        web.get(f"{API}/openapi.json", openapi, allow_head=False),
    ]
