"""Parameters and summaries of metrics of several experiments, as the catalogue keeps them: no rows are read."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from ml_dash.series import Kind
from ml_dash.server.catalogue.columns import columns_shown, table_value
from ml_dash.server.catalogue.kept import unpack, unpack_definitions
from ml_dash.server.db.tables import EXPERIMENTS, PARAMS, SERIES, name_key, number_of, series_name
from ml_dash.server.db.texts import searchable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sqlalchemy import Connection

    from ml_dash.query.listing.listed import Definitions
    from ml_dash.query.listing.naming import Field
    from ml_dash.query.listing.summary import FieldSummary
    from ml_dash.server.catalogue.columns import Columns
    from ml_dash.shapes import MetricField

_AT_ONCE = 16
"""Experiments of which all is read at once: one may have ten thousand metrics."""
# SQLite allows 32,766 parameters in a statement
_ASKED = 5000


def values_of(connection: Connection, ids: Sequence[str], columns: Columns) -> dict[str, dict[str, Any]]:
    """Return the columns of some experiments, by their ids, as answers have them."""
    params = params_of(connection, ids, columns.params)
    metrics = metrics_of(connection, ids, columns.fields)
    definitions = {} if columns.fields is not None and not columns.fields else definitions_of(connection, ids)
    return {
        id_: columns_shown(params.get(id_, {}), metrics.get(id_, {}), definitions.get(id_, {}), columns)
        for id_ in ids
    }


def definitions_of(connection: Connection, ids: Sequence[str]) -> dict[str, Definitions]:
    """Return which values of metrics are best, by experiment; those without definitions are left out."""
    found = connection.execute(
        select(SERIES.c.experiment_id, SERIES.c.summary).where(
            SERIES.c.experiment_id.in_(ids), SERIES.c.kind == int(Kind.PARAMS), SERIES.c.summary.is_not(None)
        )
    )
    return {id_: unpack_definitions(stored) for id_, stored in found}


def params_of(
    connection: Connection, ids: Sequence[str], names: Collection[str] | None = None
) -> dict[str, dict[str, Any]]:
    """Return the parameters of experiments, those of these names alone; None for all."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    if names is not None and not names:
        return found
    query = select(PARAMS.c.experiment_id, PARAMS.c.full_name, PARAMS.c.value).where(
        PARAMS.c.experiment_id.in_(ids)
    )
    if names is not None:
        query = query.where(PARAMS.c.name.in_([searchable(name) for name in names][:_ASKED]))
    of_number = {number_of(id_): id_ for id_ in ids}
    for number, name, value in connection.execute(query.order_by(PARAMS.c.experiment_id, PARAMS.c.place)):
        found[of_number[number]][name] = value
    return found


def metrics_of(
    connection: Connection, ids: Sequence[str], wanted: Collection[Field] | None = None
) -> dict[str, dict[str | None, dict[str, FieldSummary]]]:
    """Return the summaries of fields of metrics, of these alone; None for all."""
    found: dict[str, dict[str | None, dict[str, FieldSummary]]] = defaultdict(dict)
    if wanted is not None and not wanted:
        return found
    columns = SERIES.c
    query = select(columns.experiment_id, columns.name, columns.summary_rows, columns.summary).where(
        columns.experiment_id.in_(ids), columns.kind == int(Kind.METRIC)
    )
    if wanted is not None:
        query = query.where(columns.name.in_([name_key(metric) for metric, _ in wanted][:_ASKED]))
    for id_, key, rows, stored in connection.execute(query.order_by(columns.experiment_id, columns.number)):
        metric = series_name(key)
        fields = unpack(rows, stored).fields
        if wanted is not None:
            fields = {name: each for name, each in fields.items() if (metric, name) in wanted}
        if fields:
            found[id_][metric] = fields
    return found


def table_values(
    connection: Connection, ids: Sequence[str], wanted: Sequence[MetricField], owners: frozenset[str] | None
) -> Iterator[dict[str, Any]]:
    """Yield what a table shows of experiments, see `ml_dash.server.rows.library.Library.values`."""
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        living = select(EXPERIMENTS.c.id).where(
            EXPERIMENTS.c.id.in_(some), EXPERIMENTS.c.deleted_ns.is_(None)
        )
        if owners is not None:
            living = living.where(EXPERIMENTS.c.owner.in_(sorted(owners)))
        there = set(connection.execute(living).scalars())
        params, metrics = params_of(connection, some), metrics_of(connection, some)
        for id_ in some:
            if id_ in there:
                yield {"id": id_, **table_value(params.get(id_, {}), metrics.get(id_, {}), wanted)}
