"""Tokens: without a valid one a run goes on locally, and joins the server when there is one; no token is ever shown."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from ml_dash.pipeline.runtime import RUNTIME
from ml_dash.server.runner import EmbeddedServer
from ml_dash.tokens.store import TokenStore
from ml_dash.tokens.token import Token
from tests.support.processes import PREFIX, Journal, Scripts
from tests.support.seen import TOKEN, Seen, law, until

WRONG = "mld_" + "w" * 43


@pytest.fixture
def store(settings: pytest.MonkeyPatch, tmp_path: Path) -> TokenStore:
    """The user's tokens, in a file: there is none in the environment."""
    settings.delenv("ML_DASH_TOKEN")
    return TokenStore(str(tmp_path / "config"))


@pytest.fixture
def exp(store: TokenStore, server: EmbeddedServer, tmp_path: Path) -> Experiment:
    """An experiment that is sent to the server, not started."""
    return Experiment(PREFIX, dash_url=server.url, dash_root=tmp_path / "dash", echo=False)


def new_token(seen: Seen, scope: str, owner: str = "alice") -> dict[str, Any]:
    """Have the server make a token."""
    body = {"name": "laptop", "grants": [{"owner": owner, "scope": scope}]}
    status, answer = seen.api.request(
        "POST", "/tokens", json.dumps(body).encode(), Content_Type="application/json"
    )
    assert status in (200, 201), answer
    made: dict[str, Any] = json.loads(answer)
    return made


def arrived(exp: Experiment) -> bool:
    """Whether the server has all; the law holds in any case."""
    law(exp)
    return exp.status().pending == 0


def check_joins(exp: Experiment, seen: Seen, store: TokenStore, root: Path) -> None:
    """Log without a valid token, log in, and find everything at the server."""
    exp.run.start()
    exp.metrics("train").log(step=0)
    result = exp.flush()
    assert (result.durable, result.pending, result.online) == (1, 1, False)
    assert result.reason is not None
    assert f"ml-dash login {exp.url}" in result.reason
    law(exp)
    store.put(seen.server.url, Token(TOKEN))
    until(lambda: arrived(exp), "all rows at the server")
    exp.metrics("train").log(step=1)
    exp.run.complete()
    assert seen.values("step") == [0, 1]
    assert seen.status == "COMPLETED"
    seen.equals(root)


