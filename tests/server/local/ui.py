"""What `ml-dash ui` serves, in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import CookieJar, web
from aiohttp.test_utils import TestClient, TestServer, unused_port

from ml_dash.protocol import API, PAGE_BYTES_MAX
from ml_dash.server.http.access import BY_PAGE
from ml_dash.server.local.app import build_local_app
from ml_dash.server.local.library import LocalLibrary
from ml_dash.server.local.sessions import OneTimeSessions

PREFIX = "alice/vision/deep/run"
ROWS = 3000
Client = TestClient[web.Request, web.Application]


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
async def serving(
    root: str | Path, *, stale_after: float = 90.0, page_bytes: int = PAGE_BYTES_MAX
) -> AsyncIterator[Ui]:
    """Serve a root, and sign in."""
    port = unused_port()
    library = LocalLibrary(str(root), stale_after)
    fresh: list[str] = []
    sessions = OneTimeSessions(port, fresh.append, str(root))
    # cookies of an address without a name: as in `ml-dash ui`
    server = TestServer(build_local_app(library, sessions, port, page_bytes), host="127.0.0.1", port=port)
    async with TestClient(server, cookie_jar=CookieJar(unsafe=True)) as client:
        ui = Ui(client, library, sessions)
        ui.fresh = fresh
        assert await ui.sign_in(sessions.token) == 200
        yield ui
    library.close()
