"""The door: which requests pass, and what the others are told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from ml_dash.server.accounts.browser_sessions import StoreSessions
from ml_dash.server.accounts.grants import Scope
from ml_dash.server.accounts.tokens import Tokens
from ml_dash.server.errors import ApiError
from ml_dash.server.http.access import Access, authenticate, is_public, not_found, principal, public, require
from ml_dash.server.http.bodies import error_answer
from tests.server.accounts.device_flow import Client, connected
from tests.support.account_serving import Hands
from tests.support.postgres import both_databases

WHOAMI = "/api/v1/whoami"
TOKENS = "/api/v1/tokens"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@web.middleware
async def told(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors as the server's application tells them."""
    try:
        return await handler(request)
    except ApiError as error:
        return error_answer(request, error)


async def refused(response: Any, status: int, code: str) -> str:
    """Check an answer that is an error, and return its message."""
    body = await response.json()
    assert (response.status, body["error"]["code"]) == (status, code), body
    message: str = body["error"]["message"]
    return message


async def test_whoami_tells_a_token_about_itself(client: Client, tokens: Tokens) -> None:
    created = tokens.create("bob's", {"bob": Scope.WRITE}, expires_in=60)
    response = await client.get(WHOAMI, headers=bearer(created.token))
    assert await response.json() == {
        "tokenId": created.record.token_id,
        "name": "bob's",
        "admin": False,
        "grants": [{"owner": "bob", "scope": "write"}],
        "createdAt": "2027-01-15T08:00:00.000000Z",
        "expiresAt": "2027-01-15T08:01:00.000000Z",
    }
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic {token}",
        "{token}",
        "Bearer {token}x",
        "Bearer {token} {token}",
        "Bearer mld_",
        "Bearer " + "x" * 7000,
        "Bearer \udcff",
    ],
)
async def test_everything_but_one_valid_bearer_token_is_refused(
    client: Client, admin: str, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header.format(token=admin)}
    message = await refused(await client.get(WHOAMI, headers=headers), 401, "unauthorized")
    assert "ml-dash login" in message
    assert admin not in message


async def test_a_token_in_the_address_lets_nobody_in(client: Client, admin: str) -> None:
    for query in ("token", "access_token", "Authorization"):
        await refused(await client.get(f"{WHOAMI}?{query}={admin}"), 401, "unauthorized")


async def test_two_tokens_in_one_request_are_refused(client: Client, admin: str) -> None:
    headers = [("Authorization", f"Bearer {admin}"), ("Authorization", f"Bearer {admin}")]
    await refused(await client.get(WHOAMI, headers=headers), 401, "unauthorized")


async def test_the_scheme_is_read_in_any_case(client: Client, admin: str) -> None:
    for scheme in ("bearer", "BEARER"):
        response = await client.get(WHOAMI, headers={"Authorization": f"{scheme} {admin}"})
        assert response.status == 200


async def test_paths_that_do_not_exist_demand_a_token_too(client: Client, admin: str) -> None:
    """Without one, nobody can tell which paths there are."""
    await refused(await client.get("/api/v1/nothing"), 401, "unauthorized")
    await refused(await client.put(WHOAMI), 401, "unauthorized")
    assert (await client.get("/api/v1/nothing", headers=bearer(admin))).status == 404
    assert (await client.put(WHOAMI, headers=bearer(admin))).status == 405


async def test_a_token_can_revoke_itself_and_nothing_else(client: Client, tokens: Tokens) -> None:
    mine = tokens.create("mine", {"a": Scope.ADMIN})
    other = tokens.create("other", {"a": Scope.ADMIN})
    await refused(
        await client.delete(f"{TOKENS}/{other.record.token_id}", headers=bearer(mine.token)), 403, "forbidden"
    )
    response = await client.delete(f"{TOKENS}/self", headers=bearer(mine.token))
    assert await response.json() == {"tokenId": mine.record.token_id, "revoked": True}
    await refused(await client.get(WHOAMI, headers=bearer(mine.token)), 401, "unauthorized")
    assert (await client.get(WHOAMI, headers=bearer(other.token))).status == 200


