"""The key that the stored tokens are encrypted with: in the system's keyring, else in a file of the user.

A keyring counts only if it answers without asking the user: a training run on a machine without a screen must not
wait for a password. That leaves the desktop's secret service on Linux while it is unlocked, and Windows' credential
vault. macOS may ask whenever another Python than the one that stored the key wants it, so there the key file is used.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ml_dash.forks import guarded_imports
from ml_dash.notices import logger
from ml_dash.spawning import start_thread
from ml_dash.tokens.directory import keep_private, replace_private, set_aside
from ml_dash.tokens.token import TokenStoreError

if TYPE_CHECKING:
    from collections.abc import Callable

FILE, KEYRING = 0, 1
"""Where a key is kept, as the encrypted file's header says."""

KEY_BYTES = 32  # AES-256
KEY_ID_BYTES = 8
_SERVICE = "ml-dash"
_SECONDS = 3.0  # an unlocked keyring answers within milliseconds; a hanging bus would take 25 s to say so


class Keyring(Protocol):
    """What is used of a backend of the package `keyring`."""

    def get_password(self, service: str, username: str) -> str | None:
        """Return a secret."""

    def set_password(self, service: str, username: str, password: str) -> None:
        """Store a secret."""


class Key(NamedTuple):
    """A key, and where it is kept under which name."""

    secret: bytes
    source: int
    key_id: bytes

    def __repr__(self) -> str:
        return f"Key(source={self.source}, key_id={self.key_id.hex()})"


class Keys:
    """The keys of one directory.

    The key file is `token.key`; the system's keyring is asked for only when a key is needed.
    """

    def __init__(self, directory: str, keyring: Callable[[], Keyring | None] | None = None) -> None:
        self.path = os.path.join(directory, "token.key")
        self._keyring = keyring or system_keyring

    def find(self, source: int, key_id: bytes) -> Key:
        """Return the key that a file was encrypted with.

        Raises:
            TokenStoreError: It is not there any more.
        """
        key = self._from_keyring(key_id) if source == KEYRING else self._from_file()
        if key is None or key.key_id != key_id:
            place = "the system's keyring (is it unlocked?)" if source == KEYRING else repr(self.path)
            raise TokenStoreError(f"the key for the stored tokens is not in {place}")
        return key

    def make(self) -> Key:
        """Return a key to encrypt with from now on: in the keyring if there is one, else in the file."""
        keyring = self._keyring()
        if keyring is not None:
            key = Key(secrets.token_bytes(KEY_BYTES), KEYRING, secrets.token_bytes(KEY_ID_BYTES))
            name = key.key_id.hex()
            text = key.secret.hex()
            _in_time(lambda: keyring.set_password(_SERVICE, name, text))
            # some backends forget without a word what they were told
            if _in_time(lambda: keyring.get_password(_SERVICE, name)) == text:
                return key
        return self._from_file() or self._make_file()

    def _from_keyring(self, key_id: bytes) -> Key | None:
        keyring = self._keyring()
        text = keyring and _in_time(lambda: keyring.get_password(_SERVICE, key_id.hex()))
        secret = _unhex(text) if isinstance(text, str) else None
        return Key(secret, KEYRING, key_id) if secret else None

    def _from_file(self) -> Key | None:
        try:
            with open(self.path, encoding="ascii", errors="replace") as file:
                name, _, text = file.read(256).strip().partition(":")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TokenStoreError(
                f"the key for the stored tokens cannot be read from {self.path!r}: {error.strerror}"
            ) from error
        keep_private(self.path)
        key_id, secret = _unhex(name, KEY_ID_BYTES), _unhex(text)
        return Key(secret, FILE, key_id) if key_id and secret else None

    def _make_file(self) -> Key:
        key = Key(secrets.token_bytes(KEY_BYTES), FILE, secrets.token_bytes(KEY_ID_BYTES))
        if os.path.lexists(self.path):
            set_aside(self.path)
        replace_private(self.path, f"{key.key_id.hex()}:{key.secret.hex()}\n".encode())
        return key


def system_keyring() -> Keyring | None:
    """Return the system's keyring if it is there and answers without asking the user; None otherwise."""
    found: Keyring | None = _in_time(_usable_keyring)
    return found


def _usable_keyring() -> Keyring | None:
    try:
        with guarded_imports():
            import keyring

            # looks for backends, and imports them
            backend: Any = keyring.get_keyring()
    except ImportError:
        return None
    for each in [backend, *getattr(backend, "backends", ())]:
        module = type(each).__module__
        if module == "keyring.backends.Windows":
            return each  # type: ignore[no-any-return]
        if module == "keyring.backends.SecretService" and _is_unlocked():
            return each  # type: ignore[no-any-return]
    return None


def _is_unlocked() -> bool:
    """Say whether the desktop's secret service would answer at once; a locked one would ask for its password."""
    if not os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return False  # looking for a bus might start one
    with guarded_imports():
        import secretstorage

    connection = secretstorage.dbus_init()
    try:
        return not secretstorage.get_default_collection(connection).is_locked()
    finally:
        connection.close()


def _in_time(function: Callable[[], Any]) -> Any:
    """Return what a function returns; None if it fails, or does not within seconds."""
    results: list[Any] = []

    def call() -> None:
        try:
            results.append(function())
        except Exception as error:  # noqa: BLE001 - backends raise what they like, and there is the key file
            logger().debug("the system's keyring cannot be used: %s", type(error).__name__)

    # a daemon: a keyring that hangs must not keep the interpreter from ending
    thread = start_thread(call, "ml-dash-keyring")
    if thread is None:
        return None  # without a thread of its own, a keyring that hangs would hang its caller
    thread.join(_SECONDS)
    return results[0] if results else None


def _unhex(text: str, size: int = KEY_BYTES) -> bytes | None:
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        return None
    return secret if len(secret) == size else None
