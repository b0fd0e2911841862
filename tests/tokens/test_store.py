"""The stored tokens: encrypted, private, whole, and never lost without a word."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ml_dash.errors import InvalidArgumentError
from ml_dash.tokens import Token, TokenStore, TokenStoreError
from ml_dash.tokens.directory import locked
from tests.support.shell import environment

HERE = "https://dash.example.com"
THERE = "https://other.example.com:8443"
SECRET = "mld_0123456789012345678901234567890123456789abc"
OTHER = "mld_9876543210987654321098765432109876543210xyz"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_token_is_kept_for_its_origin_and_for_no_other(store: TokenStore) -> None:
    store.put(f"{HERE}/some/page", Token(SECRET))
    store.put(THERE, Token(OTHER))
    again = TokenStore()
    assert again.get("HTTPS://DASH.example.com:443") == Token(SECRET)
    assert again.get(THERE) == Token(OTHER)
    for elsewhere in ("https://example.com", f"{HERE}:8443", "http://localhost", "https://other.example.com"):
        assert again.get(elsewhere) is None
    assert again.all() == {HERE: Token(SECRET), THERE: Token(OTHER)}


def test_a_token_for_plain_http_beyond_this_machine_is_never_stored(store: TokenStore, config: Path) -> None:
    with pytest.raises(InvalidArgumentError):
        store.put("http://dash.example.com", Token(SECRET))
    assert not config.exists()


def test_a_token_put_again_replaces_the_old_one(store: TokenStore) -> None:
    store.put(HERE, Token(OTHER))
    store.put(HERE, Token(SECRET))
    assert store.all() == {HERE: Token(SECRET)}


@pytest.mark.skipif(os.name != "posix", reason="links need a right there")
def test_a_file_of_tokens_that_is_a_link_stays_one(store: TokenStore, config: Path, tmp_path: Path) -> None:
    """Settings that are kept in one place are linked to where programs look for them."""
    store.put(HERE, Token(OTHER))
    (tmp_path / "far").mkdir(mode=0o700)
    (config / "token.enc").rename(tmp_path / "far" / "token.enc")
    (config / "token.enc").symlink_to(tmp_path / "far" / "token.enc")
    store.put(HERE, Token(SECRET))
    assert (config / "token.enc").is_symlink()
    assert mode(tmp_path / "far" / "token.enc") == 0o600
    assert TokenStore().all() == {HERE: Token(SECRET)}


def test_it_is_kept_whether_others_may_use_a_token(store: TokenStore) -> None:
    store.put("https://a.example", Token(SECRET, is_shared=True))
    store.put("https://b.example", Token(OTHER))
    assert [(each, each.is_shared) for each in store.all().values()] == [
        (Token(SECRET), True),
        (Token(OTHER), False),
    ]


def test_a_token_can_be_forgotten(store: TokenStore) -> None:
    assert store.remove(HERE) is False
    store.put(HERE, Token(SECRET))
    store.put(THERE, Token(OTHER))
    assert store.remove(f"{HERE}/x") is True
    assert store.remove(HERE) is False
    assert store.all() == {THERE: Token(OTHER)}


def test_nothing_stored_is_no_error_and_makes_no_directory(store: TokenStore, config: Path) -> None:
    assert store.get(HERE) is None
    assert store.all() == {}
    assert store.stamp() is None
    assert not config.exists()


def test_neither_token_nor_origin_is_on_disk_in_the_clear(store: TokenStore, config: Path) -> None:
    store.put(HERE, Token(SECRET))
    for path in config.iterdir():
        content = path.read_bytes()
        assert SECRET[4:].encode() not in content
        assert b"dash.example.com" not in content


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such bits")
def test_only_the_owner_may_look(store: TokenStore, config: Path) -> None:
    old = os.umask(0)
    try:
        store.put(HERE, Token(SECRET))
    finally:
        os.umask(old)
    assert mode(config) == 0o700
    for path in config.iterdir():
        assert mode(path) == 0o600, path


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such bits")
def test_rights_that_are_too_open_are_taken_away_with_a_warning(
    store: TokenStore, config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(HERE, Token(SECRET))
    paths = [config, config / "token.enc", config / "token.key"]
    for path in paths:
        path.chmod(0o755)
        assert store.get(HERE) == Token(SECRET)
        assert mode(path) == 0o700
        assert f"{path} was open to others (mode 755)" in caplog.text
        assert SECRET not in caplog.text


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such bits")
def test_an_open_directory_is_closed_before_a_token_goes_in(
    store: TokenStore, config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config.mkdir(mode=0o777)
    config.chmod(0o777)
    store.put(HERE, Token(SECRET))
    assert mode(config) == 0o700
    assert "mode 777" in caplog.text


def test_every_write_has_a_nonce_of_its_own(store: TokenStore, config: Path) -> None:
    contents = []
    for _ in range(5):
        store.put(HERE, Token(SECRET))
        contents.append((config / "token.enc").read_bytes())
    assert len({content[14:26] for content in contents}) == 5
    assert len({content[:14] for content in contents}) == 1


@pytest.mark.parametrize("where", ["magic", "version", "source", "key", "nonce", "text", "tag"])
def test_a_changed_byte_anywhere_is_noticed(store: TokenStore, config: Path, where: str) -> None:
    """The header too: it is the associated data of the encryption."""
    store.put(HERE, Token(SECRET))
    position = {"magic": 0, "version": 4, "source": 5, "key": 6, "nonce": 14, "text": 26, "tag": -1}[where]
    content = bytearray((config / "token.enc").read_bytes())
    content[position] ^= 1
    (config / "token.enc").write_bytes(content)
    with pytest.raises(TokenStoreError, match=r"token\.enc.*cannot be used.*Run `ml-dash login`") as caught:
        store.get(HERE)
    assert SECRET not in str(caught.value)


def test_a_header_of_another_version_does_not_open_even_with_the_key(store: TokenStore, config: Path) -> None:
    store.put(HERE, Token(SECRET))
    content = bytearray((config / "token.enc").read_bytes())
    content[4] = 2
    (config / "token.enc").write_bytes(content)
    with pytest.raises(TokenStoreError, match="newer version of ML-Dash"):
        store.get(HERE)


@pytest.mark.parametrize(
    "content",
    [b"", b"M", b"MLDT", b"MLDT\x01\x00" + b"x" * 20, b'{"token": "x"}', b"\0" * 100, b"x" * (2 << 20)],
)
def test_a_foreign_or_cut_file_gives_a_clear_error_and_is_kept_by_the_next_login(
    store: TokenStore, config: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    config.mkdir(mode=0o700)
    (config / "token.enc").write_bytes(content)
    (config / "token.enc").chmod(0o600)
    with pytest.raises(TokenStoreError, match="ml-dash login"):
        store.get(HERE)
    with pytest.raises(TokenStoreError, match="ml-dash login"):
        store.remove(HERE)
    assert (config / "token.enc").read_bytes() == content, "reading changes nothing"
    store.put(HERE, Token(SECRET))
    assert store.all() == {HERE: Token(SECRET)}
    assert (config / "token.enc.bad").read_bytes() == content
    assert f"kept as {config / 'token.enc.bad'}" in caplog.text


def test_what_was_kept_before_is_not_overwritten_by_what_is_kept_now(store: TokenStore, config: Path) -> None:
    config.mkdir(mode=0o700)
    for number in range(3):
        (config / "token.enc").write_bytes(b"bad %d" % number)
        (config / "token.enc").chmod(0o600)
        store.put(HERE, Token(SECRET))
    kept = [(config / f"token.enc.bad{suffix}").read_bytes() for suffix in ("", ".2", ".3")]
    assert kept == [b"bad 0", b"bad 1", b"bad 2"]


@pytest.mark.parametrize("key", [None, b"", b"short", b"\xff" * 80, b"0" * 16 + b":" + b"0" * 64])
def test_a_key_that_is_gone_or_damaged_gives_a_clear_error_and_a_login_mends_it(
    store: TokenStore, config: Path, key: bytes | None
) -> None:
    store.put(HERE, Token(SECRET))
    if key is None:
        (config / "token.key").unlink()
    else:
        (config / "token.key").write_bytes(key)
    with pytest.raises(TokenStoreError, match=r"the key .* is not in .*token\.key"):
        store.get(HERE)
    store.put(HERE, Token(OTHER))
    assert store.get(HERE) == Token(OTHER)
    assert (config / "token.enc.bad").exists()


def test_a_write_that_fails_leaves_the_old_tokens_and_no_rubbish(
    store: TokenStore, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(HERE, Token(SECRET))
    before = sorted(path.name for path in config.iterdir())

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(TokenStoreError, match=r"cannot be stored .*No space left.*ML_DASH_CONFIG_DIR"):
            store.put(THERE, Token(OTHER))
    assert store.all() == {HERE: Token(SECRET)}
    assert sorted(path.name for path in config.iterdir()) == before


def test_a_directory_that_cannot_be_made_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    store = TokenStore(str(tmp_path / "file" / "below"))
    with pytest.raises(TokenStoreError, match="let ML_DASH_CONFIG_DIR name another one"):
        store.put(HERE, Token(SECRET))
    store = TokenStore(str(tmp_path / "file"))
    with pytest.raises(TokenStoreError):
        store.put(HERE, Token(SECRET))


def test_a_token_file_that_is_a_directory_is_an_error_and_kept(store: TokenStore, config: Path) -> None:
    (config / "token.enc").mkdir(parents=True)
    config.chmod(0o700)
    with pytest.raises(TokenStoreError, match="cannot be read"):
        store.get(HERE)
    store.put(HERE, Token(SECRET))
    assert store.get(HERE) == Token(SECRET)
    assert (config / "token.enc.bad").is_dir()


def test_two_logins_at_once_lose_neither_token(config: Path) -> None:
    """Many processes at once, each with a token for a server of its own."""
    code = (
        "import sys; from ml_dash.tokens import Token, TokenStore\n"
        "for n in range(5): TokenStore().put(f'https://h{sys.argv[1]}-{n}.example', Token('mld_' + 'x' * 43))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(number)], env=environment()) for number in range(4)
    ]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert len(TokenStore().all()) == 20


def test_a_lock_that_another_holds_is_waited_for(store: TokenStore, config: Path) -> None:
    store.put(HERE, Token(SECRET))
    waiting = threading.Thread(target=store.put, args=(THERE, Token(OTHER)))
    with locked(str(config)):
        waiting.start()
        assert store.all() == {HERE: Token(SECRET)}, "reading waits for nobody"
    waiting.join(30)
    assert store.get(THERE) == Token(OTHER)


def test_a_lock_that_is_never_given_back_is_not_waited_for_for_ever(
    store: TokenStore, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(HERE, Token(SECRET))
    monkeypatch.setattr("ml_dash.tokens.directory._LOCK_SECONDS", 0.0)
    with locked(str(config)), pytest.raises(TokenStoreError, match="has been locked for"):
        store.put(THERE, Token(OTHER))


def test_a_new_token_has_a_new_stamp(store: TokenStore) -> None:
    store.put(HERE, Token(SECRET))
    before = store.stamp()
    store.put(HERE, Token(OTHER))
    assert store.stamp() != before


def test_the_default_directory_is_in_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ML_DASH_CONFIG_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert TokenStore().path == str(tmp_path / ".dash" / "token.enc")
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", "~/elsewhere")
    assert TokenStore().path == str(tmp_path / "elsewhere" / "token.enc")


def test_reading_logs_nothing_when_all_is_well(store: TokenStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    store.put(HERE, Token(SECRET))
    store.get(HERE)
    assert caplog.text == ""


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, ml_dash.tokens; from ml_dash.tokens.current import token_for;"
        "token_for('https://x.example');"
        "print([m for m in ('aiohttp', 'cryptography', 'keyring', 'sqlalchemy', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
