"""The catalogue of blobs: which are stored, which are being uploaded, and of which objects each consists.

A blob is what a file holds. It belongs to an owner and is named by the SHA-256 of its bytes. It is stored as its parts,
each an object that is written before the transaction that lists it; so a crash leaves at most an unused object.

Lock order: the owner's row before the blobs' rows. Every method that adds or removes blobs keeps to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import delete, insert, select, update

from ml_dash.protocol import ErrorCode, part_bytes
from ml_dash.server.blobs.limits import OwnerLimits, add_used, lock_owner
from ml_dash.server.db.tables import BLOB_PARTS, BLOBS
from ml_dash.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement, Connection

    from ml_dash.clock import Clock
    from ml_dash.server.db.database import Database

# SQLite allows 32 766 parameters in a statement; smaller steps also hold the locks for less long
_TOUCHED = 5000


class Part(NamedTuple):
    """An object that has a part of a blob; parts are numbered from 1."""

    number: int
    object: str
    size: int


class Blob(NamedTuple):
    """A blob that is stored, or being uploaded.

    Attributes:
        owner: Whose it is.
        checksum: The SHA-256 that its bytes have, or are to have.
        size: Its size in bytes.
        part_bytes: The size of each part of an upload, except the last.
        complete: Whether all of it is stored, and its checksum was checked.
        parts: The stored parts, by number.
    """

    owner: str
    checksum: str
    size: int
    part_bytes: int
    complete: bool
    parts: tuple[Part, ...]

    def size_of(self, number: int) -> int | None:
        """Return the size that a part must have; None if there is no such part."""
        before = (number - 1) * self.part_bytes
        return min(self.part_bytes, self.size - before) if number >= 1 and before < self.size else None

    @property
    def missing(self) -> list[int]:
        """The numbers of the parts that are not stored."""
        stored = {part.number for part in self.parts}
        return [number for number in range(1, -(-self.size // self.part_bytes) + 1) if number not in stored]


def touch(
    connection: Connection,
    owner: str,
    checksums: Collection[str],
    now_ns: int,
    *conditions: ColumnElement[bool],
) -> set[str]:
    """Renew the one-day lease of these blobs, and return those that had one; skip the others.

    What is not returned may be gone, whatever was read before: a collector may have decided at this very moment.
    """
    ordered = sorted(checksums)
    leased: set[str] = set()
    for start in range(0, len(ordered), _TOUCHED):
        own = (BLOBS.c.owner == owner, BLOBS.c.checksum.in_(ordered[start : start + _TOUCHED]), *conditions)
        # rows are locked in the order of their checksums: two that update them in another order could deadlock
        locked = select(BLOBS.c.checksum).where(*own).order_by(BLOBS.c.checksum).with_for_update()
        leased.update(connection.execute(locked).scalars())
        connection.execute(update(BLOBS).where(*own).values(touched_ns=now_ns))
    return leased


class BlobCatalogue:
    """The blobs of all owners. Any thread may use it."""

    def __init__(self, database: Database, limits: OwnerLimits, clock: Clock) -> None:
        self._database = database
        self._limits = limits
        self._clock = clock

    def find(self, owner: str, checksum: str) -> Blob | None:
        """Return a blob with its parts; None if it is neither stored nor announced."""
        with self._database.read() as connection:
            return _find(connection, owner, checksum)

    def missing(self, owner: str, asked: Collection[str]) -> list[str]:
        """Return which of these blobs are not stored, in their order; renew the lease of the others."""
        with self._database.write() as connection:
            # what a client is told to be here must not be collected before it names it: so what could be leased is here
            stored = touch(connection, owner, asked, self._clock.time_ns(), BLOBS.c.complete_ns.is_not(None))
        return [checksum for checksum in asked if checksum not in stored]

    def begin(self, owner: str, checksum: str, size: int) -> Blob:
        """Announce an upload, or find the one that is under way.

        Raises:
            ApiError: 413 or 507: the blob is too large, or over the quota.
        """
        with self._database.write() as connection:
            row = lock_owner(connection, owner)
            blob = _find(connection, owner, checksum, lock=True)
            if blob is not None and not blob.complete and blob.size != size:
                # one of the two announcements is wrong: which one, only the bytes can tell, so the newer one counts
                self._limits.room(row).check(size, blob.size)
                _forget(connection, blob)
                blob = None
            elif blob is None:
                self._limits.room(row).check(size)
            if blob is None:
                self._insert(connection, owner, checksum, size, complete=False)
            else:
                self._touch(connection, blob)
            found = _find(connection, owner, checksum)
        if found is None:
            raise RuntimeError(f"{checksum} was stored, and is not there")
        return found

    def add_whole(self, owner: str, checksum: str, size: int, name: str | None) -> bool:
        """Add a blob that came in one piece, and whose bytes were checked.

        Args:
            owner: Whose it is.
            checksum: Its SHA-256.
            size: Its size in bytes.
            name: The object that has the bytes; None if there are none.

        Returns:
            Whether the object is in use from now on; False if the blob was stored already.

        Raises:
            ApiError: 413 or 507: the blob is too large, or over the quota.
        """
        with self._database.write() as connection:
            row = lock_owner(connection, owner)
            blob = _find(connection, owner, checksum, lock=True)
            if blob is not None and blob.complete:
                self._touch(connection, blob)
                return False
            self._limits.room(row).check(size, 0 if blob is None else blob.size)
            if blob is not None:
                _forget(connection, blob)
            self._insert(connection, owner, checksum, size, complete=True)
            if name is not None:
                _insert_part(connection, owner, checksum, Part(1, name, size))
        return name is not None

    def add_part(self, blob: Blob, part: Part) -> bool:
        """Add a part to an upload.

        Returns:
            Whether its object is in use from now on; False if another request stored the part first.

        Raises:
            ApiError: 404: the upload was given up, or begun anew with another size.
        """
        with self._database.write() as connection:
            # read again: the part took minutes to arrive, and `blob` is from before
            now = _find(connection, blob.owner, blob.checksum, lock=True)
            if now is None or now.size != blob.size:
                raise no_upload(blob.checksum)
            self._touch(connection, now)
            if now.complete or any(known.number == part.number for known in now.parts):
                return False
            _insert_part(connection, blob.owner, blob.checksum, part)
        return True

    def touch(self, blob: Blob) -> bool:
        """Renew the one-day lease of a blob; say whether it is still there, as complete as it was when it was found."""
        is_complete = BLOBS.c.complete_ns.is_not(None)
        is_same = is_complete if blob.complete else ~is_complete
        with self._database.write() as connection:
            return bool(touch(connection, blob.owner, [blob.checksum], self._clock.time_ns(), is_same))

    def finish(self, blob: Blob) -> bool:
        """Mark an upload as complete: all its parts were read, and have the right checksum.

        Returns:
            Whether its parts are still those that were read.
        """
        with self._database.write() as connection:
            now = _find(connection, blob.owner, blob.checksum, lock=True)
            if now is None or now.parts != blob.parts or now.size != blob.size:
                return False
            time_ns = self._clock.time_ns()
            connection.execute(
                update(BLOBS)
                .where(BLOBS.c.owner == blob.owner, BLOBS.c.checksum == blob.checksum)
                .values(complete_ns=time_ns, touched_ns=time_ns)
            )
        return True

    def forget(self, blob: Blob) -> bool:
        """Remove an upload, if its parts are still these.

        Returns:
            Whether it was removed, so that its objects are unused.
        """
        with self._database.write() as connection:
            lock_owner(connection, blob.owner)
            now = _find(connection, blob.owner, blob.checksum, lock=True)
            if now is None or now.complete or now.parts != blob.parts:
                return False
            _forget(connection, now)
        return True

    def _insert(
        self, connection: Connection, owner: str, checksum: str, size: int, *, complete: bool
    ) -> None:
        now = self._clock.time_ns()
        connection.execute(
            insert(BLOBS).values(
                owner=owner,
                checksum=checksum,
                size=size,
                # kept with the blob: an upload that is under way goes on after an update that changes the rule
                part_bytes=part_bytes(size),
                created_ns=now,
                touched_ns=now,
                complete_ns=now if complete else None,
            )
        )
        add_used(connection, owner, size)

    def _touch(self, connection: Connection, blob: Blob) -> None:
        connection.execute(
            update(BLOBS)
            .where(BLOBS.c.owner == blob.owner, BLOBS.c.checksum == blob.checksum)
            .values(touched_ns=self._clock.time_ns())
        )


def no_upload(checksum: str) -> ApiError:
    """Return the error for a part of an upload that was not announced."""
    return ApiError(
        404,
        ErrorCode.NOT_FOUND,
        f"no upload of {checksum} is under way: begin it by POST …/contents/{checksum}/upload",
    )


def _find(connection: Connection, owner: str, checksum: str, *, lock: bool = False) -> Blob | None:
    query = select(BLOBS).where(BLOBS.c.owner == owner, BLOBS.c.checksum == checksum)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        return None
    parts = connection.execute(
        select(BLOB_PARTS.c.number, BLOB_PARTS.c.object, BLOB_PARTS.c.size)
        .where(BLOB_PARTS.c.owner == owner, BLOB_PARTS.c.checksum == checksum)
        .order_by(BLOB_PARTS.c.number)
    )
    found = tuple(Part(*part) for part in parts)
    return Blob(owner, checksum, row.size, row.part_bytes, row.complete_ns is not None, found)


def _insert_part(connection: Connection, owner: str, checksum: str, part: Part) -> None:
    connection.execute(insert(BLOB_PARTS).values(owner=owner, checksum=checksum, **part._asdict()))


def _forget(connection: Connection, blob: Blob) -> None:
    """The owner must be locked."""
    # parts first: they refer to the blob
    for table in (BLOB_PARTS, BLOBS):
        connection.execute(
            delete(table).where(table.c.owner == blob.owner, table.c.checksum == blob.checksum)
        )
    add_used(connection, blob.owner, -blob.size)
