"""What each owner has stored, and may store.

An owner's row is the lock for everything that changes how much it has stored: whoever adds a blob holds it from before
the check until the blob is added, so that two uploads cannot pass the check together and exceed the quota.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select, update

from ml_dash import shapes
from ml_dash.protocol import PART_BYTES_MAX, PARTS_MAX, ErrorCode
from ml_dash.server.db.database import dialect_insert
from ml_dash.server.db.tables import OWNER_LIMITS
from ml_dash.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from ml_dash.server.db.database import Database
    from ml_dash.server.settings import ServerSettings

NO_LIMIT = 2**63 - 1
"""The number of bytes that stands for no limit: NULL stands for the server's own."""
_FILE_BYTES_MAX = PART_BYTES_MAX * PARTS_MAX


class Room(NamedTuple):
    """What an owner has stored (with what is being uploaded), and may store, in bytes; None is no limit."""

    used: int
    quota: int | None
    file_bytes: int | None

    def check(self, size: int, instead_of: int = 0) -> None:
        """Refuse a blob of `size` bytes, which replace `instead_of` used ones, if it is too large or over the quota.

        Raises:
            ApiError: 413 or 507.
        """
        most = _FILE_BYTES_MAX if self.file_bytes is None else min(self.file_bytes, _FILE_BYTES_MAX)
        if size > most:
            raise ApiError(
                413,
                ErrorCode.TOO_LARGE,
                f"a file of {size} bytes is over this server's limit of {most} bytes: save less, or ask who runs the "
                "server to raise it (`ml-dash server --file-limit`)",
                limit=most,
            )
        if self.quota is not None and self.used - instead_of + size > self.quota:
            raise ApiError(
                507,
                ErrorCode.QUOTA_EXCEEDED,
                f"{size} bytes more are over the quota: {self.used} of {self.quota} bytes are used; delete files, or "
                "ask who runs the server to raise it (`ml-dash server --quota`)",
                quota=self.quota,
                used=self.used,
            )


class OwnerLimits:
    """The limits of all owners; `settings` has those of owners that have none of their own."""

    def __init__(self, database: Database, settings: ServerSettings) -> None:
        self._database = database
        self._settings = settings

    def room(self, row: Any) -> Room:
        """Return the room that an owner has by its row, which is None for an owner that has stored nothing yet."""
        if row is None:
            return Room(0, self._settings.quota_bytes, self._settings.file_bytes)
        return Room(
            row.used_bytes,
            _effective(row.quota_bytes, self._settings.quota_bytes),
            _effective(row.file_bytes, self._settings.file_bytes),
        )

    def record(self, owner: str) -> shapes.OwnerLimits:
        """Return what an owner has stored and may store."""
        with self._database.read() as connection:
            row = connection.execute(select(OWNER_LIMITS).where(OWNER_LIMITS.c.owner == owner)).one_or_none()
        return shapes.OwnerLimits(owner, *self.room(row))

    def change(self, owner: str, limits: Mapping[str, int | None]) -> shapes.OwnerLimits:
        """Change the limits of an owner, and return its record.

        Args:
            owner: Whose limits.
            limits: ``quota_bytes`` and ``file_bytes``, or one of them; None is no limit.
        """
        values = {name: NO_LIMIT if value is None else value for name, value in limits.items()}
        with self._database.write() as connection:
            row = lock_owner(connection, owner)
            if values:
                connection.execute(update(OWNER_LIMITS).where(OWNER_LIMITS.c.owner == owner).values(values))
                row = connection.execute(select(OWNER_LIMITS).where(OWNER_LIMITS.c.owner == owner)).one()
            return shapes.OwnerLimits(owner, *self.room(row))


def lock_owner(connection: Connection, owner: str) -> Any:
    """Return an owner's row, which nobody else changes before this transaction ends."""
    row = _locked(connection, owner)
    if row is None:
        # another transaction may insert it at this moment: then this one waits for it, and finds its row
        insert = dialect_insert(connection, OWNER_LIMITS)
        connection.execute(insert.on_conflict_do_nothing(), {"owner": owner, "used_bytes": 0})
        row = _locked(connection, owner)
    return row


def _locked(connection: Connection, owner: str) -> Any:
    return connection.execute(
        select(OWNER_LIMITS).where(OWNER_LIMITS.c.owner == owner).with_for_update()
    ).one_or_none()


def add_used(connection: Connection, owner: str, size: int) -> None:
    """Add to the bytes that an owner has used; `size` may be negative. The owner must be locked."""
    connection.execute(
        update(OWNER_LIMITS)
        .where(OWNER_LIMITS.c.owner == owner)
        .values(used_bytes=OWNER_LIMITS.c.used_bytes + size)
    )


def _effective(own: int | None, default: int | None) -> int | None:
    limit = default if own is None else own
    return None if limit is None or limit >= NO_LIMIT else limit
