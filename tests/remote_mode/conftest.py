"""Fixtures of the tests of remote mode: a real server, and scripts that send to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_dash.server.runner import EmbeddedServer
from tests.remote_mode.remote_scripts import remote_scripts
from tests.support.processes import Scripts
from tests.support.seen import TOKEN, Seen


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server of one's own, which may be stopped and started."""
    server = EmbeddedServer(data=tmp_path / "server", admin_token=TOKEN).start()
    yield server
    server.stop()


@pytest.fixture
def seen(server: EmbeddedServer) -> Seen:
    """The experiment of most tests, as the server shows it."""
    return Seen(server)


@pytest.fixture
def settings(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """The environment of this process: a user with the token, and nothing of ours in the home."""
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    monkeypatch.setenv("ML_DASH_API_URL", server.url)
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    return monkeypatch


@pytest.fixture
def scripts(server: EmbeddedServer, tmp_path: Path) -> Scripts:
    """Runs scripts that find the server as ``dash_url=True`` and have its token."""
    return remote_scripts(tmp_path / "home", server.url)


@pytest.fixture
def home(scripts: Scripts) -> Path:
    """The root of the journals of scripts."""
    return scripts.home / ".dash"


@pytest.fixture
def server_down(server: EmbeddedServer, scripts: Scripts) -> None:
    """Nothing listens where scripts expect the server."""
    server.stop()
