"""Which rank has written how many rows of a block that was made of several."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is unknown of blocks that were merged before."""
    op.add_column("blocks", sa.Column("ranks", sa.LargeBinary))


def downgrade() -> None:
    """Forget it: the rows' writers are in the journals."""
    op.drop_column("blocks", "ranks")
