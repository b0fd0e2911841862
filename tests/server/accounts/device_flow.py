"""A client of the whole application, and the device flow as a device goes through it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

Client = TestClient[web.Request, web.Application]


@asynccontextmanager
async def connected(app: web.Application) -> AsyncIterator[Client]:
    """A client of an application that runs as the server runs it."""
    server = TestServer(app)
    await server.start_server(auto_decompress=False)
    async with TestClient(server) as client:
        yield client


AUTHORIZE = "/api/v1/device/authorize"
TOKEN = "/api/v1/device/token"
GRANT = "urn:ietf:params:oauth:grant-type:device_code"


async def begin(client: Client, **fields: str) -> dict[str, Any]:
    response = await client.post(AUTHORIZE, data={"client_id": "ml-dash", **fields})
    body: dict[str, Any] = await response.json()
    assert response.status == 200, body
    return body


async def poll(client: Client, begun: dict[str, Any]) -> tuple[int, Any]:
    fields = {"client_id": "ml-dash", "grant_type": GRANT, "device_code": begun["device_code"]}
    response = await client.post(TOKEN, data=fields)
    body = await response.json()
    assert response.headers["Cache-Control"] == "no-store"
    return response.status, body


async def error_of(client: Client, begun: dict[str, Any]) -> str:
    status, body = await poll(client, begun)
    assert (status, set(body)) == (400, {"error", "error_description"})
    error: str = body["error"]
    return error


async def decide(client: Client, begun: dict[str, Any], token: str, **fields: str) -> tuple[int, str]:
    form = {
        "user_code": begun["user_code"],
        "token": token,
        "decision": "approve",
        "scope": "write",
        "lifetime": "365",
        **fields,
    }
    response = await client.post("/device", data=form)
    return response.status, await response.text()
