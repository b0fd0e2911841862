"""Databases of SQLite that others write: read without a change to any of their files.

They are read by the locks of SQLite, so that a tracker may go on writing meanwhile, with what is in a write-ahead log.
A database that has such a log by its header, and none beside it, was closed by all: it is opened as one that nobody
changes, for else SQLite would make a log.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from ml_dash.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

_WRITE_VERSION, _LOGGED = 18, 2
"""Where in a database's header it says how it is written, and what it says where there is a write-ahead log."""
_WAIT = 10.0  # seconds for a writer to let go of it


class DatabaseUnreadableError(InvalidArgumentError):
    """It is no database, or a damaged one; the text says what is wrong."""


@contextmanager
def opened(path: str) -> Iterator[sqlite3.Connection]:
    """Give a connection that reads.

    Raises:
        DatabaseUnreadableError: It cannot be read, also within the block.
    """
    options = "mode=ro&immutable=1" if _is_at_rest(path) else "mode=ro"
    try:
        uri = f"file:{quote(os.path.abspath(path))}?{options}"
        with closing(sqlite3.connect(uri, uri=True, timeout=_WAIT)) as connection:
            connection.row_factory = sqlite3.Row
            # texts that are no UTF-8 are named by what shows them, and end nothing
            connection.text_factory = lambda data: data.decode("utf-8", "backslashreplace")
            yield connection
    except (sqlite3.Error, UnicodeDecodeError) as error:  # its messages may quote what is damaged
        raise DatabaseUnreadableError(f"it cannot be read as a database ({error})") from error


def _is_at_rest(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            header = file.read(_WRITE_VERSION + 1)
    except OSError:
        return False  # it is told when it is opened
    is_logged = len(header) > _WRITE_VERSION and header[_WRITE_VERSION] == _LOGGED
    return is_logged and not os.path.exists(path + "-wal")


def columns_of(connection: sqlite3.Connection, table: str) -> set[str]:
    """Return the names of a table's columns; none where there is no such table."""
    return {row["name"] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}
