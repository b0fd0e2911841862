"""What an operator is told about a store and its database: what is missing, whose it is, and what nobody names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import select

from ml_dash.query.times import NANOSECONDS
from ml_dash.server.blobs.identity import known_id, read_identity
from ml_dash.server.blobs.references import portions
from ml_dash.server.blobs.survey import survey
from ml_dash.server.blobs.trash import bring_back
from ml_dash.server.db.tables import BLOB_PARTS, EXPERIMENTS, FILES, OBJECTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from ml_dash.clock import Clock
    from ml_dash.server.blobs.keeper import StoreKeeper
    from ml_dash.server.blobs.objects import ObjectStore
    from ml_dash.server.db.database import Database


class MissingObject(msgspec.Struct, frozen=True):
    """An object that the database names, and that is not in its place.

    Attributes:
        name: Its name.
        of: What it is of: the rows of an experiment, or a file.
        trashed: Its name in the trash, from where it can be brought back; None if it is not there either.
    """

    name: str
    of: str
    trashed: str | None


class StoreReport(msgspec.Struct, frozen=True):
    """What was found.

    Attributes:
        store: Where the store is.
        store_id: Its id; None if it has none.
        database_id: The database's id; None if it has none.
        held: Why nothing is removed from the store; None if objects are.
        named: How many objects the database names.
        missing: Those of them that are not in their places.
        orphaned: How many objects nobody names, old enough to be removed; `orphaned_bytes` is their size.
        recent: How many objects nobody names that were stored so lately that their rows may still be on their way.
        unknown: How many of all these have rows of experiments that the database does not have.
        trashed: How many objects are in the trash; `trashed_bytes` is their size.
        strangers: How many things are in the store that ML-Dash did not put there, and never touches.
        examples: The names of some of them.
    """

    store: str
    store_id: str | None
    database_id: str | None
    held: str | None
    named: int
    missing: list[MissingObject]
    orphaned: int
    orphaned_bytes: int
    recent: int
    unknown: int
    trashed: int
    trashed_bytes: int
    strangers: int
    examples: list[str]

    @property
    def is_sound(self) -> bool:
        """Whether nothing is missing, and nothing is to be decided."""
        return self.held is None and not self.missing


def check_store(
    database: Database, objects: ObjectStore, keeper: StoreKeeper, clock: Clock, orphan_age: float
) -> StoreReport:
    """Look at everything, and change nothing; a server may run meanwhile.

    Raises:
        ForeignStoreError: The store's identity cannot be read.
        OSError: The store is out of reach.
    """
    identity, held = read_identity(objects), keeper.reason()
    found = survey(database, objects)
    before = clock.time_ns() / NANOSECONDS - orphan_age
    old = [entry for entry in found.unnamed if entry.modified < before]
    missing: list[MissingObject] = []
    with database.read() as connection:
        database_id = known_id(connection)
        for name, of in _owners(connection, found.missing):
            trashed = found.trash.get(name)
            missing.append(MissingObject(name, of, None if trashed is None else trashed.name))
    return StoreReport(
        objects.where,
        None if identity is None else identity.id,
        database_id,
        held,
        found.named,
        missing,
        len(old),
        sum(entry.size for entry in old),
        len(found.unnamed) - len(old),
        found.unknown,
        len(found.trash),
        sum(entry.size for entry in found.trash.values()),
        found.strangers,
        found.examples,
    )


def bring_back_missing(objects: ObjectStore, report: StoreReport) -> int:
    """Bring back from the trash what is missing; return how many objects.

    Raises:
        OSError: The store is out of reach.
    """
    found = [each for each in report.missing if each.trashed is not None]
    for each in found:
        bring_back(objects, str(each.trashed), each.name)
    return len(found)


def _owners(connection: Connection, names: list[str]) -> Iterator[tuple[str, str]]:
    rows = (
        select(OBJECTS.c.name, EXPERIMENTS.c.prefix)
        .join(EXPERIMENTS, EXPERIMENTS.c.id == OBJECTS.c.experiment_id)
        .order_by(OBJECTS.c.name)
    )
    parts = (
        select(
            BLOB_PARTS.c.object, BLOB_PARTS.c.owner, BLOB_PARTS.c.checksum, EXPERIMENTS.c.prefix, FILES.c.name
        )
        .outerjoin(FILES, FILES.c.checksum == BLOB_PARTS.c.checksum)
        .outerjoin(
            EXPERIMENTS,
            (EXPERIMENTS.c.id == FILES.c.experiment_id) & (EXPERIMENTS.c.owner == BLOB_PARTS.c.owner),
        )
        .order_by(BLOB_PARTS.c.object)
    )
    for portion in portions(names):
        found = {}
        for name, prefix in connection.execute(rows.where(OBJECTS.c.name.in_(portion))):
            found[name] = f"rows of {prefix}"
        for part in connection.execute(parts.where(BLOB_PARTS.c.object.in_(portion))):
            # several files may have the same contents: one is enough to know them by
            named = part.prefix is not None and part.name is not None
            text = f"{part.prefix}: {part.name}" if named else f"a file of {part.owner}"
            if named or part.object not in found:
                found[part.object] = f"{text}, SHA-256 {part.checksum[:12]}…"
        yield from found.items()
