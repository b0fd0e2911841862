"""A directory for tokens that is not the user's own, and a server to log in to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_dash.server.accounts.tokens import Tokens
from ml_dash.server.app import build_app
from ml_dash.server.db.database import Database
from ml_dash.server.store import Store
from ml_dash.tokens import TokenStore
from tests.support.account_serving import Hands, Served, open_store


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in which tokens are stored; no keyring of this machine is touched."""
    directory = tmp_path / "config"
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(directory))
    monkeypatch.setattr("ml_dash.tokens.keys.system_keyring", lambda: None)
    return directory


@pytest.fixture
def store(config: Path) -> TokenStore:
    return TokenStore()


@pytest.fixture
def clock() -> Hands:
    """The clock that the server lives by."""
    return Hands()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The server's data directory."""
    return tmp_path / "server"


@pytest.fixture
def server_store(data: Path, clock: Hands) -> Iterator[Store]:
    store = open_store(data, clock)
    yield store
    store.close()


@pytest.fixture
def database(server_store: Store) -> Database:
    return server_store.database


@pytest.fixture
def tokens(database: Database, clock: Hands) -> Tokens:
    return Tokens(database, clock)


@pytest.fixture
def url(server_store: Store, tokens: Tokens) -> Iterator[str]:
    """The URL of a real server."""
    with Served(build_app(server_store, tokens, server_store.settings)) as served:
        yield served.url
