"""The tables of accounts: tokens, what each may do, who is signed in by one, and logins under way.

Times are nanoseconds since the epoch.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    Table,
    Text,
)

from ml_dash.server.db.metadata import METADATA

__all__ = ["DEVICE_REQUESTS", "SESSIONS", "TOKENS", "TOKEN_GRANTS"]

TOKENS = Table(
    "tokens",
    METADATA,
    Column("id", String(24), primary_key=True),
    # of the token itself nothing is kept but its SHA-256: it has 256 random bits, so there is nothing to guess
    Column("hash", String(64), nullable=False, unique=True),
    Column("name", String(255), nullable=False),
    Column("admin", Boolean, nullable=False),
    Column("created_by", String(24), nullable=True),
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=True),
    Column("revoked_ns", BigInteger, nullable=True),
    Column("used_ns", BigInteger, nullable=True),
)

TOKEN_GRANTS = Table(
    "token_grants",
    METADATA,
    Column("token_id", String(24), ForeignKey("tokens.id", ondelete="CASCADE"), primary_key=True),
    Column("owner", String(255), primary_key=True),
    Column("scope", SmallInteger, nullable=False),
)

SESSIONS = Table(
    "sessions",
    METADATA,
    # of what the browser keeps as its cookie; of the cookie itself nothing is kept
    Column("hash", String(64), primary_key=True),
    Column("token_id", String(24), ForeignKey("tokens.id", ondelete="CASCADE"), nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Index(None, "expires_ns"),
)

DEVICE_REQUESTS = Table(
    "device_requests",
    METADATA,
    Column("device_hash", String(64), primary_key=True),
    Column("user_code", String(8), nullable=False, unique=True),
    Column("client", String(255), nullable=False),
    Column("address", String(64), nullable=False),
    Column("asked", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("granted", Text, nullable=True),
    Column("approved_by", String(24), nullable=True),
    Column("lifetime_ns", BigInteger, nullable=True),
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Column("polled_ns", BigInteger, nullable=True),
    Index(None, "expires_ns"),
)
