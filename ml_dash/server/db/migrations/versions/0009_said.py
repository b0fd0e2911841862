"""Keep when each part of an experiment's description was said: a journal that comes later may have said it earlier."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_COLUMNS = ("readme_ns", "tags_ns", "bindrs_ns", "metadata_ns")


def upgrade() -> None:
    """Add the times. Those of what is there are not known, and whatever is said counts as newer."""
    for name in _COLUMNS:
        op.add_column("experiments", sa.Column(name, sa.BigInteger))


def downgrade() -> None:
    """Forget them: what comes last counts again."""
    for name in reversed(_COLUMNS):
        op.drop_column("experiments", name)
