"""Messages of HTTP/1.1 as bytes: enough of their framing to pass them on, cut them and flip bits in them."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

__all__ = ["Body", "Head", "Message", "read_answer", "read_request"]

HEAD_BYTES_MAX = 64 << 10
_BODILESS = frozenset({204, 304})


class Head(NamedTuple):
    """The first line and the headers of a message, with the empty line behind them."""

    raw: bytes

    @property
    def start(self) -> str:
        """The first line."""
        return self.raw.split(b"\r\n", 1)[0].decode("latin-1")

    def get(self, name: str) -> str | None:
        """Return the value of a header, None where it is not there."""
        for line in self.raw.split(b"\r\n")[1:]:
            key, _, value = line.decode("latin-1").partition(":")
            if key.strip().lower() == name.lower():
                return value.strip()
        return None


class Body(NamedTuple):
    """The body of a message as it is on the wire, and where in it the payload lies."""

    raw: bytes
    spans: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        """Bytes of the payload."""
        return sum(stop - start for start, stop in self.spans)

    def flipped(self, where: float) -> Body:
        """Return the body with one bit of its payload flipped, at this fraction of it (0 to 1)."""
        position = int(where * self.size)
        raw = bytearray(self.raw)
        for start, stop in self.spans:
            if position < stop - start:
                raw[start + position] ^= 1 << int(where * 1e6) % 8
                break
            position -= stop - start
        return Body(bytes(raw), self.spans)


class Message(NamedTuple):
    """A request or an answer."""

    head: Head
    body: Body

    @property
    def raw(self) -> bytes:
        """The whole of it, as it is on the wire."""
        return self.head.raw + self.body.raw

    @property
    def method(self) -> str:
        """Of a request: GET, POST and so on."""
        return self.head.start.split(" ")[0]

    @property
    def target(self) -> str:
        """Of a request: path and query."""
        return self.head.start.split(" ")[1]

    @property
    def status(self) -> int:
        """Of an answer: its number."""
        return int(self.head.start.split(" ")[1])

    @property
    def keeps_alive(self) -> bool:
        """Whether another message may follow on the connection."""
        return (self.head.get("Connection") or "").lower() != "close"


async def read_request(reader: asyncio.StreamReader) -> Message | None:
    """Return the next request; None where the connection ends before it."""
    head = await _read_head(reader)
    if head is None:
        return None
    if _is_chunked(head):
        return Message(head, await _read_chunks(reader))
    return Message(head, await _read_counted(reader, int(head.get("Content-Length") or 0)))


async def read_answer(reader: asyncio.StreamReader, method: str) -> Message:
    """Return the answer to a request of this method.

    Raises:
        ConnectionError: The connection ended before it was whole.
    """
    head = await _read_head(reader)
    if head is None:
        raise ConnectionResetError("the server closed the connection without an answer")
    empty = Message(head, Body(b"", ()))
    if method == "HEAD" or empty.status in _BODILESS:
        return empty
    try:
        if _is_chunked(head):
            return Message(head, await _read_chunks(reader))
        length = head.get("Content-Length")
        if length is None:
            raw = await reader.read()
            return Message(head, Body(raw, ((0, len(raw)),)))
        return Message(head, await _read_counted(reader, int(length)))
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("the server's answer ended early") from error


async def _read_head(reader: asyncio.StreamReader) -> Head | None:
    try:
        return Head(await reader.readuntil(b"\r\n\r\n"))
    except asyncio.IncompleteReadError:
        return None


def _is_chunked(head: Head) -> bool:
    return (head.get("Transfer-Encoding") or "").lower() == "chunked"


async def _read_counted(reader: asyncio.StreamReader, length: int) -> Body:
    return Body(await reader.readexactly(length), ((0, length),) if length else ())


async def _read_chunks(reader: asyncio.StreamReader) -> Body:
    raw = bytearray()
    spans = []
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        raw += line
        if not size:
            break
        spans.append((len(raw), len(raw) + size))
        raw += await reader.readexactly(size + 2)
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        raw += line
    raw += line
    return Body(bytes(raw), tuple(spans))
