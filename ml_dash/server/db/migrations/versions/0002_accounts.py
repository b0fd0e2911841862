"""Accounts: tokens, what each may do, and logins under way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of accounts."""
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(24), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("created_by", sa.String(24), nullable=True),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=True),
        sa.Column("revoked_ns", sa.BigInteger(), nullable=True),
        sa.Column("used_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("hash", name="uq_tokens_hash"),
    )
    op.create_table(
        "token_grants",
        sa.Column("token_id", sa.String(24), nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("scope", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", "owner", name="pk_token_grants"),
        sa.ForeignKeyConstraint(
            ["token_id"], ["tokens.id"], name="fk_token_grants_token_id_tokens", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "device_requests",
        sa.Column("device_hash", sa.String(64), nullable=False),
        sa.Column("user_code", sa.String(8), nullable=False),
        sa.Column("client", sa.String(255), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("granted", sa.Text(), nullable=True),
        sa.Column("approved_by", sa.String(24), nullable=True),
        sa.Column("lifetime_ns", sa.BigInteger(), nullable=True),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False),
        sa.Column("polled_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("device_hash", name="pk_device_requests"),
        sa.UniqueConstraint("user_code", name="uq_device_requests_user_code"),
    )
    op.create_index("ix_device_requests_expires_ns", "device_requests", ["expires_ns"])


def downgrade() -> None:
    """Drop them again."""
    op.drop_index("ix_device_requests_expires_ns", "device_requests")
    op.drop_table("device_requests")
    op.drop_table("token_grants")
    op.drop_table("tokens")
