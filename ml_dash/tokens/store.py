"""The stored tokens: `token.enc` in the user's directory, each token with the origin that it is for."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ml_dash.notices import logger
from ml_dash.origins import origin
from ml_dash.paths import config_directory
from ml_dash.tokens.directory import (
    keep_private,
    locked,
    make_private,
    replace_private,
    set_aside,
)
from ml_dash.tokens.keys import Key, Keyring, Keys
from ml_dash.tokens.sealing import SIZE_MAX, open_sealed, read_header, seal
from ml_dash.tokens.token import Token, TokenStoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SHARED = " shared"
"""Stands behind a token that is; no token has a space in it."""


class TokenStore:
    """The tokens by origin, encrypted on disk.

    They lie in `ML_DASH_CONFIG_DIR`, else ``~/.dash``, where no directory is given; `keyring` gives the system's.

    Example:
        >>> store = TokenStore()
        >>> store.put("https://dash.example.com", Token("mld_…"))  # doctest: +SKIP
    """

    def __init__(
        self, directory: str | None = None, keyring: Callable[[], Keyring | None] | None = None
    ) -> None:
        self.directory = config_directory() if directory is None else os.path.abspath(directory)
        self.path = os.path.join(self.directory, "token.enc")
        self._keys = Keys(self.directory, keyring)

    def get(self, url: str) -> Token | None:
        """Return the token for a URL's origin; None where there is none.

        Raises:
            InvalidArgumentError: No token may be sent to the URL.
            TokenStoreError: The file is damaged, or its key is missing.
        """
        return self.all().get(origin(url))

    def all(self) -> dict[str, Token]:
        """Return every token, by origin.

        Raises:
            TokenStoreError: The file is damaged, or its key is missing.
        """
        tokens = self._read()[0]
        return {place: self._token(text) for place, text in tokens.items()}

    def put(self, url: str, token: Token) -> None:
        """Store a token for a URL's origin.

        A file that cannot be read is kept beside the new one, as `token.enc.bad`, with a warning.

        Raises:
            InvalidArgumentError: No token may be sent to the URL.
            TokenStoreError: The file cannot be written.
        """
        place = origin(url)
        make_private(self.directory)
        with self._changing():
            try:
                tokens, key = self._read()
            except TokenStoreError as error:
                tokens, key = {}, None
                logger().warning("%s. The old file is kept as %s", error, set_aside(self.path))
            self._write({**tokens, place: token.reveal() + (_SHARED if token.is_shared else "")}, key)

    def remove(self, url: str) -> bool:
        """Forget the token for a URL's origin; returns whether there was one.

        Raises:
            InvalidArgumentError: No token may be sent to the URL.
            TokenStoreError: The file is damaged or cannot be written.
        """
        place = origin(url)
        if not os.path.lexists(self.path):
            return False
        with self._changing():
            tokens, key = self._read()
            if tokens.pop(place, None) is None:
                return False
            self._write(tokens, key)
        return True

    def stamp(self) -> tuple[int, ...] | None:
        """Return what changes whenever the file does; None where there is none."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _token(self, text: str) -> Token:
        secret = text.removesuffix(_SHARED)
        return Token(secret, f"stored in {self.path}", is_shared=secret != text)

    def _read(self) -> tuple[dict[str, str], Key | None]:
        """Return the tokens, and the key they are encrypted with; none and None where there is no file."""
        try:
            with open(self.path, "rb") as file:
                content = file.read(SIZE_MAX + 1)
        except FileNotFoundError:
            return {}, None
        except OSError as error:
            raise TokenStoreError(
                f"the stored tokens in {self.path!r} cannot be read: {error.strerror}; mend the file's rights"
            ) from error
        try:
            if len(content) > SIZE_MAX:
                raise TokenStoreError("it is too large to be a file of tokens")
            sealed = read_header(content)
            key = self._keys.find(sealed.source, sealed.key_id)
            tokens = open_sealed(sealed, key)
        except TokenStoreError as error:
            raise TokenStoreError(
                f"the stored tokens in {self.path!r} cannot be used: {error}. Run `ml-dash login` to get a new one"
            ) from None
        keep_private(self.directory)
        keep_private(self.path)
        return tokens, key

    def _write(self, tokens: dict[str, str], key: Key | None) -> None:
        replace_private(self.path, seal(tokens, key or self._keys.make()))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Let nobody else change the file meanwhile."""
        try:
            with locked(self.directory):
                yield
        except OSError as error:
            raise TokenStoreError(
                f"the tokens cannot be stored in {self.path!r}: {error.strerror}; "
                "let ML_DASH_CONFIG_DIR name another directory"
            ) from error
