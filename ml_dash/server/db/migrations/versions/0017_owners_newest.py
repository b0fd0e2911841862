"""An index in which the experiments of an owner are in the order of lists."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it: whoever may see one owner's experiments alone had all of these sorted for a page."""
    op.create_index("ix_experiments_owner_created_ns_id", "experiments", ["owner", "created_ns", "id"])


def downgrade() -> None:
    """Remove it."""
    op.drop_index("ix_experiments_owner_created_ns_id", "experiments")
