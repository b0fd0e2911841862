"""Connections: how many there may be, and how long one of them may ask for nothing.

A connection costs a file descriptor and some kilobytes, and anybody may open one, without a token. Without a bound,
some hundreds that say nothing use up the descriptors: `accept` then fails, and asyncio logs each failure with its
traceback, stops listening for a second, and tries again; nobody is answered meanwhile, and neither the database nor the
object store can open a file.

- asyncio's own accepting (`loop.create_server`, and aiohttp's sites on top of it) takes all that wait in one go,
  whatever is left. So the loop here accepts one at a time, and only while there is room; others wait in the kernel,
  where they cost no descriptor.
- Where there is no room, the connection goes first that has asked for nothing yet, then the one that has been idle for
  longest, then the one that has taken nothing of its answer for longest, some seconds at least. One in whose request
  the server is, or that takes its answer, is never closed. So a flood of silent connections delays a new one by as long
  as it takes to close an old one, and a server all of whose connections are at work goes on when one is done.
- A connection has ten seconds for the first head of a request. Later ones have aiohttp's keep-alive time. One that asks
  and asks, and reads nothing, would be at work for ever: it has as long as a body that does not come.
- With TLS a connection first has its handshake, on a task of its own, and for as long as a first head may take: one
  that says nothing keeps none from being accepted behind it. It counts as any other, and is the first to go.
- What is logged of all this is one line a minute, with a count.

What this does not do: share the room out by address. Behind a proxy all clients have one, and a flood from many
addresses is the business of what stands before the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ml_dash.protocol import ErrorCode
from ml_dash.server.errors import ApiError
from ml_dash.server.http.bodies import error_answer

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from aiohttp.typedefs import Handler

if sys.platform != "win32":  # which has no limit of this kind
    import resource

_LOG = logging.getLogger("ml_dash.server")
_BACKLOG = 1024
"""Connections that may wait to be accepted: a large job starts all of its processes at once."""
_SWEEP_SECONDS = 1.0
_IDLE_SECONDS = 1.0
"""A connection that was busy this short a time ago may be about to ask again; and its answer may be on its way."""
_STUCK_SECONDS = 5.0
"""A connection that has taken nothing of its answer for so long gives its place to others."""
_FULL_SECONDS = 0.05
"""Between two looks whether there is room, where no connection can be closed."""
_LOG_SECONDS = 60.0
_ACCEPTING_TURNS = 8
"""Turns of the event loop that a connection takes from being accepted to waiting for its first request."""
_DESCRIPTORS_KEPT = 128
"""For the database's connections, objects that are read and written, the journal of SQLite."""


