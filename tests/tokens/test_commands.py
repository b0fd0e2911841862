"""`ml-dash login`, `logout` and `whoami`, against a real server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.server.accounts.grants import Scope
from ml_dash.server.accounts.tokens import Tokens
from ml_dash.server.app import build_app
from ml_dash.server.store import Store
from ml_dash.tokens import Token, TokenStore, token_for
from tests.support.account_serving import Served
from tests.support.answering import closed_port
from tests.support.project import PROJECT
from tests.support.shell import COMMAND, SECONDS, environment
from tests.support.token_commands import decide, invoke, start

WRONG = "mld_" + "w" * 43


@pytest.fixture
def mine(tokens: Tokens) -> str:
    return tokens.create("mine", {"alice": Scope.WRITE, "*": Scope.READ}, expires_in=86_400).token


def test_a_pasted_token_is_verified_and_stored(url: str, mine: str, store: TokenStore) -> None:
    done = invoke("login", url, "--token", "-", stdin=f"{mine}\n")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"Logged in to {url} as mine: *:read, alice:write, until 2027-01-16\n"
    assert store.get(url) == Token(mine)


def test_a_token_that_the_server_does_not_accept_is_not_stored(url: str, store: TokenStore) -> None:
    done = invoke("login", url, "--token", "-", stdin=WRONG)
    assert done.code == 1
    assert "does not accept the token" in done.err
    assert WRONG not in done.out + done.err
    assert store.all() == {}


@pytest.mark.parametrize("option", [WRONG, "", "x"])
def test_a_token_on_the_command_line_is_refused_and_not_repeated(url: str, option: str) -> None:
    done = invoke("login", url, "--token", option)
    assert (done.code, "history" in done.err) == (2, True)
    assert WRONG not in done.out + done.err


@pytest.mark.parametrize("pasted", ["", "\n", f"{WRONG} {WRONG}", "mld_é", "x" * 100_000])
def test_what_is_pasted_must_be_a_token(url: str, pasted: str) -> None:
    done = invoke("login", url, "--token", "-", stdin=pasted)
    assert done.code == 2
    assert "the token (from standard input)" in done.err
    assert WRONG not in done.err


@pytest.mark.parametrize(
    "wrong", ["example.com", "http://example.com", "https://alice:hunter2@example.com", WRONG]
)
@pytest.mark.parametrize("command", ["login", "logout", "whoami"])
def test_a_url_that_no_token_may_go_to_is_a_wrong_command_line(command: str, wrong: str) -> None:
    done = invoke(command, wrong)
    assert done.code == 2
    assert done.err.startswith("Error: URL")
    assert "hunter2" not in done.err
    assert WRONG not in done.err


@pytest.mark.parametrize("command", [["login"], ["login", "--token", "-"]])
def test_a_server_out_of_reach_is_one_line_and_exit_code_1(command: list[str], store: TokenStore) -> None:
    done = invoke(command[0], closed_port(), *command[1:], stdin=WRONG)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "refuses the connection" in done.err
    assert store.all() == {}


def test_whoami_says_who_what_until_when_and_from_where(url: str, mine: str, store: TokenStore) -> None:
    store.put(url, Token(mine))
    done = invoke("whoami", url)
    assert (done.code, done.err) == (0, "")
    assert re.sub(r" +", " ", done.out).splitlines()[:6] == [
        f"server {url}",
        "name mine",
        "grants *:read, alice:write",
        "expires 2027-01-16T08:00:00.000000Z",
        "created 2027-01-15T08:00:00.000000Z",
        f"token mld_…{mine[-4:]} (stored in {store.path})",
    ]
    assert mine not in done.out


def test_whoami_prints_json_for_programs(url: str, mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_TOKEN", mine)
    monkeypatch.setenv("ML_DASH_API_URL", url)
    done = invoke("whoami", "--json")
    who = json.loads(done.out)
    assert (who["server"], who["source"], who["name"]) == (url, "ML_DASH_TOKEN", "mine")
    assert mine not in done.out


def test_whoami_without_a_token_names_the_remedy(url: str) -> None:
    done = invoke("whoami", url)
    assert (done.code, f"run `ml-dash login {url}`" in done.err) == (1, True)


def test_whoami_with_a_revoked_token_says_so(url: str, tokens: Tokens, mine: str, store: TokenStore) -> None:
    store.put(url, Token(mine))
    tokens.revoke(tokens.list()[0].token_id)
    done = invoke("whoami", url)
    assert (done.code, "unknown, expired or revoked" in done.err) == (1, True)
    assert mine not in done.err


@pytest.mark.parametrize("command", ["whoami", "logout"])
def test_a_damaged_store_is_a_clear_error(command: str, url: str, config: Path) -> None:
    config.mkdir(mode=0o700)
    (config / "token.enc").write_bytes(b"rubbish")
    done = invoke(command, url)
    assert (done.code, "Run `ml-dash login`" in done.err) == (1, True)


def test_logging_out_revokes_and_forgets(url: str, tokens: Tokens, mine: str, store: TokenStore) -> None:
    store.put(url, Token(mine))
    store.put("https://other.example", Token(WRONG))
    done = invoke("logout", url)
    assert (done.code, done.out, done.err) == (0, f"Logged out of {url}: the token is revoked\n", "")
    assert tokens.find(mine) is None
    assert list(store.all()) == ["https://other.example"]
    assert invoke("logout", url).out == f"No token is stored for {url}\n"


def test_logging_out_forgets_a_token_that_others_may_use_and_revokes_it_only_on_demand(
    url: str, tokens: Tokens, mine: str, store: TokenStore
) -> None:
    """What was pasted was made elsewhere: for a team, a pipeline, the server itself."""
    admin = tokens.create("first admin", {}, admin=True).token
    for given in (mine, admin):
        assert invoke("login", url, "--token", "-", stdin=given).code == 0
        done = invoke("logout", url)
        assert (done.code, done.err) == (0, "")
        assert "stays valid" in done.out
        assert given not in done.out
        assert store.all() == {}
        assert tokens.find(given) is not None
    invoke("login", url, "--token", "-", stdin=mine)
    assert "is revoked" in invoke("logout", url, "--revoke").out
    assert tokens.find(mine) is None


def test_logging_out_revokes_no_admins_token_whoever_stored_it(
    url: str, tokens: Tokens, store: TokenStore
) -> None:
    """The server of an admin token that was revoked would not start again."""
    admin = tokens.create("first admin", {}, admin=True).token
    store.put(url, Token(admin))
    assert "stays valid" in invoke("logout", url).out
    assert store.all() == {}
    assert tokens.find(admin) is not None


def test_logging_out_with_a_token_that_is_not_valid_any_more(url: str, store: TokenStore) -> None:
    store.put(url, Token(WRONG))
    done = invoke("logout", url)
    assert (done.code, "no longer valid" in done.out) == (0, True)
    assert store.all() == {}


def test_logging_out_of_a_server_out_of_reach_forgets_and_says_what_remains(store: TokenStore) -> None:
    away = closed_port()
    store.put(away, Token(WRONG))
    done = invoke("logout", away)
    assert (done.code, "STILL VALID" in done.out, "refuses the connection" in done.err) == (1, True, True)
    assert store.all() == {}


def test_logging_out_everywhere(url: str, mine: str, tokens: Tokens, store: TokenStore) -> None:
    away = closed_port()
    store.put(url, Token(mine))
    store.put(away, Token(WRONG))
    done = invoke("logout", "--all")
    assert done.code == 1
    assert f"Logged out of {url}" in done.out
    assert f"Forgot the token for {away}" in done.out
    assert store.all() == {}
    assert tokens.find(mine) is None
    assert invoke("logout", "--all").out == "No token is stored for any server\n"
    assert invoke("logout", url, "--all").code == 2


def test_the_environments_token_is_mentioned_where_it_would_surprise(
    url: str, mine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_DASH_TOKEN", WRONG)
    assert "ML_DASH_TOKEN is set, and is used instead" in invoke("login", url, "--token", "-", stdin=mine).err
    assert "ML_DASH_TOKEN is set; its token was not touched" in invoke("logout", url).err


@pytest.fixture
def live(server_store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Tokens]]:
    """A server that lives by the real clock, and lets clients ask every second."""
    monkeypatch.setattr("ml_dash.server.api.device.POLL_SECONDS", 1)
    monkeypatch.setattr("ml_dash.server.accounts.device_logins.POLL_SECONDS", 1)
    monkeypatch.setattr(server_store, "clock", SYSTEM_CLOCK)
    tokens = Tokens(server_store.database, SYSTEM_CLOCK)
    with Served(build_app(server_store, tokens, server_store.settings)) as served:
        yield served.url, tokens


def approve(url: str, user_code: str, token: str) -> None:
    from ml_dash.client.login import Authorization

    asyncio.run(decide(url, Authorization("", user_code, "", "", 1, 1), token))


@pytest.mark.slow
def test_logging_in_by_the_device_flow_as_a_person_does(
    live: tuple[str, Tokens], config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own; meanwhile another process finds the new token without a restart."""
    url, tokens = live
    mine = tokens.create("mine", {"alice": Scope.WRITE}).token
    assert token_for(url) is None
    process = start("login", url, ML_DASH_CONFIG_DIR=str(config))
    assert process.stdout is not None
    try:
        shown = ""
        while "compare the code" not in shown:
            line = process.stdout.readline()
            assert line, shown
            shown += line
        code = shown.strip().rpartition(" ")[2]
        assert f"    {url}/device?user_code={code}\n" in shown
        approve(url, code, mine)
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    assert re.search(rf"Logged in to {url} as \S+: alice:write, until", out)
    token = token_for(url)
    assert token is not None
    who = tokens.find(token.reveal())
    assert who is not None
    assert who.grants == {"alice": Scope.WRITE}
    for secret in (token.reveal(), mine):
        assert secret not in shown + out + err


