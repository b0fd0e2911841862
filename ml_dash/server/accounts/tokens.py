"""Tokens: created, looked up, listed and revoked.

A token is ``mld_`` and 43 random characters, 256 bits. The database holds only its SHA-256: a slow hash would protect
no more, because there is no dictionary of such tokens to try. Tokens are found by that hash, so the time of a look-up
could tell something only about hashes, from which nobody gets to a token.
"""

from __future__ import annotations

import logging
import re
import secrets
import string
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.errors import InvalidArgumentError
from ml_dash.protocol import TOKEN_CHARACTERS_MAX
from ml_dash.query.times import NANOSECONDS
from ml_dash.server.accounts.grants import Scope, check_owner, hash_token
from ml_dash.server.accounts.token_records import (
    CreatedToken,
    TokenCache,
    TokenRecord,
    columns,
    find_record,
    find_records,
)
from ml_dash.server.db.database import take_turn
from ml_dash.server.db.tables import TOKEN_GRANTS, TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from ml_dash.clock import Clock
    from ml_dash.server.accounts.grants import Principal
    from ml_dash.server.db.database import Database

# so that scanners of repositories can tell that a text is a token of ML-Dash
PREFIX = "mld_"
# a row for each; more would make the look-up of one token slow for all
GRANTS_MAX = 1000
USED_EVERY_NS = 60 * NANOSECONDS
"""The time of last use is written at most this often."""
LIFETIME_MAX = 100 * 365 * 86_400
"""In seconds; for longer, there are tokens that never expire."""

# a token that a person chose, unlike one that was generated, could be guessed if it were short
_GIVEN_MIN = 16
_ID_CHARACTERS = string.ascii_lowercase + string.digits
_ID = re.compile(r"tok_[a-z0-9]{16}")
_LOGGER = logging.getLogger(__name__)


class Tokens:
    """The tokens of a server.

    Every method reads or writes the database and so belongs on a worker thread, but for `cached`.
    """

    def __init__(self, database: Database, clock: Clock = SYSTEM_CLOCK) -> None:
        self.database = database
        self.clock = clock
        self._cache = TokenCache()

    def first_token(self, given: str | None = None) -> str | None:
        """Make sure that there is an admin token.

        Args:
            given: The token to use (``ML_DASH_ADMIN_TOKEN``); without it, one is generated, unless there ever was one.

        Returns:
            The token if it was generated now: it must be shown to whoever started the server, once.

        Raises:
            InvalidArgumentError: The given token is too weak, or was revoked.
        """
        if given:
            self._ensure(_checked_given(given))
            return None
        with self.database.write() as connection:
            # servers that start at once on a new database: each would show a token of its own
            take_turn(connection, "first token")
            # one that was revoked or has expired counts: whoever revokes the last one does not want another to appear
            if connection.execute(select(TOKENS.c.id).where(TOKENS.c.admin).limit(1)).first():
                return None
            return self.insert(connection, "first admin", {}, admin=True).token

    def create(
        self,
        name: str,
        grants: Mapping[str, Scope],
        *,
        admin: bool = False,
        expires_in: float | None = None,
        created_by: str | None = None,
    ) -> CreatedToken:
        """Make a token.

        Args:
            name: What to call it in lists.
            grants: The scope by owner; ``*`` stands for all owners.
            admin: Whether it may do everything, whatever `grants` says.
            expires_in: Seconds from now; None: it never expires.
            created_by: The id of the token of whoever asked for it.

        Raises:
            InvalidArgumentError: The token could do nothing, or an argument has a value that is not allowed.
        """
        if not grants and not admin:
            raise InvalidArgumentError(
                f"token {name!r} could do nothing: grant it an owner, such as alice:write, or make it an admin token"
            )
        lifetime_ns = _checked_lifetime(expires_in)
        with self.database.write() as connection:
            return self.insert(
                connection, name, grants, admin=admin, lifetime_ns=lifetime_ns, created_by=created_by
            )

    def insert(
        self,
        connection: Connection,
        name: str,
        grants: Mapping[str, Scope],
        *,
        admin: bool = False,
        lifetime_ns: int | None = None,
        created_by: str | None = None,
        token: str | None = None,
    ) -> CreatedToken:
        """Make a token within a transaction.

        The arguments are those of `create`, with the lifetime in nanoseconds; without a `token`, one is generated.
        """
        token = new_token() if token is None else token
        now = self.clock.time_ns()
        record = TokenRecord(
            token_id="tok_" + "".join(secrets.choice(_ID_CHARACTERS) for _ in range(16)),
            name=check_name(name),
            admin=admin,
            grants=_checked_grants(grants),
            created_by=created_by,
            created_ns=now,
            expires_ns=None if lifetime_ns is None else now + lifetime_ns,
            revoked_ns=None,
            used_ns=None,
        )
        connection.execute(insert(TOKENS).values(hash=hash_token(token), **columns(record)))
        rows = [
            {"token_id": record.token_id, "owner": owner, "scope": int(scope)}
            for owner, scope in record.grants.items()
        ]
        if rows:
            connection.execute(insert(TOKEN_GRANTS), rows)
        return CreatedToken(token, record)

    def cached(self, token: str) -> tuple[bool, Principal | None]:
        """Return whether the answer of `find` is known without the database, and the answer."""
        known = self._cache.get(hash_token(token), self.clock.monotonic())
        return (False, None) if known is None else (True, self._unexpired(known.principal))

    def find(self, token: str) -> Principal | None:
        """Return who is behind a token; None if it is unknown, expired or revoked.

        The answer is kept for less than a second, so this reads the database about once a second and token.
        """
        if len(token) > TOKEN_CHARACTERS_MAX:
            return None
        digest = hash_token(token)
        # before the question: a revocation between it and the answer must not be hidden for longer
        asked_at = self.clock.monotonic()
        # once more, though `cached` was asked: of many requests at once, the first one has looked it up meanwhile
        known = self._cache.get(digest, asked_at)
        if known is not None:
            return self._unexpired(known.principal)
        with self.database.read() as connection:
            record = find_record(connection, TOKENS.c.hash == digest)
        # tokens that are unknown are kept too: a client that goes on with a revoked one must not cost a read each time
        principal = record.principal() if record and record.is_valid(self.clock.time_ns()) else None
        self._cache.put(digest, principal, asked_at)
        if record and principal:
            self._note_use(record)
        return principal

    async def look_up(self, token: str) -> Principal | None:
        """Return what `find` does; for the event loop."""
        return await self.database.run(self.find, token)

    def list(self) -> Sequence[TokenRecord]:
        """Return every token that was ever made, oldest first."""
        with self.database.read() as connection:
            return find_records(connection)

    def revoke(self, token_id: str) -> bool:
        """Revoke a token, also one that is revoked already; return whether there is such a token."""
        if not _ID.fullmatch(token_id):
            return False
        with self.database.write() as connection:
            record = self.record(connection, token_id)
            if record is None:
                return False
            connection.execute(
                update(TOKENS)
                .where(TOKENS.c.id == token_id, TOKENS.c.revoked_ns.is_(None))
                .values(revoked_ns=self.clock.time_ns())
            )
        self._cache.forget(lambda _, who: who.token_id == token_id)
        return True

    def record(self, connection: Connection, token_id: str) -> TokenRecord | None:
        """Return what is known of the token with this id."""
        return find_record(connection, TOKENS.c.id == token_id)

    # an answer is kept for less than a second, but a token must not work for a moment longer than it says
    def _unexpired(self, principal: Principal | None) -> Principal | None:
        if principal and principal.expires_ns is not None and self.clock.time_ns() >= principal.expires_ns:
            return None
        return principal

    def _ensure(self, given: str) -> None:
        with self.database.read() as connection:
            record = find_record(connection, TOKENS.c.hash == hash_token(given))
        if record is None:
            try:
                with self.database.write() as connection:
                    self.insert(connection, "ML_DASH_ADMIN_TOKEN", {}, admin=True, token=given)
            except IntegrityError:
                # another process that starts at this moment was given the same token, and was faster
                return
        elif record.revoked_ns is not None:
            raise InvalidArgumentError(
                f"the token in ML_DASH_ADMIN_TOKEN was revoked (it is {record.token_id}): give another, or unset it"
            )
        elif not record.admin:
            raise InvalidArgumentError(
                f"the token in ML_DASH_ADMIN_TOKEN ({record.token_id}, {record.name!r}) is no admin token: "
                "give another, or unset it"
            )

    def _note_use(self, record: TokenRecord) -> None:
        now = self.clock.time_ns()
        if record.used_ns is not None and now - record.used_ns < USED_EVERY_NS:
            return
        try:
            with self.database.write() as connection:
                connection.execute(update(TOKENS).where(TOKENS.c.id == record.token_id).values(used_ns=now))
        except SQLAlchemyError as error:
            # a full disk must not lock out those who come to read, or to make room
            _LOGGER.warning("cannot note that token %s was used: %s", record.token_id, error)


