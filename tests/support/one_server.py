"""A real server for the tests that need one, and a loop on a thread for views."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from ml_dash.client.api import Client
from ml_dash.client.http import AiohttpTransport, close_session
from ml_dash.server.runner import EmbeddedServer
from ml_dash.tokens.token import Token

_T = TypeVar("_T")


class Call(Protocol):
    """Runs a coroutine on a loop of another thread."""

    def __call__(self, coroutine: Coroutine[Any, Any, _T], /) -> _T: ...


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server that is empty."""
    with EmbeddedServer(data=tmp_path / "server") as running:
        yield running


@pytest.fixture
def client(server: EmbeddedServer) -> Client:
    """A client that may do everything."""
    return Client(AiohttpTransport(server.url, lambda: Token(server.admin_token)))


@pytest.fixture
def call() -> Iterator[Call]:
    """What a view is given in an experiment: a loop that runs elsewhere."""
    with calling() as do:
        yield do


@contextmanager
def calling() -> Iterator[Call]:
    """See `call`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def do(coroutine: Coroutine[Any, Any, _T], /) -> _T:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(timeout=60)

    try:
        yield do
    finally:
        do(close_session())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
