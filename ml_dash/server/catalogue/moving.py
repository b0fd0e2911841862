"""Experiments that were moved: which one a client means that knows it by a name that it had before.

Frames go by an experiment's id, so a run that goes on while its experiment is moved does not notice. But whoever
introduces an experiment has its name: a run after an outage, `ml-dash sync`, the next run in the same directory. A new
one under the old name would be given all rows once more. So a client tells the writers of its journal, too: if an
experiment that was called so has frames of one of them, that is the one which is meant, whoever has the name now.

Older clients tell no writers. They are given what was called so last, as long as nothing else has that name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, select, update

from ml_dash.server.catalogue.records import exists, own_prefix, prefix_of_succeeded
from ml_dash.server.db.database import upsert
from ml_dash.server.db.tables import EXPERIMENTS, FORMER_PREFIXES, WRITERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row

    from ml_dash.identity import Identity


def meant(connection: Connection, prefix: str, writers: Sequence[str] | None) -> Row[Any] | None:
    """Return the experiment that a client means, locked, be it deleted or not; None where there is none.

    Args:
        connection: In a transaction that writes.
        prefix: What it calls the experiment.
        writers: Writers of its journal; None of a client that does not tell them.
    """
    found, known = None, None
    if writers:
        known = select(WRITERS.c.experiment_id).where(WRITERS.c.writer.in_(writers))
        found = _formerly(connection, prefix, FORMER_PREFIXES.c.experiment_id.in_(known))
        if found is not None and found.deleted_ns is None:
            return found
    named = locked(connection, EXPERIMENTS.c.prefix == prefix)
    if found is not None and not _succeeds(connection, named, known):
        return found
    if named is None and writers is None:
        return _formerly(connection, prefix, EXPERIMENTS.c.deleted_ns.is_(None))
    return named


def _succeeds(connection: Connection, named: Row[Any] | None, known: Any) -> bool:
    """Say whether what has the name now goes on with the journal of one that was deleted, see `succession`."""
    if named is None or named.deleted_ns is not None:
        return False
    query = select(EXPERIMENTS.c.id).where(EXPERIMENTS.c.id == named.id, EXPERIMENTS.c.id.in_(known))
    return connection.execute(query).first() is not None


def locked(connection: Connection, condition: Any) -> Row[Any] | None:
    """Return the experiment that fulfils a condition, which nobody else changes before this transaction ends."""
    return connection.execute(select(EXPERIMENTS).where(condition).with_for_update()).one_or_none()


# made once: every introduction asks, and almost none of an experiment that was moved
_WAS_EVER = (
    select(FORMER_PREFIXES.c.experiment_id).where(FORMER_PREFIXES.c.prefix == bindparam("name")).limit(1)
)


def _formerly(connection: Connection, prefix: str, condition: Any) -> Row[Any] | None:
    """Return which experiment had a name, the last one of those that fulfil a condition."""
    if connection.execute(_WAS_EVER, {"name": prefix}).first() is None:
        return None
    found = connection.execute(
        select(FORMER_PREFIXES.c.experiment_id)
        .join(EXPERIMENTS, EXPERIMENTS.c.id == FORMER_PREFIXES.c.experiment_id)
        .where(FORMER_PREFIXES.c.prefix == prefix, condition)
        .order_by(FORMER_PREFIXES.c.moved_ns.desc(), FORMER_PREFIXES.c.experiment_id)
        .limit(1)
    ).scalar_one_or_none()
    return None if found is None else locked(connection, EXPERIMENTS.c.id == found)


def note_move(connection: Connection, experiment_id: str, before: str, after: str, now_ns: int) -> None:
    """Note what a moved experiment was called before; what it is called again is no former name."""
    connection.execute(
        delete(FORMER_PREFIXES).where(
            FORMER_PREFIXES.c.experiment_id == experiment_id, FORMER_PREFIXES.c.prefix == after
        )
    )
    row = {"prefix": before, "experiment_id": experiment_id, "moved_ns": now_ns}
    upsert(connection, FORMER_PREFIXES, [row])


def name_back(connection: Connection, deleted: Row[Any], to: Identity, now_ns: int) -> Row[Any]:
    """Return a deleted experiment that is to come back: if it gave its name away, with the one that is asked for.

    Raises:
        ApiError: 409: another one has that name.
    """
    before = own_prefix(deleted.prefix)
    if deleted.prefix == before:
        return deleted
    holder = locked(connection, EXPERIMENTS.c.prefix == to.prefix)
    if holder is not None and holder.deleted_ns is None:
        raise exists(
            to.prefix, f"restore {before!r}, which was deleted, under another name (`ml-dash restore --to`)"
        )
    if holder is not None:
        _rename(connection, holder.id, prefix=prefix_of_succeeded(to.prefix, holder.id))
    _rename(connection, deleted.id, prefix=to.prefix, project=to.project, folder=to.folder, name=to.name)
    note_move(connection, deleted.id, before, to.prefix, now_ns)
    return locked(connection, EXPERIMENTS.c.id == deleted.id) or deleted


def _rename(connection: Connection, experiment_id: str, **values: str) -> None:
    connection.execute(update(EXPERIMENTS).where(EXPERIMENTS.c.id == experiment_id).values(**values))
