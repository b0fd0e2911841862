"""Move, annotate and restore experiments: what they were called before, who has changed them, when rows are removed.

What was deleted before this has no time at which its rows go: it was deleted when they stayed for ever.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TIMES = ("purge_ns", "purged_ns")


def upgrade() -> None:
    """Add what is empty for experiments that were there before."""
    op.add_column("experiments", sa.Column("note", sa.LargeBinary))
    for name in _TIMES:
        op.add_column("experiments", sa.Column(name, sa.BigInteger))
    op.create_table(
        "former_prefixes",
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("experiment_id", sa.String(24), nullable=False),
        sa.Column("moved_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("prefix", "experiment_id", name="pk_former_prefixes"),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name="fk_former_prefixes_experiment_id_experiments"
        ),
    )
    op.create_table(
        "audit",
        sa.Column("experiment_id", sa.String(24), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("time_ns", sa.BigInteger, nullable=False),
        sa.Column("token_id", sa.String(24), nullable=False),
        sa.Column("who", sa.String(255), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("details", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "number", name="pk_audit"),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name="fk_audit_experiment_id_experiments"
        ),
    )


def downgrade() -> None:
    """Forget notes, former names and who has changed what; what was deleted stays."""
    op.drop_table("audit")
    op.drop_table("former_prefixes")
    for name in reversed(_TIMES):
        op.drop_column("experiments", name)
    op.drop_column("experiments", "note")