@both_databases
async def test_an_admin_creates_lists_and_revokes_tokens(client: Client, admin: str) -> None:
    grants = [{"owner": "*", "scope": "read"}, {"owner": "bob", "scope": "write"}]
    body = {"name": "bob's", "grants": grants, "expiresIn": 3600}
    response = await client.post(TOKENS, json=body, headers=bearer(admin))
    made = await response.json()
    assert response.status == 201
    token = made.pop("token")
    assert made["grants"] == grants
    assert (await client.get(WHOAMI, headers=bearer(token))).status == 200

    listed = (await (await client.get(TOKENS, headers=bearer(admin))).json())["data"]
    (mine,) = [each for each in listed if each["tokenId"] == made["tokenId"]]
    assert mine.pop("lastUsedAt")
    assert {**mine, "lastUsedAt": None} == made
    assert made["createdBy"] in {each["tokenId"] for each in listed if each["admin"]}
    assert token not in json.dumps(listed)

    assert (await client.delete(f"{TOKENS}/{made['tokenId']}", headers=bearer(admin))).status == 200
    await refused(await client.get(WHOAMI, headers=bearer(token)), 401, "unauthorized")
    missing = await client.delete(f"{TOKENS}/tok_0000000000000000", headers=bearer(admin))
    assert "does not exist" in await refused(missing, 404, "not_found")


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"name": "a"}',
        b'{"name": 3, "admin": true}',
        b'{"name": "", "admin": true}',
        b'{"name": "a", "admin": 1}',
        b'{"name": "a", "admin": true, "role": "x"}',
        b'{"name": "a", "admin": true, "expiresIn": true}',
        b'{"name": "a", "admin": true, "expiresIn": "30d"}',
        b'{"name": "a", "admin": true, "expiresIn": -1}',
        b'{"name": "a", "admin": true, "expiresIn": NaN}',
        b'{"name": "a", "admin": true, "expiresIn": 1' + b"0" * 400 + b"}",
        b'{"name": "a", "grants": {"a": "read"}}',
        b'{"name": "a", "grants": ["a:read"]}',
        b'{"name": "a", "grants": [{"owner": "a"}]}',
        b'{"name": "a", "grants": [{"owner": "a", "scope": "all"}]}',
        b'{"name": "a", "grants": [{"owner": "a", "scope": 1}]}',
        b'{"name": "a", "grants": [{"owner": "a/b", "scope": "read"}]}',
        b'{"name": "a", "grants": [{"owner": "a", "scope": "read"}, {"owner": "a", "scope": "write"}]}',
    ],
)
async def test_a_request_for_a_token_that_makes_no_sense_is_refused(
    client: Client, tokens: Tokens, admin: str, body: bytes
) -> None:
    response = await client.post(TOKENS, data=body, headers=bearer(admin))
    await refused(response, 400, "invalid")
    assert len(tokens.list()) == 1


async def test_a_large_request_for_a_token_is_refused(client: Client, admin: str) -> None:
    response = await client.post(TOKENS, data=b" " * 300_000, headers=bearer(admin))
    await refused(response, 413, "too_large")


async def test_only_admins_manage_tokens(client: Client, tokens: Tokens) -> None:
    """The scope admin on every owner is not enough: it is about experiments."""
    created = tokens.create("almost", {"*": Scope.ADMIN})
    headers = bearer(created.token)
    await refused(await client.get(TOKENS, headers=headers), 403, "forbidden")
    await refused(
        await client.post(TOKENS, json={"name": "x", "admin": True}, headers=headers), 403, "forbidden"
    )
    await refused(await client.delete(f"{TOKENS}/tok_0000000000000000", headers=headers), 403, "forbidden")


@pytest.mark.slow
async def test_who_tries_many_tokens_has_to_wait_and_others_do_not(
    client: Client, tokens: Tokens, clock: Hands
) -> None:
    created = tokens.create("a", {"a": Scope.READ})
    for number in range(60):
        await refused(await client.get(WHOAMI, headers=bearer(f"mld_{number}")), 401, "unauthorized")
    response = await client.get(WHOAMI, headers=bearer("mld_60"))
    assert "try again in 60 s" in await refused(response, 429, "busy")
    assert (await response.json())["error"]["retryAfter"] == 60
    assert (await client.get(WHOAMI, headers=bearer(created.token))).status == 200, (
        "valid, and never seen before"
    )
    clock.turn(30)
    tokens.revoke(created.record.token_id)
    assert (await client.get(WHOAMI, headers=bearer(created.token))).status in {401, 429}
    clock.turn(30)
    await refused(await client.get(WHOAMI, headers=bearer("mld_60")), 401, "unauthorized")


