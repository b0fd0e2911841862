"""Tell by the server's own clock how long a writer has been silent: those of clients may differ from it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Begin with what was known, by the clients' clocks."""
    op.add_column("writers", sa.Column("alive_ns", sa.BigInteger))
    op.execute("UPDATE writers SET alive_ns = run_ns")


def downgrade() -> None:
    """Forget it: the times by the clients' clocks are there."""
    op.drop_column("writers", "alive_ns")
