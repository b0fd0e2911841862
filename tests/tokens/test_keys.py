"""Where the key is kept: in a keyring that answers without asking, else in a file."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from ml_dash.tokens import Token, TokenStore, TokenStoreError, keys
from ml_dash.tokens.keys import Keyring

# the real one: what stands in its place in these tests is set by the fixture `config`
SYSTEM_KEYRING = keys.system_keyring
HERE = "https://dash.example.com"
SECRET = "mld_0123456789012345678901234567890123456789abc"


class Ring:
    """A keyring in memory."""

    def __init__(self) -> None:
        self.passwords: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.passwords.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.passwords[service, username] = password


class Forgetful(Ring):
    def set_password(self, service: str, username: str, password: str) -> None:
        pass


class Raising(Ring):
    def get_password(self, service: str, username: str) -> str | None:
        raise RuntimeError("locked")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError("locked")


class Hanging(Ring):
    """A keyring that waits for a person who is not there."""

    def __init__(self) -> None:
        super().__init__()
        self.release = threading.Event()

    def get_password(self, service: str, username: str) -> str | None:
        self.release.wait()
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        self.release.wait()


def test_with_a_keyring_there_is_no_key_file(config: Path) -> None:
    ring = Ring()
    store = TokenStore(keyring=lambda: ring)
    store.put(HERE, Token(SECRET))
    assert store.get(HERE) == Token(SECRET)
    assert not (config / "token.key").exists()
    ((service, _),) = ring.passwords
    assert service == "ml-dash"
    store.put("https://other.example", Token(SECRET))
    assert len(ring.passwords) == 1, "the key stays the same"
    assert len(TokenStore(keyring=lambda: ring).all()) == 2


def test_two_directories_have_two_keys_in_one_keyring(tmp_path: Path) -> None:
    ring = Ring()
    stores = [TokenStore(str(tmp_path / name), lambda: ring) for name in "ab"]
    for store in stores:
        store.put(HERE, Token(SECRET))
    assert len(set(ring.passwords.values())) == 2
    assert [store.get(HERE) for store in stores] == [Token(SECRET)] * 2


@pytest.mark.parametrize("ring", [None, Forgetful(), Raising()])
def test_without_a_keyring_that_works_the_key_is_in_a_private_file(config: Path, ring: Ring | None) -> None:
    store = TokenStore(keyring=lambda: ring)
    store.put(HERE, Token(SECRET))
    assert (config / "token.key").exists()
    assert TokenStore(keyring=lambda: None).get(HERE) == Token(SECRET)


def test_a_keyring_that_hangs_is_left_alone(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_SECONDS", 0.05)
    ring = Hanging()
    try:
        store = TokenStore(keyring=lambda: ring)
        store.put(HERE, Token(SECRET))
        assert store.get(HERE) == Token(SECRET)
    finally:
        ring.release.set()


def test_a_keyring_that_is_gone_gives_a_clear_error(config: Path) -> None:
    ring = Ring()
    TokenStore(keyring=lambda: ring).put(HERE, Token(SECRET))
    for later in (None, Ring(), Raising()):
        store = TokenStore(keyring=lambda later=later: later)  # type: ignore[misc]
        with pytest.raises(TokenStoreError, match=r"is not in the system's keyring \(is it unlocked\?\)"):
            store.get(HERE)
    without = TokenStore(keyring=lambda: None)
    without.put(HERE, Token(SECRET))
    assert without.get(HERE) == Token(SECRET)
    assert (config / "token.enc.bad").exists()


def test_a_key_in_the_keyring_that_is_none_is_a_clear_error() -> None:
    ring = Ring()
    store = TokenStore(keyring=lambda: ring)
    store.put(HERE, Token(SECRET))
    for damaged in ("", "zz", "00", "é"):
        ring.passwords = dict.fromkeys(ring.passwords, damaged)
        with pytest.raises(TokenStoreError, match="ml-dash login"):
            store.get(HERE)


def test_a_key_shows_nothing_of_itself() -> None:
    key = keys.Key(b"s" * 32, keys.FILE, b"n" * 8)
    assert "ssss" not in repr(key)
    assert (b"s" * 32).hex() not in f"{key}"


def usable(backend: object, monkeypatch: pytest.MonkeyPatch) -> Keyring | None:
    """What is taken of a machine whose keyring is this one."""
    import keyring

    with monkeypatch.context() as patch:
        patch.setattr(keyring.core, "_keyring_backend", backend)
        return SYSTEM_KEYRING()


def test_only_keyrings_that_ask_nobody_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that is not known may ask for a password on the terminal of a training run."""
    from keyring.backends import chainer, fail, null

    unusable: list[Any] = [fail.Keyring, null.Keyring, chainer.ChainerBackend, Ring]
    assert [usable(kind(), monkeypatch) for kind in unusable] == [None] * 4

    class Vault(Ring):
        __module__ = "keyring.backends.Windows"

    vault = Vault()
    assert usable(vault, monkeypatch) is vault


def test_the_secret_service_is_used_only_where_a_bus_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Service(Ring):
        __module__ = "keyring.backends.SecretService"

    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    assert usable(Service(), monkeypatch) is None
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
    assert usable(Service(), monkeypatch) is None


def test_without_the_package_there_is_no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert SYSTEM_KEYRING() is None
