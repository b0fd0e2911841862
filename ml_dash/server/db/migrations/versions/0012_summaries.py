"""Keep of each metric's fields what lists of experiments show, are sorted and filtered by; and parameters as a table.

What is stored already is read once, in the background, by whichever server runs first.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_EXACT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")

# text may be any str of Python's, and is stored as bytes: what is no UTF-8 cannot be a text of the database
_TEXT_OF_BYTES = """
CREATE FUNCTION ml_dash_text(data bytea) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN convert_from(data, 'UTF8');
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
    RETURN encode(data, 'escape');
END $$
"""


def upgrade() -> None:
    """Add the tables, and mark all series that they are made of as not read yet."""
    op.add_column("experiments", sa.Column("resumed", sa.Boolean, nullable=False, server_default=sa.false()))
    op.execute(
        "UPDATE experiments SET resumed = true WHERE id IN "
        "(SELECT experiment_id FROM openings WHERE resume_from IS NOT NULL)"
    )
    op.create_index("ix_experiments_living", "experiments", ["id", "deleted_ns", "created_ns", "owner"])
    if op.get_bind().dialect.name == "postgresql":
        # on SQLite a function of Python's, see `ml_dash.server.db.database`
        op.execute(_TEXT_OF_BYTES)
    _fold_tags()
    op.add_column("series", sa.Column("summary", sa.LargeBinary))
    op.add_column("series", sa.Column("summary_rows", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("series", sa.Column("unlisted", sa.Boolean, nullable=False, server_default=sa.false()))
    # of metrics and of parameters
    op.execute("UPDATE series SET unlisted = true WHERE kind IN (1, 4)")
    op.create_index(
        "ix_series_unlisted",
        "series",
        ["experiment_id", "number"],
        sqlite_where=sa.text("unlisted"),
        postgresql_where=sa.text("unlisted"),
    )
    op.create_table(
        "params",
        sa.Column("experiment_id", sa.String(24), nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("full_name", sa.LargeBinary, nullable=False),
        sa.Column("value", sa.LargeBinary),
        sa.Column("name", _EXACT),
        sa.Column("number", sa.Double),
        sa.Column("text", _EXACT),
        sa.PrimaryKeyConstraint("experiment_id", "place", name="pk_params"),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name="fk_params_experiment_id_experiments"
        ),
    )
    for column in ("number", "text"):
        op.create_index(f"ix_params_name_{column}_experiment_id", "params", ["name", column, "experiment_id"])
    op.create_table(
        "metric_fields",
        sa.Column("experiment_id", sa.String(24), nullable=False),
        sa.Column("series", sa.Integer, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("metric", _EXACT, nullable=False),
        sa.Column("field", _EXACT, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Double) for name in ("first", "last", "min", "max", "mean", "best")),
        sa.Column("last_text", _EXACT),
        sa.PrimaryKeyConstraint("experiment_id", "series", "place", name="pk_metric_fields"),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name="fk_metric_fields_experiment_id_experiments"
        ),
    )
    for column in ("last", "min", "max"):
        name = f"ix_metric_fields_metric_field_{column}_experiment_id"
        op.create_index(name, "metric_fields", ["metric", "field", column, "experiment_id"])
    op.create_table(
        "names",
        sa.Column("is_param", sa.Boolean, nullable=False),
        sa.Column("metric", _EXACT, nullable=False),
        sa.Column("name", _EXACT, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("is_number", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("is_param", "metric", "name", "owner", name="pk_names"),
    )


def _fold_tags() -> None:
    """Add to each tag how it is compared: what is in it is bytes to the database, so Python says it."""
    op.add_column("experiment_tags", sa.Column("folded", _EXACT, nullable=False, server_default=""))
    tags = sa.table("experiment_tags", sa.column("tag", sa.LargeBinary), sa.column("folded", _EXACT))
    connection = op.get_bind()
    found = connection.execute(sa.select(tags.c.tag).distinct()).scalars().all()
    if found:
        connection.execute(
            tags.update()
            .where(tags.c.tag == sa.bindparam("of_tag"))
            .values(folded=sa.bindparam("as_compared")),
            [{"of_tag": tag, "as_compared": _folded(bytes(tag))} for tag in found],
        )
    op.create_index("ix_experiment_tags_folded_experiment_id", "experiment_tags", ["folded", "experiment_id"])


def _folded(tag: bytes) -> str:
    # as `ml_dash.server.db.texts.comparable` had it when this was written
    text = (
        tag.decode("utf-8", "surrogatepass").casefold().encode("utf-8", "replace").decode().replace("\0", " ")
    )
    return text.encode()[:1000].decode("utf-8", "ignore")


def downgrade() -> None:
    """Remove them: they are made of what stays."""
    op.drop_table("names")
    op.drop_table("metric_fields")
    op.drop_table("params")
    op.drop_index("ix_series_unlisted", "series")
    op.drop_column("series", "unlisted")
    op.drop_column("series", "summary_rows")
    op.drop_column("series", "summary")
    op.drop_index("ix_experiment_tags_folded_experiment_id", "experiment_tags")
    op.drop_column("experiment_tags", "folded")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION ml_dash_text(bytea)")
    op.drop_index("ix_experiments_living", "experiments")
    op.drop_column("experiments", "resumed")
