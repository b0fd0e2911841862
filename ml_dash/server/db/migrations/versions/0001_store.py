"""The store: experiments, writers, series, blocks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.String(24)
_WRITER = sa.String(128)


def upgrade() -> None:
    """Create the tables."""
    _create_experiments()
    _create_writers()
    _create_rows()


def _create_experiments() -> None:
    op.create_table(
        "experiments",
        sa.Column("id", _ID, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("readme", sa.LargeBinary),
        sa.Column("tags", sa.LargeBinary, nullable=False),
        sa.Column("bindrs", sa.LargeBinary, nullable=False),
        sa.Column("metadata", sa.LargeBinary),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("updated_ns", sa.BigInteger, nullable=False),
        sa.Column("deleted_ns", sa.BigInteger),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("activity_ns", sa.BigInteger),
        sa.Column("status", sa.LargeBinary),
        sa.Column("status_ns", sa.BigInteger),
        sa.Column("host", sa.LargeBinary),
        sa.Column("pid", sa.BigInteger),
        sa.Column("error", sa.LargeBinary),
        sa.Column("started_ns", sa.BigInteger),
        sa.Column("alive_ns", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_experiments"),
        sa.UniqueConstraint("prefix", name="uq_experiments_prefix"),
    )
    op.create_index("ix_experiments_owner_project", "experiments", ["owner", "project"])
    op.create_index("ix_experiments_created_ns_id", "experiments", ["created_ns", "id"])
    op.create_table(
        "experiment_tags",
        sa.Column("experiment_id", _ID, nullable=False),
        sa.Column("tag", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "tag", name="pk_experiment_tags"),
        _of_experiment("experiment_tags"),
    )
    op.create_index("ix_experiment_tags_tag", "experiment_tags", ["tag"])


def _create_writers() -> None:
    op.create_table(
        "writers",
        sa.Column("experiment_id", _ID, nullable=False),
        sa.Column("writer", _WRITER, nullable=False),
        sa.Column("watermark", sa.BigInteger, nullable=False),
        sa.Column("checks", sa.LargeBinary, nullable=False),
        sa.Column("last_ns", sa.BigInteger),
        sa.Column("run_ns", sa.BigInteger),
        sa.Column("open_runs", sa.Integer, nullable=False),
        sa.Column("received_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "writer", name="pk_writers"),
        _of_experiment("writers"),
    )
    op.create_table(
        "frame_checks",
        sa.Column("experiment_id", _ID, nullable=False),
        sa.Column("writer", _WRITER, nullable=False),
        sa.Column("page", sa.BigInteger, nullable=False),
        sa.Column("checks", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "writer", "page", name="pk_frame_checks"),
        _of_experiment("frame_checks"),
    )
    op.create_table(
        "runs",
        sa.Column("experiment_id", _ID, nullable=False),
        sa.Column("writer", _WRITER, nullable=False),
        sa.Column("handle", sa.LargeBinary, nullable=False),
        sa.Column("event", sa.String(8), nullable=False),
        sa.Column("time_ns", sa.BigInteger, nullable=False),
        sa.Column("row", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "writer", "handle", name="pk_runs"),
        _of_experiment("runs"),
    )


def _create_rows() -> None:
    op.create_table(
        "series",
        sa.Column("experiment_id", _ID, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("kind", sa.BigInteger, nullable=False),
        sa.Column("name", sa.LargeBinary, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("fields", sa.LargeBinary, nullable=False),
        sa.Column("first_ns", sa.BigInteger, nullable=False),
        sa.Column("last_ns", sa.BigInteger, nullable=False),
        sa.Column("hot_rows", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "number", name="pk_series"),
        sa.UniqueConstraint("experiment_id", "kind", "name", name="uq_series_experiment_id_kind_name"),
        _of_experiment("series"),
    )
    op.create_table(
        "blocks",
        sa.Column("experiment_id", _ID, nullable=False),
        sa.Column("series", sa.Integer, nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("writer", _WRITER),
        sa.Column("seq", sa.BigInteger),
        sa.Column("min_ns", sa.BigInteger, nullable=False),
        sa.Column("max_ns", sa.BigInteger, nullable=False),
        sa.Column("head", sa.LargeBinary, nullable=False),
        sa.Column("data", sa.LargeBinary),
        sa.Column("object", sa.String(80)),
        sa.Column("offset", sa.BigInteger),
        sa.Column("length", sa.BigInteger, nullable=False),
        sa.Column("crc", sa.BigInteger, nullable=False),
        sa.Column("summary", sa.LargeBinary),
        sa.PrimaryKeyConstraint("experiment_id", "series", "first", name="pk_blocks"),
        sa.ForeignKeyConstraint(
            ["experiment_id", "series"],
            ["series.experiment_id", "series.number"],
            name="fk_blocks_experiment_id_series_series",
        ),
    )
    op.create_table(
        "objects",
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("experiment_id", _ID, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_objects"),
        _of_experiment("objects"),
    )


def _of_experiment(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["experiment_id"], ["experiments.id"], name=f"fk_{table}_experiment_id_experiments"
    )


def downgrade() -> None:
    """Drop the tables, with all that is in them."""
    for table in (
        "objects",
        "blocks",
        "series",
        "runs",
        "frame_checks",
        "writers",
        "experiment_tags",
        "experiments",
    ):
        op.drop_table(table)
