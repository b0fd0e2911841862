"""Signing in with a browser: a token for a cookie that can do what pages offer, and that no other page can use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientResponse

from ml_dash.protocol import API
from ml_dash.server.accounts.browser_sessions import StoreSessions
from ml_dash.server.accounts.grants import Scope
from ml_dash.server.accounts.tokens import Tokens
from ml_dash.server.app import build_app
from ml_dash.server.db.tables import SESSIONS
from ml_dash.server.forwarding import parse_proxies
from ml_dash.server.http.access import BY_PAGE
from ml_dash.server.store import Store
from tests.server.accounts.device_flow import Client, connected
from tests.support.account_serving import Hands

SESSION = f"{API}/session"
OURS = {BY_PAGE: "1"}
DAY = 86_400


def token_of(tokens: Tokens, **grants: Scope) -> str:
    return tokens.create("somebody", grants or {"alice": Scope.ADMIN}).token


async def sign_in(client: Client, token: str, headers: dict[str, str] = OURS) -> ClientResponse:
    response = await client.post(SESSION, json={"token": token}, headers=headers)
    client.session.cookie_jar.clear()  # each test gives back the cookie itself
    return response


def cookie(response: ClientResponse) -> str:
    """The cookie, as a browser gives it back."""
    return response.headers["Set-Cookie"].partition(";")[0]


async def signed_in(client: Client, token: str) -> dict[str, str]:
    response = await sign_in(client, token)
    assert response.status == 200, await response.text()
    return {"Cookie": cookie(response)}


async def experiment(client: Client, token: str, prefix: str = "alice/proj/run") -> str:
    headers = {"Authorization": f"Bearer {token}"}
    made = await client.post(f"{API}/experiments", json={"prefix": prefix}, headers=headers)
    return str((await made.json())["id"])


async def test_a_token_is_exchanged_for_a_cookie_that_reads(client: Client, tokens: Tokens) -> None:
    token = token_of(tokens)
    id_ = await experiment(client, token)
    response = await sign_in(client, token)
    told = await response.json()
    assert (told["signedIn"], told["mode"], told["name"]) == (True, "server", "somebody")
    attributes = {part.strip().lower() for part in response.headers["Set-Cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/", f"max-age={30 * DAY}"} <= attributes
    assert "secure" not in attributes
    assert token not in str(response.headers)
    headers = {"Cookie": cookie(response)}
    assert (await client.get(f"{API}/experiments/{id_}", headers=headers)).status == 200
    assert (await (await client.get(SESSION, headers=headers)).json())["signedIn"] is True
    assert (await client.get(f"{API}/experiments/{id_}")).status == 401


@pytest.fixture
async def proxied(store: Store, tokens: Tokens) -> AsyncIterator[Client]:
    """A client of a server that believes whoever asks it from this machine."""
    settings = replace(store.settings, trusted_proxies=parse_proxies(["127.0.0.0/8"]))
    async with connected(build_app(store, tokens, settings)) as client:
        yield client


async def test_behind_https_the_cookie_is_of_this_host_alone(proxied: Client, tokens: Tokens) -> None:
    """A browser takes it over https only, from this host, for all of its paths; and no other is taken for it."""
    client = proxied
    https = {**OURS, "X-Forwarded-Proto": "https"}
    response = await sign_in(client, token_of(tokens), https)
    name, _, secret = cookie(response).partition("=")
    assert name.startswith("__Host-ml_dash_session_")
    attributes = {part.strip().lower() for part in response.headers["Set-Cookie"].split(";")[1:]}
    assert {"secure", "path=/"} <= attributes
    assert not any(each.startswith("domain") for each in attributes)
    assert (await client.get(f"{API}/whoami", headers={**https, "Cookie": f"{name}={secret}"})).status == 200
    # as somebody may have set it who answers for the host over http
    planted = {**https, "Cookie": f"{name.removeprefix('__Host-')}={secret}"}
    assert (await client.get(f"{API}/whoami", headers=planted)).status == 401
    out = await client.delete(SESSION, headers={**https, "Cookie": f"{name}={secret}"})
    assert out.headers["Set-Cookie"].startswith(f"{name}=")
    assert "secure" in out.headers["Set-Cookie"].lower()


async def test_over_http_the_cookie_has_no_name_that_browsers_refuse(client: Client, tokens: Tokens) -> None:
    assert cookie(await sign_in(client, token_of(tokens))).startswith("ml_dash_session_")


def test_servers_of_one_host_sign_nobody_out_of_the_others(tokens: Tokens) -> None:
    """Browsers send cookies to all ports of a host; the same server has the same name after a restart."""
    names = [StoreSessions(tokens, server).cookie for server in ("sto_1", "sto_2", "sto_1")]
    assert names[0] == names[2] != names[1]


@pytest.mark.parametrize("token", ["mld_" + "x" * 43, "x", "é", "x" * 600, "\N{FACE WITH TEARS OF JOY}"])
async def test_a_wrong_token_opens_nothing(client: Client, token: str) -> None:
    response = await sign_in(client, token)
    assert response.status == 401
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(
    "body", [{}, {"token": 1}, {"token": ""}, {"token": " "}, {"token": "x", "more": 1}, [], "x"]
)
async def test_what_is_no_token_is_refused_with_what_to_send(client: Client, body: Any) -> None:
    response = await client.post(SESSION, json=body, headers=OURS)
    assert response.status == 400
    assert "send one object" in (await response.json())["error"]["message"]


async def test_tokens_can_not_be_guessed_here_any_faster(client: Client, tokens: Tokens) -> None:
    statuses = [(await sign_in(client, f"mld_{number:043}")).status for number in range(61)]
    assert statuses == [401] * 60 + [429]
    assert (await sign_in(client, token_of(tokens))).status == 200, "a valid one is no guess"
    headers = {"Authorization": "Bearer mld_" + "y" * 43}
    assert (await client.get(f"{API}/whoami", headers=headers)).status == 429, (
        "it is the same account of guesses"
    )


@pytest.mark.parametrize(
    "headers",
    [{}, {**OURS, "Sec-Fetch-Site": "cross-site"}, {**OURS, "Sec-Fetch-Site": "same-site"}],
    ids=["no header", "another site", "another origin"],
)
async def test_another_page_can_neither_sign_in_nor_out_nor_ask(
    client: Client, tokens: Tokens, headers: dict[str, str]
) -> None:
    token = token_of(tokens)
    assert (await sign_in(client, token, headers)).status == 403
    mine = await signed_in(client, token)
    assert (await client.delete(SESSION, headers={**headers, **mine})).status == 403
    values = f"{API}/experiments/values"
    assert (await client.post(values, json={"ids": []}, headers={**headers, **mine})).status == 403
    assert (await client.post(values, json={"ids": []}, headers={**OURS, **mine})).status == 200
    assert (await client.get(f"{API}/whoami", headers=mine)).status == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "experiments", {"prefix": "alice/proj/other"}),
        ("POST", "experiments/{id}/writers/w/frames", None),
        ("POST", "experiments/{id}/contents", {"contents": []}),
        ("POST", "tokens", {"name": "x", "admin": True}),
        ("DELETE", "tokens/self", None),
        ("PUT", "owners/alice/limits", {"quotaBytes": None}),
    ],
)
async def test_a_session_of_an_admin_does_nothing_that_pages_do_not_offer(
    client: Client, tokens: Tokens, method: str, path: str, body: Any
) -> None:
    token = tokens.first_token()
    assert token is not None
    id_ = await experiment(client, token)
    headers = {**OURS, **(await signed_in(client, token))}
    response = await client.request(method, f"{API}/{path.format(id=id_)}", json=body, headers=headers)
    assert response.status == 403
    assert (await client.get(f"{API}/experiments/{id_}", headers=headers)).status == 200
    assert (await client.get(f"{API}/tokens", headers=headers)).status == 403
    assert (await client.get("/metrics", headers=headers)).status == 403


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("grants", "writes", "status"),
    [
        ({"alice": Scope.READ, "bob": Scope.ADMIN}, ["bob"], 403),
        ({"alice": Scope.WRITE}, ["alice"], 200),
        ({"*": Scope.ADMIN}, ["*"], 200),
        ({"bob": Scope.WRITE}, ["bob"], 404),
    ],
)
async def test_a_session_changes_what_its_token_may_write(
    client: Client, tokens: Tokens, grants: dict[str, Scope], writes: list[str], status: int
) -> None:
    admin = tokens.first_token()
    assert admin is not None
    id_ = await experiment(client, admin)
    mine = await signed_in(client, tokens.create("somebody", grants).token)
    assert (await (await client.get(SESSION, headers=mine)).json())["writes"] == writes
    verbs: list[tuple[str, str, Any]] = [
        ("POST", "/tags", {"add": ["x"]}),
        ("PUT", "/note", {"note": "x"}),
        ("PUT", "/readme", {"readme": "x"}),
        ("POST", "/stop", {"cancel": True}),
        ("POST", "/move", {"to": "alice/p/other"}),
        ("DELETE", "", None),
        ("POST", "/restore", {}),
    ]
    for method, verb, body in verbs:
        path = f"{API}/experiments/{id_}{verb}"
        response = await client.request(method, path, json=body, headers={**OURS, **mine})
        assert response.status == status, await response.text()
        assert (await client.request(method, path, json=body, headers=mine)).status == 403, "another page's"
    headers = {"Authorization": f"Bearer {admin}"}
    past = await (await client.get(f"{API}/experiments/{id_}/history", headers=headers)).json()
    assert [each["who"] for each in past["data"]] == (["somebody"] * 6 if status == 200 else [])


async def test_a_session_sees_what_its_token_sees(client: Client, tokens: Tokens) -> None:
    admin = tokens.first_token()
    assert admin is not None
    seen = await experiment(client, admin, "alice/p/seen")
    hidden = await experiment(client, admin, "bob/p/hidden")
    headers = await signed_in(client, token_of(tokens, alice=Scope.WRITE))
    assert (await client.get(f"{API}/experiments/{seen}", headers=headers)).status == 200
    assert (await client.get(f"{API}/experiments/{hidden}", headers=headers)).status == 404
    listed = await (await client.get(f"{API}/experiments", headers=headers)).json()
    assert [each["prefix"] for each in listed["data"]] == ["alice/p/seen"]
    values = await client.post(
        f"{API}/experiments/values", json={"ids": [seen, hidden]}, headers={**OURS, **headers}
    )
    assert [each["id"] for each in (await values.json())["data"]] == [seen]


async def test_the_header_of_a_program_counts_before_a_cookie(client: Client, tokens: Tokens) -> None:
    mine = await signed_in(client, token_of(tokens))
    bad = {**mine, "Authorization": "Bearer mld_" + "z" * 43}
    assert (await client.get(f"{API}/whoami", headers=bad)).status == 401
    good = {**mine, "Authorization": f"Bearer {token_of(tokens)}"}
    made = await client.post(f"{API}/experiments", json={"prefix": "alice/p/n"}, headers=good)
    assert made.status == 201


async def test_who_signs_out_is_out(client: Client, tokens: Tokens) -> None:
    mine = await signed_in(client, token_of(tokens))
    response = await client.delete(SESSION, headers={**OURS, **mine})
    assert (await response.json())["signedIn"] is False
    assert "Max-Age=0" in response.headers["Set-Cookie"]
    assert (await client.get(f"{API}/whoami", headers=mine)).status == 401
    assert (await client.delete(SESSION, headers=OURS)).status == 200, "once more does no harm"


async def test_a_session_ends_with_its_token(client: Client, tokens: Tokens, clock: Hands) -> None:
    created = tokens.create("somebody", {"alice": Scope.READ})
    mine = await signed_in(client, created.token)
    assert (await client.get(f"{API}/whoami", headers=mine)).status == 200
    tokens.revoke(created.record.token_id)
    clock.turn(1)  # an answer holds for less than a second
    assert (await client.get(f"{API}/whoami", headers=mine)).status == 401
    short = tokens.create("short", {"alice": Scope.READ}, expires_in=10)
    mine = await signed_in(client, short.token)
    clock.turn(11)
    assert (await client.get(f"{API}/whoami", headers=mine)).status == 401


async def test_a_session_ends_after_thirty_days_and_leaves_nothing(
    client: Client, tokens: Tokens, clock: Hands, store: Store
) -> None:
    token = token_of(tokens)
    mine = await signed_in(client, token)
    clock.turn(30 * DAY - 1)
    assert (await client.get(f"{API}/whoami", headers=mine)).status == 200
    clock.turn(2)
    assert (await client.get(f"{API}/whoami", headers=mine)).status == 401
    await signed_in(client, token)
    with store.database.read() as connection:
        rows = connection.execute(SESSIONS.select()).all()
    assert len(rows) == 1, "the one before is not kept"
    assert mine["Cookie"].partition("=")[2] not in str(rows)


async def test_a_token_has_so_many_sessions_and_the_oldest_make_room(
    client: Client, tokens: Tokens, clock: Hands, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of others stay."""
    monkeypatch.setattr("ml_dash.server.accounts.browser_sessions._MOST", 3)
    other = await signed_in(client, tokens.create("other", {"alice": Scope.READ}).token)
    token = token_of(tokens)
    mine = []
    for _ in range(5):
        clock.turn(1)
        mine.append(await signed_in(client, token))
    clock.turn(1)
    alive = [(await client.get(f"{API}/whoami", headers=each)).status for each in (other, *mine)]
    assert alive == [200, 401, 401, 200, 200, 200]
    with store.database.read() as connection:
        assert len(connection.execute(SESSIONS.select()).all()) == 4


