"""The device flow, as a device sees it (RFC 8628)."""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from ml_dash.server.accounts.device_logins import CODE_SECONDS, DeviceLogins, Refusal
from ml_dash.server.accounts.grants import Scope
from ml_dash.server.accounts.token_records import CreatedToken
from ml_dash.server.accounts.tokens import Tokens
from ml_dash.server.api.device import device_routes
from tests.server.accounts.device_flow import AUTHORIZE, GRANT, TOKEN, Client, begin, decide, error_of, poll
from tests.support.account_serving import Hands
from tests.support.postgres import both_databases, on_postgresql

MINUTE = 60


def all_files(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


@both_databases
async def test_a_login_from_begin_to_token(client: Client, tokens: Tokens, clock: Hands) -> None:
    mine = tokens.create("mine", {"alice": Scope.ADMIN, "bob": Scope.READ})
    begun = await begin(client, client_name="alice@gpu-7", scope="write")
    assert re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", begun["user_code"])
    assert begun["verification_uri"] == str(client.make_url("/device"))
    assert begun["verification_uri_complete"] == f"{begun['verification_uri']}?user_code={begun['user_code']}"
    assert (begun["expires_in"], begun["interval"]) == (900, 5)
    assert await error_of(client, begun) == "authorization_pending"

    status, page = await decide(client, begun, mine.token)
    assert (status, "alice:write, bob:read" in page) == (200, True)
    clock.turn(5)
    status, got = await poll(client, begun)
    assert status == 200
    assert (got["token_type"], got["scope"], got["expires_in"]) == (
        "Bearer",
        "alice:write bob:read",
        365 * 86_400,
    )
    who = tokens.find(got["access_token"])
    assert who is not None
    assert (who.name, who.admin) == ("alice@gpu-7", False)
    assert who.grants == {"alice": Scope.WRITE, "bob": Scope.READ}
    (record,) = [each for each in tokens.list() if each.token_id == who.token_id]
    assert record.created_by == mine.record.token_id


async def test_a_token_is_collected_once(client: Client, admin: str) -> None:
    begun = await begin(client)
    await decide(client, begun, admin)
    assert (await poll(client, begun))[0] == 200
    assert await error_of(client, begun) == "invalid_grant"


@both_databases
async def test_a_denied_login_ends(client: Client, tokens: Tokens, admin: str) -> None:
    begun = await begin(client)
    status, page = await decide(client, begun, admin, decision="deny")
    assert (status, "Denied" in page) == (200, True)
    assert await error_of(client, begun) == "access_denied"
    assert await error_of(client, begun) == "invalid_grant"
    assert len(tokens.list()) == 1


async def test_a_login_that_nobody_decides_expires(client: Client, clock: Hands, admin: str) -> None:
    begun = await begin(client)
    clock.turn(15 * MINUTE - 1)
    assert await error_of(client, begun) == "authorization_pending"
    clock.turn(1)
    assert await error_of(client, begun) == "expired_token"
    status, page = await decide(client, begun, admin)
    assert (status, "No login is pending under this code" in page) == (404, True)


async def test_an_approved_login_expires_too_if_nobody_collects(
    client: Client, clock: Hands, admin: str
) -> None:
    begun = await begin(client)
    await decide(client, begun, admin)
    clock.turn(15 * MINUTE)
    assert await error_of(client, begun) == "expired_token"


@pytest.mark.sample(2)
@both_databases
async def test_old_logins_are_cleared_away(client: Client, tokens: Tokens, clock: Hands) -> None:
    begun = await begin(client)
    clock.turn(2 * 3600)
    await begin(client)
    with tokens.database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM device_requests").scalar() == 1
    assert await error_of(client, begun) == "invalid_grant"


@both_databases
async def test_who_asks_too_often_is_told_to_slow_down(client: Client, clock: Hands) -> None:
    begun = await begin(client)
    assert await error_of(client, begun) == "authorization_pending"
    clock.turn(3)
    assert await error_of(client, begun) == "slow_down"
    clock.turn(3)
    assert await error_of(client, begun) == "slow_down", "it counts from the last question"
    clock.turn(5)
    assert await error_of(client, begun) == "authorization_pending"
    clock.turn(4.5)
    assert await error_of(client, begun) == "authorization_pending", "a little jitter is forgiven"


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("path", "fields", "error"),
    [
        (AUTHORIZE, {}, "invalid_request"),
        (AUTHORIZE, {"client_id": ""}, "invalid_request"),
        (AUTHORIZE, {"client_id": "other"}, "invalid_client"),
        (AUTHORIZE, {"client_id": "ml-dash", "scope": "everything"}, "invalid_scope"),
        (AUTHORIZE, {"client_id": "ml-dash", "scope": "admin"}, "invalid_scope"),
        (AUTHORIZE, {"client_id": "ml-dash", "scope": "alice:admin"}, "invalid_scope"),
        (AUTHORIZE, {"client_id": "ml-dash", "scope": "a/b:read"}, "invalid_scope"),
        (AUTHORIZE, {"client_id": "ml-dash", "scope": "%ff:read"}, "invalid_scope"),
        (AUTHORIZE, {"client_id": "ml-dash", "scope": "read " * 51}, "invalid_scope"),
        (AUTHORIZE, {"client_id": "ml-dash", "client_name": "a\nb"}, "invalid_request"),
        (AUTHORIZE, {"client_id": "ml-dash", "client_name": "x" * 256}, "invalid_request"),
        (TOKEN, {}, "invalid_request"),
        (TOKEN, {"client_id": "ml-dash"}, "invalid_request"),
        (TOKEN, {"client_id": "ml-dash", "grant_type": "password"}, "unsupported_grant_type"),
        (TOKEN, {"client_id": "ml-dash", "grant_type": GRANT}, "invalid_request"),
        (TOKEN, {"client_id": "ml-dash", "grant_type": GRANT, "device_code": ""}, "invalid_request"),
        (TOKEN, {"client_id": "ml-dash", "grant_type": GRANT, "device_code": "guess"}, "invalid_grant"),
        (TOKEN, {"client_id": "x", "grant_type": GRANT, "device_code": "guess"}, "invalid_client"),
    ],
)
async def test_errors_are_those_of_the_rfcs(
    client: Client, path: str, fields: dict[str, str], error: str
) -> None:
    response = await client.post(path, data=fields)
    body = await response.json()
    assert (response.status, body["error"]) == (400, error)
    assert body["error_description"]
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", [AUTHORIZE, TOKEN])
async def test_a_field_given_twice_or_a_body_that_is_no_form_is_refused(client: Client, path: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for body, headers in [
        (b"client_id=ml-dash&client_id=ml-dash", form),
        (b"client_id=ml-dash&client_id=", form),
        (b"client_id=ml-dash&" + b"&".join(b"f%d=1" % number for number in range(50)), form),
        (b"client_id=%ff", form),
        (b"\xff", form),
        (b'{"client_id": "ml-dash"}', {"Content-Type": "application/json"}),
        (b"client_id=ml-dash", {"Content-Type": "text/plain"}),
    ]:
        response = await client.post(path, data=body, headers=headers)
        assert (response.status, (await response.json())["error"]) == (400, "invalid_request")
    response = await client.post(path, data=b"a=" + b"x" * 20_000, headers=form)
    assert response.status == 413


async def test_asked_scopes_are_those_that_are_shown(client: Client) -> None:
    begun = await begin(client, scope="alice:write b%C3%B6b:read")
    page = await (await client.get("/device", params={"user_code": begun["user_code"]})).text()
    assert "read and write: experiments of alice<br>read only: experiments of böb" in page


async def test_the_database_holds_neither_device_codes_nor_tokens(
    client: Client, admin: str, tmp_path: Path
) -> None:
    begun = await begin(client)
    await decide(client, begun, admin)
    _, got = await poll(client, begun)
    secrets = (begun["device_code"].encode(), got["access_token"][4:].encode(), admin[4:].encode())
    content = all_files(tmp_path)
    assert not any(secret in content for secret in secrets)


async def test_logins_from_one_address_are_limited(client: Client, clock: Hands) -> None:
    for _ in range(30):
        await begin(client)
    response = await client.post(AUTHORIZE, data={"client_id": "ml-dash"})
    assert response.status == 429
    assert (await response.json())["error"] == "temporarily_unavailable"
    assert int(response.headers["Retry-After"]) == 60
    clock.turn(60)
    await begin(client)


async def test_logins_under_way_are_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_dash.server.accounts.device_logins._PENDING_MAX", 2)
    await begin(client)
    await begin(client)
    response = await client.post(AUTHORIZE, data={"client_id": "ml-dash"})
    assert response.status == 503
    assert response.headers["Retry-After"]


async def test_logins_that_have_run_out_take_nobodys_place(
    client: Client, clock: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are kept for an hour, in which strangers could otherwise begin so many that nobody can log in."""
    monkeypatch.setattr("ml_dash.server.accounts.device_logins._PENDING_MAX", 2)
    for _ in range(3):
        await begin(client)
        await begin(client)
        clock.turn(CODE_SECONDS + 1)


async def test_guessing_device_codes_is_limited(client: Client, clock: Hands) -> None:
    for number in range(30):
        assert await error_of(client, {"device_code": f"guess {number}"}) == "invalid_grant"
    status, body = await poll(client, {"device_code": "guess 30"})
    assert (status, body["error"]) == (429, "slow_down")
    clock.turn(60)
    assert await error_of(client, {"device_code": "guess 30"}) == "invalid_grant"


async def test_the_address_of_the_page_can_be_given(tokens: Tokens) -> None:
    app = web.Application()
    app.add_routes(device_routes(tokens, tokens.clock, "https://dash.example.com/"))
    async with TestClient(TestServer(app)) as client:
        begun = await begin(client)
    assert begun["verification_uri"] == "https://dash.example.com/device"


@both_databases
async def test_a_login_gets_no_token_if_its_approver_is_revoked_meanwhile(
    client: Client, tokens: Tokens, admin: str
) -> None:
    mine = tokens.create("mine", {"alice": Scope.WRITE})
    begun = await begin(client)
    await decide(client, begun, mine.token)
    tokens.revoke(mine.record.token_id)
    assert await error_of(client, begun) == "access_denied"
    assert len(tokens.list()) == 2


async def test_a_token_outlives_neither_its_approver_nor_what_was_chosen(
    client: Client, tokens: Tokens, clock: Hands, admin: str
) -> None:
    short = tokens.create("short", {"alice": Scope.WRITE}, expires_in=3600)
    begun = await begin(client)
    await decide(client, begun, short.token, lifetime="never")
    clock.turn(60)
    _, got = await poll(client, begun)
    assert got["expires_in"] == 3600 - 60
    for lifetime, seconds in [("30", 30 * 86_400), ("never", None)]:
        begun = await begin(client)
        await decide(client, begun, admin, lifetime=lifetime)
        _, got = await poll(client, begun)
        assert got.get("expires_in") == seconds


@on_postgresql
def test_of_many_who_collect_one_login_one_gets_the_token(tokens: Tokens, clock: Hands, admin: str) -> None:
    """A device that asks twice at once, of two servers, must not get two tokens."""
    approver = tokens.find(admin)
    assert approver is not None
    logins = DeviceLogins(tokens, clock)
    begun = logins.begin("device", "127.0.0.1", {"*": Scope.WRITE})
    assert begun is not None
    assert logins.approve(begun.user_code, approver, {"alice": Scope.WRITE}, None)
    got: list[CreatedToken | Refusal] = []
    ready = threading.Barrier(6)

    def collect() -> None:
        ready.wait()
        got.append(DeviceLogins(tokens, clock).collect(begun.device_code))

    threads = [threading.Thread(target=collect) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(got) == 6
    assert sum(isinstance(each, CreatedToken) for each in got) == 1
    assert sum(each is Refusal.UNKNOWN for each in got) == 5
    assert len(tokens.list()) == 2


@on_postgresql
def test_of_many_who_decide_one_decision_counts(tokens: Tokens, clock: Hands, admin: str) -> None:
    approver = tokens.find(admin)
    assert approver is not None
    logins = DeviceLogins(tokens, clock)
    begun = logins.begin("device", "127.0.0.1", {"*": Scope.WRITE})
    assert begun is not None
    decided: list[bool] = []
    ready = threading.Barrier(4)

    def decide_one(number: int) -> None:
        ready.wait()
        if number % 2:
            decided.append(logins.deny(begun.user_code))
        else:
            decided.append(logins.approve(begun.user_code, approver, {"alice": Scope.WRITE}, None))

    threads = [threading.Thread(target=decide_one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(decided) == [False, False, False, True]


class Held:
    """What a server asks its database is held up until it is let go: all requests of a burst are under way together."""

    def __init__(self, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.go, self._news = asyncio.Event(), asyncio.Event()
        self._run = tokens.database.run
        monkeypatch.setattr(tokens.database, "run", self._held)

    async def _held(self, function: Callable[..., Any], *args: Any) -> Any:
        self.asked += 1
        self._news.set()
        await self.go.wait()
        return await self._run(function, *args)

    async def statuses(self, *requests: Coroutine[Any, Any, ClientResponse]) -> list[int]:
        """The answers to requests, all of which have come before any is answered that asks the database."""
        tasks = [asyncio.create_task(each) for each in requests]
        for task in tasks:
            task.add_done_callback(lambda _: self._news.set())
        while self.asked + sum(task.done() for task in tasks) < len(tasks):
            self._news.clear()
            await self._news.wait()
        self.go.set()
        return [(await task).status for task in tasks]


async def test_logins_that_begin_at_once_are_limited(
    tokens: Tokens, clock: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(tokens, monkeypatch)
    app = web.Application()
    app.add_routes(device_routes(tokens, clock))
    async with TestClient(TestServer(app)) as client:
        form = {"client_id": "ml-dash"}
        statuses = await held.statuses(*(client.post(AUTHORIZE, data=form) for _ in range(40)))
    assert sorted(statuses) == [200] * 30 + [429] * 10


async def test_codes_that_are_guessed_at_once_are_limited(
    tokens: Tokens, clock: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right one, too, is told nothing of behind ten wrong ones."""
    begun = DeviceLogins(tokens, clock).begin("a device", "127.0.0.1", {})
    assert begun is not None
    held = Held(tokens, monkeypatch)
    app = web.Application()
    app.add_routes(device_routes(tokens, clock))
    guesses = ["ZZZZZZ" + a + b for a, b in itertools.product("BCDFG", repeat=2)]
    async with TestClient(TestServer(app)) as client:
        statuses = await held.statuses(
            *(client.get("/device", params={"user_code": code}) for code in [*guesses, begun.user_code])
        )
    assert sorted(set(statuses)) in ([404, 429], [200, 404, 429])
    assert statuses.count(404) == 10