@pytest.mark.slow
def test_without_a_token_a_run_is_local_until_a_login(
    exp: Experiment, seen: Seen, store: TokenStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    check_joins(exp, seen, store, tmp_path / "dash")
    assert sum("ml-dash login" in message for message in caplog.messages) == 1


@pytest.mark.slow
def test_with_a_wrong_token_a_run_is_local_until_a_login(
    exp: Experiment, seen: Seen, store: TokenStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(seen.server.url, Token(WRONG))
    check_joins(exp, seen, store, tmp_path / "dash")
    assert sum("ml-dash login" in message for message in caplog.messages) == 1
    assert WRONG not in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.slow
def test_with_a_token_that_may_only_read_a_run_is_local_until_a_login(
    exp: Experiment, seen: Seen, store: TokenStore, tmp_path: Path
) -> None:
    store.put(seen.server.url, Token(new_token(seen, "read")["token"]))
    check_joins(exp, seen, store, tmp_path / "dash")


@pytest.mark.slow
def test_with_a_token_for_another_owner_a_run_is_local_until_a_login(
    exp: Experiment, seen: Seen, store: TokenStore, tmp_path: Path
) -> None:
    store.put(seen.server.url, Token(new_token(seen, "write", owner="bob")["token"]))
    check_joins(exp, seen, store, tmp_path / "dash")


@pytest.mark.slow
def test_a_token_for_another_server_is_not_used(
    exp: Experiment, seen: Seen, store: TokenStore, tmp_path: Path
) -> None:
    store.put("https://dash.example.com", Token(TOKEN))
    check_joins(exp, seen, store, tmp_path / "dash")


@pytest.mark.slow
def test_a_token_that_is_revoked_in_the_middle_stops_the_sending_until_a_login(
    exp: Experiment, seen: Seen, store: TokenStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = new_token(seen, "write")
    store.put(seen.server.url, Token(made["token"]))
    exp.run.start()
    exp.metrics("train").log(step=0)
    assert exp.flush().pending == 0
    status, _ = seen.api.request("DELETE", f"/tokens/{made['tokenId']}")
    assert status in (200, 204)
    step = 0

    def refused() -> bool:
        nonlocal step
        step += 1
        exp.metrics("train").log(step=step)
        return not exp.flush().online

    until(refused, "the token refused")  # a server may know a token for a second after that
    assert "ml-dash login" in str(exp.status().last_error)
    store.put(seen.server.url, Token(TOKEN))
    until(lambda: arrived(exp), "all rows at the server")
    exp.run.complete()
    assert seen.values("step") == list(range(step + 1))
    seen.equals(tmp_path / "dash")
    assert made["token"] not in caplog.text


@pytest.mark.parametrize("garbage", ["two words", "mld_ünï", "x" * 1000])
def test_what_cannot_be_a_token_is_told_and_disturbs_nothing_else(
    exp: Experiment,
    tmp_path: Path,
    settings: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    garbage: str,
) -> None:
    settings.setenv("ML_DASH_TOKEN", garbage)
    exp.run.start()
    for step in range(10):
        exp.metrics("train").log(step=step)
        result = exp.flush()
        assert (result.durable, result.pending) == (step + 1, step + 1)
    exp.run.complete()
    law(exp)
    assert Journal(tmp_path / "dash").values("step") == list(range(10))
    # once for each channel of this process that is still looked after: other tests have left some
    told = sum("ML_DASH_TOKEN" in message for message in caplog.messages)
    assert 1 <= told <= len(RUNTIME._channels)
    assert garbage not in caplog.text


@pytest.mark.slow
def test_a_damaged_token_file_is_told_and_disturbs_nothing_else(
    exp: Experiment, store: TokenStore, seen: Seen, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "token.enc").write_bytes(b"not a token file")
    check_joins(exp, seen, store, tmp_path / "dash")
    assert sum("token.enc" in message for message in caplog.messages) >= 1


@pytest.mark.sample(2)
@pytest.mark.parametrize("up", [True, False])
def test_the_token_is_in_no_file_and_on_no_console(
    scripts: Scripts, server: EmbeddedServer, up: bool
) -> None:
    """With every logger at its noisiest, with errors, and with what a user may print."""
    if not up:
        server.stop()
    finished = scripts.run(
        """
        import logging, pickle, sys, traceback
        logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
        from ml_dash import Experiment

        exp = Experiment("alice/vision/resnet", dash_url=True)
        with exp.run:
            exp.metrics("train").log(step=0)
            print(exp, repr(exp), exp.run, exp.status(), exp.flush(), exp.data, vars(exp))
            print(pickle.dumps(exp))
        from ml_dash.tokens.current import token_for
        token = token_for(exp.url)
        print(token, repr(token), f"{token}", [token])
        try:
            pickle.dumps(token)
        except TypeError:
            traceback.print_exc()
        exp.run.start()
        raise ValueError("at the end")
        """
    )
    assert finished.returncode == 1
    assert "at the end" in finished.stderr
    secret = TOKEN[:20]
    assert secret not in finished.stdout + finished.stderr
    for path in scripts.home.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_an_experiment_that_is_pickled_takes_no_token_along(
    settings: pytest.MonkeyPatch, server: EmbeddedServer, tmp_path: Path
) -> None:
    with Experiment(PREFIX, dash_url=server.url, dash_root=tmp_path / "dash").run as exp:
        exp.flush()
        assert TOKEN[4:].encode() not in pickle.dumps(exp)


@pytest.mark.parametrize("place", ["user:{}@", "{}@"])
def test_a_url_with_a_token_in_it_is_refused_without_showing_it(tmp_path: Path, place: str) -> None:
    url = f"https://{place.format(TOKEN)}dash.example.com"
    with pytest.raises(ValueError, match="dash") as refused:
        Experiment(PREFIX, dash_url=url, dash_root=tmp_path / "dash")
    assert TOKEN not in str(refused.value)
