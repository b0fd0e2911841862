"""Tokens in a real database, by a clock that tests turn."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ml_dash.server.accounts.tokens import Tokens
from ml_dash.server.app import build_app
from ml_dash.server.db.database import Database
from ml_dash.server.settings import ServerSettings
from ml_dash.server.store import Store
from tests.server.accounts.device_flow import Client, connected
from tests.support.account_serving import Hands, open_store


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Hands) -> Iterator[Store]:
    """A server's store: on SQLite, unless the test says otherwise (`tests.support.postgres.both_databases`)."""
    if getattr(request, "param", "sqlite") == "postgresql":
        database = request.getfixturevalue("postgres_database")
        store = Store.open(ServerSettings(data=str(tmp_path), database=database), clock)
    else:
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
