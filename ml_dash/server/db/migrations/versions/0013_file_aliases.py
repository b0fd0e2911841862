"""Aliases of versions of files."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is empty for files that were there before."""
    op.add_column("files", sa.Column("aliases", sa.LargeBinary))


def downgrade() -> None:
    """Forget them: the rows that gave them are in the journals."""
    op.drop_column("files", "aliases")
