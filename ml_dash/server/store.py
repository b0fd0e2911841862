"""The store of one server process: database, object store, ingest and upkeep, put together."""

from __future__ import annotations

import logging
import os
import secrets
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from ml_dash.clock import SYSTEM_CLOCK, Clock
from ml_dash.errors import MLDashError
from ml_dash.server.alerts.service import Alerts
from ml_dash.server.blobs.backend import Backend
from ml_dash.server.blobs.catalogue import BlobCatalogue
from ml_dash.server.blobs.collector import BlobCollector
from ml_dash.server.blobs.keeper import StoreKeeper
from ml_dash.server.blobs.limits import OwnerLimits
from ml_dash.server.blobs.names import part_name
from ml_dash.server.blobs.objects import ObjectStore
from ml_dash.server.blobs.orphans import OrphanCollector
from ml_dash.server.blobs.transfers import BlobTransfers
from ml_dash.server.catalogue.changes import seen
from ml_dash.server.catalogue.experiments import Experiments
from ml_dash.server.catalogue.filtered import filtered
from ml_dash.server.catalogue.values import table_values
from ml_dash.server.catalogue.verbs import Verbs
from ml_dash.server.charts.looked_at import LookedAt
from ml_dash.server.db.database import Database
from ml_dash.server.ingest.compaction import Compactor
from ml_dash.server.ingest.ingest import Ingest
from ml_dash.server.ingest.purging import Purger
from ml_dash.server.recent import Recent
from ml_dash.server.rows.lists import Lists
from ml_dash.server.rows.many import standings, views
from ml_dash.server.rows.view import StoreView
from ml_dash.server.telemetry import Telemetry
from ml_dash.server.threads import Readers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ml_dash.query.pages import Take
    from ml_dash.series import Series
    from ml_dash.server.blobs.reading import ReadableBlob
    from ml_dash.server.catalogue.records import ExperimentFilter, Found
    from ml_dash.server.rows.library import Standing
    from ml_dash.server.settings import ServerSettings
    from ml_dash.shapes import MetricField

_LOG = logging.getLogger("ml_dash.server")
_PROBE_SECONDS = 1.0
_HOUR = 3600.0


class StoreDirectoryError(MLDashError, OSError):
    """The data directory cannot be made."""


