"""Sees to it that nothing is removed from a store that is not this database's, or from which it does not know enough.

When a server starts, the store must have the database's id, be new and empty, or hold what the database names; else the
start is refused. Afterwards, the generation of the store must be one that the database knows; else nothing is removed
until an operator says so (`ml-dash server check`), and the store itself says why, to all who have it in use.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ml_dash.query.times import NANOSECONDS
from ml_dash.server.blobs.identity import (
    ForeignStoreError,
    StoreIdentity,
    change_id,
    claim_id,
    known_id,
    knows,
    new_generation,
    read_identity,
    write_identity,
)
from ml_dash.server.blobs.names import IDENTITY
from ml_dash.server.blobs.objects import ObjectError
from ml_dash.server.blobs.references import count_named
from ml_dash.server.blobs.survey import survey

if TYPE_CHECKING:
    from ml_dash.clock import Clock
    from ml_dash.server.blobs.objects import ObjectStore
    from ml_dash.server.db.database import Database
    from ml_dash.server.telemetry import Telemetry

_LOG = logging.getLogger("ml_dash.server")
# a line now and then: who looks into the log a week later must find it
_SAID_AGAIN = 3600.0
_CHECK = "`ml-dash server check`, with this server's --data, --database and --blobs, shows more and says what to do"
_WENT_ON = (
    "the store was written by a database that knows more than this one: either this database was restored from a "
    "backup or emptied, or a second server with a copy of it uses the same store"
)
_SHARED = (
    "a running server with another database stores in it as well, as where two began at once in a bucket that knows no "
    "conditional requests: end one of the two"
)


class StoreKeeper:
    """Knows whether a store is its database's, and whether anything may be removed. Any thread may use it."""

    def __init__(self, database: Database, objects: ObjectStore, clock: Clock, telemetry: Telemetry) -> None:
        self._database = database
        self._objects = objects
        self._clock = clock
        self._telemetry = telemetry
        # one at a time: a generation that was made first must not be written last
        self._lock = threading.Lock()
        self._seen = 0
        self._said: tuple[str, float] | None = None

    # --- the start

    def settle(self) -> None:
        """Make sure that the store is this database's, and make it so where both are new.

        Raises:
            ForeignStoreError: It is not, or nobody can tell; the message says what to do.
            OSError: The store is out of reach, and was never seen before.
        """
        try:
            identity = read_identity(self._objects) or self._found()
        except OSError as error:
            if self.database_id() is None:
                where = self._objects.where
                raise ObjectError(
                    f"the blob store {where} must be seen before the first start: {error}"
                ) from error
            # as at any later moment: rows of small requests are taken, and nothing is removed before it was seen again
            _LOG.warning("the blob store cannot be seen at the moment: %s", error)
            return
        # read after the identity: another process that starts at this moment writes the id first
        own = self.database_id()
        if identity.id != own:
            raise ForeignStoreError(
                f"the blob store {self._objects.where} {_belongs(identity.id, own)}. Nothing in it was changed. If you "
                "want a new server, give it an empty --blobs. If the store is the right one, and its database was lost "
                f"or replaced: {_CHECK}"
            )
        self._look()

    def _found(self) -> StoreIdentity:
        """Give an identity to a store that has none, if it is empty or holds this database's objects."""
        with self._database.read() as connection:
            named = count_named(connection)
        if self._is_empty():
            if named:
                raise ForeignStoreError(
                    f"the blob store {self._objects.where} is empty, and the database names {named} objects in it: is "
                    f"the disk mounted, and the URL right? If what was in it is lost: {_CHECK}"
                )
            return self._begin(None)
        found = survey(self._database, self._objects)
        # another process may have begun it meanwhile
        begun = read_identity(self._objects)
        if begun is not None:
            return begun
        if not found.named or found.missing:
            lacking = (
                f"of {found.named} objects that the database names, {len(found.missing)} are missing"
                if found.named
                else "the database names nothing in it"
            )
            examples = found.examples or [each.name for each in found.unnamed] or ["the trash"]
            raise ForeignStoreError(
                f"the blob store {self._objects.where} is not empty (there is {examples[0]}) and has no identity of "
                f"ML-Dash, and {lacking}. Nothing in it was changed. Give --blobs an empty directory, or a prefix of "
                f"its own in the bucket. If it is this server's store all the same: {_CHECK}"
            )
        _LOG.warning(
            "the blob store %s has no identity, as those of earlier versions; it holds all %d objects that the "
            "database names, and is the database's own from now on",
            self._objects.where,
            found.named,
        )
        if not found.unnamed:
            return self._begin(None)
        return self._begin(
            f"{len(found.unnamed)} objects of the store, which had no identity, are named by no row: they were left by "
            "a crash, or are another server's"
        )

    def _begin(self, held: str | None) -> StoreIdentity:
        now = self._clock.time_ns()
        with self._database.write() as connection:
            # before the store has it: a crash in between leaves an empty store, which is begun once more
            identity = StoreIdentity(claim_id(connection, now), new_generation(connection, now), held)
        write_identity(self._objects, identity, first=True)
        # of two that begin at once, the store says whose it is
        return read_identity(self._objects) or identity

    # --- while the server runs

    def may_remove(self) -> bool:
        """Say whether objects may be removed now. The store is asked each time; what comes then is known to be ours.

        Raises:
            OSError: The store is out of reach.
        """
        with self._lock:
            identity = self._look()
            if identity is None:
                return False
            # what is removed changes the store as well: a copy of the database must notice
            self._renew(identity)
            return True

    def advance(self) -> None:
        """Begin a new generation, if objects were stored since the last one.

        Raises:
            OSError: The store is out of reach.
        """
        with self._lock:
            if self._objects.stored != self._seen and (identity := self._look()) is not None:
                self._renew(identity)

    def hold(self, why: str) -> None:
        """Let nothing be removed, by any process, until an operator says so.

        Raises:
            OSError: The store is out of reach.
        """
        with self._lock:
            identity = read_identity(self._objects)
            if identity is not None and identity.held is None:
                write_identity(self._objects, replace(identity, held=why))
            self._telemetry.held.set(True)
            self._say(why)

    def confirmed_seconds(self) -> float:
        """Return when an operator last confirmed that store and database belong together, since the epoch."""
        identity = read_identity(self._objects)
        return 0.0 if identity is None else identity.confirmed_ns / NANOSECONDS

    # --- an operator's decisions

    def adopt(self) -> None:
        """Make the store this database's, whatever it says of itself. Nothing is removed before `confirm`.

        Raises:
            OSError: The store is out of reach.
        """
        now = self._clock.time_ns()
        with self._lock:
            there = read_identity(self._objects)
            with self._database.write() as connection:
                if there is None:
                    store_id = claim_id(connection, now)
                else:
                    # its id stays: a server that uses it goes on, notices that it is not alone, and removes nothing
                    store_id = there.id
                    change_id(connection, store_id, now)
                generation = new_generation(connection, now)
            why = "the store was given to a database by hand, and nobody has looked since whether all of it is known"
            write_identity(self._objects, StoreIdentity(store_id, generation, why))

    def confirm(self) -> None:
        """Let removing go on: database and store belong together as they are.

        Raises:
            ForeignStoreError: They do not.
            OSError: The store is out of reach.
        """
        now = self._clock.time_ns()
        with self._lock:
            identity = read_identity(self._objects)
            if identity is None or identity.id != self.database_id():
                raise ForeignStoreError(
                    f"the blob store {self._objects.where} is not this database's: --adopt comes before --confirm"
                )
            with self._database.write() as connection:
                generation = new_generation(connection, now)
            write_identity(self._objects, StoreIdentity(identity.id, generation, None, now))

    def is_own(self) -> bool:
        """Say whether the store has the id of this database.

        Raises:
            ForeignStoreError: The identity cannot be read.
            OSError: The store is out of reach.
        """
        identity = read_identity(self._objects)
        return identity is not None and identity.id == self.database_id()

    def reason(self) -> str | None:
        """Return why nothing may be removed; None if it may. Nothing is changed.

        Raises:
            ForeignStoreError: The identity cannot be read.
            OSError: The store is out of reach.
        """
        return self._judge(read_identity(self._objects))

    # --- inner parts

    def database_id(self) -> str | None:
        """Return what the database and its store are called alike; None before the first start."""
        with self._database.read() as connection:
            return known_id(connection)

    def _is_empty(self) -> bool:
        # a crash in the middle of the first start leaves a piece of the identity
        pages = self._objects.entries(strangers=True)
        return all(entry.name.startswith(IDENTITY) for page in pages for entry in page)

    def _judge(self, identity: StoreIdentity | None) -> str | None:
        own = self.database_id()
        if identity is None:
            return "the store has no identity any more" if own else "the store has no identity"
        if identity.id != own:
            return f"the store {_belongs(identity.id, own)}"
        if identity.held is not None:
            return identity.held
        with self._database.read() as connection:
            return None if knows(connection, identity.generation) else _WENT_ON

    def _look(self) -> StoreIdentity | None:
        """Return the identity if objects may be removed; else say why not, in the log and in the store."""
        identity = read_identity(self._objects)
        why = self._judge(identity)
        self._telemetry.held.set(why is not None)
        if why is None:
            self._said = None
            return identity
        if identity is not None and identity.held is None:
            # to the other database too, which may still know its own generation, and would remove what is ours
            write_identity(self._objects, replace(identity, held=why if why == _WENT_ON else _SHARED))
        self._say(why)
        return None

    def _renew(self, identity: StoreIdentity) -> None:
        stored = self._objects.stored
        with self._database.write() as connection:
            generation = new_generation(connection, self._clock.time_ns())
        write_identity(self._objects, replace(identity, generation=generation))
        self._seen = stored

    def _say(self, why: str) -> None:
        now = self._clock.monotonic()
        if self._said is not None and self._said[0] == why and now - self._said[1] < _SAID_AGAIN:
            return
        self._said = why, now
        _LOG.warning("nothing is removed from the blob store %s: %s. %s", self._objects.where, why, _CHECK)


def _belongs(store_id: str, own: str | None) -> str:
    ours = "this database has none" if own is None else f"that of this database is {own}"
    return f"belongs to another database: its id is {store_id}, and {ours}"