async def test_nobody_is_locked_out_by_what_another_does_at_the_same_address(
    client: Client, tokens: Tokens, admin: str
) -> None:
    """A proxy stands before all: one client guesses, one signs out, and one's token is revoked."""
    page = {"X-ML-Dash": "1"}
    revoked = tokens.create("b", {"a": Scope.READ}).record.token_id
    for number in range(70):
        await client.get(WHOAMI, headers=bearer(f"mld_{number}"))
        await client.post("/api/v1/session", json={"token": f"mld_{number}"}, headers=page)

    for number in range(3):
        created = tokens.create(f"c{number}", {"a": Scope.READ})
        assert (await client.get(WHOAMI, headers=bearer(created.token))).status == 200
        signed_in = await client.post("/api/v1/session", json={"token": created.token}, headers=page)
        assert signed_in.status == 200
        assert (await client.delete("/api/v1/session", headers=page)).status == 200
        tokens.revoke(revoked)
        for token in (created.token, admin):
            assert (await client.get(WHOAMI, headers=bearer(token))).status == 200


async def test_a_token_of_any_text_is_refused_and_no_more(client: Client) -> None:
    for token in ("\ud800", "é", "\0", " "):
        answer = await client.post("/api/v1/session", json={"token": token}, headers={"X-ML-Dash": "1"})
        assert answer.status in {400, 401}, token


async def test_one_wrong_token_again_and_again_locks_nobody_out(client: Client, clock: Hands) -> None:
    for _ in range(200):
        clock.turn(0.1)
        await refused(await client.get(WHOAMI, headers=bearer("mld_revoked")), 401, "unauthorized")


async def test_a_handler_is_public_only_where_it_says_so(tokens: Tokens, admin: str) -> None:
    class Handlers:
        @public
        async def open(self, request: web.Request) -> web.Response:
            return web.Response()

        async def marked_later(self, request: web.Request) -> web.Response:
            return web.Response()

        @public
        async def curious(self, request: web.Request) -> web.Response:
            return web.Response(text=principal(request).name)

        async def owned(self, request: web.Request) -> web.Response:
            require(request, request.match_info["owner"], Scope.WRITE)
            return web.Response()

        async def missing(self, request: web.Request) -> web.Response:
            raise not_found(request)

    handlers = Handlers()
    assert not is_public(handlers.marked_later)
    public(handlers.marked_later)
    app = web.Application(
        middlewares=[told, authenticate(Access.of(tokens, StoreSessions(tokens, "sto_1"), tokens.clock))]
    )
    app.router.add_get("/open", handlers.open)
    app.router.add_get("/later", handlers.marked_later)
    app.router.add_get("/curious", handlers.curious)
    app.router.add_get("/owned/{owner}", handlers.owned)
    app.router.add_get("/missing/{owner}", handlers.missing)
    async with connected(app) as client:
        assert [(await client.get(path)).status for path in ("/open", "/later")] == [200, 200]
        await refused(await client.get("/curious", headers=bearer(admin)), 401, "unauthorized")
        await refused(await client.get("/owned/alice"), 401, "unauthorized")

        token = tokens.create("t", {"alice": Scope.WRITE, "bob": Scope.READ}).token
        assert (await client.get("/owned/alice", headers=bearer(token))).status == 200
        assert (await client.get("/owned/carol", headers=bearer(admin))).status == 200
        message = await refused(await client.get("/owned/bob", headers=bearer(token)), 403, "forbidden")
        assert "'read' on owner 'bob'" in message
        assert "'write'" in message
        hidden = await client.get("/owned/carol", headers=bearer(token))
        absent = await client.get("/missing/carol", headers=bearer(token))
        hidden_message = await refused(hidden, 404, "not_found")
        assert hidden_message.replace("/owned", "/missing") == await refused(absent, 404, "not_found")


async def test_an_answer_never_contains_the_token_that_asked(client: Client, admin: str) -> None:
    """Not in headers either, whatever the answer is."""
    wrong = "mld_" + "w" * 43
    for method, path in [
        ("GET", WHOAMI),
        ("GET", TOKENS),
        ("DELETE", f"{TOKENS}/x"),
        ("GET", "/nothing"),
        ("PUT", WHOAMI),
    ]:
        for token in (admin, wrong):
            response = await client.request(method, path, headers=bearer(token))
            assert token not in await response.text() + str(response.headers)
