"""A transport that answers what a test has prepared."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from ml_dash.client.transport import Answer, Body, Stream
from ml_dash.journal.objects import to_msgpack


class Canned:
    """A transport that gives prepared answers and remembers the requests."""

    url = "https://dash.example.org"
    is_loopback = False

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, str, Mapping[str, str], bytes]] = []
        self.timeouts: list[float] = []

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
        assert body is None or isinstance(body, bytes)
        self.requests.append((method, path, {**(query or {}), **(headers or {})}, body or b""))
        self.timeouts.append(timeout)
        return self.answers.pop(0)

    def stream(
        self, path: str, *, query: Mapping[str, str] | None, headers: Mapping[str, str], timeout: float
    ) -> AbstractAsyncContextManager[Stream]:
        raise NotImplementedError


def packed(data: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(status, {"content-type": "application/msgpack", **headers}, to_msgpack(data))
