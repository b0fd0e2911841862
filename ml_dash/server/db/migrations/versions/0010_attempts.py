"""Know each start of a run, and not only the last of each: an experiment has attempts, and its rows are of one of them.

And count the rows of metrics, which are what people are told as rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make an attempt of each run that is known; which rows are whose is not, and they count as the first one's."""
    op.create_table(
        "openings",
        sa.Column("experiment_id", sa.String(24), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("writer", sa.String(128), nullable=False),
        sa.Column("handle", sa.LargeBinary, nullable=False),
        sa.Column("name", sa.LargeBinary),
        sa.Column("resume_from", sa.LargeBinary),
        sa.Column("event", sa.String(9), nullable=False),
        sa.Column("start_ns", sa.BigInteger, nullable=False),
        sa.Column("order_ns", sa.BigInteger, nullable=False),
        sa.Column("time_ns", sa.BigInteger, nullable=False),
        sa.Column("last_ns", sa.BigInteger, nullable=False),
        sa.Column("is_replaced", sa.Boolean, nullable=False),
        sa.Column("is_end_only", sa.Boolean, nullable=False),
        sa.Column("row", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "number", name="pk_openings"),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name="fk_openings_experiment_id_experiments"
        ),
    )
    op.execute(
        "INSERT INTO openings SELECT experiment_id, n, n, writer, handle, NULL, NULL, event, "
        "time_ns, time_ns, time_ns, time_ns, false, false, row FROM (SELECT runs.*, "
        "ROW_NUMBER() OVER (PARTITION BY experiment_id ORDER BY time_ns, writer, handle) AS n FROM runs) AS numbered"
    )
    op.drop_table("runs")
    for column in ("attempt", "writer", "last_ns"):
        op.create_index(f"ix_openings_experiment_id_{column}", "openings", ["experiment_id", column])
    op.create_table(
        "spans",
        sa.Column("experiment_id", sa.String(24), nullable=False),
        sa.Column("series", sa.Integer, nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("opening", sa.BigInteger),
        sa.Column("writer", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "series", "first", name="pk_spans"),
        sa.ForeignKeyConstraint(
            ["experiment_id", "series"],
            ["series.experiment_id", "series.number"],
            name="fk_spans_experiment_id_series_series",
        ),
    )
    op.add_column("experiments", sa.Column("attempts", sa.Integer, nullable=False, server_default="0"))
    op.add_column("experiments", sa.Column("newest_attempt", sa.BigInteger))
    op.add_column("experiments", sa.Column("metric_rows", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("writers", sa.Column("opening", sa.BigInteger))
    op.add_column("series", sa.Column("opening", sa.BigInteger))
    op.add_column("series", sa.Column("writer", sa.String(128)))
    op.execute(
        "UPDATE experiments SET "
        "attempts = (SELECT COUNT(*) FROM openings WHERE openings.experiment_id = experiments.id), "
        "newest_attempt = (SELECT MAX(number) FROM openings WHERE openings.experiment_id = experiments.id), "
        "metric_rows = (SELECT COALESCE(SUM(series.rows), 0) FROM series "
        "WHERE series.experiment_id = experiments.id AND series.kind = 1)"
    )
    op.execute(
        "UPDATE writers SET opening = (SELECT MAX(number) FROM openings "
        "WHERE openings.experiment_id = writers.experiment_id AND openings.writer = writers.writer), "
        "open_runs = (SELECT COUNT(*) FROM openings JOIN experiments ON experiments.id = openings.experiment_id "
        "WHERE openings.experiment_id = writers.experiment_id AND openings.writer = writers.writer "
        "AND openings.event = 'start' AND openings.attempt = experiments.newest_attempt)"
    )


def downgrade() -> None:
    """Keep the last start or end of each run."""
    op.create_table(
        "runs",
        sa.Column("experiment_id", sa.String(24), nullable=False),
        sa.Column("writer", sa.String(128), nullable=False),
        sa.Column("handle", sa.LargeBinary, nullable=False),
        sa.Column("event", sa.String(8), nullable=False),
        sa.Column("time_ns", sa.BigInteger, nullable=False),
        sa.Column("row", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "writer", "handle", name="pk_runs"),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name="fk_runs_experiment_id_experiments"
        ),
    )
    op.execute(
        "INSERT INTO runs SELECT experiment_id, writer, handle, event, time_ns, row FROM openings WHERE number = "
        "(SELECT MAX(number) FROM openings AS others WHERE others.experiment_id = openings.experiment_id "
        "AND others.writer = openings.writer AND others.handle = openings.handle)"
    )
    op.drop_column("series", "writer")
    op.drop_column("series", "opening")
    op.drop_column("writers", "opening")
    op.drop_column("experiments", "metric_rows")
    op.drop_column("experiments", "newest_attempt")
    op.drop_column("experiments", "attempts")
    op.drop_table("spans")
    op.drop_table("openings")