@pytest.mark.slow
def test_on_a_terminal_a_line_turns_while_one_waits(live: tuple[str, Tokens], config: Path) -> None:
    import pty
    import subprocess

    url, tokens = live
    mine = tokens.create("mine", {"alice": Scope.WRITE}).token
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "login", url],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(ML_DASH_CONFIG_DIR=str(config)),
        cwd=PROJECT,
    )
    os.close(theirs)
    written = b""
    approved = False
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
            if not approved and (found := re.search(rb"code: (\S+)\r\n.*Waiting", written, re.DOTALL)):
                approve(url, found[1].decode(), mine)
                approved = True
    except OSError:
        pass  # how Linux says that nobody has the other end any more
    finally:
        os.close(ours)
        process.kill()
        assert process.wait(SECONDS) in {0, -9}
    text = written.decode()
    assert re.search(r"\r[|/\\-] Waiting for the approval", text)
    assert "\r\x1b[KLogged in to" in text
    assert mine not in text


@pytest.mark.slow
def test_a_browser_is_opened_only_on_demand_by_a_file_that_leads_to_the_code(
    live: tuple[str, Tokens], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands on a command line all users of the machine can read."""
    url, tokens = live
    mine = tokens.create("mine", {"alice": Scope.WRITE}).token
    opened: list[Path] = []

    def browse(address: str) -> bool:
        page = Path(unquote(urlsplit(address).path))
        code = re.search(r"user_code=([\w-]+)", page.read_text())
        assert code is not None
        assert (stat.S_IMODE(page.stat().st_mode), code[1] in address) == (0o600, False)
        opened.append(page)
        approve_in_thread(url, code[1], mine)
        return True

    monkeypatch.setattr("webbrowser.open", browse)
    done = invoke("login", url, "--browser")
    assert done.code == 0, done.err
    assert [page.exists() for page in opened] == [False]
    assert mine not in done.out


def approve_in_thread(url: str, user_code: str, token: str) -> None:
    import threading

    thread = threading.Thread(target=approve, args=(url, user_code, token))
    thread.start()
    thread.join(SECONDS)
