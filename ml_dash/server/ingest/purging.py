"""Remove for good what was deleted, when the time is over for which it could be restored.

The rows go, and with them the objects that held them; blobs that no other file names go by their own collector. What
stays is who the experiment was, what was done with it, and how far each writer's frames had been stored: whoever sends
its journal again is told that it was deleted, as before. Only who asks to have it recreated begins at its first frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from ml_dash.server.blobs.trash import throw_away
from ml_dash.server.catalogue.changes import change_mark
from ml_dash.server.catalogue.stopping import NOT_ASKED
from ml_dash.server.db.tables import EXPERIMENTS, METADATA, OBJECTS, WRITERS

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from ml_dash.server.blobs.backend import Backend

_KEPT = frozenset({"writers", "frame_checks", "audit", "former_prefixes", "objects"})
"""Tables of experiments of which a deleted one keeps its rows; those of its objects are read first."""
_EMPTIED = {
    **dict.fromkeys(
        ("status", "status_ns", "host", "pid", "error", "started_ns", "alive_ns", "newest_attempt")
    ),
    **dict.fromkeys(("rows", "metric_rows", "alerts", "attempts"), 0),
    # of an attempt whose number another one gets
    **NOT_ASKED,
    "resumed": False,
}


class Purger:
    """Removes rows of deleted experiments. Several server processes may each have one on the same database."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def collect(self) -> int:
        """Remove what is to be removed now; return of how many experiments.

        Raises:
            OSError: The object store cannot be reached.
            SQLAlchemyError: The database cannot be written.
        """
        is_due = EXPERIMENTS.c.purge_ns <= self._backend.clock.time_ns()
        due = (EXPERIMENTS.c.deleted_ns.is_not(None), EXPERIMENTS.c.purged_ns.is_(None), is_due)
        with self._backend.database.read() as connection:
            found = (
                connection.execute(select(EXPERIMENTS.c.id).where(*due).order_by(EXPERIMENTS.c.id))
                .scalars()
                .all()
            )
        # a database that was copied may have deleted what the other one has restored
        if not found or not self._backend.keeper.may_remove():
            return 0
        return sum(self._purge(experiment_id, due) for experiment_id in found)

    def _purge(self, experiment_id: str, due: tuple[ColumnElement[bool], ...]) -> bool:
        own = EXPERIMENTS.c.id == experiment_id
        with self._backend.database.write() as connection:
            # it may have been restored a moment ago
            if (
                connection.execute(select(EXPERIMENTS.c.id).where(own, *due).with_for_update()).first()
                is None
            ):
                return False
            names = (
                connection.execute(select(OBJECTS.c.name).where(OBJECTS.c.experiment_id == experiment_id))
                .scalars()
                .all()
            )
            # those that refer to others come first
            for table in reversed(METADATA.sorted_tables):
                if "experiment_id" in table.c and table.name not in _KEPT:
                    connection.execute(delete(table).where(table.c.experiment_id == experiment_id))
            connection.execute(delete(OBJECTS).where(OBJECTS.c.experiment_id == experiment_id))
            connection.execute(
                update(WRITERS)
                .where(WRITERS.c.experiment_id == experiment_id)
                .values(open_runs=0, opening=None)
            )
            now = self._backend.clock.time_ns()
            connection.execute(
                update(EXPERIMENTS)
                .where(own)
                .values(**_EMPTIED, purged_ns=now, changed=change_mark(connection))
            )
        # a store out of reach ends the round: what is left of these is the collector of objects'
        throw_away(self._backend.objects, names, self._backend.clock, "its experiment was deleted")
        return True
