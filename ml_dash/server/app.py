"""The server's application: its routes, their metrics, and the answers to errors of its database."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from ml_dash.server.accounts.browser_sessions import StoreSessions
from ml_dash.server.api.blobs import blob_routes, owner_routes
from ml_dash.server.api.bodies import body_routes
from ml_dash.server.api.device import device_routes
from ml_dash.server.api.experiments import catalogue_routes, experiment_routes, found_experiment
from ml_dash.server.api.files import file_routes
from ml_dash.server.api.frames import frame_routes
from ml_dash.server.api.groups import group_routes
from ml_dash.server.api.importance import importance_routes
from ml_dash.server.api.lines import line_routes
from ml_dash.server.api.pages import page_routes, unknown_pages
from ml_dash.server.api.rows import reading_routes
from ml_dash.server.api.rules import rule_routes
from ml_dash.server.api.saved_views import view_routes
from ml_dash.server.api.session import session_routes
from ml_dash.server.api.system import system_routes
from ml_dash.server.api.tokens import account_routes
from ml_dash.server.api.values import value_routes
from ml_dash.server.api.verbs import history_routes, naming_routes, noting_routes, trash_routes
from ml_dash.server.catalogue.saved_views import StoredViews
from ml_dash.server.db.database import is_disk_full, may_pass
from ml_dash.server.errors import ApiError, busy, disk_full
from ml_dash.server.forwarding import below, forwarded
from ml_dash.server.http.access import Access, authenticate
from ml_dash.server.http.answers import add_headers, answered, internal_error, numbered, within
from ml_dash.server.http.budget import Memory
from ml_dash.server.http.connections import watched
from ml_dash.server.http.pieces import Pieces
from ml_dash.server.http.routing import Binder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Middleware

    from ml_dash.server.accounts.tokens import Tokens
    from ml_dash.server.settings import ServerSettings
    from ml_dash.server.store import Store
    from ml_dash.server.telemetry import Telemetry

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_LOG = logging.getLogger("ml_dash.server")


def build_app(store: Store, tokens: Tokens, settings: ServerSettings) -> web.Application:
    """Return the application. Run it with ``auto_decompress=False``: bodies are decompressed here, within limits."""
    access = Access.of(tokens, StoreSessions(tokens, store.keeper.database_id() or ""), tokens.clock)
    pieces = Pieces(store.database, store.clock)
    # one for all routes: the process has the memory once, and a token its share of it
    memory = Memory(settings.memory_bytes)
    store.telemetry.memory.set_function(lambda: memory.used)
    # apart from that of requests: who reads slowly keeps nobody from storing
    sending = Memory(settings.answers_bytes)
    store.telemetry.sending.set_function(lambda: sending.used)
    app = web.Application(
        middlewares=[
            watched,
            numbered,
            forwarded(settings.trusted_proxies, settings.base_path),
            _measured(store.telemetry, settings.base_path),
            answered(_explained(store.telemetry)),
            unknown_pages(),
            authenticate(access),
            pieces.assembled(),
            within(sending),
        ],
        client_max_size=settings.json_bytes,
    )
    bind = Binder(
        partial(found_experiment, store),
        settings.json_bytes,
        settings.body_timeout,
        settings.page_bytes,
        memory,
    )
    routes = [
        *system_routes(bind, store),
        *account_routes(bind, tokens),
        *device_routes(tokens, store.clock),
        *session_routes(bind, access),
        *value_routes(bind, store),
        *line_routes(bind, store),
        *group_routes(bind, store),
        *importance_routes(bind, store),
        *catalogue_routes(bind, store),
        *experiment_routes(bind, store),
        *naming_routes(bind, store, store.verbs),
        *noting_routes(bind, store.verbs),
        *trash_routes(bind, store, store.verbs),
        *history_routes(bind, store),
        *body_routes(bind, pieces, settings, memory),
        *frame_routes(bind, store, memory),
        *reading_routes(bind, store),
        *file_routes(bind, store),
        *blob_routes(bind, store, memory),
        *owner_routes(bind, store),
        *view_routes(bind, StoredViews(store.database, store.clock), store.query, store.database.run),
        *rule_routes(bind, store),
        *page_routes(),
    ]
    app.add_routes(below(settings.base_path, routes))
    app.on_response_prepare.append(add_headers)
    return app


def _measured(telemetry: Telemetry, base: str) -> Middleware:
    """Return the middleware that counts and times requests, by route: paths are made up by clients, without end."""

    @web.middleware
    async def measured(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        # with the path below which the server is or without, it is one route
        route = "unknown" if resource is None else resource.canonical.removeprefix(base) or "/"
        # of a route that is unknown, the method is also one that a client made up: each would be one more label
        method = request.method if resource is not None else "any"
        began = time.perf_counter()
        status = 499  # as nginx says it: the client went away
        with telemetry.in_flight.track_inprogress():
            try:
                response = await handler(request)
                status = response.status
                return response
            finally:
                telemetry.requests.labels(route, method, str(status)).inc()
                telemetry.seconds.labels(route, method).observe(time.perf_counter() - began)

    return measured


def _explained(telemetry: Telemetry) -> Callable[[web.Request, Exception], ApiError]:
    """Return the function that turns an error that no handler has foreseen into an answer."""

    def explained(request: web.Request, error: Exception) -> ApiError:
        if is_disk_full(error):
            return disk_full()
        if may_pass(error):
            _LOG.warning("%s %s: %s", request.method, request.path, error)
            return busy("the database does not answer at this moment")
        telemetry.errors.inc()
        return internal_error(request, error)

    return explained