def raise_descriptor_limit() -> None:
    """Let this process open as many files as it may: many systems begin with 1,024 of them, and allow far more."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # macOS says "unlimited", and takes no such number
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def connections_max(wanted: int) -> int:
    """Return how many connections there may be: `wanted`, or fewer where the process may not open as many files."""
    if sys.platform == "win32":
        return wanted
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(min(wanted, soft - min(_DESCRIPTORS_KEPT, soft // 2)), 1)


class Connections:
    """The connections of one server. Used on its event loop only.

    Args:
        listening: A bound socket.
        runner: aiohttp's, which has been set up.
        most: How many there may be.
        head_seconds: How long one may take for its first request's head.
        answer_seconds: How long one may take nothing of an answer.
        secured: Gives the TLS context of a new connection; None for plain http.
        **options: Those of aiohttp's `RequestHandler`.
    """

    def __init__(
        self,
        listening: socket.socket,
        runner: web.AppRunner,
        most: int,
        *,
        head_seconds: float,
        answer_seconds: float,
        secured: Callable[[], ssl.SSLContext] | None = None,
        **options: Any,
    ) -> None:
        self._secured = secured
        self._handshakes: dict[asyncio.Task[None], float] = {}
        self._listening = listening
        if runner.server is None:
            raise ValueError("the runner has not been set up: await runner.setup() before")
        self._server = runner.server
        self._most = most
        self._head_seconds = head_seconds
        self._answer_seconds = answer_seconds
        self._options = options
        self._open: dict[Connection, None] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._closed_early = 0
        self._logged_at = -_LOG_SECONDS

    def __len__(self) -> int:
        return len(self._open) + len(self._handshakes)

    def start(self) -> None:
        """Listen, and accept."""
        self._listening.listen(_BACKLOG)
        self._listening.setblocking(False)  # noqa: FBT003 - its only argument
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._accept()), loop.create_task(self._sweep())]

    async def stop(self) -> None:
        """Accept no more, and let those that are being accepted get to waiting for a request.

        aiohttp knows, and closes, only those that have got there: any other would be leaked, or waited for until the
        shutdown times out.
        """
        ending = [*self._tasks, *self._handshakes]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._listening.close()
        for _ in range(_ACCEPTING_TURNS):
            await asyncio.sleep(0)

    def opened(self, connection: Connection) -> None:
        """Take note of a connection."""
        self._open[connection] = None

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._open.pop(connection, None)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._make_room()
            # Not `loop.sock_accept`, whose cancellation can lose a socket that it has accepted just now.
            try:
                accepted, _ = self._listening.accept()
            except BlockingIOError:
                await self._readable()
                continue
            except OSError as error:
                # the machine has no descriptor left, or the client has gone
                self._log("a connection cannot be accepted (%s)", error)
                await asyncio.sleep(_FULL_SECONDS)
                continue
            accepted.setblocking(False)  # noqa: FBT003 - its only argument
            if self._secured is not None:
                task = loop.create_task(self._shake_hands(accepted, self._secured()))
                self._handshakes[task] = loop.time()
                task.add_done_callback(partial(self._shaken, accepted))
                continue
            with contextlib.suppress(OSError):
                await asyncio.shield(loop.connect_accepted_socket(self._connection, accepted))

    async def _shake_hands(self, accepted: socket.socket, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        # of those who speak no TLS, or do not trust the certificate, nothing is logged: anybody may come and try
        with contextlib.suppress(OSError):
            await loop.connect_accepted_socket(
                self._connection, accepted, ssl=context, ssl_handshake_timeout=self._head_seconds
            )

    def _shaken(self, accepted: socket.socket, task: asyncio.Task[None]) -> None:
        self._handshakes.pop(task, None)
        if task.cancelled():
            accepted.close()  # the task may have been ended before it began, and nobody else has the socket then
        elif (error := task.exception()) is not None:
            _LOG.debug("a connection was given up: %s", error)

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        try:
            loop.add_reader(self._listening, ready.set)
        except NotImplementedError:  # Windows' event loop knows no readers
            await asyncio.sleep(_FULL_SECONDS)
            return
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._listening)

    def _connection(self) -> Connection:
        return Connection(self, self._server, self._options)

    async def _make_room(self) -> None:
        while len(self) >= self._most:
            now = asyncio.get_running_loop().time()
            late = next(
                (task for task, since in self._handshakes.items() if now - since >= _IDLE_SECONDS), None
            )
            if late is not None:
                late.cancel()
                self._handshakes.pop(late)
                self._log_closed()
                await asyncio.sleep(0)
                continue
            idle = [each for each in self._open if each.is_idle(now)]
            stuck = [each for each in self._open if now - each.stuck_since >= _STUCK_SECONDS]
            if idle:
                self._close(min(idle, key=lambda each: (each.has_asked, each.idle_since)))
            elif stuck:
                self._close(min(stuck, key=lambda each: each.stuck_since))
            # its descriptor is free a turn later; where all are at work, one of them has to end first
            await asyncio.sleep(0 if idle or stuck else _FULL_SECONDS)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = asyncio.get_running_loop().time()
            for each in list(self._open):
                each.look(now)
                is_silent = not each.has_asked and now - each.idle_since > self._head_seconds
                if is_silent or now - each.stuck_since > self._answer_seconds:
                    self._close(each)

    def _close(self, connection: Connection) -> None:
        self.closed(connection)
        if connection.transport is not None:
            connection.transport.abort()
        self._log_closed()

    def _log_closed(self) -> None:
        self._log(
            "connections that asked for nothing, or took nothing of an answer, were closed (there may be %d at once)",
            self._most,
        )

    def _log(self, what: str, *values: object) -> None:
        self._closed_early += 1
        now = asyncio.get_running_loop().time()
        if now - self._logged_at >= _LOG_SECONDS:
            _LOG.warning(what + "; %d times since the last such line", *values, self._closed_early)
            self._logged_at, self._closed_early = now, 0


class Connection(web.RequestHandler):
    """One connection.

    Attributes:
        has_asked: Whether a whole head of a request has come.
        idle_since: Since when, by the loop's clock, no request is in work; infinite while one is.
        stuck_since: Since when the client has taken nothing of what is on its way to it; now, where nothing is.
    """

    __slots__ = ("_connections", "_left", "has_asked", "idle_since", "stuck_since")

    def __init__(self, connections: Connections, server: web.Server, options: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(server, loop=loop, **options)
        self._connections = connections
        self.has_asked = False
        self.idle_since = self.stuck_since = loop.time()
        self._left = 0

    def is_idle(self, now: float) -> bool:
        """Say whether it may be closed: nothing is in work, nothing is on its way to the client, and not just now."""
        sent = not _unsent(self.transport)
        return sent and now - self.idle_since >= _IDLE_SECONDS

    def look(self, now: float) -> None:
        """See whether the client has taken something since the last look."""
        left = _unsent(self.transport)
        if not left or left != self._left:
            self.stuck_since = now
        self._left = left

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note that it is there."""
        self._connections.opened(self)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Take note that it is not any more."""
        self._connections.closed(self)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP, which no middleware sees, as other errors are answered; close the connection.

        aiohttp would log a traceback for each, and name its version and Python's.
        """
        if status >= 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        _LOG.debug("malformed HTTP from %s: %s", request.remote, exc)
        response = error_answer(
            request, ApiError(status, ErrorCode.INVALID, f"this is not valid HTTP: {message}")
        )
        response.headers["Server"] = "ml-dash"
        response.force_close()
        return response


def _unsent(transport: asyncio.WriteTransport | None) -> int:
    """Return how many bytes are on their way to a client, those that TLS has encrypted and not sent included."""
    if transport is None:
        return 0
    # asyncio counts what waits for encryption, and no more; there is no public way to the transport below
    below = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    return transport.get_write_buffer_size() + (0 if below is None else below.get_write_buffer_size())


@web.middleware
async def watched(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell the connection that it is at work."""
    connection = request.protocol
    if not isinstance(connection, Connection):
        return await handler(request)
    connection.has_asked, connection.idle_since = True, float("inf")
    try:
        return await handler(request)
    finally:
        connection.idle_since = asyncio.get_running_loop().time()
