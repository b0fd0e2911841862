"""Real servers on real sockets that answer as a test's own handler says."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Quiet:
    """What handlers have in common: they keep connections, and say nothing on standard error."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass


class Listener(ThreadingHTTPServer):
    """A server at a free port of this machine, on a thread of its own from the start.

    Args:
        handler: answers requests.
        on_broken: called when a client leaves in the middle of a request or of an answer.
        tls: how to speak TLS; None for plain http.
    """

    daemon_threads = True

    def __init__(
        self,
        handler: type[BaseHTTPRequestHandler],
        on_broken: Callable[[], object] = lambda: None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self._on_broken = on_broken
        if tls:
            # the handshake belongs to the thread of the connection: one that stalls must not keep others out
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="listener")
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server_address[1]

    @property
    def url(self) -> str:
        """Its address, for plain http."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Stop listening."""
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that left."""
        self._on_broken()


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve by this handler; gives the URL."""
    server = Listener(handler)
    try:
        yield server.url
    finally:
        server.stop()
