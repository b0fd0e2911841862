"""The trash of a store: what is removed lies there for some days, under the name that it had, and can be brought back.

The day is a part of the name there, because a local file keeps its time when it is moved, and one in a bucket does not.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from ml_dash.server.blobs.names import TRASH, in_trash
from ml_dash.server.blobs.references import judge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ml_dash.clock import Clock
    from ml_dash.server.blobs.objects import ObjectStore
    from ml_dash.server.db.database import Database

REMOVALS = logging.getLogger("ml_dash.server.removals")
"""Of its own, so that what is removed can be logged where all else is not."""
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def throw_away(objects: ObjectStore, names: Iterable[str], clock: Clock, why: str) -> int:
    """Move objects into the trash; return how many were there.

    Raises:
        OSError: One could not be moved.
    """
    count = 0
    for name in names:
        if objects.move(name, to := f"{TRASH}/{_day(clock, 0.0)}/{name}"):
            count += 1
            REMOVALS.info("%s was moved to %s: %s", name, to, why)
    return count


def empty_trash(database: Database, objects: ObjectStore, clock: Clock, age: float) -> int:
    """Remove what has been in the trash for more than `age` seconds; return how many objects.

    What the database names by now is brought back instead.

    Raises:
        OSError: The store is out of reach.
    """
    removed = 0
    before = _day(clock, age)
    for page in objects.entries():
        old = {
            thrown[1]: entry.name
            for entry in page
            if (thrown := in_trash(entry.name)) is not None and thrown[0] < before
        }
        judged = judge(database, old.keys())
        for name in judged.named:
            bring_back(objects, old[name], name)
        for name in judged.unnamed:
            objects.delete([old[name]])
            REMOVALS.info("%s was removed for good", old[name])
        removed += len(judged.unnamed)
    return removed


def bring_back(objects: ObjectStore, trashed: str, name: str) -> None:
    """Move an object out of the trash, to where it was.

    Raises:
        OSError: It could not be moved.
    """
    if objects.move(trashed, name):
        REMOVALS.info("%s was brought back from the trash: a row names it", name)


def _day(clock: Clock, ago: float) -> str:
    moment = _EPOCH + timedelta(microseconds=clock.time_ns() // 1000) - timedelta(seconds=ago)
    return moment.date().isoformat()
