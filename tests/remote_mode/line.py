"""A line to a server that is slow, or that is cut after so many bytes of each connection."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType
from urllib.parse import urlsplit

__all__ = ["Line"]

_PIECE = 64 << 10


class Line:
    """Passes connections on to a server.

    Args:
        url: The server.
        cut_after: Bytes towards the server after which a connection is cut; None never.
        per_second: Bytes that each connection carries towards the server in a second; None is no limit.

    Attributes:
        url: Where to ask instead.
        carried: Bytes that went towards the server.
        cuts: How many connections were cut.
    """

    def __init__(self, url: str, *, cut_after: int | None = None, per_second: int | None = None) -> None:
        where = urlsplit(url)
        self._server = where.hostname or "", where.port or 0
        self._cut_after = cut_after
        self._per_second = per_second
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.carried = self.cuts = 0
        self._open: list[socket.socket] = []

    def __enter__(self) -> Line:  # noqa: PYI034 - typing has no Self before Python 3.11
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A thread that waits in accept() holds the socket: it is woken before that is closed.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for each in self._open:
            _hang_up(each)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._server)
            except OSError:
                client.close()
                continue
            self._open += [client, server]
            threading.Thread(target=self._carry, args=(client, server), daemon=True).start()
            threading.Thread(target=_pass_on, args=(server, client), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        carried = 0
        try:
            while data := client.recv(_PIECE):
                server.sendall(data)
                carried += len(data)
                self.carried += len(data)
                if self._per_second is not None:
                    time.sleep(len(data) / self._per_second)
                if self._cut_after is not None and carried >= self._cut_after:
                    self.cuts += 1
                    break
        except OSError:
            pass
        _hang_up(client)
        _hang_up(server)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(_PIECE):
            target.sendall(data)
    except OSError:
        pass
    _hang_up(target)


def _hang_up(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
