"""The requests of a login: bounded, and never carried on to another origin."""

from __future__ import annotations

import pytest

from ml_dash.client import login as api
from ml_dash.client.login import ask, revoke_self, who_am_i
from ml_dash.errors import InvalidArgumentError, ServerUnavailableError
from ml_dash.server.accounts.grants import Scope
from ml_dash.server.accounts.tokens import Tokens
from ml_dash.tokens import LoginError, Token
from tests.support.answering import answering, closed_port, http

TOKEN = Token("mld_0123456789012345678901234567890123456789abc")


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
    assert await revoke_self(url, token) is True
    assert await revoke_self(url, token) is False


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
    monkeypatch.setattr(api, "SECONDS", 0.2)
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
        await revoke_self(url, TOKEN)
    for request in received:
        assert TOKEN.reveal().encode() not in request.split(b"\r\n", 1)[0]


async def test_what_a_hostile_server_says_is_cut_to_a_size() -> None:
    body = b'{"error": {"code": "x", "message": "' + b"y" * 100_000 + b'"}}'
    with answering(http("400 Bad", body)) as (url, _), pytest.raises(LoginError) as caught:
        await who_am_i(url, TOKEN)
    assert len(str(caught.value)) < 2000
