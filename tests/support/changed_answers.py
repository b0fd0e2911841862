"""Answers that a client is given in place of a server's: as they were, but for one or two accidents."""

from __future__ import annotations

import copy
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from ml_dash.client.transport import Answer, Body, Stream, Transport, TransportError
from ml_dash.journal.objects import from_msgpack, to_msgpack
from ml_dash.protocol import FRAMES, MSGPACK

__all__ = ["Changed", "Recorded", "Recorder", "spoiled"]

Recorded: TypeAlias = dict[tuple[str, str, str], Answer]
"""Answers by method, path and query."""

_ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 7, 2**31, 2**63, 2**64 - 1, 0.5, float("nan"), float("inf"), -1e308),
    *("", "x", "..", "/etc/passwd", "\0", "\ud800", "\x1b[2J", "NaN", "9" * 30, "exp_" + "0" * 20),
    *(b"", b"\xff", [], [[]], [None], ["a", "a"], {}, {"": None}, {"\ud800": 1}, {1: 2}, {"error": {}}),
)


class Recorder:
    """Asks a real server, and keeps what it answers."""

    def __init__(self, line: Transport, kept: Recorded) -> None:
        self._line = line
        self._kept = kept
        self.url = line.url
        self.is_loopback = True

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
        answer = await self._line.request(
            method, path, query=query, body=body, headers=headers, timeout=timeout
        )
        self._kept[method, path, repr(query or {})] = answer
        return answer

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str] | None, headers: Mapping[str, str], timeout: float
    ) -> AsyncIterator[Stream]:
        async with self._line.stream(path, query=query, headers=headers, timeout=timeout) as stream:
            raw = b"".join([piece async for piece in stream.pieces])
            self._kept["STREAM", path, repr(query or {})] = Answer(stream.status, stream.headers, raw)
            yield Stream(stream.status, stream.headers, _pieces(raw))


class Changed:
    """Gives the answers that a server gave, each changed by a function; one that nobody has asked for before is lost.

    A client that goes on asking is stopped.
    """

    url = "http://127.0.0.1:9"
    is_loopback = True

    def __init__(self, kept: Recorded, change: Callable[[Answer], Answer], most: int = 200) -> None:
        self._kept = kept
        self._change = change
        self._left = most

    def _answer(self, method: str, path: str, query: str) -> Answer:
        self._left -= 1
        assert self._left, f"it asks for ever: {method} {path}"
        # where a client is led elsewhere, it gets the answer of the same route
        found = self._kept.get((method, path, query)) or next(
            (answer for known, answer in self._kept.items() if known[:2] == (method, path)), None
        )
        if found is None:
            raise TransportError("refused", "nobody is there")
        return self._change(found)

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
        return self._answer(method, path, repr(query or {}))

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        timeout: float,
    ) -> AsyncIterator[Stream]:
        answer = self._answer("STREAM", path, repr(query or {}))
        yield Stream(answer.status, answer.headers, _pieces(answer.body))


async def _pieces(raw: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(raw), 1000):
        yield raw[start : start + 1000]


def spoiled(rng: random.Random, answer: Answer) -> Answer:
    """Return an answer of which a value or two are others, gone, or of another type; its form stays right."""
    if answer.headers.get("content-type") == FRAMES:
        return answer
    data = from_msgpack(answer.body)
    for _ in range(rng.randrange(1, 3)):
        data = _spoiled(rng, data)
    return answer._replace(body=to_msgpack(data), headers={**answer.headers, "content-type": MSGPACK})


def _spoiled(rng: random.Random, data: Any) -> Any:
    data = copy.deepcopy(data)
    # what lies deeper is one of many: as likely as each that lies above
    place, key = rng.choice([((), None), *_places(data)]) if rng.random() < 0.5 else _near(rng, data)
    if key is None:
        return copy.deepcopy(rng.choice(_ODD))
    luck = rng.random()
    if luck < 0.2:
        del place[key]
    elif luck < 0.3 and isinstance(place, list):
        place *= 2
    elif luck < 0.4 and isinstance(place, dict):
        place[rng.choice(("more", "", "\ud800", 7))] = copy.deepcopy(rng.choice(_ODD))
    else:
        place[key] = copy.deepcopy(rng.choice(_ODD))
    return data


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(data) if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ():
        yield data, key
        yield from _places(data[key])


def _near(rng: random.Random, data: Any) -> tuple[Any, Any]:
    place, key = (), None
    while isinstance(data, (dict, list)) and data:
        place, key = data, rng.choice(list(data) if isinstance(data, dict) else range(len(data)))  # type: ignore[assignment]
        if rng.random() < 0.5:
            break
        data = place[key]
    return place, key
