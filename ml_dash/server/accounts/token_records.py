"""What is known of a token, and how the database stores it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from ml_dash.server.accounts.grants import Principal, Scope
from ml_dash.server.db.tables import TOKEN_GRANTS, TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection

_SAME_NAMES = ("name", "admin", "created_by", "created_ns", "expires_ns", "revoked_ns", "used_ns")
"""The columns with the names of the fields of a record."""


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What is known of a token; times in nanoseconds since the epoch, None where it did not happen.

    Attributes:
        token_id: Its public id.
        name: What its creator called it.
        admin: Whether it may do everything.
        grants: The scope by owner.
        created_by: The id of the token that approved it; None where it was made on the command line or at start.
        created_ns: When it was created.
        expires_ns: When it expires; None: never.
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
    """A token that was just made: the secret is known at this moment only.

    Attributes:
        token: The secret itself; not part of the repr.
        record: What is kept of it.
    """

    token: str
    record: TokenRecord

    def __repr__(self) -> str:
        return f"CreatedToken({self.record!r})"


def columns(record: TokenRecord) -> dict[str, Any]:
    """Return the record's columns in the table of tokens, but for the hash."""
    return {"id": record.token_id, **{name: getattr(record, name) for name in _SAME_NAMES}}


def find_records(connection: Connection, *conditions: ColumnElement[bool]) -> Sequence[TokenRecord]:
    """Return the tokens that meet the conditions, oldest first."""
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
    return [_record(row, grants[token_id]) for token_id, row in first.items()]


def find_record(connection: Connection, *conditions: ColumnElement[bool]) -> TokenRecord | None:
    """Return the first token that meets the conditions."""
    records = find_records(connection, *conditions)
    return records[0] if records else None


def _record(row: Any, grants: Mapping[str, Scope]) -> TokenRecord:
    return TokenRecord(token_id=row.id, grants=grants, **{name: getattr(row, name) for name in _SAME_NAMES})
