"""Run the server: until a signal comes, or on a thread of its own.

A shutdown takes these steps, in this order: accept nothing new, and say so at `/api/v1/ready`; answer the requests that
were accepted; store the rows that were accepted; close the database.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ml_dash.clock import SYSTEM_CLOCK, Clock
from ml_dash.errors import MLDashError
from ml_dash.server.accounts.tokens import Tokens
from ml_dash.server.app import build_app
from ml_dash.server.certificates import Certificates, certificates_of
from ml_dash.server.http.connections import Connections, connections_max, raise_descriptor_limit
from ml_dash.server.listening import call_on_hangup, end_on_signals, favour_the_loop, reason_of
from ml_dash.server.settings import ServerSettings
from ml_dash.server.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["EmbeddedServer", "RunningServer", "ServerStartError", "serve"]

_LOG = logging.getLogger("ml_dash.server")
_LOOK_SECONDS = 30.0
"""Between two looks whether the certificate was renewed, where nobody says so by SIGHUP."""
_READ_BUFFER = 512 << 10
"""aiohttp's 64 KiB would pause and resume a body of several MiB, a batch of frames, dozens of times."""


class ServerStartError(MLDashError, OSError):
    """The server cannot listen at its address."""


class RunningServer:
    """A server that listens, on the running event loop. Make one with `start`.

    Attributes:
        url: Its address.
        port: The port of that.
        admin_token: The admin token if it was generated now; it cannot be shown again.
        store: Its store.
        certificates: The certificate that it shows; None for plain http.
    """

    def __init__(
        self,
        store: Store,
        runner: web.AppRunner,
        listening: socket.socket,
        connections: Connections,
        admin_token: str | None,
        certificates: Certificates | None,
        base: str,
    ) -> None:
        self.store = store
        host, port = listening.getsockname()[:2]
        scheme = "http" if certificates is None else "https"
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.url = f"{scheme}://{place}{base}"
        self.port = port
        self.admin_token = admin_token
        self.certificates = certificates
        self._watch = asyncio.create_task(_watching(certificates)) if certificates is not None else None
        self._alerts = asyncio.create_task(store.alerts.run())
        self._runner = runner
        self._connections = connections

    @classmethod
    async def start(cls, settings: ServerSettings, clock: Clock | None = None) -> RunningServer:
        """Open the store, and listen.

        Raises:
            MLDashError: A setting is not possible; the message says which, and what to do.
            OSError: The data directory cannot be made or written.
        """
        certificates = await asyncio.to_thread(certificates_of, settings)
        listening = _listen(settings.host, settings.port)
        try:
            store = await asyncio.to_thread(Store.open, settings, clock or SYSTEM_CLOCK)
        except BaseException:
            listening.close()
            raise
        try:
            tokens = Tokens(store.database, store.clock)
            admin_token = await asyncio.to_thread(tokens.first_token, settings.admin_token)
            runner = web.AppRunner(
                build_app(store, tokens, settings),
                # a client that leaves must not stop what it began half-way: it asks again, and finds it done
                handler_cancellation=False,
                shutdown_timeout=settings.shutdown_timeout,
            )
            await runner.setup()
            connections = Connections(
                listening,
                runner,
                connections_max(settings.connections),
                head_seconds=settings.head_timeout,
                answer_seconds=settings.body_timeout,
                secured=None if certificates is None else lambda: certificates.shown.context,
                access_log=None,  # the metrics count requests; a line for each would be most of the log
                auto_decompress=False,  # bodies are decompressed in `http.bodies`, within limits
                keepalive_timeout=75.0,  # longer than proxies keep theirs, so that they do not meet one being closed
                read_bufsize=_READ_BUFFER,
            )
            store.start()
            connections.start()
        except BaseException:
            listening.close()
            await asyncio.to_thread(store.close)
            raise
        return cls(store, runner, listening, connections, admin_token, certificates, settings.base_path)

    async def stop(self) -> None:
        """Finish what was accepted, and close everything."""
        self.store.closing = True
        if self._watch is not None:
            self._watch.cancel()
        await self._connections.stop()
        await self._runner.cleanup()
        self._alerts.cancel()
        await asyncio.gather(self._alerts, return_exceptions=True)
        await asyncio.to_thread(self.store.close)


