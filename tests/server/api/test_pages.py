"""The dashboard's files: what is served to whom, with which headers, and what is said where they are not built."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from ml_dash.server.api.pages import page_routes, unknown_pages
from ml_dash.server.http.answers import add_headers, answered, internal_error, numbered

Client = TestClient[web.Request, web.Application]


async def serving(directory: Path) -> Client:
    app = web.Application(middlewares=[numbered, answered(internal_error), unknown_pages(str(directory))])
    app.add_routes(page_routes(str(directory)))
    app.on_response_prepare.append(add_headers)
    client = TestClient(TestServer(app))
    await client.start_server()
    return client


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    (tmp_path / "dist" / "assets").mkdir(parents=True)
    (tmp_path / "dist" / "index.html").write_text("<!doctype html>the pages")
    (tmp_path / "dist" / "assets" / "index-abc.js").write_text("1")
    (tmp_path / "dist" / "assets" / "index-abc.css").write_text("a{}")
    (tmp_path / "secret.js").write_text("what is hidden")
    client = await serving(tmp_path / "dist")
    yield client
    await client.close()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/experiments/a/b/c",
        "/experiments/a/b%2Fc/d",
        "/compare?e=a/b",
        "/diff?e=a/b",
        "/rules",
        "/trash",
        "/sign-in?to=/",
    ],
)
async def test_every_page_is_the_same_file_under_a_strict_policy(client: Client, path: str) -> None:
    async with client.get(path) as response:
        assert response.status == 200
        assert await response.text() == "<!doctype html>the pages"
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_person_at_an_address_that_is_not_there_sees_a_page_and_a_program_an_error(
    client: Client,
) -> None:
    person = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for path in ("/nowhere", "/experiments", "/nowhere/at/all?x=1"):
        async with client.get(path, headers=person) as response:
            assert (response.status, await response.text()) == (404, "<!doctype html>the pages")
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        async with client.get(path) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (404, "no_route")
    async with client.get("/api/v1/nowhere", headers=person) as response:
        assert (response.status, response.content_type) == (404, "application/json")
    async with client.post("/nowhere", headers=person) as response:
        assert (response.status, response.content_type) == (404, "application/json")
    async with client.get("/compare/?e=a", headers=person, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (308, "../compare?e=a")


async def test_assets_are_kept_for_ever_and_have_their_types(client: Client) -> None:
    for name, kind in (("index-abc.js", "text/javascript"), ("index-abc.css", "text/css")):
        async with client.get(f"/assets/{name}") as response:
            assert response.status == 200
            assert response.content_type == kind
            assert "immutable" in response.headers["Cache-Control"]


@pytest.mark.parametrize(
    "name", ["nothing.js", "..%2F..%2Fsecret.js", "..%2Findex.html", "%2e%2e/index.html", ""]
)
async def test_nothing_else_is_served(client: Client, name: str) -> None:
    async with client.get(f"/assets/{name}") as response:
        assert response.status == 404
        assert "hidden" not in await response.text()


async def test_pages_that_are_not_built_say_what_to_do(tmp_path: Path) -> None:
    client = await serving(tmp_path / "nothing")
    async with client.get("/") as response:
        assert response.status == 503
        text = await response.text()
        assert "make dashboard" in text
        assert "Node 20" in text
    await client.close()
