"""BlobCatalogue of files in the database: which are here, which are on their way, and of which objects each consists.

A content belongs to an owner and has the SHA-256 of its bytes for a name. It is stored as its parts, each an object
that is written before the transaction that lists it; so a crash leaves at most an object that nothing refers to.

Who adds or removes contents locks first the owner's row and then the contents', in this order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import delete, insert, select, update

from ml_dash.protocol import ErrorCode, part_bytes
from ml_dash.server.blobs.limits import OwnerLimits, add_used, lock_owner
from ml_dash.server.db.tables import BLOB_PARTS, BLOBS
from ml_dash.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

    from ml_dash.clock import Clock
    from ml_dash.server.db.database import Database

__all__ = ["Blob", "BlobCatalogue", "Part", "no_upload", "touch"]

_TOUCHED = 5000


class Part(NamedTuple):
    """An object that has a part of a content; parts are numbered from 1 on."""

    number: int
    object: str
    size: int


class Blob(NamedTuple):
    """A content that is here, or on its way.

    Attributes:
        owner: Whose.
        checksum: The SHA-256 that its bytes have, or are to have.
        size: How many bytes it has in all.
        part_bytes: How many bytes each part has that is sent, but for the last.
        complete: Whether all of it is here, and was checked.
        parts: What is here, by number.
    """

    owner: str
    checksum: str
    size: int
    part_bytes: int
    complete: bool
    parts: tuple[Part, ...]

    def size_of(self, number: int) -> int | None:
        """Return how many bytes a part must have; None where there is no such part."""
        before = (number - 1) * self.part_bytes
        return min(self.part_bytes, self.size - before) if number >= 1 and before < self.size else None

    @property
    def missing(self) -> list[int]:
        """The numbers of the parts that are not here."""
        here = {part.number for part in self.parts}
        return [number for number in range(1, -(-self.size // self.part_bytes) + 1) if number not in here]


def touch(connection: Connection, owner: str, checksums: Collection[str], now_ns: int) -> None:
    """Have contents stay for a day from now on, if they are here."""
    ordered = sorted(checksums)
    for start in range(0, len(ordered), _TOUCHED):
        own = (BLOBS.c.owner == owner, BLOBS.c.checksum.in_(ordered[start : start + _TOUCHED]))
        # everybody locks in the same order
        connection.execute(select(BLOBS.c.checksum).where(*own).order_by(BLOBS.c.checksum).with_for_update())
        connection.execute(update(BLOBS).where(*own).values(touched_ns=now_ns))


class BlobCatalogue:
    """The contents of all owners. Any thread may use it.

    Args:
        database: Where they are listed.
        limits: What owners may store.
        clock: The time.
    """

    def __init__(self, database: Database, limits: OwnerLimits, clock: Clock) -> None:
        self._database = database
        self._limits = limits
        self._clock = clock

    def find(self, owner: str, checksum: str) -> Blob | None:
        """Return a content with its parts; None where nothing of it was announced."""
        with self._database.read() as connection:
            return _find(connection, owner, checksum)

    def lacking(self, owner: str, asked: Collection[str]) -> list[str]:
        """Return which of these an owner has not stored, in their order; those that are here stay for a day."""
        with self._database.write() as connection:
            here = set(
                connection.execute(
                    select(BLOBS.c.checksum).where(
                        BLOBS.c.owner == owner,
                        BLOBS.c.checksum.in_(list(asked)),
                        BLOBS.c.complete_ns.is_not(None),
                    )
                ).scalars()
            )
            touch(connection, owner, here, self._clock.time_ns())
        return [checksum for checksum in asked if checksum not in here]

    def begin(self, owner: str, checksum: str, size: int) -> Blob:
        """Announce an upload, or find the one that is under way.

        Raises:
            ApiError: 413 or 507: it is too large, or there is no room for it.
        """
        with self._database.write() as connection:
            row = lock_owner(connection, owner)
            content = _find(connection, owner, checksum, lock=True)
            if content is not None and not content.complete and content.size != size:
                # one of two who announced it is wrong: only what comes in the end can tell
                self._limits.room(row).check(size, content.size)
                _forget(connection, content)
                content = None
            elif content is None:
                self._limits.room(row).check(size)
            if content is None:
                self._insert(connection, owner, checksum, size, complete=False)
            else:
                self._touch(connection, content)
            found = _find(connection, owner, checksum)
        if found is None:
            raise RuntimeError(f"{checksum} was stored, and is not there")
        return found

    def add_whole(self, owner: str, checksum: str, size: int, name: str | None) -> bool:
        """List a content that came in one piece, and whose bytes were checked.

        Args:
            owner: Whose.
            checksum: Its own.
            size: Its bytes.
            name: The object that has them; None where there are none.

        Returns:
            Whether the object is in use from now on. False where the content was here already.

        Raises:
            ApiError: 413 or 507: it is too large, or there is no room for it.
        """
        with self._database.write() as connection:
            row = lock_owner(connection, owner)
            content = _find(connection, owner, checksum, lock=True)
            if content is not None and content.complete:
                self._touch(connection, content)
                return False
            self._limits.room(row).check(size, 0 if content is None else content.size)
            if content is not None:
                _forget(connection, content)
            self._insert(connection, owner, checksum, size, complete=True)
            if name is not None:
                _insert_part(connection, owner, checksum, Part(1, name, size))
        return name is not None

    def add_part(self, content: Blob, part: Part) -> bool:
        """List a part of an upload.

        Returns:
            Whether its object is in use from now on. False where another one was faster.

        Raises:
            ApiError: 404: the upload was given up, or begun anew with another size.
        """
        with self._database.write() as connection:
            now = _find(connection, content.owner, content.checksum, lock=True)
            if now is None or now.size != content.size:
                raise no_upload(content.checksum)
            self._touch(connection, now)
            if now.complete or any(known.number == part.number for known in now.parts):
                return False
            _insert_part(connection, content.owner, content.checksum, part)
        return True

    def touch(self, content: Blob) -> None:
        """Have a content stay for a day from now on."""
        with self._database.write() as connection:
            self._touch(connection, content)

    def finish(self, content: Blob) -> bool:
        """Take an upload for complete: all its parts were read, and are what they should be.

        Returns:
            False where its parts are others by now.
        """
        with self._database.write() as connection:
            now = _find(connection, content.owner, content.checksum, lock=True)
            if now is None or now.parts != content.parts or now.size != content.size:
                return False
            time_ns = self._clock.time_ns()
            connection.execute(
                update(BLOBS)
                .where(BLOBS.c.owner == content.owner, BLOBS.c.checksum == content.checksum)
                .values(complete_ns=time_ns, touched_ns=time_ns)
            )
        return True

    def forget(self, content: Blob) -> bool:
        """Take an upload off the list, if its parts are still these.

        Returns:
            Whether its objects are not in use any more.
        """
        with self._database.write() as connection:
            lock_owner(connection, content.owner)
            now = _find(connection, content.owner, content.checksum, lock=True)
            if now is None or now.complete or now.parts != content.parts:
                return False
            _forget(connection, now)
        return True

    def _insert(
        self, connection: Connection, owner: str, checksum: str, size: int, *, complete: bool
    ) -> None:
        now = self._clock.time_ns()
        connection.execute(
            insert(BLOBS),
            {
                "owner": owner,
                "checksum": checksum,
                "size": size,
                "part_bytes": part_bytes(size),
                "created_ns": now,
                "touched_ns": now,
                "complete_ns": now if complete else None,
            },
        )
        add_used(connection, owner, size)

    def _touch(self, connection: Connection, content: Blob) -> None:
        connection.execute(
            update(BLOBS)
            .where(BLOBS.c.owner == content.owner, BLOBS.c.checksum == content.checksum)
            .values(touched_ns=self._clock.time_ns())
        )


def no_upload(checksum: str) -> ApiError:
    """Return what is answered to a part of what was not announced."""
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
    values: dict[str, Any] = {"owner": owner, "checksum": checksum, **part._asdict()}
    connection.execute(insert(BLOB_PARTS), values)


def _forget(connection: Connection, content: Blob) -> None:
    """Take a content off the list, with its parts. The owner is locked."""
    for table in (BLOB_PARTS, BLOBS):
        connection.execute(
            delete(table).where(table.c.owner == content.owner, table.c.checksum == content.checksum)
        )
    add_used(connection, content.owner, -content.size)
