"""The language of filters over the catalogue: what its names mean here, and what the tables are called.

What is true of an experiment, and in which order they come, is told by one statement over indices: no rows are read.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy import select

from ml_dash.errors import InvalidFilterError
from ml_dash.query.listing import sql
from ml_dash.query.listing.binding import bind, bind_order
from ml_dash.query.listing.filters import parse
from ml_dash.query.listing.naming import FUNCTIONS, FieldTarget, ParamTarget
from ml_dash.query.listing.sql import Schema
from ml_dash.query.listing.tokens import number_of
from ml_dash.query.times import NANOSECONDS
from ml_dash.server.catalogue.columns import not_understood
from ml_dash.server.db.tables import NAMES
from ml_dash.server.db.texts import comparable_text, searchable
from ml_dash.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import ColumnElement, Connection

    from ml_dash.query.listing.binding import Condition
    from ml_dash.query.listing.naming import Field
    from ml_dash.query.listing.sql import Compiled, Dialect
    from ml_dash.server.catalogue.records import Search

NAMES_MAX = 10_000
"""Names among which one is looked for that was not written out in full."""


class OwnedNames:
    """The names that experiments of some owners have, or had; see `ml_dash.query.listing.naming.Names`."""

    def __init__(self, connection: Connection, owners: Collection[str] | None) -> None:
        self._connection = connection
        self._own: list[ColumnElement[bool]] = [] if owners is None else [NAMES.c.owner.in_(sorted(owners))]

    def has_param(self, name: str) -> bool:
        """See `Names`."""
        return bool(self._said("", name, is_param=True))

    def has_field(self, metric: str | None, field: str) -> bool:
        """See `Names`."""
        return bool(self._said(metric or "", field, is_param=False))

    def params(self) -> Collection[str]:
        """See `Names`."""
        return self._params

    def fields(self) -> Collection[Field]:
        """See `Names`."""
        return self._fields

    def is_number(self, target: ParamTarget | FieldTarget) -> bool:
        """See `Names`."""
        if isinstance(target, ParamTarget):
            found = self._said("", target.name, is_param=True)
        else:
            found = self._said(target.metric or "", target.field, is_param=False)
        return bool(found) and all(found)

    def _said(self, metric: str, name: str, *, is_param: bool) -> Sequence[bool]:
        """Return whether a name is a number, for each owner who has it."""
        query = select(NAMES.c.is_number).where(
            NAMES.c.is_param.is_(is_param),
            NAMES.c.metric == searchable(metric),
            NAMES.c.name == searchable(name),
            *self._own,
        )
        return self._connection.execute(query).scalars().all()

    @cached_property
    def _params(self) -> list[str]:
        query = select(NAMES.c.name).where(NAMES.c.is_param.is_(True), *self._own).distinct()
        return list(self._connection.execute(query.order_by(NAMES.c.name).limit(NAMES_MAX)).scalars())

    @cached_property
    def _fields(self) -> list[Field]:
        query = select(NAMES.c.metric, NAMES.c.name).where(NAMES.c.is_param.is_(False), *self._own).distinct()
        rows = self._connection.execute(query.order_by(NAMES.c.metric, NAMES.c.name).limit(NAMES_MAX))
        return [(row.metric or None, row.name) for row in rows]


def compiled(asked: Search, names: OwnedNames, dialect: Dialect, now_ns: int, stale_after: float) -> Compiled:
    """Return a filter and an order as SQL.

    Raises:
        ApiError: 400: one cannot be understood; ``problems`` says where, and what is possible.
    """
    try:
        bound = bind(parse(asked.filter), names).checked()
        order = None if asked.order is None else bind_order(asked.order, names)
    except InvalidFilterError as error:
        raise not_understood(error) from None
    found = sql.compile(bound, order, _schema(dialect, stale_after), dialect, now_ns)
    # where the filter asks for numbers of what sorts, nothing comes behind those that have one
    if order is not None and any(
        each.target == order.target and _is_of_numbers(each) for each in bound.conditions
    ):
        return replace(found, phases=found.phases[:-1])
    return found


def _is_of_numbers(condition: Condition) -> bool:
    """Say whether a condition holds only of experiments that have a number, in a table of values."""
    is_kept = isinstance(condition.target, (ParamTarget, FieldTarget))
    return (
        is_kept
        and condition.operator != "!="
        and not condition.is_pattern
        and number_of(condition.value) is not None
    )


def _name(name: str | None) -> str:
    return searchable(name or "")


def _schema(dialect: Dialect, stale_after: float) -> Schema:
    is_alive = f"e.alive_ns >= :now - {int(stale_after * NANOSECONDS)}"
    said = " ".join(
        f"WHEN e.status = {_bytes(status.value, dialect)} THEN '{status.value.lower()}'"
        for status in RunStatus
        if status is not RunStatus.RUNNING
    )
    fold = "ml_dash_fold" if dialect == "sqlite" else "lower"
    running = _bytes(RunStatus.RUNNING.value, dialect)
    is_running = f"(coalesce({is_alive}, false) OR coalesce(e.status = {running}, false))"
    ended = f"CASE WHEN {is_running} THEN NULL ELSE e.status_ns END"
    end = f"CASE WHEN {is_alive} THEN :now WHEN e.status = {running} THEN e.activity_ns ELSE e.status_ns END"
    return Schema(
        columns={
            "status": f"CASE WHEN {is_alive} THEN 'running' WHEN e.status = {running} THEN 'stale' "
            f"WHEN e.status IS NULL THEN 'unknown' {said} ELSE lower(ml_dash_text(e.status)) END",
            **{name: f"e.{name}" for name in ("prefix", "owner", "project", "folder", "name", "attempts")},
            "host": "ml_dash_text(e.host)",
            "error": f"CASE WHEN {is_running} THEN NULL ELSE ml_dash_text(e.error) END",
            **{name: f"{fold}(ml_dash_text(e.{name}))" for name in ("note", "readme")},
            "rows": "e.metric_rows",
            "duration": f"({end} - e.started_ns) / CAST(1000000000 AS DOUBLE PRECISION)",
            "started": "e.started_ns",
            "ended": ended,
            "active": "e.activity_ns",
            "created": "e.created_ns",
        },
        words="e.words",
        id="number",
        id_type="bigint",
        aggregates={name: f"{{t}}.{name}" for name in FUNCTIONS},
        # how a tag is compared is beside it
        tags="(SELECT experiment_id, folded AS tag FROM experiment_tags)",
        name=_name,
        text=comparable_text,
        # what databases refuse is stored as one of these
        is_alone=lambda name: "?" not in name and " " not in name,
    )


def _bytes(text: str, dialect: Dialect) -> str:
    """Return what a column of bytes is compared with."""
    digits = text.encode().hex()
    return f"X'{digits}'" if dialect == "sqlite" else f"decode('{digits}', 'hex')"
