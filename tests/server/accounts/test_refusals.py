"""What a request is refused with: its remedy, and which of several mistakes is told first."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ml_dash.server.accounts.grants import Scope
from ml_dash.server.accounts.tokens import Tokens
from tests.server.accounts.device_flow import Client

API = "/api/v1"
OK = {"owner": "a", "scope": "read"}
UPLOAD = f"{API}/experiments/{{id}}/contents/{'a' * 64}/upload"


async def ask(client: Client, token: str, method: str, path: str, body: Any = None) -> tuple[int, str]:
    given = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    response = await client.request(method, path, data=data, headers=given)
    return response.status, str((await response.json()).get("error", {}).get("message"))


@pytest.mark.parametrize(
    ("path", "body", "remedy"),
    [
        ("experiments", {"prefix": "../x"}, "segment '..' is a step in a path, not a name"),
        ("experiments", {"prefix": "/a/b/c"}, "give it in full: 'owner/project/name', without slashes"),
        ("experiments", {"prefix": "a/b"}, "give it in full: 'owner/project/name', without slashes"),
        ("experiments", {"prefix": "x"}, "segment '' is empty"),
        ("experiments", {"prefix": ""}, "give 'owner/project/name', or None"),
        ("experiments", {"prefix": None}, "prefix=None: give a text such as 'owner/project/name'"),
        ("experiments", {"prefix": ["a"]}, "give a text such as 'owner/project/name'"),
        ("experiments", {"prefix": "a/b/c", "nope": 7}, "nope=7: there is no such field"),
        ("tokens", {"name": "", "grants": [OK]}, "give 1 to 255 printable characters"),
        ("tokens", {"name": "t", "grants": [OK, OK]}, "owner 'a' is granted twice"),
        ("tokens", {"name": "t", "grants": [OK | {"x": 1}]}, 'is not a grant: give {"owner": …, "scope": …}'),
        (
            "tokens",
            {"name": "t", "grants": [OK | {"scope": "READ"}]},
            "scope 'READ' is not known: use 'read', 'write' or 'admin'",
        ),
        (
            "tokens",
            {"name": "t", "grants": [OK | {"owner": ""}]},
            "give one name such as 'alice', or '*' for all",
        ),
        (
            "tokens",
            {"name": "t", "grants": [OK], "expiresIn": 0},
            "0 s: give more than 0 and at most 3153600000 s",
        ),
        ("tokens", {"name": "t", "grants": [OK], "expiresIn": float("nan")}, "at most 3153600000 s"),
        ("tokens", {"name": "t", "grants": [OK], "expiresIn": 3153600001}, "in 3153600001 s"),
        ("tokens", {"name": "t", "grants": [OK], "expiresIn": True}, "or null"),
    ],
)
async def test_a_refusal_names_the_remedy(
    client: Client, admin: str, path: str, body: dict[str, Any], remedy: str
) -> None:
    status, message = await ask(client, admin, "POST", f"{API}/{path}", body)
    assert status == 400
    assert remedy in message


async def test_what_may_be_a_secret_is_not_shown(client: Client, admin: str) -> None:
    status, message = await ask(client, admin, "POST", f"{API}/tokens", {"name": "t", "tokn": "mld_secret"})
    assert status == 400
    assert "tokn" in message
    assert "mld_secret" not in message


@pytest.mark.sample(4)
@pytest.mark.parametrize("path", ["blocks", "metrics/series", "tracks/entries"])
async def test_existence_comes_before_arguments(client: Client, admin: str, path: str) -> None:
    assert (await ask(client, admin, "GET", f"{API}/experiments/nope/{path}"))[0] == 404


async def test_permission_comes_before_arguments_and_bodies(
    client: Client, tokens: Tokens, admin: str
) -> None:
    reader = tokens.create("r", {"alice": Scope.READ}).token
    other = tokens.create("o", {"bob": Scope.WRITE}).token
    body = {"prefix": "alice/p/n", "readme": 5}
    asked = [await ask(client, token, "POST", f"{API}/experiments", body) for token in (admin, reader, other)]
    assert [status for status, _ in asked] == [400, 403, 404]
    assert (await ask(client, admin, "PUT", f"{API}/owners/%00/limits"))[0] == 404


async def test_an_upload_and_a_metric_are_told_what_to_do_instead(client: Client, admin: str) -> None:
    headers = {"Authorization": f"Bearer {admin}"}
    created = await client.post(f"{API}/experiments", json={"prefix": "a/b/c"}, headers=headers)
    found = (await created.json())["id"]
    told = await ask(client, admin, "POST", UPLOAD.format(id=found), {"sizeBytes": -5})
    assert told[1].endswith(": an empty content is sent whole")
    told = await ask(client, admin, "GET", f"{API}/experiments/{found}/metrics/rows?name=")
    assert told[1].endswith("leave it out for the unnamed metric")
