"""Removes contents that nobody needs: those that no file names, and uploads that were given up.

A content stays while a file of its owner names it that is not deleted, or was deleted within the grace period, in
whatever experiment, deleted ones included. It also stays for a day after it was sent, asked for, or named by a new row:
between an upload and the rows that name it, nothing does.

That is decided and carried out in one transaction, behind which nothing refers to the objects; these are removed then.
Who leases a content (`ml_dash.server.blobs.catalogue.touch`) changes its row: so either the lease was there before the
decision, or the content is not there any more for who asks for it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, or_, select

from ml_dash.query.times import NANOSECONDS
from ml_dash.server.blobs.limits import add_used, lock_owner
from ml_dash.server.db.tables import BLOB_PARTS, BLOBS, EXPERIMENTS, FILES

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from ml_dash.clock import Clock
    from ml_dash.server.blobs.objects import ObjectStore
    from ml_dash.server.db.database import Database
    from ml_dash.server.settings import ServerSettings
    from ml_dash.server.telemetry import Telemetry

__all__ = ["LEASE_SECONDS", "BlobCollector"]

LEASE_SECONDS = 86_400
"""How long a content stays without a file, and an upload without a part."""
_INTERVAL = 3600.0
_AT_ONCE = 500
_LOG = logging.getLogger("ml_dash.server")


class BlobCollector:
    """Removes contents. One for a server process; those of several do not disturb each other.

    Args:
        database: Where contents are listed.
        objects: Where their bytes are.
        settings: The grace period.
        clock: The time.
        telemetry: Counts what is removed.
    """

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        settings: ServerSettings,
        *,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._database = database
        self._objects = objects
        self._settings = settings
        self._clock = clock
        self._telemetry = telemetry
        self._collected_at: float | None = None

    def collect_hourly(self) -> None:
        """Remove what is to be removed, if that was not done within the hour: all contents are looked at."""
        now = self._clock.monotonic()
        if self._collected_at is None or now - self._collected_at >= _INTERVAL:
            self._collected_at = now
            self.collect()

    def collect(self) -> int:
        """Remove what is to be removed now; return how many contents that were.

        Raises:
            SQLAlchemyError: The database cannot be written.
        """
        removed = 0
        with self._database.read() as connection:
            owners = connection.execute(select(BLOBS.c.owner).where(self._unused()).distinct()).scalars()
            found = sorted(owners)
        for owner in found:
            while count := self._collect(owner):
                removed += count
        return removed

    def _collect(self, owner: str) -> int:
        """Remove some contents of an owner; return how many."""
        with self._database.write() as connection:
            lock_owner(connection, owner)
            rows = connection.execute(
                select(BLOBS.c.checksum, BLOBS.c.size)
                .where(BLOBS.c.owner == owner, self._unused())
                .order_by(BLOBS.c.checksum)
                .limit(_AT_ONCE)
                # one that is locked is being leased
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
        self._telemetry.content_removed.inc(len(rows))
        try:
            self._objects.delete(names)
        except OSError as error:
            _LOG.info("unused objects are left to the collector of objects: %s", error)
        return len(rows)

    def _unused(self) -> ColumnElement[bool]:
        now: Any = self._clock.time_ns()
        graced = now - int(self._settings.file_grace * NANOSECONDS)
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
        left = BLOBS.c.touched_ns < now - LEASE_SECONDS * NANOSECONDS
        return and_(left, or_(BLOBS.c.complete_ns.is_(None), ~named))
