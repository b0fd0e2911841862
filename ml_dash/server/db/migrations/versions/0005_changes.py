"""Mark experiments by transactions, and no longer by times, when they change: `ml_dash.server.catalogue.changes`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Put the marks in the place of the times."""
    op.drop_index("ix_experiments_changed_ns", "experiments")
    op.drop_column("experiments", "changed_ns")
    op.add_column("experiments", sa.Column("changed", sa.BigInteger, nullable=False, server_default="0"))
    op.create_index("ix_experiments_changed", "experiments", ["changed"])


def downgrade() -> None:
    """Put the times back."""
    op.drop_index("ix_experiments_changed", "experiments")
    op.drop_column("experiments", "changed")
    op.add_column("experiments", sa.Column("changed_ns", sa.BigInteger, nullable=False, server_default="0"))
    op.execute("UPDATE experiments SET changed_ns = updated_ns")
    op.create_index("ix_experiments_changed_ns", "experiments", ["changed_ns"])
