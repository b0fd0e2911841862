"""Who has asked a run to stop, and whether it has seen that."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_COLUMNS = {
    "stop_ns": sa.BigInteger,
    "stop_by": sa.LargeBinary,
    "stop_reason": sa.LargeBinary,
    "stop_attempt": sa.BigInteger,
    "stop_names": sa.LargeBinary,
    "stop_seen_ns": sa.BigInteger,
}


def upgrade() -> None:
    """Add what nobody has asked for yet."""
    for name, kind in _COLUMNS.items():
        op.add_column("experiments", sa.Column(name, kind))


def downgrade() -> None:
    """Forget it: runs that have not seen it go on."""
    for name in _COLUMNS:
        op.drop_column("experiments", name)