def new_token() -> str:
    """Return a fresh random token."""
    return PREFIX + secrets.token_urlsafe(32)


def check_name(name: str) -> str:
    """Return a token's name, or raise `InvalidArgumentError`."""
    if not name.strip() or len(name) > 255 or not name.isprintable():
        raise InvalidArgumentError(
            f"name {name[:300]!r} is not allowed for a token: give 1 to 255 printable characters"
        )
    return name


def _checked_grants(grants: Mapping[str, Scope]) -> dict[str, Scope]:
    if len(grants) > GRANTS_MAX:
        raise InvalidArgumentError(
            f"{len(grants)} owners are too many for one token: grant at most {GRANTS_MAX}, or '*'"
        )
    return {check_owner(owner): Scope(scope) for owner, scope in sorted(grants.items())}


def _checked_lifetime(expires_in: float | None) -> int | None:
    if expires_in is None:
        return None
    if not 0 < expires_in <= LIFETIME_MAX:
        # JSON's whole numbers came as floats: they are shown as they were given
        shown = int(expires_in) if abs(expires_in) < 1e18 and float(expires_in).is_integer() else expires_in
        raise InvalidArgumentError(
            f"a token cannot expire in {shown!r} s: give more than 0 and at most {LIFETIME_MAX} s, or nothing "
            "for one that never expires"
        )
    return int(expires_in * NANOSECONDS)


def _checked_given(given: str) -> str:
    visible = given.isascii() and given.isprintable() and " " not in given
    if not visible or not _GIVEN_MIN <= len(given) <= TOKEN_CHARACTERS_MAX:
        raise InvalidArgumentError(
            f"ML_DASH_ADMIN_TOKEN is not usable as a token: give {_GIVEN_MIN} to {TOKEN_CHARACTERS_MAX} visible ASCII "
            "characters that nobody can guess, or unset it to have one generated"
        )
    return given
