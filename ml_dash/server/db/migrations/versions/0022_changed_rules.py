"""Who changed a rule last, and since when it waits for what it waits for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("rules", sa.Column("since_ns", sa.BigInteger, nullable=False, server_default="0"))
    op.execute("UPDATE rules SET since_ns = created_ns")
    op.add_column("rules", sa.Column("version", sa.BigInteger, nullable=False, server_default="1"))
    op.add_column("rules", sa.Column("changed_ns", sa.BigInteger))
    op.add_column("rules", sa.Column("changed_by", sa.LargeBinary))


def downgrade() -> None:
    """Forget who has changed them."""
    for name in ("changed_by", "changed_ns", "version", "since_ns"):
        op.drop_column("rules", name)
