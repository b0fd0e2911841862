"""`ml-dash ui`: the pages over a local root, for a browser on this machine, and the routes that they ask."""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.errors import JournalError, MLDashError
from ml_dash.protocol import PAGE_BYTES_MAX, ErrorCode
from ml_dash.server.accounts.grants import Scope
from ml_dash.server.api.experiments import catalogue_routes, found_experiment
from ml_dash.server.api.files import file_routes
from ml_dash.server.api.groups import group_routes
from ml_dash.server.api.importance import importance_routes
from ml_dash.server.api.lines import line_routes
from ml_dash.server.api.pages import page_routes, unknown_pages
from ml_dash.server.api.rows import reading_routes
from ml_dash.server.api.saved_views import view_routes
from ml_dash.server.api.session import session_routes
from ml_dash.server.api.system import health_route
from ml_dash.server.api.values import value_routes
from ml_dash.server.api.verbs import naming_routes, noting_routes, trash_routes
from ml_dash.server.errors import ApiError
from ml_dash.server.http.access import Access, authenticate
from ml_dash.server.http.answers import add_headers, answered, internal_error, numbered
from ml_dash.server.http.connections import Connections, connections_max, raise_descriptor_limit, watched
from ml_dash.server.http.routing import Binder
from ml_dash.server.listening import end_on_signals, favour_the_loop, reason_of
from ml_dash.server.local.hosts import only_here
from ml_dash.server.local.library import LocalLibrary
from ml_dash.server.local.saved_views import LocalViews
from ml_dash.server.local.sessions import OneTimeSessions
from ml_dash.server.local.verbs import LocalVerbs
from ml_dash.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable


PORT = 7008
"""The default port; the next ones are tried where it is taken."""
_PORTS = 20
# no option for another: journals would be open to a network, and the token sent in the clear
_ADDRESS = "127.0.0.1"
_CONNECTIONS = 512
_HEAD_SECONDS = 10.0
_BODY_BYTES = 4 << 20
_BODY_SECONDS = 30.0


class LocalStartError(MLDashError, OSError):
    """The pages cannot be served at their address."""


def build_local_app(
    library: LocalLibrary, sessions: OneTimeSessions, port: int, page_bytes: int = PAGE_BYTES_MAX
) -> web.Application:
    """Return the application; it refuses requests for other hosts than this machine."""
    access = Access.of(None, sessions, SYSTEM_CLOCK)
    app = web.Application(
        middlewares=[
            watched,
            numbered,
            answered(_explained),
            only_here(port),
            unknown_pages(),
            authenticate(access),
        ],
        client_max_size=_BODY_BYTES,
    )
    verbs = LocalVerbs(library)
    bind = Binder(partial(found_experiment, library), _BODY_BYTES, _BODY_SECONDS, page_bytes)
    app.add_routes(
        [
            health_route(bind, "ml-dash ui"),
            *session_routes(bind, access),
            *value_routes(bind, library),
            *line_routes(bind, library),
            *group_routes(bind, library),
            *importance_routes(bind, library),
            *catalogue_routes(bind, library),
            *naming_routes(bind, library, verbs),
            *noting_routes(bind, verbs),
            *trash_routes(bind, library, verbs),
            *reading_routes(bind, library),
            *file_routes(bind, library),
            # whoever is signed in here may write to this disk
            *view_routes(bind, LocalViews(library.root), library.query, library.query, Scope.READ),
            *page_routes(),
        ]
    )
    app.on_response_prepare.append(add_headers)
    return app


async def serve_local(
    root: str, port: int | None, ready: Callable[[str], None], again: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or SIGINT; port 0 takes a free one, None the default one or one of the next.

    When it listens, `ready` is called with the address, and `again` with a fresh one each time that one was used.

    Raises:
        LocalStartError: The port is taken.
    """
    end = end_on_signals()
    raise_descriptor_limit()
    listening = _listen(port)
    bound = listening.getsockname()[1]

    def address(token: str) -> str:
        return f"http://{_ADDRESS}:{bound}/#token={token}"

    sessions = OneTimeSessions(bound, lambda token: again(address(token)), root)
    library = LocalLibrary(root, Settings.from_environment().stale_after)
    runner = web.AppRunner(
        build_local_app(library, sessions, bound),
        # a person waits for Ctrl-C to end it, and can ask for everything again
        shutdown_timeout=1.0,
    )
    await runner.setup()
    connections = Connections(
        listening,
        runner,
        connections_max(_CONNECTIONS),
        head_seconds=_HEAD_SECONDS,
        answer_seconds=_BODY_SECONDS,
        access_log=None,
        auto_decompress=False,
    )
    try:
        connections.start()
        favour_the_loop()
        ready(address(sessions.token))
        await end.wait()
    finally:
        await connections.stop()
        await runner.cleanup()
        library.close()


def _explained(request: web.Request, error: Exception) -> ApiError:
    """Return the answer to an error that no handler has foreseen: mostly one of reading a file."""
    if isinstance(error, JournalError):
        return ApiError(409, ErrorCode.DAMAGED, str(error))
    if isinstance(error, OSError):
        return ApiError(503, ErrorCode.BUSY, f"it cannot be read at this moment: {error}", retryAfter=1)
    return internal_error(request, error)


def _listen(port: int | None) -> socket.socket:
    ports = range(PORT, PORT + _PORTS) if port is None else (port,)
    for each in ports:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listening.bind((_ADDRESS, each))
        except (OSError, OverflowError) as error:
            listening.close()
            reason = reason_of(error)
        else:
            return listening
    shown = f"{ports[0]}" if len(ports) == 1 else f"{ports[0]} to {ports[-1]}"
    raise LocalStartError(
        f"cannot listen on port {shown} of {_ADDRESS}: {reason}; choose another --port (0 takes a free one)"
    )
