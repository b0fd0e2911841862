"""Which blob store belongs to the database, and the generations of it: `ml_dash.server.blobs.identity`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables. The id comes when a server starts, and has seen that the store is this database's."""
    op.create_table(
        "blob_store",
        sa.Column("row", sa.SmallInteger, nullable=False),
        sa.Column("id", sa.String(24), nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("row", name="pk_blob_store"),
    )
    op.create_table(
        "blob_store_generations",
        sa.Column("generation", sa.String(32), nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("generation", name="pk_blob_store_generations"),
    )
    op.create_index("ix_blob_store_generations_created_ns", "blob_store_generations", ["created_ns"])


def downgrade() -> None:
    """Remove them. After the next upgrade, `ml-dash server check --adopt` has to say whose the store is."""
    op.drop_index("ix_blob_store_generations_created_ns", "blob_store_generations")
    op.drop_table("blob_store_generations")
    op.drop_table("blob_store")
