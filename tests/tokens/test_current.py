"""Which token is used for a URL at this moment."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from ml_dash.errors import InvalidArgumentError
from ml_dash.tokens import Token, TokenStore, current, token_for

HERE = "https://dash.example.com"
SECRET = "mld_0123456789012345678901234567890123456789abc"
OTHER = "mld_9876543210987654321098765432109876543210xyz"


def test_without_any_token_there_is_none(config: Path) -> None:
    assert token_for(HERE) is None
    assert not config.exists()


def test_the_environment_comes_before_the_store(store: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(HERE, Token(SECRET))
    found = token_for(f"{HERE}/api/v1")
    assert found == Token(SECRET)
    assert found is not None
    assert found.source == f"stored in {store.path}"
    monkeypatch.setenv("ML_DASH_TOKEN", f"{OTHER}\n")
    found = token_for(HERE)
    assert found == Token(OTHER)
    assert found is not None
    assert found.source == "ML_DASH_TOKEN"
    monkeypatch.setenv("ML_DASH_TOKEN", " ")
    assert token_for(HERE) == Token(SECRET)


def test_the_environments_token_never_goes_where_a_server_points(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(HERE, Token(SECRET))
    monkeypatch.setenv("ML_DASH_TOKEN", OTHER)
    assert token_for("https://evil.example", named=False) is None
    assert token_for(HERE, named=False) == Token(SECRET)


def test_the_environments_token_goes_to_its_own_origin_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_TOKEN", OTHER)
    monkeypatch.setenv("ML_DASH_TOKEN_ORIGIN", f"{HERE.upper()}/some/path")
    assert token_for(HERE, named=False) == token_for(HERE) == Token(OTHER)
    assert token_for("https://evil.example") is None
    assert token_for("http://127.0.0.1:7007", named=False) is None
    monkeypatch.setenv("ML_DASH_TOKEN_ORIGIN", "dash.example")
    with pytest.raises(InvalidArgumentError, match=r"ML_DASH_TOKEN_ORIGIN='dash\.example'"):
        token_for(HERE)


def test_no_token_is_given_for_plain_http_beyond_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_TOKEN", SECRET)
    with pytest.raises(InvalidArgumentError, match="in the clear"):
        token_for("http://dash.example.com")
    assert token_for("http://127.0.0.1:7007") == Token(SECRET)


def test_a_token_in_the_environment_that_is_none_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_TOKEN", f"{SECRET}\nX-Evil: 1")
    with pytest.raises(InvalidArgumentError, match="ML_DASH_TOKEN") as caught:
        token_for(HERE)
    assert SECRET not in str(caught.value)


def test_a_login_while_the_process_runs_is_noticed(store: TokenStore) -> None:
    assert token_for(HERE) is None
    store.put(HERE, Token(SECRET))
    assert token_for(HERE) == Token(SECRET)
    store.put(HERE, Token(OTHER))
    assert token_for(HERE) == Token(OTHER)
    store.remove(HERE)
    assert token_for(HERE) is None


def test_asking_again_reads_no_file(store: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(HERE, Token(SECRET))
    token_for(HERE)
    monkeypatch.setattr(TokenStore, "all", lambda _: pytest.fail("read again"))
    for _ in range(100):
        assert token_for(HERE) == Token(SECRET)


def test_another_directory_is_another_store(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store.put(HERE, Token(SECRET))
    assert token_for(HERE)
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "elsewhere"))
    assert token_for(HERE) is None


def test_a_damaged_store_is_one_warning_and_a_login_mends_it(
    store: TokenStore, config: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training run goes on without a token."""
    config.mkdir(mode=0o700)
    (config / "token.enc").write_bytes(b"rubbish")
    (config / "token.enc").chmod(0o600)
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(current, "_AGAIN_SECONDS", 0.0)
    for _ in range(5):
        assert token_for(HERE) is None
    (warning,) = caplog.records
    assert "Run `ml-dash login` to get a new one. Until then there is no token." in warning.getMessage()
    store.put(HERE, Token(SECRET))
    assert token_for(HERE) == Token(SECRET)


def test_a_key_that_comes_back_is_noticed(
    store: TokenStore, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the desktop's keyring is unlocked later: the file itself has not changed."""
    store.put(HERE, Token(SECRET))
    key = (config / "token.key").read_bytes()
    (config / "token.key").unlink()
    assert token_for(HERE) is None
    (config / "token.key").write_bytes(key)
    (config / "token.key").chmod(0o600)
    monkeypatch.setattr(current, "_AGAIN_SECONDS", 0.0)
    assert token_for(HERE) == Token(SECRET)


def test_a_forked_child_can_ask_as_well(store: TokenStore) -> None:
    store.put(HERE, Token(SECRET))
    assert token_for(HERE)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if token_for(HERE) == Token(SECRET) else 1)
    assert os.waitpid(pid, 0)[1] == 0
