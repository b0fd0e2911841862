"""The hash of a token, and what is known of tokens just looked up, so that a request costs no read of the database."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, NamedTuple

from ml_dash.server.recent import Recent

if TYPE_CHECKING:
    from ml_dash.server.accounts.grants import Principal

FRESH_SECONDS = 0.75
"""How long an answer holds: a revocation, also by another process, is seen within a second."""
_TOKENS_MAX = 4096


def hash_token(token: str) -> str:
    """Return what is kept of a token: its SHA-256 in hexadecimal, from which nobody gets back to it."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class Known(NamedTuple):
    """An answer of the database. `principal` is None if the token is unknown or invalid."""

    principal: Principal | None
    asked_at: float


class TokenCache:
    """Answers by the token's hash; bounded, and safe to use from several threads.

    Valid and invalid tokens are kept apart, so that somebody who tries many tokens displaces none that is in use.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._valid: Recent[str, Known] = Recent(_TOKENS_MAX)
        self._invalid: Recent[str, Known] = Recent(_TOKENS_MAX)

    def get(self, digest: str, now: float) -> Known | None:
        """Return a fresh answer; None if the database must be asked. `now` is in monotonic seconds."""
        # without the lock, on the event loop: at worst it meets `put` between the two, and asks the database once more
        known = self._valid.get(digest) or self._invalid.get(digest)
        return known if known and now - known.asked_at < FRESH_SECONDS else None

    def was_valid(self, digest: str) -> bool:
        """Say whether the last answer, however old, was that the token is valid."""
        return digest in self._valid

    def put(self, digest: str, principal: Principal | None, asked_at: float) -> None:
        """Keep an answer; `asked_at` is the time before the database was asked: it may have changed since."""
        with self._lock:
            self._valid.pop(digest, None)
            self._invalid.pop(digest, None)
            kept = self._invalid if principal is None else self._valid
            kept[digest] = Known(principal, asked_at)

    def clear(self) -> None:
        """Forget everything: a token was revoked, or a session closed."""
        with self._lock:
            self._valid.clear()
            self._invalid.clear()
