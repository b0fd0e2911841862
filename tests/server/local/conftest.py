"""The same experiments, logged to a server and to a root on this disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, unused_port

from ml_dash import Experiment
from ml_dash.protocol import API
from ml_dash.server.http.access import BY_PAGE
from ml_dash.server.local.app import build_local_app
from ml_dash.server.local.library import LocalLibrary
from ml_dash.server.local.sessions import OneTimeSessions
from ml_dash.server.runner import EmbeddedServer
from tests.support.serving import TOKEN

Client = TestClient[web.Request, web.Application]
PREFIX = "alice/vision/deep/run"
ROWS = 3000


class Ui:
    """What `ml-dash ui` serves, and a client that is signed in."""

    def __init__(self, client: Client, library: LocalLibrary, sessions: OneTimeSessions) -> None:
        self.client = client
        self.library = library
        self.sessions = sessions
        self.fresh: list[str] = []

    async def get(self, path: str, status: int = 200) -> Any:
        """Ask for a path below the API."""
        async with self.client.get(f"{API}/{path}") as response:
            assert response.status == status, await response.text()
            return await response.json()

    async def post(self, path: str, body: Any) -> Any:
        """Ask by a body."""
        async with self.client.post(f"{API}/{path}", json=body, headers={BY_PAGE: "1"}) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def sign_in(self, token: str) -> int:
        """Return the status of the answer."""
        async with self.client.post(
            f"{API}/session", json={"token": token}, headers={BY_PAGE: "1"}
        ) as response:
            return response.status


@asynccontextmanager
async def serving(root: str | Path, *, stale_after: float = 90.0) -> AsyncIterator[Ui]:
    """Serve a root, and sign in."""
    port = unused_port()
    library = LocalLibrary(str(root), stale_after)
    fresh: list[str] = []
    sessions = OneTimeSessions(port, fresh.append)
    # cookies of an address without a name: as in `ml-dash ui`
    server = TestServer(build_local_app(library, sessions, port), host="127.0.0.1", port=port)
    async with TestClient(server, cookie_jar=_jar()) as client:
        ui = Ui(client, library, sessions)
        ui.fresh = fresh
        assert await ui.sign_in(sessions.token) == 200
        yield ui
    library.close()


def _jar() -> Any:
    import aiohttp

    return aiohttp.CookieJar(unsafe=True)


@pytest.fixture(scope="session")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, EmbeddedServer]]:
    """A root and a server that have the same experiment, and its files."""
    root = str(tmp_path_factory.mktemp("dash"))
    with (
        EmbeddedServer(data=tmp_path_factory.mktemp("server"), admin_token=TOKEN) as server,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patched.setenv("ML_DASH_TOKEN", TOKEN)
        exp = Experiment(
            PREFIX,
            dash_url=server.url,
            dash_root=root,
            readme="# Deep",
            tags=["a", "b"],
            bindrs=["c"],
            metadata={"seed": 7},
            echo=False,
        )
        with exp.run:
            exp.params.set(lr=0.1, model={"layers": 3}, names=["x"])
            for step in range(ROWS):
                exp.metrics("train").log(
                    step=step, loss=1 / (step + 1), odd=float("nan") if step % 7 == 0 else step
                )
            exp.metrics.log(epoch=1, train={"loss": 0.5}, eval={"loss": 0.7, "nested": {"a": 1}})
            exp.metrics.log(alone=3)
            for level in ("debug", "info", "warn", "error"):
                exp.log(f"a {level} message", level=level, n=1)
            for at in range(5):
                exp.tracks("pose").append(x=at, _ts=float(at))
            exp.files("models").save_text("first", to="a.txt")
            exp.files("models").save_text("second", to="a.txt", tags=["best"], metadata={"k": 1})
            exp.files("plots").save_blob(bytes(range(256)) * 5000, to="b.bin")
            exp.files("gone").save_text("x", to="c.txt")
            exp.files("gone/c.txt").delete()
        assert exp.status().pending == 0
        yield root, server


@pytest.fixture
async def ui(logged: tuple[str, EmbeddedServer]) -> AsyncIterator[Ui]:
    async with serving(logged[0]) as ui:
        yield ui
