"""No token, device code or password is in anything that is printed, logged, raised or asked for by address."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from ml_dash.client.login import begin, finish
from ml_dash.errors import MLDashError
from ml_dash.server.accounts.grants import Scope
from ml_dash.server.accounts.tokens import Tokens
from ml_dash.tokens import Token, TokenStore, token_for
from tests.support.account_serving import Hands
from tests.support.answering import answering, closed_port, http
from tests.support.project import PROJECT
from tests.support.shell import COMMAND, environment
from tests.support.token_commands import decide, invoke

WRONG = "mld_" + "w" * 43


def check(text: str, *secrets: str) -> None:
    for secret in secrets:
        for part in (secret, secret[4:24], secret[-20:]):
            assert part not in text


def test_a_whole_life_of_a_token_leaves_no_trace_of_it(
    url: str, tokens: Tokens, clock: Hands, config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With every logger of client, server and libraries at its most talkative."""
    caplog.set_level(0)
    logging.getLogger().setLevel(0)
    mine = tokens.create("mine", {"alice": Scope.WRITE}).token
    told = [
        invoke("login", url, "--token", "-", stdin=mine),
        invoke("login", url, "--token", "-", stdin=WRONG),
        invoke("login", url, "--token", WRONG),
        invoke("login", WRONG),
        invoke("login", f"https://{WRONG}@example.com"),
        invoke("login", f"{url}/?token={WRONG}"),
        invoke("login", closed_port(), "--token", "-", stdin=WRONG),
        invoke("whoami", url),
        invoke("whoami", url, "--json"),
        invoke("whoami", closed_port()),
    ]
    assert token_for(url) == Token(mine)

    authorization = asyncio.run(begin(url))
    asyncio.run(decide(url, authorization, mine))
    token = asyncio.run(finish(url, authorization, sleep=clock.sleep, monotonic=clock.monotonic))
    TokenStore().put(url, token)
    told += [invoke("logout", url), invoke("logout", url), invoke("logout", "--all")]
    (config / "token.enc").write_bytes(WRONG.encode())
    told += [invoke("whoami", url), invoke("logout", url)]
    token_for(url)

    text = caplog.text + "".join(done.out + done.err for done in told)
    assert len(caplog.records) > 3, "somebody did talk"
    check(text, mine, WRONG, token.reveal(), authorization.device_code)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"",
        http("200 OK", b"<html>"),
        http("401 Unauthorized", b'{"error": {"code": "unauthorized", "message": "no"}}'),
        http("302 Found", b"", f"Location: http://127.0.0.1:1/?token={WRONG}"),
        http("500 Error", b"{"),
    ],
)
def test_whatever_a_server_does_its_error_and_what_led_to_it_show_no_token(
    answer: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_dash.client import login as api

    monkeypatch.setattr(api, "SECONDS", 0.2)
    for call in (api.who_am_i, api.leave):
        with answering(answer) as (url, received):
            try:
                asyncio.run(call(url, Token(WRONG)))
            except MLDashError as error:
                check("".join(traceback.format_exception(error)), WRONG)
                chain: BaseException | None = error
                while chain is not None:
                    check(f"{chain!r} {chain.args!r}", WRONG)
                    chain = chain.__cause__ or chain.__context__
        lines = [request.split(b"\r\n")[0].decode() for request in received]
        assert lines
        check(" ".join(lines), WRONG)


@pytest.mark.slow
def test_a_process_that_talks_of_everything_shows_no_token(url: str, tokens: Tokens, config: Path) -> None:
    """Python's development mode and asyncio's debugging included."""
    mine = tokens.create("mine", {"alice": Scope.WRITE}).token
    env = environment(
        PYTHONDEVMODE="1", PYTHONASYNCIODEBUG="1", ML_DASH_CONFIG_DIR=str(config), ML_DASH_TOKEN=mine
    )
    for arguments in (
        ["whoami", url],
        ["whoami", closed_port()],
        ["login", url, "--token", "-"],
        ["logout", url],
    ):
        done = subprocess.run(
            [sys.executable, "-X", "dev", *COMMAND[1:], *arguments],
            input=mine,
            capture_output=True,
            text=True,
            env=env,
            cwd=PROJECT,
            timeout=60,
            check=False,
        )
        assert done.returncode in {0, 1}, done.stderr
        assert "Warning" not in done.stderr, "nothing was left open"
        check(done.stdout + done.stderr, mine)