async def serve(settings: ServerSettings, ready: Callable[[RunningServer], None]) -> None:
    """Serve until SIGTERM or SIGINT. SIGHUP has the certificate read again, if there is one.

    `ready` is called with the server when it listens.

    Raises:
        MLDashError: A setting is not possible.
        OSError: The data directory cannot be made or written.
    """
    end = end_on_signals()
    raise_descriptor_limit()
    server = await RunningServer.start(settings)
    favour_the_loop()
    if server.certificates is not None:
        call_on_hangup(partial(server.certificates.look, again=True))
    try:
        ready(server)
        await end.wait()
    finally:
        await server.stop()


async def _watching(certificates: Certificates) -> None:
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        await asyncio.to_thread(certificates.look)


class EmbeddedServer:
    """A whole server on a thread of its own, for tests and demos.

    Args:
        data: Its data directory.
        port: The port; 0 takes a free one, and keeps it over `stop` and `start`.
        clock: The time; None for the machine's.
        **settings: Any other field of `ServerSettings`.

    Attributes:
        url: Where it listens.
        admin_token: A token that may do everything.
        store: Its store; None while it is stopped.
        certificates: The certificate that it shows; None for plain http.

    Example:
        >>> with EmbeddedServer(data="/tmp/dash") as server:
        ...     Experiment("alice/project/run", dash_url=server.url)
    """

    def __init__(
        self, data: str | os.PathLike[str], port: int = 0, *, clock: Clock | None = None, **settings: Any
    ) -> None:
        self._settings = ServerSettings(**{"data": os.fspath(data), "port": port, **settings})
        self._clock = clock
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self.store: Store | None = None
        self.certificates: Certificates | None = None
        self.url = ""
        self.admin_token = settings.get("admin_token") or ""

    def start(self) -> EmbeddedServer:
        """Start it, or start it again: on the same port, with the same data."""
        if self._thread is not None:
            raise RuntimeError(f"the server at {self.url} is running already: stop() it first")
        started: Future[None] = Future()
        # a daemon: a test or a demo that forgets `stop` still ends
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(started)), name="ml-dash-server", daemon=True
        )
        self._thread.start()
        if (error := started.exception()) is not None:
            self._thread.join()
            self._thread = None
            raise error
        return self

    def stop(self) -> None:
        """Finish what was accepted, and stop; do nothing if it does not run."""
        if self._thread is None or self._loop is None or self._end is None:
            return
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self._thread = self._loop = self._end = self.store = None

    def __enter__(self) -> EmbeddedServer:  # noqa: PYI034 - typing has no Self before Python 3.11
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def _run(self, started: Future[None]) -> None:
        try:
            server = await RunningServer.start(self._settings, self._clock)
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that called `start`
            started.set_exception(error)
            return
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self.store, self.url, self.certificates = server.store, server.url, server.certificates
        self.admin_token = server.admin_token or self.admin_token
        # the port that a 0 was given now: clients find the server there again when it is started once more
        self._settings = replace(self._settings, port=server.port)
        started.set_result(None)
        try:
            await self._end.wait()
        finally:
            await server.stop()


def _listen(host: str, port: int) -> socket.socket:
    """Return a bound socket. This comes first, so that no database is opened, or migrated, by who cannot listen."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, OverflowError) as error:
        raise ServerStartError(f"cannot listen on {host}:{port}: {reason_of(error)}") from None
    try:
        if os.name == "posix":
            # a port whose old connections are still being closed may be taken again
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except (OSError, OverflowError) as error:
        listening.close()
        remedy = "choose another --port (0 takes a free one), or stop the process that uses it"
        raise ServerStartError(f"cannot listen on {host}:{port}: {reason_of(error)}; {remedy}") from None
    return listening
