"""What is known of a token: how the database stores it, and the answers just given, which cost no read of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select, tuple_

from ml_dash.server.accounts.grants import Principal, Scope
from ml_dash.server.db.tables import TOKEN_GRANTS, TOKENS
from ml_dash.server.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection

FRESH_SECONDS = 0.75
"""How long an answer holds: a revocation, also by another process, is seen within a second."""
# of valid and of invalid ones each: some hundred bytes a token
_TOKENS_MAX = 4096
_AT_ONCE = 20
_SAME_NAMES = ("name", "admin", "created_by", "created_ns", "expires_ns", "revoked_ns", "used_ns")
"""The columns with the names of the fields of a record."""


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What is known of a token; times in nanoseconds since the epoch, None where it did not happen.

    Attributes:
        token_id, name, admin, grants, created_ns, expires_ns: As in a `Principal`.
        created_by: The id of the token that approved it; None where it was made on the command line or at start.
        revoked_ns: When it was revoked.
        used_ns: When it was last used, to the minute.
    """

    token_id: str
    name: str
    admin: bool
    grants: Mapping[str, Scope]
    created_by: str | None
    created_ns: int
    expires_ns: int | None
    revoked_ns: int | None
    used_ns: int | None

    def is_valid(self, now_ns: int) -> bool:
        """Say whether the token is neither revoked nor expired."""
        return self.revoked_ns is None and (self.expires_ns is None or now_ns < self.expires_ns)

    def principal(self) -> Principal:
        """Return who makes a request with this token."""
        return Principal(self.token_id, self.name, self.admin, self.grants, self.created_ns, self.expires_ns)


@dataclass(frozen=True, slots=True)
class CreatedToken:
    """A token that was just made: the secret, which is known at this moment only, and what is kept of it."""

    token: str
    record: TokenRecord

    # dataclass would show the secret, and with it every log of a traceback's variables
    def __repr__(self) -> str:
        return f"CreatedToken({self.record!r})"


def columns(record: TokenRecord) -> dict[str, Any]:
    """Return the record's columns in the table of tokens, but for the hash."""
    return {"id": record.token_id, **{name: getattr(record, name) for name in _SAME_NAMES}}


def find_records(connection: Connection, *conditions: ColumnElement[bool]) -> Sequence[TokenRecord]:
    """Return the tokens that meet the conditions, oldest first."""
    # one statement for tokens and grants, so a token that is revoked in between is not seen half
    rows = connection.execute(
        select(TOKENS, TOKEN_GRANTS.c.owner, TOKEN_GRANTS.c.scope)
        .outerjoin(TOKEN_GRANTS)
        .where(*conditions)
        .order_by(TOKENS.c.created_ns, TOKENS.c.id, TOKEN_GRANTS.c.owner)
    )
    grants: dict[str, dict[str, Scope]] = {}
    first: dict[str, Any] = {}
    for row in rows:
        first.setdefault(row.id, row)
        granted = grants.setdefault(row.id, {})
        if row.owner is not None:
            granted[row.owner] = Scope(row.scope)
    return [
        TokenRecord(token_id=id_, grants=grants[id_], **{name: getattr(row, name) for name in _SAME_NAMES})
        for id_, row in first.items()
    ]


def find_record(connection: Connection, *conditions: ColumnElement[bool]) -> TokenRecord | None:
    """Return the first token that meets the conditions."""
    return next(iter(find_records(connection, *conditions)), None)


def token_page(
    connection: Connection, take: Callable[[TokenRecord], bool], limit: int, after: tuple[int, str] | None
) -> tuple[int, str] | None:
    """Give a page of the tokens to `take`, oldest first; return where the next one begins, None at the end.

    `after` is where the page before ended: the time and the id of its last token.
    """
    place = tuple_(TOKENS.c.created_ns, TOKENS.c.id)
    query = select(TOKENS.c.created_ns, TOKENS.c.id).order_by(TOKENS.c.created_ns, TOKENS.c.id)
    if after is not None:
        query = query.where(place > tuple_(*after))
    # one more than is asked for: whether it is there says whether there is another page
    found = [(row.created_ns, row.id) for row in connection.execute(query.limit(limit + 1))]
    taken = 0
    # some at a time: each may have thousands of grants
    for start in range(0, len(found[:limit]), _AT_ONCE):
        ids = [id_ for _, id_ in found[start : min(start + _AT_ONCE, limit)]]
        for record in find_records(connection, TOKENS.c.id.in_(ids)):
            if not take(record):
                return found[taken - 1]
            taken += 1
    return found[taken - 1] if len(found) > taken and taken else None


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

    def put(self, digest: str, principal: Principal | None, asked_at: float) -> None:
        """Keep an answer; `asked_at` is the time before the database was asked: it may have changed since."""
        with self._lock:
            self._valid.pop(digest, None)
            self._invalid.pop(digest, None)
            kept = self._invalid if principal is None else self._valid
            kept[digest] = Known(principal, asked_at)

    def forget(self, is_meant: Callable[[str, Principal], bool]) -> None:
        """Forget the answers that were valid and are not any more, by hash and principal; those of others stay."""
        with self._lock:
            for digest, known in list(self._valid.items()):
                if known.principal is not None and is_meant(digest, known.principal):
                    del self._valid[digest]