_ASKS = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
_FOLLOWS = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin", **_ASKS}, 200),
        ({"Sec-Fetch-Site": "none", **_FOLLOWS}, 200),
        ({"Sec-Fetch-Site": "same-site", **_FOLLOWS}, 200),
        ({"Sec-Fetch-Site": "same-site", **_ASKS}, 403),
        ({"Sec-Fetch-Site": "cross-site", **_ASKS}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403),
    ],
)
async def test_a_page_of_the_same_site_has_nothing_read_by_a_cookie_that_is_sent_along(
    client: Client, tokens: Tokens, headers: dict[str, str], status: int
) -> None:
    """Browsers send cookies to all ports of a host: the page of another port may be anybody's."""
    token = token_of(tokens)
    id_ = await experiment(client, token)
    mine = await signed_in(client, token)
    for path in (f"{API}/experiments/{id_}", f"{API}/experiments?limit=1"):
        answer = await client.get(path, headers={**mine, **headers})
        assert answer.status == status, await answer.text()
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    program = {"Authorization": f"Bearer {token}"}
    assert (await client.get(f"{API}/whoami", headers={**program, **headers})).status == 200


async def test_who_signs_in_once_more_ends_the_session_of_before(client: Client, tokens: Tokens) -> None:
    """And none that was there before a sign-in is the one that it opens: nobody can have set it beforehand."""
    token = token_of(tokens)
    before = await signed_in(client, token)
    after = {"Cookie": cookie(await sign_in(client, token, {**OURS, **before}))}
    assert after != before
    assert (await client.get(f"{API}/whoami", headers=before)).status == 401
    assert (await client.get(f"{API}/whoami", headers=after)).status == 200
    # a wrong token ends nothing
    assert (await sign_in(client, "mld_" + "x" * 43, {**OURS, **after})).status == 401
    assert (await client.get(f"{API}/whoami", headers=after)).status == 200
    planted = after["Cookie"].partition("=")[0] + "=" + "p" * 43
    opened = cookie(await sign_in(client, token, {**OURS, "Cookie": planted}))
    assert "p" * 43 not in opened


@pytest.mark.parametrize("path", ["/", "/no/such/page", f"{API}/session", f"{API}/experiments", "/device"])
async def test_nothing_is_shown_in_a_frame_of_another_page(client: Client, path: str) -> None:
    answer = await client.get(path, headers={"Accept": "text/html"})
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Frame-Options"] == "DENY"


async def test_a_made_up_cookie_is_nothing(client: Client, tokens: Tokens) -> None:
    name = (await signed_in(client, token_of(tokens)))["Cookie"].partition("=")[0]
    headers = {"Cookie": f"{name}={'x' * 43}"}
    assert (await client.get(f"{API}/whoami", headers=headers)).status == 401
    assert (await (await client.get(SESSION, headers=headers)).json())["signedIn"] is False
