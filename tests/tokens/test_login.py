"""The device flow, client against real server, by one clock that both live by.

And the requests of a login: bounded, and never carried on to another origin.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ml_dash.client import login
from ml_dash.client.login import Authorization, Left, ask, begin, client_name, finish, leave, who_am_i
from ml_dash.errors import InvalidArgumentError, ServerUnavailableError
from ml_dash.server.accounts.grants import Scope
from ml_dash.server.accounts.tokens import Tokens
from ml_dash.tokens import LoginError, Token
from tests.support.account_serving import Hands
from tests.support.answering import answering, closed_port, http
from tests.support.token_commands import decide

TOKEN = Token("mld_0123456789012345678901234567890123456789abc")


def waking(
    clock: Hands, after: int, then: Callable[[], Awaitable[Any]]
) -> Callable[[float], Awaitable[None]]:
    """A sleep by the clock; after so many sleeps, something happens."""
    count = 0

    async def sleep(seconds: float) -> None:
        nonlocal count
        clock.turn(seconds)
        count += 1
        if count == after:
            await then()

    return sleep


async def test_a_login_that_is_approved_gives_a_token(url: str, tokens: Tokens, clock: Hands) -> None:
    mine = tokens.create("mine", {"alice": Scope.WRITE}).token
    authorization = await begin(url)
    assert authorization.where == f"{url}/device"
    assert authorization.where_with_code == f"{url}/device?user_code={authorization.user_code}"
    sleep = waking(clock, 3, lambda: decide(url, authorization, mine))
    token = await finish(url, authorization, sleep=sleep, monotonic=clock.monotonic)
    who = tokens.find(token.reveal())
    assert who is not None
    assert (who.name, who.grants) == (client_name(), {"alice": Scope.WRITE})


async def test_a_login_that_is_denied_ends_at_once(url: str, tokens: Tokens, clock: Hands) -> None:
    mine = tokens.create("mine", {"alice": Scope.WRITE}).token
    authorization = await begin(url)
    sleep = waking(clock, 2, lambda: decide(url, authorization, mine, "deny"))
    with pytest.raises(LoginError, match="the login was denied"):
        await finish(url, authorization, sleep=sleep, monotonic=clock.monotonic)


async def test_a_login_that_nobody_approves_ends(url: str, clock: Hands) -> None:
    authorization = (await begin(url))._replace(interval=100.0)
    with pytest.raises(LoginError, match="nobody approved the login in time: run `ml-dash login` again"):
        await finish(url, authorization, sleep=clock.sleep, monotonic=clock.monotonic)


async def test_the_client_slows_down_when_told_to(url: str, clock: Hands) -> None:
    authorization = (await begin(url))._replace(interval=2.0, seconds=60)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await clock.sleep(seconds)

    with pytest.raises(LoginError):
        await finish(url, authorization, sleep=sleep, monotonic=clock.monotonic)
    assert slept[:3] == [2.0, 2.0, 7.0]
    assert set(slept[3:]) == {7.0}, "and then it is slow enough"


async def test_a_server_that_is_away_for_a_while_does_not_end_the_login(
    url: str, tokens: Tokens, clock: Hands
) -> None:
    mine = tokens.create("mine", {"alice": Scope.WRITE}).token
    authorization = (await begin(url))._replace(seconds=300)
    away = closed_port()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.turn(seconds)

    with pytest.raises(LoginError, match="nobody approved"):
        await finish(away, authorization, sleep=sleep, monotonic=clock.monotonic)
    assert slept[:5] == [5.0, 10.0, 20.0, 40.0, 60.0]
    assert max(slept) == 60.0

    authorization = await begin(url)
    await decide(url, authorization, mine)
    await finish(url, authorization, sleep=clock.sleep, monotonic=clock.monotonic)


@pytest.mark.parametrize("status", ["500 Internal", "503 Busy"])
async def test_a_server_in_trouble_is_asked_again(status: str, clock: Hands) -> None:
    authorization = Authorization("secret", "BCDF-GHJK", "", "", 60, 5)
    with (
        answering(http(status, b"{}")) as (url, received),
        pytest.raises(LoginError, match="nobody approved"),
    ):
        await finish(url, authorization, sleep=clock.sleep, monotonic=clock.monotonic)
    assert len(received) == 4


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"device_code": "d", "user_code": "u", "verification_uri": "http://evil.example", "expires_in": 9}',
        b'{"device_code": "d", "user_code": "u", "verification_uri": "javascript:x", "expires_in": 9}',
        b'{"device_code": "d", "user_code": "u", "verification_uri": "https://a:b@evil.example", "expires_in": 9}',
        b'{"device_code": "d", "user_code": "u", "verification_uri": "https://x\\u001b[2J", "expires_in": 9}',
        b'{"device_code": "d", "user_code": "u", "verification_uri": "https://[", "expires_in": 9}',
        b'{"device_code": "d", "user_code": "u", "verification_uri": "https://x.example", "expires_in": "soon"}',
        b'{"device_code": "d", "user_code": "u", "verification_uri": "https://x.example", "expires_in": null}',
    ],
)
async def test_an_answer_that_cannot_be_trusted_ends_the_login(body: bytes) -> None:
    with answering(http("200 OK", body)) as (url, _), pytest.raises(LoginError):
        await begin(url)


@pytest.mark.parametrize(
    "odd",
    [
        {"interval": math.nan},
        {"interval": math.inf},
        {"expires_in": math.nan},
        {"expires_in": -math.inf},
        {"expires_in": 10**400},
        {"device_code": "\ud800"},
    ],
    ids=["a NaN", "for ever", "never", "before", "too much", "half a letter"],
)
async def test_what_nobody_can_wait_for_or_send_ends_the_login(odd: dict[str, Any]) -> None:
    begun = {"device_code": "x", "user_code": "A", "verification_uri": "http://127.0.0.1/d", "expires_in": 60}
    body = json.dumps({**begun, **odd}).encode()
    with answering(http("200 OK", body)) as (url, _), pytest.raises(LoginError, match="an invalid answer"):
        await begin(url)


async def test_an_answer_that_would_fill_the_memory_is_none() -> None:
    for body in (b'{"x":[' + b"[]," * (1 << 20) + b"[]]}", b'{"a":' * 900 + b"1" + b"}" * 900):
        with (
            answering(http("200 OK", body)) as (url, _),
            pytest.raises(LoginError, match="no ML-Dash server"),
        ):
            await who_am_i(url, TOKEN)


async def test_behind_a_proxy_the_page_is_where_the_user_reaches_the_server() -> None:
    """The server believes that it is reached by plain http, at a port that nobody else can reach."""
    body = (
        b'{"device_code": "d", "user_code": "u", "expires_in": 9, "verification_uri": "http://127.0.0.1:1/device",'
        b'"verification_uri_complete": "http://127.0.0.1:1/device?user_code=u", "interval": 0}'
    )
    with answering(http("200 OK", body)) as (url, _):
        authorization = await begin(url)
    assert authorization.where_with_code == f"{url}/device?user_code=u"
    assert authorization.interval == 1.0, "a server cannot make its clients hammer it"


async def test_below_a_path_the_page_is_below_it_too() -> None:
    """The proxy leaves the path out, or hands it on: the server names its page without it, or with it."""
    for named in ("/device", "/tools/dash/device"):
        body = (
            '{"device_code": "d", "user_code": "u", "expires_in": 9,'
            f'"verification_uri": "http://127.0.0.1:1{named}"}}'
        )
        with answering(http("200 OK", body.encode())) as (url, received):
            authorization = await begin(f"{url}/tools/dash/")
        assert received[0].startswith(b"POST /tools/dash/api/v1/device/authorize ")
        assert authorization.where == f"{url}/tools/dash/device"


async def test_a_server_without_the_device_flow_is_told_apart_from_one_out_of_reach() -> None:
    with (
        answering(http("404 Not Found", b'{"error": {"message": "no such path"}}')) as (url, _),
        pytest.raises(LoginError, match="does not begin a login: no such path"),
    ):
        await begin(url)
    with pytest.raises(ServerUnavailableError):
        await begin(closed_port())


@pytest.mark.parametrize("body", [b"{}", b'{"access_token": "a b"}', b'{"access_token": ""}'])
async def test_an_approval_without_a_usable_token_is_an_error(body: bytes, clock: Hands) -> None:
    authorization = Authorization("secret", "BCDF-GHJK", "", "", 60, 5)
    with (
        answering(http("200 OK", body)) as (url, _),
        pytest.raises(LoginError, match="no token that can be used"),
    ):
        await finish(url, authorization, sleep=clock.sleep, monotonic=clock.monotonic)


async def test_secrets_are_in_no_repr(url: str) -> None:
    authorization = await begin(url)
    assert authorization.device_code not in repr(authorization)
    assert authorization.device_code not in str(authorization)


# --- the requests


async def test_a_server_says_who_a_token_is(url: str, tokens: Tokens) -> None:
    created = tokens.create("bob's", {"bob": Scope.WRITE})
    who = await who_am_i(f"{url}/", Token(created.token))
    assert who["tokenId"] == created.record.token_id


async def test_a_token_that_is_not_accepted_is_an_error_that_does_not_show_it(url: str) -> None:
    with pytest.raises(LoginError, match=r"does not accept the token \(mld_…9abc, given\)") as caught:
        await who_am_i(url, TOKEN)
    assert TOKEN.reveal() not in str(caught.value)


async def test_revoking_says_whether_the_token_was_valid(url: str, tokens: Tokens) -> None:
    token = Token(tokens.create("bob's", {"bob": Scope.WRITE}).token)
    assert await leave(url, token) is Left.REVOKED
    assert await leave(url, token) is Left.INVALID


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_no_redirect_is_followed_and_the_token_stays_here(status: str) -> None:
    with answering(http("200 OK", b"{}")) as (elsewhere, received):
        redirect = http(status, b"", f"Location: {elsewhere}/api/v1/whoami?x=secret")
        with (
            answering(redirect) as (url, _),
            pytest.raises(LoginError, match="redirects to") as caught,
        ):
            await who_am_i(url, TOKEN)
        assert elsewhere in str(caught.value)
        assert "secret" not in str(caught.value)
        assert received == []


@pytest.mark.parametrize(
    "answer",
    [
        http("200 OK", b"<html>Welcome to the hotel's network</html>", "Content-Type: text/html"),
        http("502 Bad Gateway", b"<html>nginx</html>"),
        http("200 OK", b""),
        http("200 OK", b"[1]"),
        http("200 OK", b"\xff\xfe"),
        http("200 OK", b"[" * 100_000),
        http("200 OK", b'"' + b"x" * (2 << 20)),
    ],
)
async def test_what_is_no_server_of_ours_is_called_so(answer: bytes) -> None:
    with answering(answer) as (url, _), pytest.raises(LoginError, match="no ML-Dash server"):
        await who_am_i(url, TOKEN)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{", b"\0\0\0\r\n\r\n"]
)
async def test_a_connection_that_breaks_is_out_of_reach(answer: bytes) -> None:
    with (
        answering(answer) as (url, _),
        pytest.raises(ServerUnavailableError, match=r"was cut|cannot be reached"),
    ):
        await who_am_i(url, TOKEN)


async def test_a_port_at_which_nobody_listens_and_a_host_that_is_none_are_out_of_reach() -> None:
    for url, problem in ((closed_port(), "refuses"), ("https://no-such-host.invalid", "cannot be looked up")):
        with pytest.raises(ServerUnavailableError, match=problem):
            await who_am_i(url, TOKEN)


async def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "SECONDS", 0.2)
    with answering(None) as (url, _), pytest.raises(ServerUnavailableError, match="does not answer in time"):
        await who_am_i(url, TOKEN)


async def test_a_token_is_not_sent_in_the_clear() -> None:
    with pytest.raises(InvalidArgumentError, match="in the clear"):
        await who_am_i("http://192.0.2.1", TOKEN)


async def test_credentials_of_the_users_netrc_are_not_sent(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("default login alice password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with answering(http("200 OK", b"{}")) as (there, received):
        await ask(there, "GET", "/x", token=TOKEN)
        await ask(there, "GET", "/x")
    assert b"Bearer mld_" in received[0]
    assert b"Basic" not in b"".join(received)


async def test_the_token_is_in_no_request_line() -> None:
    with answering(http("200 OK", b"{}")) as (url, received):
        await who_am_i(url, TOKEN)
        await leave(url, TOKEN)
    for request in received:
        assert TOKEN.reveal().encode() not in request.split(b"\r\n", 1)[0]


async def test_what_a_hostile_server_says_is_cut_to_a_size() -> None:
    body = b'{"error": {"code": "x", "message": "' + b"y" * 100_000 + b'"}}'
    with answering(http("400 Bad", body)) as (url, _), pytest.raises(LoginError) as caught:
        await who_am_i(url, TOKEN)
    assert len(str(caught.value)) < 2000
