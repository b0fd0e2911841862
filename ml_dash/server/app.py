"""The server's application: routes, and what goes for all of them."""

from __future__ import annotations

import logging
import secrets
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ml_dash.remote.protocol import ErrorCode
from ml_dash.server.access import account_routes, authenticate
from ml_dash.server.database import is_disk_full, may_pass
from ml_dash.server.device import device_routes
from ml_dash.server.errors import ApiError
from ml_dash.server.ingest import busy, disk_full
from ml_dash.server.media import error_answer
from ml_dash.server.routes_contents import content_routes
from ml_dash.server.routes_experiments import experiment_routes
from ml_dash.server.routes_files import file_routes
from ml_dash.server.routes_frames import frame_routes
from ml_dash.server.routes_owners import owner_routes
from ml_dash.server.routes_reading import reading_routes
from ml_dash.server.routes_system import system_routes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Middleware

    from ml_dash.server.accounts import Accounts
    from ml_dash.server.settings import ServerSettings
    from ml_dash.server.store import Store
    from ml_dash.server.telemetry import Telemetry

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

__all__ = ["REQUEST_ID", "build_app"]

_LOG = logging.getLogger("ml_dash.server")
REQUEST_ID: Any = web.RequestKey("request_id", str) if hasattr(web, "RequestKey") else "ml_dash_request_id"
"""Under which a request holds its id, which its answer tells."""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def build_app(store: Store, accounts: Accounts, settings: ServerSettings) -> web.Application:
    """Return the application. Run it with ``auto_decompress=False``: bodies are decompressed here, within limits."""
    app = web.Application(
        middlewares=[_measured(store.telemetry), _answered(store.telemetry), authenticate(accounts)],
        client_max_size=settings.json_bytes,
    )
    app.add_routes(
        [
            *system_routes(store),
            *account_routes(accounts),
            *device_routes(accounts, store.clock),
            *experiment_routes(store),
            *frame_routes(store),
            *reading_routes(store),
            *file_routes(store),
            *content_routes(store),
            *owner_routes(store),
        ]
    )
    app.on_response_prepare.append(_add_headers)
    return app


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Request-Id"] = request[REQUEST_ID]
    # versions are nobody's business but those of who may ask /health
    response.headers["Server"] = "ml-dash"
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


def _measured(telemetry: Telemetry) -> Middleware:
    """Return the middleware that counts and times requests, by route: a path is made of what clients say."""

    @web.middleware
    async def measured(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[REQUEST_ID] = secrets.token_hex(8)
        resource = request.match_info.route.resource
        route = "unknown" if resource is None else resource.canonical
        # an unknown method would be one more label for each that a client makes up
        method = request.method if resource is not None else "any"
        began = time.perf_counter()
        status = 499  # the client went away
        with telemetry.in_flight.track_inprogress():
            try:
                response = await handler(request)
                status = response.status
                return response
            finally:
                telemetry.requests.labels(route, method, str(status)).inc()
                telemetry.seconds.labels(route, method).observe(time.perf_counter() - began)

    return measured


def _answered(telemetry: Telemetry) -> Middleware:
    """Return the middleware that makes answers of errors."""

    @web.middleware
    async def answered(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except ApiError as error:
            return error_answer(request, error)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            response = error_answer(request, _of_http(request, error))
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response
        except (ConnectionError, web.RequestPayloadError):
            # nobody is there to be answered: this is for the log and the counters
            return error_answer(request, ApiError(400, ErrorCode.DAMAGED, "the connection was cut"))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer that tells nothing
            return error_answer(request, _unexpected(request, error, telemetry))

    return answered


def _of_http(request: web.Request, error: web.HTTPException) -> ApiError:
    if error.status == 404:
        return ApiError(
            404, ErrorCode.NO_ROUTE, f"{request.path}: there is nothing here; see GET /api/v1/openapi.json"
        )
    if error.status == 413:
        return ApiError(413, ErrorCode.TOO_LARGE, "the body is too large: send less at once")
    return ApiError(error.status, ErrorCode.INVALID, f"{request.method} {request.path}: {error.reason}")


def _unexpected(request: web.Request, error: Exception, telemetry: Telemetry) -> ApiError:
    if is_disk_full(error):
        return disk_full()
    if may_pass(error):
        _LOG.warning("%s %s: %s", request.method, request.path, error)
        return busy("the database does not answer at this moment")
    telemetry.errors.inc()
    _LOG.error("request %s: %s %s failed", request[REQUEST_ID], request.method, request.path, exc_info=error)
    return ApiError(
        500,
        ErrorCode.INTERNAL,
        f"the server failed: its log says why, under request {request[REQUEST_ID]}",
        request=request[REQUEST_ID],
    )
