"""What a server has not acknowledged of a journal: found without asking it."""

from __future__ import annotations

import os

from ml_dash.errors import JournalError, JournalVersionError
from ml_dash.journal.disk import REAL_DISK, Disk
from ml_dash.journal.feed import JournalFeed, writers
from ml_dash.storage.cursor import CursorFile


def unsent(directory: str, url: str, disk: Disk = REAL_DISK) -> frozenset[str]:
    """Return the writers with frames that a server has not acknowledged, as far as is known here.

    JournalVersionError where a later version wrote the journal, OSError where it cannot be read.
    """
    journal = os.path.join(directory, "journal")
    found = set()
    for name in writers(journal, disk):
        # It may be behind the server, which ignores what it has; ahead it is of one restored from a backup only.
        cursor = CursorFile(directory, name, disk).load(url)
        feed = JournalFeed(journal, name, disk)
        feed.seek(cursor.seq + 1 if cursor else 1)
        try:
            is_behind = bool(feed.next_batch(1))  # a byte at least is one frame, however long it is
        except JournalVersionError:
            raise
        except JournalError:
            is_behind = True  # longer than is read
        if is_behind:
            found.add(name)
    return frozenset(found)


def id_where_all_is(directory: str, url: str, disk: Disk = REAL_DISK) -> str | None:
    """Return a server's id of an experiment of which it has all; None where it has not, as far as is known here.

    It has been told then what the experiment's directory says of it, and perhaps something newer since by others.
    """
    try:
        cursors = [
            CursorFile(directory, name, disk).load(url)
            for name in writers(os.path.join(directory, "journal"), disk)
        ]
        ids = {cursor.experiment_id for cursor in cursors if cursor is not None}
        # before a frame is read: of what was never sent there is no cursor
        if len(ids) != 1 or unsent(directory, url, disk):
            return None
    except (JournalVersionError, OSError):
        return None  # nobody can tell
    return ids.pop()
