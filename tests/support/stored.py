"""What lies in a blob store, and a collector for which everything there is old."""

from __future__ import annotations

from dataclasses import replace

from ml_dash.server.blobs.names import in_trash, is_own
from ml_dash.server.blobs.objects import ObjectStore
from ml_dash.server.blobs.orphans import OrphanCollector
from ml_dash.server.store import Store


def stored(objects: ObjectStore) -> set[str]:
    """Return the names of the server's objects, without those in the trash."""
    return {entry.name for page in objects.entries() for entry in page if is_own(entry.name)}


def trashed(objects: ObjectStore) -> set[str]:
    """Return the names that the objects in the trash had."""
    found = (in_trash(entry.name) for page in objects.entries() for entry in page)
    return {thrown[1] for thrown in found if thrown is not None}


def impatient(store: Store) -> OrphanCollector:
    """Return a collector that waits for no transaction."""
    return OrphanCollector(store.backend._replace(settings=replace(store.settings, orphan_age=-60.0)))
