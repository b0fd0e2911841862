"""What lists and tables show of the experiments of a local root beside their records: no journal is opened for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidFilterError
from ml_dash.journal.objects import from_msgpack
from ml_dash.query.listing.binding import bind, bind_order
from ml_dash.query.listing.filters import parse
from ml_dash.query.listing.finding import finder
from ml_dash.query.listing.sql import compile as compile_sql
from ml_dash.server.catalogue.columns import columns_shown, not_understood, shown, table_value
from ml_dash.server.http.cursors import invalid_cursor, read_cursor
from ml_dash.storage.summaries.asking import runner
from ml_dash.storage.summaries.records import Record, unpack_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_dash.query.listing.finding import Found
    from ml_dash.query.listing.sql import Compiled
    from ml_dash.server.catalogue.columns import Columns
    from ml_dash.server.catalogue.records import Search
    from ml_dash.server.local.matching import Conditions
    from ml_dash.shapes import MetricField
    from ml_dash.storage.summaries.store import Store


def table_value_of(
    id_: str, wanted: Sequence[MetricField], owners: frozenset[str] | None, store: Store
) -> dict[str, Any] | None:
    """Return what a table shows of an experiment, see `Library.values`; None where it shows none."""
    found = store.connection.execute(
        "SELECT e.owner, d.params, d.metrics FROM experiments e JOIN details d ON d.id = e.id WHERE e.uid = ?",
        (id_,),
    ).fetchone()
    if found is None or (owners is not None and found[0] not in owners):
        return None
    params = {} if found[1] is None else from_msgpack(found[1])
    return {"id": id_, **table_value(params, unpack_metrics(found[2]), wanted)}


class Question:
    """A filter, an order and columns, asked of a root.

    Raises:
        ApiError: 400: one of them cannot be understood, or the cursor is none of theirs.
    """

    def __init__(
        self, store: Store, asked: Search, conditions: Conditions, cursor: str | None, now_ns: int
    ) -> None:
        self._store = store
        try:
            bound = bind(parse(asked.filter), store.names).checked()
            order = None if asked.order is None else bind_order(asked.order, store.names)
        except InvalidFilterError as error:
            raise not_understood(error) from None
        question = compile_sql(bound, order, store.names.schema, "sqlite", now_ns)
        run = runner(store.connection, question, conditions.where, conditions.values)
        self._finder = finder(question, run)
        self._columns = shown(asked, store.names)
        self._place = None if cursor is None else _read(cursor, question)

    @property
    def columns(self) -> Columns:
        """What is shown beside the records."""
        return self._columns

    def total(self) -> int:
        """Return how many experiments are asked for."""
        return self._finder.total()

    def page(self, most: int) -> list[Found]:
        """Return the next of them."""
        return self._finder.page(self._place, most)

    def shown(self, id_: int) -> dict[str, Any]:
        """Return the columns of an experiment."""
        columns = self._columns
        if columns.is_empty and not columns.texts:
            return {}
        record, packed, summaries = self._store.connection.execute(
            "SELECT record, params, metrics FROM details WHERE id = ?", (id_,)
        ).fetchone()
        params = {} if packed is None else from_msgpack(packed)
        metrics = unpack_metrics(summaries)
        if columns.params is not None:
            params = {name: params[name] for name in columns.params if name in params}
        if columns.fields is not None:
            asked = set(columns.fields)
            metrics = {
                name: kept
                for name, fields in metrics.items()
                if (kept := {field: each for field, each in fields.items() if (name, field) in asked})
            }
        known = Record.from_bytes(record, "")
        texts = {name: getattr(known, name) for name in columns.texts}
        return {**texts, **columns_shown(params, metrics, known.bests, columns)}


def _read(cursor: str, compiled: Compiled) -> list[Any]:
    match read_cursor(cursor):
        case [int() as phase, key, int() as created_ns, str() as uid] if (
            0 <= phase < len(compiled.phases)
            and (key is None) == (compiled.phases[phase].key is None)
            and (
                key is None
                or isinstance(key, (float, str))
                or (isinstance(key, int) and -(2**63) <= key < 2**63)
            )
            and 0 <= created_ns < 2**63
            and uid.isascii()
        ):
            return [phase, key, created_ns, uid]
    raise invalid_cursor(cursor)
