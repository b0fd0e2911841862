"""Servers for the tests: one of each database, started once, with experiments of its own for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ml_dash.server.runner import EmbeddedServer
from ml_dash.server.settings import ServerSettings
from ml_dash.server.store import Store
from tests.support.postgres import binaries, cluster, new_database
from tests.support.serving import TOKEN, Client

_NAMES = itertools.count()


@pytest.fixture(autouse=True)
def no_connection_left_open() -> Iterator[None]:
    """A test that fails half-way must not be followed by warnings of sockets."""
    yield
    for client in Client.opened:
        client.close()
    Client.opened.clear()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server."""
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed")
    with cluster() as url:
        yield url


@pytest.fixture
def postgres_database(postgres: str) -> str:
    """The URL of a database on PostgreSQL that has all tables, and nothing in them."""
    return new_database(postgres)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def shared_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedServer]:
    """A server on each database; see `server`."""
    database = None
    if request.param == "postgresql":
        database = new_database(request.getfixturevalue("postgres"))
    data = tmp_path_factory.mktemp("server")
    with EmbeddedServer(data=data, database=database, admin_token=TOKEN) as server:
        yield server


@pytest.fixture
def server(shared_server: EmbeddedServer) -> EmbeddedServer:
    """A server, for each database; it is shared, so that tests use owners of their own where they list."""
    return shared_server


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[Client]:
    """A connection with the admin token."""
    client = Client(server.url, TOKEN)
    yield client
    client.close()


@pytest.fixture
def owner() -> str:
    """An owner that no other test has."""
    return f"owner{next(_NAMES)}"


@pytest.fixture
def experiment(client: Client, owner: str) -> str:
    """The id of an empty experiment."""
    return client.create(f"{owner}/project/run")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store without a server, whose threads were not started, on each database."""
    database = None
    if request.param == "postgresql":
        database = request.getfixturevalue("postgres_database")
    with ExitStack() as stack:
        store = Store.open(ServerSettings(data=str(tmp_path / "data"), database=database))
        stack.callback(store.close)
        yield store
