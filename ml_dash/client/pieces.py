"""Requests in pieces, for whatever lies between here and a server and takes small ones only.

A proxy limits bodies (nginx to 1 MiB, unless it is told otherwise), and a frame of a journal cannot be made smaller:
its checksum covers it. So the bytes of a body go ahead in requests of their own, each of which may come any number of
times, and then the request itself, whose body the server has by then: it says so by the SHA-256 in a header. What that
request does, and what is answered, is the same as ever; so who sends rows in pieces stores them exactly once, too.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

from ml_dash.client.transport import TransportError
from ml_dash.protocol import BODY_HEADER, CLOCK_HEADER, MSGPACK, OCTETS, body_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from ml_dash.client.transport import Answer, Body, Transport
    from ml_dash.clock import Clock

_PIECE_BYTES = 512 << 10  # half of nginx's limit
_PIECE_BYTES_MIN = 16 << 10
_READ_BYTES = 256 << 10
_SECONDS = 90.0
# For as long it is believed that a body of the same size would be refused again: limits are raised, too.
_BELIEVED_SECONDS = 600.0
_KNOWN_MAX = 64


class PieceSender:
    """Sends the bodies of one client's requests in pieces.

    Args:
        transport: The client's.
        clock: The time.
        is_too_large: Says of an answer whether something that is no server of ML-Dash takes the body for too large.
    """

    def __init__(self, transport: Transport, clock: Clock, is_too_large: Callable[[Answer], bool]) -> None:
        self._transport = transport
        self._clock = clock
        self._is_too_large = is_too_large
        self._bytes = _PIECE_BYTES
        self._refused: float = math.inf
        self._refused_at = -math.inf
        # How much of each body is there, by its SHA-256: a line that is cut again and again lets some through.
        self._there: dict[str, int] = {}

    def is_needed(self, size: int) -> bool:
        """Say whether a body of this size, or a smaller one, was refused a while ago."""
        return size >= self._refused and self._clock.monotonic() - self._refused_at < _BELIEVED_SECONDS

    def refused(self, size: int) -> None:
        """Remember that a body of this size was refused."""
        self._refused = min(self._refused, size) if self.is_needed(size) else size
        self._refused_at = self._clock.monotonic()

    async def request(
        self, method: str, path: str, body: bytes | Body, headers: Mapping[str, str], timeout: float
    ) -> Answer | None:
        """Send a request in pieces, and return its answer, or that to a piece which is an error.

        None where the server is of a version that takes no pieces.

        Raises:
            TransportError: There is no answer. What has arrived is not sent again.
        """
        name = await _digest(body)
        answer = await self._send(name, body)
        if answer is not None:
            return None if answer.status in {404, 405} else answer
        more = {BODY_HEADER: name}
        if CLOCK_HEADER in headers:
            more[CLOCK_HEADER] = str(self._clock.time_ns())  # the pieces have taken their time
        answer = await self._transport.request(
            method, path, body=b"", headers={**headers, **more}, timeout=timeout
        )
        # Whatever it is: what the server has of a body that it did not take is sent anew.
        self._there.pop(name, None)
        return answer

    async def _send(self, name: str, body: bytes | Body) -> Answer | None:
        """Send what is not there yet; return the first answer that is an error."""
        start = self._there.get(name, 0)
        at, waiting = start, bytearray()
        read = 0
        async for chunk in _chunks(body):
            waiting += chunk[max(0, start - read) :]
            read += len(chunk)
            while len(waiting) >= self._bytes or (waiting and read == size_of(body)):
                piece = bytes(waiting[: self._bytes])
                try:
                    answer = await self._put(name, at, piece)
                except TransportError as error:
                    if error.kind in {"cut", "timeout"}:
                        self._shrink(piece)
                    raise
                if self._is_too_large(answer) and len(piece) > _PIECE_BYTES_MIN:
                    self._shrink(piece)
                    continue
                if answer.status >= 300:
                    return answer
                at += len(piece)
                del waiting[: len(piece)]
                if len(self._there) >= _KNOWN_MAX:
                    self._there.clear()
                self._there[name] = at
        return None

    async def _put(self, name: str, at: int, piece: bytes) -> Answer:
        return await self._transport.request(
            "PUT",
            body_path(name),
            query={"offset": str(at)},
            body=piece,
            headers={"Content-Type": OCTETS, "Accept": MSGPACK},
            timeout=_SECONDS,
        )

    def _shrink(self, piece: bytes) -> None:
        """Send less at a time from now on: this was too much for what lies in between."""
        self._bytes = max(_PIECE_BYTES_MIN, len(piece) // 2)


def size_of(body: bytes | Body) -> int:
    """Return how many bytes a body has."""
    return len(body) if isinstance(body, bytes) else body.size


async def _chunks(body: bytes | Body) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        for start in range(0, len(body), _READ_BYTES):
            yield body[start : start + _READ_BYTES]
    else:
        async for chunk in body.pieces():
            yield chunk


async def _digest(body: bytes | Body) -> str:
    found = hashlib.sha256()
    async for chunk in _chunks(body):
        found.update(chunk)
    return found.hexdigest()
