"""Take bodies of requests in pieces, from clients behind a proxy that takes small ones only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make room for the pieces."""
    op.create_table(
        "body_pieces",
        sa.Column("token_id", sa.String(24), nullable=False),
        sa.Column("checksum", sa.String(64), nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("token_id", "checksum", "offset", name="pk_body_pieces"),
    )
    op.create_index("ix_body_pieces_created_ns", "body_pieces", ["created_ns"])


def downgrade() -> None:
    """Forget them: whoever sent them sends them again."""
    op.drop_table("body_pieces")
