"""Metrics by a part of their names, for whoever types one: of a hundred thousand, a few that fit.

First those of the newest runs in the folder. Where they are too few, also those that the owner's other runs have, or
had: that list has each name once, and of those that fit it is asked whether an experiment in the folder has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import case, exists, func, literal, or_, select, true

from ml_dash.query.listing.naming import title_of
from ml_dash.server.db.tables import EXPERIMENTS, METRIC_FIELDS, NAMES
from ml_dash.server.db.texts import Holds, searchable

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

_NEWEST, _FIELDS_MAX = 3, 200_000
"""Runs that are looked through first, and fields of theirs at most."""
_AT_ONCE = 200
"""Names of the owner that are asked for in the folder."""
_EXPERIMENTS_MAX = 2000
"""Experiments that are looked at for one name. What so many have counts as known everywhere."""


def metrics_in(connection: Connection, folder: str, search: str, limit: int) -> tuple[list[str], bool]:
    """Return metrics of a folder with numbers, as rules and filters write them, and whether there may be more.

    Args:
        connection: The database's.
        folder: The owner, and folders below it.
        search: A part of the name, in any case; those that begin so come first. Empty: any name.
        limit: How many at most.
    """
    folder = folder.rstrip("/")
    wanted = _lower(searchable(search))
    rows = connection.execute(_of_newest(folder, wanted, limit + 1)).all()
    found = dict.fromkeys(title_of(metric or None, field) for metric, field, *_ in rows)
    may_have_more = False
    if len(found) <= limit:
        rows = connection.execute(_of_owner(folder, wanted)).all()
        may_have_more = len(rows) == _AT_ONCE
        found |= dict.fromkeys(title_of(each.metric or None, each.field) for each in rows if each.is_inside)
    titles = sorted(found, key=lambda title: (not _lower(title).startswith(wanted), title))
    return titles[:limit], may_have_more or len(titles) > limit


def _of_newest(folder: str, wanted: str, limit: int) -> Select[Any]:
    newest = (
        select(EXPERIMENTS.c.number)
        .where(EXPERIMENTS.c.owner == folder.partition("/")[0], *_below(folder))
        .order_by(EXPERIMENTS.c.created_ns.desc(), EXPERIMENTS.c.id.desc())
        .limit(_NEWEST)
    )
    fields = (
        select(METRIC_FIELDS.c.metric, METRIC_FIELDS.c.field)
        .where(METRIC_FIELDS.c.experiment_id.in_(newest), METRIC_FIELDS.c["count"] > 0)
        .limit(_FIELDS_MAX)
        .subquery("of_newest")
    )
    return _fitting(fields, wanted).distinct().limit(limit)


def _of_owner(folder: str, wanted: str) -> Select[Any]:
    owner, _, below = folder.partition("/")
    names = (
        select(NAMES.c.metric, NAMES.c.name.label("field"))
        .where(NAMES.c.owner == owner, NAMES.c.is_param.is_(False), NAMES.c.is_number)
        .subquery("of_owner")
    )
    fitting = _fitting(names, wanted).limit(_AT_ONCE).subquery("fitting")
    if not below:
        return select(fitting, true().label("is_inside"))
    having = (
        select(METRIC_FIELDS.c.experiment_id)
        .where(METRIC_FIELDS.c.metric == fitting.c.metric, METRIC_FIELDS.c.field == fitting.c.field)
        .limit(_EXPERIMENTS_MAX)
        .correlate(fitting)
        .subquery("having")
    )
    is_there = exists().where(EXPERIMENTS.c.number == having.c.experiment_id, *_below(folder))
    is_everywhere = select(func.count()).select_from(having).scalar_subquery() == _EXPERIMENTS_MAX
    return select(fitting, or_(is_there, is_everywhere).label("is_inside"))


def _below(folder: str) -> list[Any]:
    return [
        EXPERIMENTS.c.deleted_ns.is_(None),
        EXPERIMENTS.c.prefix.startswith(f"{folder}/", autoescape=True),
    ]


def _fitting(names: Any, wanted: str) -> Select[Any]:
    """Return those of names that have in them what is wanted, those that begin so first."""
    title = func.lower(
        case((names.c.metric == "", names.c.field), else_=names.c.metric + "/" + names.c.field)
    )
    rank = case((func.substr(title, 1, len(wanted)) == wanted, 0), else_=1).label("rank")
    found = select(names.c.metric, names.c.field, rank)
    if wanted:
        found = found.where(Holds(title, literal(wanted)))
    return found.order_by(rank, names.c.metric, names.c.field)


def _lower(text: str) -> str:
    """Return a text in lower case as both databases have it, which leave alone what is not ASCII."""
    return "".join(each.lower() if each.isascii() else each for each in text)
