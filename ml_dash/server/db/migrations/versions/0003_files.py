"""Files: their rows, their contents in parts, and what each owner may store."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of files."""
    _create_files()
    _create_contents()


def _create_files() -> None:
    op.create_table(
        "files",
        sa.Column("experiment_id", sa.String(24), nullable=False),
        sa.Column("id", sa.LargeBinary, nullable=False),
        sa.Column("saved_ns", sa.BigInteger),
        sa.Column("seen", sa.BigInteger),
        sa.Column("path", sa.LargeBinary),
        sa.Column("filename", sa.LargeBinary),
        sa.Column("name", sa.LargeBinary),
        sa.Column("content_type", sa.LargeBinary),
        sa.Column("size", sa.BigInteger),
        sa.Column("checksum", sa.String(64)),
        sa.Column("description", sa.LargeBinary),
        sa.Column("tags", sa.LargeBinary),
        sa.Column("bindrs", sa.LargeBinary),
        sa.Column("metadata", sa.LargeBinary),
        sa.Column("description_ns", sa.BigInteger),
        sa.Column("tags_ns", sa.BigInteger),
        sa.Column("bindrs_ns", sa.BigInteger),
        sa.Column("metadata_ns", sa.BigInteger),
        sa.Column("updated_ns", sa.BigInteger),
        sa.Column("deleted_ns", sa.BigInteger),
        sa.PrimaryKeyConstraint("experiment_id", "id", name="pk_files"),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name="fk_files_experiment_id_experiments"
        ),
    )
    op.create_index("ix_files_checksum", "files", ["checksum"])


def _create_contents() -> None:
    op.create_table(
        "contents",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("checksum", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("part_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("touched_ns", sa.BigInteger, nullable=False),
        sa.Column("complete_ns", sa.BigInteger),
        sa.PrimaryKeyConstraint("owner", "checksum", name="pk_contents"),
    )
    op.create_index("ix_contents_touched_ns", "contents", ["touched_ns"])
    op.create_table(
        "content_parts",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("checksum", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("object", sa.String(80), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner", "checksum", "number", name="pk_content_parts"),
        sa.UniqueConstraint("object", name="uq_content_parts_object"),
        sa.ForeignKeyConstraint(
            ["owner", "checksum"],
            ["contents.owner", "contents.checksum"],
            name="fk_content_parts_owner_checksum_contents",
        ),
    )
    op.create_table(
        "owner_limits",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("used_bytes", sa.BigInteger, nullable=False),
        sa.Column("quota_bytes", sa.BigInteger),
        sa.Column("file_bytes", sa.BigInteger),
        sa.PrimaryKeyConstraint("owner", name="pk_owner_limits"),
    )


def downgrade() -> None:
    """Drop the tables, with all that is in them."""
    for table in ("owner_limits", "content_parts", "contents", "files"):
        op.drop_table(table)
