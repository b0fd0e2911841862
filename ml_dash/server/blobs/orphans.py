"""Remove objects that nothing refers to, as a crash leaves them: first into the trash, and from there days later.

An object is written before the transaction that refers to it. The age keeps those whose transaction is still to come:
it is far longer than any request takes.

There are only ever a few such objects. Many of them, or any of an experiment that the database does not have, mean
something else: a database that was emptied, or is not the one that stored them. Then nothing is removed, and the log
says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.server.blobs.names import IDENTITY, is_own
from ml_dash.server.blobs.references import count_named, judge
from ml_dash.server.blobs.trash import empty_trash, throw_away

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.server.blobs.backend import Backend
    from ml_dash.server.blobs.references import Judged

_FEW = 16
"""So many objects without a row are never suspicious: a server that is killed leaves one for each request under way."""


class OrphanCollector:
    """Removes objects. Several server processes may each have one on the same store."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def collect(self) -> int:
        """Remove what is to be removed now; return how many objects went into the trash. It lists the whole store.

        Raises:
            OSError: The store is out of reach.
            SQLAlchemyError: The database is.
        """
        backend = self._backend
        if not backend.keeper.may_remove():
            return 0
        suspicion = self._suspicion()
        if suspicion is not None:
            backend.keeper.hold(suspicion)
            return 0
        removed = 0
        for judged in self._judged(0.0):
            # not in a transaction: names are never used twice, so one that is unused at this age stays unused
            removed += throw_away(backend.objects, judged.unnamed, backend.clock, "no row names it")
        backend.telemetry.orphans.inc(removed)
        empty_trash(backend.database, backend.objects, backend.clock, backend.settings.trash_age)
        return removed

    def _suspicion(self) -> str | None:
        """Return why what nobody names may be somebody's all the same; None if it is what a crash leaves."""
        unnamed = 0
        # an operator who has confirmed has seen what was there
        for judged in self._judged(self._backend.keeper.confirmed_seconds()):
            if judged.unknown:
                return (
                    f"there are rows of experiments that the database does not have ({judged.unknown[0]}): it was "
                    "emptied or restored from a backup, or another server uses the same store"
                )
            unnamed += len(judged.unnamed)
        with self._backend.database.read() as connection:
            named = count_named(connection)
        if unnamed > max(_FEW, named):
            return f"{unnamed} of its objects are named by no row, and only {named} are: was the database emptied?"
        return None

    def _judged(self, since: float) -> Iterator[Judged]:
        # By the store's own clock, which wrote the times of the others: that of a file server may be hours behind ours,
        # and what was stored just now look old. The identity was written a moment ago, see `StoreKeeper.may_remove`.
        before = self._backend.objects.modified(IDENTITY) - self._backend.settings.orphan_age
        for page in self._backend.objects.entries():
            names = [entry.name for entry in page if is_own(entry.name) and since <= entry.modified < before]
            yield judge(self._backend.database, names)
