"""Servers with rules, a clock that tests turn, and somebody who is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_dash.server.runner import EmbeddedServer
from tests.server.alerts.place import MINUTE, Place
from tests.support.postgres import new_database
from tests.support.receiving import MailBox, Receiver, mail_box, receiving
from tests.support.serving import NOON, TOKEN
from tests.support.simulated_clock import HandClock


@pytest.fixture(scope="session")
def post() -> Iterator[MailBox]:
    """A mail server."""
    with mail_box() as box:
        yield box


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def shared_place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, post: MailBox
) -> Iterator[tuple[EmbeddedServer, HandClock]]:
    """A server on each database."""
    database = None
    if request.param == "postgresql":
        database = new_database(request.getfixturevalue("postgres"))
    clock = HandClock(NOON)
    with EmbeddedServer(
        data=tmp_path_factory.mktemp("server"),
        database=database,
        admin_token=TOKEN,
        clock=clock,
        alerts_allowed=("127.0.0.1",),
        alert_seconds=1.0,
        smtp_url=post.url,
        mail_from="alerts@example.org",
        public_url="https://dash.example.org/",
    ) as server:
        yield server, clock


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """A webhook."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def place(shared_place: tuple[EmbeddedServer, HandClock], hook: Receiver) -> Iterator[Place]:
    """A server on each database, with an owner of one's own."""
    server, clock = shared_place
    clock.now_ns += 10 * MINUTE
    place = Place(server, clock, hook)
    yield place
    # what is left of a test must not be told to nobody in the next one
    for rule in place.client.ask("GET", "/rules", owner=place.owner).body["data"]:
        place.client.ask("DELETE", f"/rules/{rule['id']}")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory."""
    return tmp_path / "data"
