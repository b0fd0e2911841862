"""Another origin: what a redirect leads to. It agrees with everything, and remembers what it was given."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import final

from tests.support.listening import Listener, Quiet

__all__ = ["Elsewhere", "Visit"]

_TEMPTING = b'{"status": "ok", "server": "ml-dash", "api": ["v1"], "watermark": 1000000, "id": "exp_0"}'


class Visit:
    """A request that arrived. `authorization` is the header's value, None where there was none."""

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body

    @property
    def authorization(self) -> str | None:
        """What the visitor would have us believe about himself."""
        return self.headers.get("authorization")


@final
class Elsewhere:
    """A web server at a free port of 127.0.0.1 whose answers look like those of a server that stored everything.

    Args:
        tls: how to speak TLS; None for plain http.
        body: what to answer to everything.
        content_type: its media type.
        status: the answer's status.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        body: bytes = _TEMPTING,
        content_type: str = "application/json",
        status: int = 200,
    ) -> None:
        self.visits: list[Visit] = []
        self.handshakes_failed = 0
        self._tls = tls
        self._answer = status, content_type, body

    @property
    def origin(self) -> str:
        """Its address, with the scheme."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._server.port}"

    @property
    def tokens(self) -> list[str]:
        """Every Authorization header that arrived."""
        return [visit.authorization for visit in self.visits if visit.authorization is not None]

    def __enter__(self) -> Elsewhere:
        self._server = Listener(_handler(self, self._answer), self._left, self._tls)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop()

    def _left(self) -> None:
        # most likely for our certificate
        self.handshakes_failed += 1


def _handler(owner: Elsewhere, answer: tuple[int, str, bytes]) -> type[BaseHTTPRequestHandler]:
    status, content_type, body = answer

    class Handler(Quiet, BaseHTTPRequestHandler):
        timeout = 5

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self._answer_all
            raise AttributeError(name)

        def _answer_all(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            owner.visits.append(Visit(self.command, self.path, headers, self.rfile.read(length)))
            self.close_connection = True
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

    return Handler
