"""Tokens in a real database, by a clock that tests turn."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from ml_dash.server.accounts.tokens import Tokens
from ml_dash.server.app import build_app
from ml_dash.server.db.database import Database
from ml_dash.server.store import Store
from tests.support.account_serving import Hands, open_store

Client = TestClient[web.Request, web.Application]


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def store(tmp_path: Path, clock: Hands) -> Iterator[Store]:
    store = open_store(tmp_path, clock)
    store.start()
    yield store
    store.close()


@pytest.fixture
def database(store: Store) -> Database:
    return store.database


@pytest.fixture
def tokens(database: Database, clock: Hands) -> Tokens:
    return Tokens(database, clock)


@pytest.fixture
def admin(tokens: Tokens) -> str:
    """The first admin token."""
    token = tokens.first_token()
    assert token is not None
    return token


@pytest.fixture
async def client(store: Store, tokens: Tokens) -> AsyncIterator[Client]:
    """A client of the server's whole application."""
    async with connected(build_app(store, tokens, store.settings)) as client:
        yield client


@asynccontextmanager
async def connected(app: web.Application) -> AsyncIterator[Client]:
    """A client of an application that runs as the server runs it."""
    server = TestServer(app)
    await server.start_server(auto_decompress=False)
    async with TestClient(server) as client:
        yield client
