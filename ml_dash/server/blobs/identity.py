"""What a blob store says of itself: whose it is, and how far its database was when it last wrote there.

A new store gets an identity object, and the database the same id. So neither a database that is pointed at the store of
another, nor a directory with somebody's files, is taken for one's own.

The identity also has a generation: a random word that is written down in the database before it is written to the
store, and replaced while objects are stored. A database that was restored from a backup, or copied, does not have the
words that came since: it sees that the store has gone on without it.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import delete, insert, select, update

from ml_dash.errors import MLDashError
from ml_dash.server.blobs.names import IDENTITY
from ml_dash.server.db.database import dialect_insert
from ml_dash.server.db.tables import BLOB_STORE, GENERATIONS

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ml_dash.server.blobs.objects import ObjectStore

_ROW = 1
"""The key of the one row of `BLOB_STORE`."""
_KEPT = 1000
"""How many generations a database remembers: of several processes, each may be late to write its own to the store."""
_ABOUT = "ML-Dash keeps rows and files here. Do not remove or change this object: it says whose they are."


class ForeignStoreError(MLDashError, RuntimeError):
    """A blob store is not this database's: it has another one's identity, or is neither empty nor known."""


class StoreIdentity(msgspec.Struct, frozen=True):
    """The identity object.

    Attributes:
        id: What the store and its database are called alike.
        generation: The word that a process of the server wrote last.
        held: Why nothing may be removed until an operator says so; None where it may.
        confirmed_ns: When an operator last said that database and store belong together as they are.
        about: What whoever finds the object should know.
    """

    id: str
    generation: str
    held: str | None = None
    confirmed_ns: int = 0
    about: str = _ABOUT


def read_identity(objects: ObjectStore) -> StoreIdentity | None:
    """Return a store's identity; None if it has none.

    Raises:
        ForeignStoreError: The object is not a valid identity.
        OSError: The store is out of reach.
    """
    try:
        raw = objects.read(IDENTITY)
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(raw, type=StoreIdentity)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ForeignStoreError(
            f"{IDENTITY} in the blob store {objects.where} cannot be read ({error}): bring it back from a backup, or "
            "remove it, and then run `ml-dash server check`, which says what to do"
        ) from None


def write_identity(objects: ObjectStore, identity: StoreIdentity, *, first: bool = False) -> None:
    """Store an identity, in the place of the one before; with `first`, leave one that is there.

    Raises:
        OSError: It could not be stored.
    """
    raw = msgspec.json.format(msgspec.json.encode(identity)) + b"\n"
    if first:
        objects.create(IDENTITY, raw)
    else:
        objects.put(IDENTITY, raw)


def known_id(connection: Connection) -> str | None:
    """Return the id that the database has in common with its store; None if it has none yet."""
    return connection.execute(select(BLOB_STORE.c.id)).scalar_one_or_none()


def claim_id(connection: Connection, now_ns: int) -> str:
    """Return the database's id; it is given one now, unless it has one."""
    row = {"row": _ROW, "id": "sto_" + secrets.token_hex(10), "created_ns": now_ns}
    # several processes may start at once: the first one's counts
    connection.execute(dialect_insert(connection, BLOB_STORE).on_conflict_do_nothing(), row)
    return str(connection.execute(select(BLOB_STORE.c.id)).scalar_one())


def change_id(connection: Connection, store_id: str, now_ns: int) -> None:
    """Give the database the id of a store that is to be its own from now on."""
    claim_id(connection, now_ns)
    connection.execute(update(BLOB_STORE).values(id=store_id))


def knows(connection: Connection, generation: str) -> bool:
    """Say whether a generation is one of this database's."""
    found = select(GENERATIONS.c.generation).where(GENERATIONS.c.generation == generation)
    return connection.execute(found).first() is not None


def new_generation(connection: Connection, now_ns: int) -> str:
    """Write down a new generation, and return it. It goes to the store after the commit, and not before."""
    generation = secrets.token_hex(16)
    connection.execute(insert(GENERATIONS).values(generation=generation, created_ns=now_ns))
    oldest = select(GENERATIONS.c.created_ns).order_by(GENERATIONS.c.created_ns.desc()).offset(_KEPT).limit(1)
    connection.execute(delete(GENERATIONS).where(GENERATIONS.c.created_ns <= oldest.scalar_subquery()))
    return generation
