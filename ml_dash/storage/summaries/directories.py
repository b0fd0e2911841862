"""What the tables of a root know of its directories."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ml_dash.journal.objects import from_msgpack
from ml_dash.storage.summaries.tree import INODE_BITS, Folder

if TYPE_CHECKING:
    from sqlite3 import Connection

    from ml_dash.storage.summaries.database import Database


class Directories:
    """See `tree.Known`; not for several threads at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def connection(self) -> Connection:
        """That of now, see `Store.connection`."""
        return self._database.connection

    @property
    def folders(self) -> dict[str, Folder]:
        """See `tree.Known`."""
        found = self.connection.execute("SELECT path, stamp, inside, strange, links FROM folders")
        return {
            os.fsdecode(path): Folder(
                stamp,
                None if inside is None else os.fsdecode(inside),
                bool(strange),
                tuple(map(os.fsdecode, from_msgpack(links))),
            )
            for path, stamp, inside, strange, links in found
        }

    def experiments_in(self, folder: str) -> dict[str, int]:
        """See `tree.Known`."""
        found = self.connection.execute(
            "SELECT path, inode FROM experiments WHERE parent = ? AND path <> x''", (os.fsencode(folder),)
        )
        return {os.fsdecode(path): inode for path, inode in found}

    def is_experiment(self, path: str) -> bool:
        """See `tree.Known`."""
        found = self.connection.execute("SELECT 1 FROM experiments WHERE path = ?", (os.fsencode(path),))
        return found.fetchone() is not None

    def experiments_below(self, folder: str) -> list[str]:
        """See `tree.Known`."""
        where, values = _below("path", folder)
        found = self.connection.execute(f"SELECT path FROM experiments WHERE {where}", values)  # noqa: S608
        return [os.fsdecode(path) for (path,) in found]

    def with_inode(self, inode: int) -> list[str]:
        """See `tree.Known`."""
        found = self.connection.execute("SELECT path FROM experiments WHERE inode = ?", (inode & INODE_BITS,))
        return [os.fsdecode(path) for (path,) in found]


def _below(column: str, folder: str) -> tuple[str, list[bytes]]:
    """Return the condition that a path is that of a directory or lies below it, and its values."""
    if not folder:
        return "1 = 1", []
    path = os.fsencode(folder)
    return f"({column} = ? OR ({column} > ? AND {column} < ?))", [path, path + b"/", path + b"0"]
