"""Who is signed in at a server with a browser.

A session is opened with a token, and ends with it: to revoke a token is to end its sessions. The browser keeps a secret
of its own, of which the database has the hash; the token itself is kept nowhere.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Literal

from sqlalchemy import delete, insert, select

from ml_dash.protocol import SESSION_COOKIE, TOKEN_CHARACTERS_MAX
from ml_dash.query.times import NANOSECONDS
from ml_dash.server.accounts.grants import hash_token
from ml_dash.server.accounts.token_records import TokenCache
from ml_dash.server.db.database import take_turn
from ml_dash.server.db.tables import SESSIONS

if TYPE_CHECKING:
    from ml_dash.server.accounts.grants import Principal
    from ml_dash.server.accounts.tokens import Tokens

# not renewed by use: a browser that was left signed in somewhere is signed out after a month whatever happens there
_MOST = 100  # sessions that a token may have at once
_LIFETIME = 30 * 86_400


class StoreSessions:
    """The sessions of a server; see `ml_dash.server.http.access.Sessions`.

    `server_id` tells this server from others of the same host: browsers send cookies to all ports of a host, and two
    servers with one name for theirs would sign each other's users out.
    """

    mode: Literal["server", "local"] = "server"
    lifetime: int | None = _LIFETIME

    def __init__(self, tokens: Tokens, server_id: str) -> None:
        self.cookie = f"{SESSION_COOKIE}_{hash_token(server_id)[:8]}"
        self._tokens = tokens
        self._database = tokens.database
        self._clock = tokens.clock
        self._cache = TokenCache()

    def cached(self, secret: str) -> tuple[bool, Principal | None]:
        """See `Secrets.cached`."""
        known = self._cache.get(hash_token(secret), self._clock.monotonic())
        return (False, None) if known is None else (True, known.principal)

    async def look_up(self, secret: str) -> Principal | None:
        """See `Secrets.look_up`."""
        return None if len(secret) > TOKEN_CHARACTERS_MAX else await self._database.run(self._find, secret)

    async def open(self, token: str) -> tuple[str, Principal] | None:
        """See `Sessions.open`."""
        who = await self._tokens.look_up(token)
        if who is None:
            return None
        secret = secrets.token_urlsafe(32)
        await self._database.run(self._insert, secret, who)
        return secret, who.in_browser()

    async def close(self, secret: str) -> None:
        """See `Sessions.close`."""
        await self._database.run(self._delete, secret)

    def writes(self, who: Principal) -> list[str]:
        """See `Sessions.writes`."""
        return who.writes()

    def _insert(self, secret: str, who: Principal) -> None:
        now = self._clock.time_ns()
        with self._database.write() as connection:
            take_turn(connection, "sessions")
            # here, not in the background: there is one more to keep, so some may go
            connection.execute(delete(SESSIONS).where(SESSIONS.c.expires_ns <= now))
            # Nor may one token fill the table: a program that signs in for each page ends its own first sessions.
            newest = select(SESSIONS.c.hash).where(SESSIONS.c.token_id == who.token_id)
            newest = newest.order_by(SESSIONS.c.created_ns.desc()).limit(_MOST - 1)
            connection.execute(
                delete(SESSIONS).where(SESSIONS.c.token_id == who.token_id, SESSIONS.c.hash.not_in(newest))
            )
            connection.execute(
                insert(SESSIONS).values(
                    hash=hash_token(secret),
                    token_id=who.token_id,
                    created_ns=now,
                    expires_ns=now + _LIFETIME * NANOSECONDS,
                )
            )

    def _delete(self, secret: str) -> None:
        closed = hash_token(secret)
        with self._database.write() as connection:
            connection.execute(delete(SESSIONS).where(SESSIONS.c.hash == closed))
        self._cache.forget(lambda digest, _: digest == closed)

    def _find(self, secret: str) -> Principal | None:
        digest, asked_at, now = hash_token(secret), self._clock.monotonic(), self._clock.time_ns()
        query = select(SESSIONS.c.token_id).where(SESSIONS.c.hash == digest, SESSIONS.c.expires_ns > now)
        with self._database.read() as connection:
            # in the same transaction: the token may be revoked between the two
            token_id = connection.execute(query).scalar_one_or_none()
            record = None if token_id is None else self._tokens.record(connection, token_id)
        who = record.principal().in_browser() if record is not None and record.is_valid(now) else None
        self._cache.put(digest, who, asked_at)
        return who
