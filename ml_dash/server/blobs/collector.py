"""Remove blobs that nobody needs: those that no file names, and uploads that were given up.

A blob stays while a file of its owner names it that is not deleted, or was deleted within the grace period, in any
experiment, deleted ones included. It also stays for the time of its lease, a day after it was last sent, asked for, or
named by a new row: a client uploads a blob before the row that names it, and may be offline in between.

The decision and the removal are one transaction; the objects go into the trash after it, when nothing refers to them.
To renew a lease (`ml_dash.server.blobs.catalogue.touch`) is to change the blob's row, so either the lease was renewed
before the decision, or the blob is missing for whoever asks about it, and is sent again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, or_, select

from ml_dash.query.times import NANOSECONDS
from ml_dash.server.blobs.limits import add_used, lock_owner
from ml_dash.server.blobs.trash import throw_away
from ml_dash.server.db.tables import BLOB_PARTS, BLOBS, EXPERIMENTS, FILES

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from ml_dash.server.blobs.backend import Backend

LEASE_SECONDS = 86_400
"""How long a blob stays that no file names, and an upload to which no part comes."""
# the owner's row is locked meanwhile, and with it every upload of the owner
_AT_ONCE = 500


class BlobCollector:
    """Removes blobs. Several server processes may each have one on the same database."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def collect(self) -> int:
        """Remove what is to be removed now; return the number of blobs removed. It reads the rows of all blobs.

        Raises:
            OSError: The object store cannot be reached.
            SQLAlchemyError: The database cannot be written.
        """
        removed = 0
        # owner by owner, found without a lock: to look for work must not hold up those who upload
        with self._backend.database.read() as connection:
            owners = connection.execute(select(BLOBS.c.owner).where(self._unused()).distinct()).scalars()
            found = sorted(owners)
        # a database that was restored or copied names less than there is, and takes for unused what another needs
        if not found or not self._backend.keeper.may_remove():
            return 0
        for owner in found:
            while count := self._collect(owner):
                removed += count
        return removed

    def _collect(self, owner: str) -> int:
        with self._backend.database.write() as connection:
            lock_owner(connection, owner)
            rows = connection.execute(
                select(BLOBS.c.checksum, BLOBS.c.size)
                .where(BLOBS.c.owner == owner, self._unused())
                .order_by(BLOBS.c.checksum)
                .limit(_AT_ONCE)
                # one that is locked is just being leased, and its owner's row is locked here: do not wait for it
                .with_for_update(skip_locked=True)
            ).all()
            if not rows:
                return 0
            checksums = [row.checksum for row in rows]
            parts = and_(BLOB_PARTS.c.owner == owner, BLOB_PARTS.c.checksum.in_(checksums))
            names = list(connection.execute(select(BLOB_PARTS.c.object).where(parts)).scalars())
            connection.execute(delete(BLOB_PARTS).where(parts))
            connection.execute(delete(BLOBS).where(BLOBS.c.owner == owner, BLOBS.c.checksum.in_(checksums)))
            add_used(connection, owner, -sum(row.size for row in rows))
        self._backend.telemetry.blobs_removed.inc(len(rows))
        # a store out of reach ends the round: what is left of these is the collector of objects', and must stay little
        throw_away(self._backend.objects, names, self._backend.clock, "no file names it")
        return len(rows)

    def _unused(self) -> ColumnElement[bool]:
        now: Any = self._backend.clock.time_ns()
        graced = now - int(self._backend.settings.file_grace * NANOSECONDS)
        named = (
            select(FILES.c.id)
            .join(EXPERIMENTS, EXPERIMENTS.c.id == FILES.c.experiment_id)
            .where(
                FILES.c.checksum == BLOBS.c.checksum,
                EXPERIMENTS.c.owner == BLOBS.c.owner,
                or_(FILES.c.deleted_ns.is_(None), FILES.c.deleted_ns > graced),
            )
            .exists()
        )
        lease_over = BLOBS.c.touched_ns < now - LEASE_SECONDS * NANOSECONDS
        return and_(lease_over, or_(BLOBS.c.complete_ns.is_(None), ~named))
