"""Know experiments by a number where lists look through all of them: parameters, fields of metrics, and tags."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_EXACT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
_AT_ONCE = 10_000
_KEYS = {
    "params": ("experiment_id", "place"),
    "metric_fields": ("experiment_id", "series", "place"),
    "experiment_tags": ("experiment_id", "tag"),
}
_INDICES = {
    "params": {
        f"ix_params_name_{column}_experiment_id": ["name", column, "experiment_id"]
        for column in ("number", "text")
    },
    "metric_fields": {
        **{
            f"ix_metric_fields_metric_field_{column}_experiment_id": [
                "metric",
                "field",
                column,
                "experiment_id",
            ]
            for column in ("last", "min", "max")
        },
        "ix_metric_fields_best": ["metric", "field", "best", "experiment_id", "mean", "first", "count"],
    },
    "experiment_tags": {
        "ix_experiment_tags_tag": ["tag"],
        "ix_experiment_tags_folded_experiment_id": ["folded", "experiment_id"],
    },
}


def upgrade() -> None:
    """Give each experiment its number, and copy the tables with it: an entry of their indices has half the size."""
    op.add_column("experiments", sa.Column("number", sa.BigInteger, nullable=False, server_default="0"))
    op.drop_index("ix_experiments_living", "experiments")
    _number()
    others = ["deleted_ns", "created_ns", "owner", "id"]
    op.create_index(
        "ix_experiments_number", "experiments", ["number"], unique=True, postgresql_include=others
    )
    if op.get_bind().dialect.name == "sqlite":
        # which has no index that is unique and has more in it
        op.create_index("ix_experiments_living", "experiments", ["number", *others])
    for table in _KEYS:
        _copy(table, sa.BigInteger(), "number", "id")


def _number() -> None:
    experiments = sa.table("experiments", sa.column("id", sa.String), sa.column("number", sa.BigInteger))
    connection = op.get_bind()
    ids = connection.execute(sa.select(experiments.c.id)).scalars().all()
    numbered = (
        experiments.update().where(experiments.c.id == sa.bindparam("of")).values(number=sa.bindparam("is"))
    )
    for start in range(0, len(ids), _AT_ONCE):
        # as `ml_dash.server.db.tables.number_of` had it when this was written
        rows = [{"of": id_, "is": int(id_[-12:], 36)} for id_ in ids[start : start + _AT_ONCE]]
        connection.execute(numbered, rows)


def _columns(table: str) -> list[sa.Column[Any]]:
    if table == "params":
        return [
            sa.Column("place", sa.Integer, nullable=False),
            sa.Column("full_name", sa.LargeBinary, nullable=False),
            sa.Column("value", sa.LargeBinary),
            sa.Column("name", _EXACT),
            sa.Column("number", sa.Double),
            sa.Column("text", _EXACT),
        ]
    if table == "metric_fields":
        return [
            sa.Column("series", sa.Integer, nullable=False),
            sa.Column("place", sa.Integer, nullable=False),
            sa.Column("metric", _EXACT, nullable=False),
            sa.Column("field", _EXACT, nullable=False),
            sa.Column("count", sa.BigInteger, nullable=False),
            *(sa.Column(name, sa.Double) for name in ("first", "last", "min", "max", "mean", "best")),
            sa.Column("last_text", _EXACT),
        ]
    return [
        sa.Column("tag", sa.LargeBinary, nullable=False),
        sa.Column("folded", _EXACT, nullable=False, server_default=""),
    ]


def _copy(table: str, kind: sa.types.TypeEngine[Any], after: str, before: str) -> None:
    """Make a table anew that knows experiments by their `after`, of what it knows by their `before`."""
    columns = _columns(table)
    for name in _INDICES[table]:
        op.drop_index(name, table)
    if op.get_bind().dialect.name == "postgresql":
        # there, names of keys are those of a schema
        op.drop_constraint(f"pk_{table}", table)
    op.rename_table(table, "copied")
    op.create_table(
        table,
        sa.Column("experiment_id", kind, nullable=False),
        *columns,
        sa.PrimaryKeyConstraint(*_KEYS[table], name=f"pk_{table}"),
        sa.ForeignKeyConstraint(
            ["experiment_id"], [f"experiments.{after}"], name=f"fk_{table}_experiment_id_experiments"
        ),
    )
    names = ", ".join(f'"{column.name}"' for column in columns)
    op.execute(
        f"INSERT INTO {table} (experiment_id, {names}) SELECT e.{after}, "  # noqa: S608 - names of this file
        f"{', '.join(f'c.{each}' for each in names.split(', '))} "
        f"FROM copied c JOIN experiments e ON e.{before} = c.experiment_id"
    )
    op.drop_table("copied")
    for name, indexed in _INDICES[table].items():
        op.create_index(name, table, indexed)


def downgrade() -> None:
    """Know them by their ids again."""
    for table in _KEYS:
        _copy(table, sa.String(24), "id", "number")
    if op.get_bind().dialect.name == "sqlite":
        op.drop_index("ix_experiments_living", "experiments")
    op.drop_index("ix_experiments_number", "experiments")
    op.drop_column("experiments", "number")
    op.create_index("ix_experiments_living", "experiments", ["id", "deleted_ns", "created_ns", "owner"])
