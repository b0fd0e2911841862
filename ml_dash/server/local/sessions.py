"""Who is signed in at `ml-dash ui`: whoever opened the address that it printed, whose token can be used once."""

from __future__ import annotations

import hashlib
import hmac
import os
import platform
import secrets
import threading
from typing import TYPE_CHECKING, Literal

from ml_dash.server.accounts.grants import EVERY_OWNER, Principal, Scope
from ml_dash.server.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable

# each browser that is signed in has one; the oldest is signed out beyond
_SESSIONS_MAX = 64


class OneTimeSessions:
    """Sessions of this process; see `ml_dash.server.http.access.Sessions`.

    `token` is what the next browser must show; `on_used` is called with a fresh one each time that one was used.
    Whoever is let in may change what is in the `root`, as far as this user may.
    """

    mode: Literal["server", "local"] = "local"
    lifetime: int | None = None

    def __init__(self, port: int, on_used: Callable[[str], None], root: str) -> None:
        # browsers send cookies to all ports of a machine, and behind each may be another machine, by a tunnel
        machine = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
        self.cookie = f"ml_dash_ui_{port}_{machine}"
        self.token = secrets.token_urlsafe(24)
        self._root = root
        self._on_used = on_used
        self._lock = threading.Lock()
        self._open: Recent[str, Principal] = Recent(_SESSIONS_MAX)

    def cached(self, secret: str) -> tuple[bool, Principal | None]:
        """See `Secrets.cached`."""
        return True, self._open.get(secret)

    async def look_up(self, secret: str) -> Principal | None:
        """See `Secrets.look_up`."""
        return self._open.get(secret)

    async def open(self, token: str) -> tuple[str, Principal] | None:
        """See `Sessions.open`."""
        with self._lock:
            # in constant time, since others on this machine can ask too; as bytes, since it takes no text beyond ASCII
            if not hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self.token.encode()):
                return None
            self.token = secrets.token_urlsafe(24)
            secret = secrets.token_urlsafe(32)
            who = Principal("local", "you", admin=False, grants={EVERY_OWNER: Scope.WRITE})
            self._open[secret] = who
        # outside of the lock: it prints, and a terminal can block
        self._on_used(self.token)
        return secret, who

    async def close(self, secret: str) -> None:
        """See `Sessions.close`."""
        self._open.pop(secret, None)

    def writes(self, who: Principal) -> list[str]:
        """See `Sessions.writes`; nothing in a root that may only be read."""
        return who.writes() if os.access(self._root, os.W_OK) else []
