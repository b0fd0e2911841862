"""A token as the client holds it, which shows itself to nobody by accident; and what can go wrong with tokens.

::

    MLDashError
    └── AuthError(RuntimeError)
        ├── TokenStoreError     the stored tokens cannot be read or written
        └── LoginError          a server refuses a login or a token, or is no ML-Dash server

A server that is out of reach is a `ml_dash.errors.ServerUnavailableError`, as everywhere.
"""

from __future__ import annotations

import hmac
from typing import Any, NoReturn

from ml_dash.errors import InvalidArgumentError, MLDashError

_SHOWN_FROM = 24  # four characters of these are a sixth at most
_CHARACTERS_MAX = 512


class AuthError(MLDashError, RuntimeError):
    """Something is wrong with a token, or with where tokens are kept."""


class TokenStoreError(AuthError):
    """The stored tokens cannot be read or written."""


class LoginError(AuthError):
    """A server refuses a login or a token, or it is no ML-Dash server."""


class Token:
    """A secret that lets its bearer in.

    Neither `repr` nor `str` shows more than its last four characters, and it cannot be pickled.

    White space around it is left out. `source` says where it comes from, in words for people. `is_shared` says
    that it was made elsewhere than by a login of this machine, so that others may use it as well.

    Raises:
        InvalidArgumentError: It could not be sent in an HTTP header. The message does not show it.

    Example:
        >>> Token("mld_0123456789012345678901234567890123456789abc")
        Token(mld_…9abc)
    """

    __slots__ = ("_secret", "is_shared", "source")

    def __init__(self, secret: str, source: str = "given", *, is_shared: bool = False) -> None:
        self._secret = _checked(secret, source)
        self.source = source
        self.is_shared = is_shared

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._secret

    def __str__(self) -> str:
        # of a short secret, four characters would be too large a part
        shown = self._secret[-4:] if len(self._secret) >= _SHOWN_FROM else ""
        return f"{'mld_' if self._secret.startswith('mld_') else ''}…{shown}"

    def __repr__(self) -> str:
        return f"Token({self})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Token):
            return NotImplemented
        # in constant time, as for every secret: a test of equality must not tell how much of it was right
        return hmac.compare_digest(self._secret, other._secret)

    def __hash__(self) -> int:
        return hash(self._secret)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a token cannot be pickled: it would lie in the clear wherever the pickle goes")


def _checked(given: Any, source: str) -> str:
    if not isinstance(given, str):
        raise InvalidArgumentError(f"the token ({source}) must be a str, not {type(given).__qualname__}")
    secret: str = given.strip()
    if not secret:
        raise InvalidArgumentError(f"the token ({source}) is empty: get one with `ml-dash login`")
    if len(secret) > _CHARACTERS_MAX:
        raise InvalidArgumentError(
            f"the token ({source}) has {len(secret)} characters, which no token has: paste the token alone"
        )
    for position, character in enumerate(secret):
        if not "!" <= character <= "~":
            raise InvalidArgumentError(
                f"the token ({source}) has the character U+{ord(character):04X} at position {position}, and only "
                "visible ASCII can be sent: paste it again, without spaces and line breaks"
            )
    return secret
