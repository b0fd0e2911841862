"""The page on which people approve logins."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from ml_dash.server.accounts.device_logins import parse_user_code
from ml_dash.server.accounts.grants import Scope
from ml_dash.server.accounts.tokens import Tokens
from tests.server.accounts.device_flow import Client, begin, decide, error_of, poll
from tests.support.account_serving import Hands
from tests.support.postgres import both_databases

HOSTILE = "<script>alert(1)</script>\"'&amp; onload=x"


class Elements(HTMLParser):
    """Every tag of a page, with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


async def show(client: Client, begun: dict[str, Any]) -> str:
    response = await client.get("/device", params={"user_code": begun["user_code"]})
    assert response.status == 200
    return await response.text()


async def granted(client: Client, begun: dict[str, Any], token: str, **fields: str) -> str:
    status, page = await decide(client, begun, token, **fields)
    assert status == 200, page
    scope: str = (await poll(client, begun))[1]["scope"]
    return scope


async def test_every_page_is_plain_html_with_a_strict_policy(client: Client, admin: str) -> None:
    begun = await begin(client, client_name=HOSTILE)
    form = {"user_code": begun["user_code"], "token": "mld_wrong", "decision": "approve", "owners": HOSTILE}
    answers = [
        await client.get("/device"),
        await client.get("/device?user_code=none"),
        await client.get("/device", params={"user_code": begun["user_code"]}),
        await client.post("/device", data=form),
        await client.post("/device", data={**form, "token": admin, "scope": "write"}),
        await client.post("/device", data=b"\xff"),
    ]
    for response in answers:
        page = await response.text()
        policy = response.headers["Content-Security-Policy"]
        found = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
        assert found
        style = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        assert f"style-src 'sha256-{style}'" in policy
        for rule in ("default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
            assert rule in policy
        assert "unsafe" not in policy
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"
        elements = Elements(page)
        assert not elements.named("script")
        assert not elements.named("img")
        assert not elements.named("link")
        assert not [name for _, attributes in elements.tags for name in attributes if name.startswith("on")]
        assert not [1 for _, attributes in elements.tags if attributes.keys() & {"src", "href", "style"}]


async def test_what_is_asked_for_is_shown_before_anything_is_decided(client: Client, clock: Hands) -> None:
    begun = await begin(client, client_name="alice@gpu-7")
    page = await show(client, begun)
    for text in (begun["user_code"], "alice@gpu-7", "127.0.0.1", "2027-01-15T08:00:00", "read and write"):
        assert text in page
    assert await error_of(client, begun) == "authorization_pending"


async def test_what_a_device_says_of_itself_is_text_and_nothing_else(client: Client) -> None:
    page = await show(client, await begin(client, client_name=HOSTILE))
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


async def test_the_form_sends_the_token_in_a_body_and_never_in_an_address(client: Client) -> None:
    elements = Elements(await show(client, await begin(client)))
    (form,) = elements.named("form")
    assert form["method"] == "post"
    assert form["action"] == "device", "also below a path, behind a proxy"
    (field,) = [each for each in elements.named("input") if each["name"] == "token"]
    assert field["type"] == "password"
    assert "value" not in field


async def test_a_token_in_the_address_approves_nothing(client: Client, admin: str) -> None:
    begun = await begin(client)
    address = {"user_code": begun["user_code"], "token": admin, "decision": "approve", "scope": "write"}
    await client.get("/device", params=address)
    response = await client.post("/device", params=address, data={"user_code": begun["user_code"]})
    assert response.status == 403
    assert await error_of(client, begun) == "authorization_pending"


async def test_the_token_never_comes_back_in_a_page(client: Client, tokens: Tokens, admin: str) -> None:
    """Whether it is right or wrong, and in whichever field it was pasted."""
    wrong = "mld_" + "w" * 43
    begun = await begin(client)
    form = {"user_code": begun["user_code"], "scope": "write", "lifetime": "365", "decision": "approve"}
    for fields in (
        {**form, "token": wrong},
        {**form, "token": admin, "lifetime": "x"},
        {**form, "token": admin, "decision": "x"},
        {**form, "token": admin, "scope": "admin"},
        {**form, "token": wrong, "owners": admin},
        {**form, "token": admin, "owners": f"a/b {admin}"},
        {**form, "token": admin, "user_code": admin},
        {**form, "token": admin},
    ):
        response = await client.post("/device", data=fields)
        text = await response.text() + str(response.headers) + str(response.url)
        assert admin not in text
        assert wrong not in text


async def test_a_wrong_expired_or_revoked_token_decides_nothing(
    client: Client, tokens: Tokens, clock: Hands
) -> None:
    revoked = tokens.create("r", {"a": Scope.ADMIN})
    tokens.revoke(revoked.record.token_id)
    expired = tokens.create("e", {"a": Scope.ADMIN}, expires_in=1)
    clock.turn(2)
    begun = await begin(client)
    for token in ("", "mld_wrong", revoked.token, expired.token):
        for decision in ("approve", "deny"):
            status, page = await decide(client, begun, token, decision=decision)
            assert (status, "unknown, expired or revoked" in page) == (403, True)
    assert await error_of(client, begun) == "authorization_pending"


async def test_a_form_sent_by_another_site_is_refused(client: Client, admin: str) -> None:
    begun = await begin(client)
    form = {
        "user_code": begun["user_code"],
        "token": admin,
        "decision": "approve",
        "scope": "write",
        "lifetime": "30",
    }
    for site in ("cross-site", "same-site", "anything"):
        response = await client.post("/device", data=form, headers={"Sec-Fetch-Site": site})
        assert response.status == 403
    assert await error_of(client, begun) == "authorization_pending"
    response = await client.post("/device", data=form, headers={"Sec-Fetch-Site": "same-origin"})
    assert response.status == 200


@both_databases
async def test_a_subset_of_ones_own_grants_can_be_handed_on(client: Client, tokens: Tokens) -> None:
    mine = tokens.create("m", {"alice": Scope.ADMIN, "bob": Scope.WRITE, "carol": Scope.READ})
    cases = [
        ({}, "alice:write bob:write carol:read"),
        ({"scope": "read"}, "alice:read bob:read carol:read"),
        ({"owners": "bob"}, "bob:write"),
        ({"owners": " carol ,, bob "}, "bob:write carol:read"),
        ({"owners": "alice", "scope": "read"}, "alice:read"),
    ]
    for fields, scope in cases:
        assert await granted(client, await begin(client), mine.token, **fields) == scope


async def test_nobody_hands_on_more_than_they_have(client: Client, tokens: Tokens) -> None:
    mine = tokens.create("m", {"alice": Scope.READ})
    begun = await begin(client, scope="bob:write")
    for owners in ("bob", "alice, bob", "*", "a/b"):
        status, page = await decide(client, begun, mine.token, owners=owners)
        assert (status, "owner" in page) == (400, True)
    assert await granted(client, begun, mine.token, owners="alice", scope="write") == "alice:read"


async def test_who_may_read_everybody_can_hand_on_one_owner(client: Client, tokens: Tokens) -> None:
    mine = tokens.create("m", {"*": Scope.READ, "alice": Scope.WRITE})
    begun = await begin(client)
    assert await granted(client, begun, mine.token, owners="alice,bob") == "alice:write bob:read"
    assert await granted(client, await begin(client), mine.token) == "*:read alice:write"


async def test_admin_is_never_handed_on(client: Client, tokens: Tokens, admin: str) -> None:
    """Neither the flag nor the scope; a login by an admin may write everywhere, and no more."""
    begun = await begin(client)
    status, _ = await decide(client, begun, admin, scope="admin")
    assert status == 400
    assert await granted(client, begun, admin, admin="true") == "*:write"
    assert await granted(client, await begin(client), admin, owners="alice") == "alice:write"
    assert sorted(each.admin for each in tokens.list()) == [False, False, True]


async def test_a_login_is_decided_once(client: Client, tokens: Tokens, admin: str) -> None:
    begun = await begin(client)
    await decide(client, begun, admin, decision="deny")
    status, page = await decide(client, begun, admin)
    assert (status, "already decided" in page) == (404, True)
    assert await error_of(client, begun) == "access_denied"


async def test_a_mistake_keeps_what_else_was_chosen(client: Client, tokens: Tokens) -> None:
    mine = tokens.create("m", {"alice": Scope.WRITE})
    begun = await begin(client)
    _, page = await decide(client, begun, mine.token, owners="alice, bob", scope="read", lifetime="30")
    elements = Elements(page)
    assert {"value": "read", "selected": None} in elements.named("option")
    assert {"value": "30", "selected": None} in elements.named("option")
    (owners,) = [each for each in elements.named("input") if each["name"] == "owners"]
    assert owners["value"] == "alice, bob"


@both_databases
async def test_codes_are_read_as_people_type_them(client: Client) -> None:
    begun = await begin(client)
    code = begun["user_code"]
    for typed in (code.lower(), code.replace("-", ""), f" {code[:4]} {code[5:]} ", code.replace("-", " - ")):
        response = await client.get("/device", params={"user_code": typed})
        assert response.status == 200


@pytest.mark.parametrize(
    "text", ["", "BCDF", "BCDF-GHJ", "BCDF-GHJKL", "AEIO-UAEI", "BCDF-GHJ1", "x" * 10_000]
)
def test_what_is_no_code_is_not_looked_up(text: str) -> None:
    assert parse_user_code(text) is None


async def test_guessing_codes_is_limited(client: Client, clock: Hands, admin: str) -> None:
    begun = await begin(client)
    letters = "BCDFGHJKLM"
    for letter in letters:
        response = await client.get("/device", params={"user_code": "ZZZZZZZ" + letter})
        assert response.status == 404
    for request in (
        client.get("/device", params={"user_code": begun["user_code"]}),
        client.post("/device", data={"user_code": begun["user_code"], "token": admin, "decision": "approve"}),
    ):
        response = await request
        assert (response.status, response.headers["Retry-After"]) == (429, "60")
    clock.turn(60)
    assert await granted(client, begun, admin) == "*:write"


async def test_guessing_tokens_on_the_page_is_limited(client: Client, clock: Hands, admin: str) -> None:
    begun = await begin(client)
    for number in range(10):
        assert (await decide(client, begun, f"mld_{number}"))[0] == 403
    assert (await decide(client, begun, "mld_10"))[0] == 429
    clock.turn(60)
    assert (await decide(client, begun, "mld_10"))[0] == 403
    assert (await decide(client, begun, admin))[0] == 200
