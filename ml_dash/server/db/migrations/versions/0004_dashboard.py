"""What the dashboard needs: when an experiment has changed, and who is signed in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column("experiments", sa.Column("changed_ns", sa.BigInteger, nullable=False, server_default="0"))
    op.execute("UPDATE experiments SET changed_ns = updated_ns")
    op.create_index("ix_experiments_changed_ns", "experiments", ["changed_ns"])
    op.create_table(
        "sessions",
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("token_id", sa.String(24), nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("expires_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_sessions"),
        sa.ForeignKeyConstraint(
            ["token_id"], ["tokens.id"], name="fk_sessions_token_id_tokens", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_sessions_expires_ns", "sessions", ["expires_ns"])


def downgrade() -> None:
    """Remove them."""
    op.drop_table("sessions")
    op.drop_index("ix_experiments_changed_ns", "experiments")
    op.drop_column("experiments", "changed_ns")
