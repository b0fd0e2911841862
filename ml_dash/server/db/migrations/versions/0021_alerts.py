"""Rules, what made them fire, and the messages about it; and how many alerts an experiment has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_EXACT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the tables and the column."""
    op.add_column("experiments", sa.Column("alerts", sa.BigInteger, nullable=False, server_default="0"))
    # of clients that were newer than the server
    op.execute(
        "UPDATE experiments SET alerts = (SELECT COALESCE(SUM(series.rows), 0) FROM series "
        "WHERE series.experiment_id = experiments.id AND series.kind = 9) "
        "WHERE id IN (SELECT experiment_id FROM series WHERE kind = 9)"
    )
    op.create_table(
        "rules",
        sa.Column("id", sa.String(24), primary_key=True),
        sa.Column("owner", _EXACT, nullable=False),
        sa.Column("name", sa.LargeBinary, nullable=False),
        sa.Column("filter", sa.LargeBinary, nullable=False),
        sa.Column("who", sa.LargeBinary, nullable=False),
        sa.Column("condition", sa.LargeBinary, nullable=False),
        sa.Column("destination", sa.LargeBinary, nullable=False),
        sa.Column("rearm_ns", sa.BigInteger),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("told_ns", sa.BigInteger),
        sa.Column("delivered_ns", sa.BigInteger),
        sa.Column("problem", sa.LargeBinary),
    )
    op.create_index("ix_rules_owner", "rules", ["owner"])
    op.create_table(
        "rule_firings",
        sa.Column("id", sa.String(24), primary_key=True),
        sa.Column("rule_id", sa.String(24), nullable=False),
        sa.Column("experiment_id", sa.String(24), nullable=False),
        sa.Column("attempt", sa.BigInteger),
        sa.Column("occasion", sa.String(64), nullable=False),
        sa.Column("fired_ns", sa.BigInteger, nullable=False),
        sa.Column("times", sa.BigInteger, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("details", sa.LargeBinary, nullable=False),
        sa.Column("message_id", sa.String(24)),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name="fk_rule_firings_experiment_id_experiments"
        ),
        sa.UniqueConstraint(
            "rule_id", "experiment_id", "occasion", name="uq_rule_firings_rule_id_experiment_id_occasion"
        ),
    )
    op.create_index("ix_rule_firings_state_rule_id", "rule_firings", ["state", "rule_id"])
    op.create_index("ix_rule_firings_message_id", "rule_firings", ["message_id"])
    op.create_table(
        "rule_messages",
        sa.Column("id", sa.String(24), primary_key=True),
        sa.Column("rule_id", sa.String(24), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_ns", sa.BigInteger, nullable=False),
        sa.Column("claimed_ns", sa.BigInteger, nullable=False),
        sa.Column("done_ns", sa.BigInteger),
    )
    op.create_index("ix_rule_messages_done_ns_due_ns", "rule_messages", ["done_ns", "due_ns"])
    op.create_index("ix_rule_messages_rule_id", "rule_messages", ["rule_id"])


def downgrade() -> None:
    """Forget them; the alerts themselves are rows."""
    op.drop_table("rule_messages")
    op.drop_table("rule_firings")
    op.drop_table("rules")
    op.drop_column("experiments", "alerts")
