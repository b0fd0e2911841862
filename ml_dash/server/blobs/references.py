"""Which objects of a store the database names: those of rows, and the parts of blobs."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, select

from ml_dash.server.blobs.names import experiment_of
from ml_dash.server.db.tables import BLOB_PARTS, EXPERIMENTS, OBJECTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from sqlalchemy import Connection

    from ml_dash.server.db.database import Database

_AT_ONCE = 500
_COLUMNS = (OBJECTS.c.name, BLOB_PARTS.c.object)


class Judged(NamedTuple):
    """Some names of objects, told apart.

    Attributes:
        named: Those that the database names.
        unnamed: Those that it does not.
        unknown: Those of `unnamed` that have rows of experiments that the database does not have. It never forgets an
            experiment: another database has stored these, or this one in a time that it knows nothing of.
    """

    named: set[str]
    unnamed: list[str]
    unknown: list[str]


def judge(database: Database, names: Collection[str]) -> Judged:
    """Tell names apart; at most some thousands."""
    if not names:  # as on most pages of a store that is looked through for its trash
        return Judged(set(), [], [])
    experiments = {found for name in names if (found := experiment_of(name)) is not None}
    with database.read() as connection:
        named = {
            name
            for column in _COLUMNS
            for name in connection.execute(select(column).where(column.in_(list(names)))).scalars()
        }
        query = select(EXPERIMENTS.c.id).where(EXPERIMENTS.c.id.in_(experiments))
        known = set(connection.execute(query).scalars()) | {None}
    unnamed = [name for name in names if name not in named]
    return Judged(named, unnamed, [name for name in unnamed if experiment_of(name) not in known])


def portions(names: Iterable[str]) -> Iterator[list[str]]:
    """Yield names some at a time: as many as a statement takes."""
    following = iter(names)
    while portion := list(islice(following, _AT_ONCE)):
        yield portion


def count_named(connection: Connection) -> int:
    """Return how many objects the database names."""
    return sum(
        connection.execute(select(func.count()).select_from(column.table)).scalar_one() for column in _COLUMNS
    )


def all_named(connection: Connection) -> Iterator[str]:
    """Yield all names that the database has, some at a time."""
    for column in _COLUMNS:
        yield from connection.execution_options(yield_per=1000).execute(select(column)).scalars()
