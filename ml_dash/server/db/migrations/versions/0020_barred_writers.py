"""Take nothing more of writers whose experiment was deleted and has given its name away."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add whether a writer is barred: those that went on in the next experiment of the name until now go on."""
    op.add_column("writers", sa.Column("barred", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Remove it."""
    op.drop_column("writers", "barred")
