"""An index for a metric's best value, by which experiments are sorted, with its mean, first value and count."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it: all that is asked of a field but its last, least and largest value is in it."""
    columns = ["metric", "field", "best", "experiment_id", "mean", "first", "count"]
    op.create_index("ix_metric_fields_best", "metric_fields", columns)


def downgrade() -> None:
    """Remove it."""
    op.drop_index("ix_metric_fields_best", "metric_fields")