class Store:
    """Everything that a server keeps; see `ml_dash.server.rows.library.Library`. The database is closed with it."""

    def __init__(
        self, database: Database, objects: ObjectStore, settings: ServerSettings, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.database = database
        self.objects = objects
        self.settings = settings
        self.clock = clock
        self.telemetry = Telemetry()
        self.keeper = StoreKeeper(database, objects, clock, self.telemetry)
        self.backend = Backend(database, objects, settings, clock, self.telemetry, self.keeper, Recent(1000))
        self._looked_at = LookedAt()
        self.experiments = Experiments(database, clock=clock, stale_after=settings.stale_after)
        self.verbs = Verbs(self.experiments, settings.deleted_age)
        self.limits = OwnerLimits(database, settings)
        self.blob_catalogue = BlobCatalogue(database, self.limits, clock)
        self.transfers = BlobTransfers(self.blob_catalogue, self.backend)
        self.purger = Purger(self.backend)
        self.blob_collector = BlobCollector(self.backend)
        self.orphan_collector = OrphanCollector(self.backend)
        self.compactor = Compactor(
            self.backend,
            # this order: objects that were stored must be known to be ours before any are removed
            (
                self.keeper.advance,
                _hourly(clock, self.purger.collect),
                _hourly(clock, self.blob_collector.collect),
                _hourly(clock, self.orphan_collector.collect),
            ),
        )
        self.lists = Lists(self.backend)
        self.alerts = Alerts(self.experiments, settings, self.lists.bring_in)
        self.ingest = Ingest(self.backend, self.experiments, self.alerts.watch, on_hot=self.compactor.notice)
        self.closing = False
        """Whether the shutdown has begun: nothing new is accepted."""
        self._readers = Readers()
        self.query = self._readers.query
        self._boot = secrets.token_hex(4)
        self._probed_at = -_PROBE_SECONDS
        self._probe_passed = True

    @classmethod
    def open(cls, settings: ServerSettings, clock: Clock = SYSTEM_CLOCK) -> Store:
        """Open the database and the object store that the settings name. Call `start` afterwards.

        Raises:
            MLDashError: A URL is invalid, a package is missing, the database is newer or out of reach, or the object
                store is not this database's.
            OSError: The directory cannot be made or written, or the object store was never seen and is out of reach.
        """
        if settings.database is None or settings.blobs is None:
            path = settings.directory
            try:
                os.makedirs(path, mode=0o700, exist_ok=True)
            except OSError as error:
                reason = "it is a file" if os.path.isfile(path) else error.strerror or str(error)
                raise StoreDirectoryError(
                    f"the data directory {path!r} cannot be made: {reason}; name another one with --data"
                ) from error
        objects = ObjectStore(settings.blobs_url)
        store = cls(Database.open(settings.database_url), objects, settings, clock)
        try:
            store.keeper.settle()
        except BaseException:
            store.close()
            raise
        return store

    def start(self) -> None:
        """Start the threads that store and merge."""
        self.alerts.start()
        self.ingest.start()
        self.compactor.start()
        self.lists.start()

    def close(self) -> None:
        """Store what was accepted, stop the threads, close the database."""
        self.closing = True
        # the order matters: ingest stores what was accepted and may wake the compactor; all of them need the database
        self.ingest.stop()
        self.transfers.close()
        self.compactor.stop()
        self.lists.stop()
        self.alerts.close()
        try:
            # a backup is taken now, or an older one brought back
            self.keeper.advance()
        except (OSError, SQLAlchemyError, MLDashError) as error:
            _LOG.warning("the blob store was not told how far its database is: %s", error)
        self._readers.close()
        self.database.close()

    def find(self, experiment_id: str) -> Found | None:
        """See `Library.find`."""
        return self.experiments.find(experiment_id)

    def standings(self, ids: Sequence[str]) -> dict[str, Standing]:
        """See `Library.standings`."""
        return standings(self.database, self._boot, ids)

    def changed(self) -> str:
        """See `Library.changed`."""
        with self.database.read() as connection:
            return str(seen(connection, 0))

    def record(self, experiment_id: str) -> dict[str, Any]:
        """See `Library.record`."""
        return self.experiments.record(experiment_id)

    def brief(self, experiment_id: str) -> dict[str, Any]:
        """See `Library.brief`."""
        return self.experiments.brief(experiment_id)

    def listing(
        self,
        take: Take,
        where: ExperimentFilter,
        limit: int,
        cursor: str | None,
        changed_since: str | None = None,
    ) -> dict[str, Any]:
        """See `Library.listing`."""
        if where.asked is None:
            return self.experiments.listing(take, where, limit, cursor, changed_since)
        is_all = self.lists.bring_in()
        with self.database.read() as connection:
            found = filtered(self.experiments, connection, take, where, where.asked, limit, cursor)
        return {**found, "pending": not is_all}

    def values(
        self, ids: Sequence[str], wanted: Sequence[MetricField], owners: frozenset[str] | None
    ) -> Iterator[dict[str, Any]]:
        """See `Library.values`."""
        self.lists.bring_in(ids=ids)
        with self.database.read() as connection:
            yield from table_values(connection, ids, wanted, owners)

    def content(self, found: Found, row: dict[str, Any]) -> ReadableBlob | None:
        """See `Library.content`."""
        stored = self.blob_catalogue.find(found.owner, row["checksum"])
        return self.transfers.readable(stored) if stored is not None and stored.complete else None

    def view(self, experiment_id: str) -> StoreView:
        """Return what answers questions about an experiment's rows."""
        return StoreView(self.backend, experiment_id, looked_at=self._looked_at)

    def views(self, ids: Sequence[str], series: Series) -> dict[str, StoreView]:
        """See `Library.views`."""
        return views(self.backend, ids, series, self._looked_at)

    def is_ready(self) -> bool:
        """Say whether rows can be stored. If the last attempt failed, try again, at most once a second."""
        if self.closing:
            return False
        if self.ingest.commits.failure is None:
            return True
        now = time.monotonic()
        if now - self._probed_at >= _PROBE_SECONDS:
            self._probed_at = now
            self._probe_passed = self._probe()
        return self._probe_passed

    def _probe(self) -> bool:
        try:
            # more than nothing: a full disk may still take an empty file
            probe = part_name()
            self.objects.put(probe, b"\0" * 4096)
            self.objects.delete([probe])
            with self.database.write() as connection:
                # changes nothing, and is written and synced all the same
                connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
        except (OSError, SQLAlchemyError) as error:
            _LOG.info("the store cannot be written: %s", error)
            return False
        self.ingest.commits.recovered()
        return True


def _hourly(clock: Clock, upkeep: Callable[[], object]) -> Callable[[], None]:
    """Return what does a piece of upkeep at most once an hour, however often it is called."""
    done_at = float("-inf")

    def due() -> None:
        nonlocal done_at
        now = clock.monotonic()
        if now - done_at >= _HOUR:
            # before, so that one that fails waits for its hour as well
            done_at = now
            upkeep()

    return due
