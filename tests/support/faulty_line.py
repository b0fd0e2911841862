"""A line between a client and a server in memory, on which everything goes wrong that a seed wants."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from urllib.parse import urlencode

from ml_dash.client.transport import Answer, Body, FailureKind, Stream, TransportError
from ml_dash.tokens.token import Token
from tests.support.watermark_server import WatermarkServer, answer

__all__ = ["FAULTS", "FaultyLine", "Weather"]

FAULTS = (
    "refused",
    "dns",
    "tls",
    "timeout",
    "cut before",
    "lost answer",
    "duplicate",
    "replay",
    "damage",
    "busy",
    "gateway",
    "limits",
    "html",
    "proxy limit",
    "redirect",
    "nonsense",
)
_FAILURES: dict[str | None, FailureKind] = {
    "refused": "refused",
    "dns": "dns",
    "tls": "tls",
    "timeout": "timeout",
    "cut before": "cut",
}
_AFTER = ("1", "30", "Wed, 15 Nov 2023 00:00:00 GMT", "soon")


@dataclass
class Weather:
    """How often each fault happens, per request."""

    faults: dict[str, float]

    @classmethod
    def draw(cls, rng: random.Random) -> Weather:
        """A few kinds of faults, from rare to nearly always."""
        kinds = rng.sample(FAULTS, rng.randrange(0, 4))
        return cls({kind: rng.choice((0.05, 0.3, 0.3, 0.9)) for kind in kinds})


class FaultyLine:
    """See the module; implements `ml_dash.client.transport.Transport`.

    Attributes:
        weather: What goes wrong at present.
        seen: How often each fault happened.
        body_limit: Bytes of a body that a proxy on the line lets through; None for any.
        cut_beyond: Bytes of a body in the middle of which the line is always cut; None for none.
    """

    def __init__(
        self,
        server: WatermarkServer,
        rng: random.Random,
        token: Callable[[], Token | None] = lambda: None,
        *,
        is_loopback: bool = True,
        remembered: int = 16,
    ) -> None:
        self.weather = Weather({})
        self.seen: Counter[str] = Counter()
        self.body_limit: int | None = None
        self.cut_beyond: int | None = None
        self._server = server
        self._rng = rng
        self._token = token
        self._is_loopback = is_loopback
        self._old: deque[tuple[str, str, dict[str, str], bytes]] = deque(maxlen=remembered)

    @property
    def url(self) -> str:
        return "http://127.0.0.1:7007"

    @property
    def is_loopback(self) -> bool:
        return self._is_loopback

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float,
    ) -> Answer:
        await asyncio.sleep(self._rng.choice((0.0, 0.001, 0.01, 0.3)))
        token = self._token()
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token.reveal()}"
        assert body is None or isinstance(body, bytes), "nobody sends files in this story"
        request = (method, path + (f"?{urlencode(query)}" if query else ""), sent, body or b"")
        if self.cut_beyond is not None and len(request[3]) > self.cut_beyond:
            raise TransportError("cut", "cut in the middle")
        if self.body_limit is not None and len(request[3]) > self.body_limit:
            self.seen["beyond the limit"] += 1
            return Answer(413, {"content-type": "text/html"}, b"<h1>413 Request Entity Too Large</h1>")
        fault = self._draw()
        early = await self._before(fault, request, timeout)
        if early is not None:
            return early
        found = self._server.handle(*request)
        self._old.append(request)
        return await self._after(fault, request, found)

    def stream(
        self, path: str, *, query: Mapping[str, str] | None, headers: Mapping[str, str], timeout: float
    ) -> AbstractAsyncContextManager[Stream]:
        raise NotImplementedError("nobody downloads in this story")

    def _draw(self) -> str | None:
        for kind, share in self.weather.faults.items():
            if self._rng.random() < share:
                self.seen[kind] += 1
                return kind
        return None

    async def _before(
        self, fault: str | None, request: tuple[str, str, dict[str, str], bytes], timeout: float
    ) -> Answer | None:
        """What happens in place of the server's answer."""
        if fault in _FAILURES:
            await asyncio.sleep(timeout if fault == "timeout" else 0)
            raise TransportError(_FAILURES[fault], str(fault))
        if fault == "damage" and request[3] and "frames" in request[1]:
            at = self._rng.randrange(len(request[3]))
            body = request[3][:at] + bytes([request[3][at] ^ 0x10]) + request[3][at + 1 :]
            return self._server.handle(*request[:3], body)
        answers = {
            "busy": Answer(503, {"retry-after": self._rng.choice(_AFTER)}, b""),
            "gateway": Answer(self._rng.choice((500, 502, 504)), {"content-type": "text/html"}, b"<h1>Oops"),
            "limits": Answer(429, {"retry-after": "2"}, b""),
            "html": Answer(200, {"content-type": "text/html"}, b"<form>Log in to the hotel's network</form>"),
            "proxy limit": Answer(
                413, {"content-type": "text/html"}, b"<h1>413 Request Entity Too Large</h1>"
            ),
            "redirect": Answer(302, {"location": "https://elsewhere.example/"}, b""),
            "nonsense": answer(200, self._rng.choice(([], {}, {"watermark": -3}, {"id": 5}, 7))),
        }
        return answers.get(fault or "")

    async def _after(
        self, fault: str | None, request: tuple[str, str, dict[str, str], bytes], found: Answer
    ) -> Answer:
        """What happens to an answer, and to the server after it."""
        match fault:
            case "lost answer":
                raise TransportError("cut", "the answer was lost")
            case "duplicate":
                self._server.handle(*request)
            case "replay":
                self._server.handle(*self._rng.choice(tuple(self._old)))
        await asyncio.sleep(self._rng.choice((0.0, 0.0, 0.01)))
        return found
