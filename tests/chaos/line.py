"""The proxy's connections to the server, and what it does with sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

from tests.chaos.http1 import Message, read_answer

__all__ = ["BUFFER", "PATIENCE", "Line", "bound_socket", "reset"]

BUFFER = 1 << 20
PATIENCE = 20.0
"""Seconds for which the proxy waits for the server and for a client: so that none of its tasks lives for ever."""
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing the socket sends RST."""


class Line:
    """A connection to the server at this port: one for each of a client's."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def reader(self) -> asyncio.StreamReader:
        """Return what the server says."""
        return (await self._connected())[0]

    async def send(self, data: bytes) -> None:
        """Send these bytes, on a new connection where the server has closed the last one."""
        if self._streams and self._streams[0].at_eof():
            self.hang_up()
        _, writer = await self._connected()
        writer.write(data)
        await writer.drain()

    async def ask(self, request: Message) -> Message:
        """Send a request and return the answer."""
        await self.send(request.raw)
        answer = await asyncio.wait_for(read_answer(await self.reader(), request.method), PATIENCE)
        if not answer.keeps_alive:
            self.hang_up()
        return answer

    def hang_up(self) -> None:
        """Reset the connection."""
        if self._streams:
            reset(self._streams[1])
            self._streams = None

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=BUFFER)
        return self._streams


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST, whatever it has still to send; nothing if it is closed."""
    if writer.transport.is_closing():
        return
    transport_socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):  # the other end was faster
        transport_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


def bound_socket(port: int) -> socket.socket:
    """Return a socket at a port of 127.0.0.1 (0: a free one) that does not listen yet."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound
