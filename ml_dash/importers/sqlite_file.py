"""Databases of SQLite that others write: read without a change to any of their files.

One that nobody has open, and that was closed properly, is opened as unchangeable: SQLite then makes no file beside it.
Where there is a write-ahead log, what is new is in it; it is read along, by the locks of SQLite, so that a tracker may
go on writing meanwhile.
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

_WAIT = 10.0  # seconds for a writer to let go of it


class DatabaseUnreadableError(InvalidArgumentError):
    """It is no database, or a damaged one; the text says what is wrong."""


@contextmanager
def opened(path: str) -> Iterator[sqlite3.Connection]:
    """Give a connection that reads.

    Raises:
        DatabaseUnreadableError: It cannot be read, also within the block.
    """
    log = path + "-wal"
    is_open = os.path.exists(log) and os.path.getsize(log) > 0
    options = "mode=ro" if is_open or os.path.exists(path + "-journal") else "mode=ro&immutable=1"
    try:
        uri = f"file:{quote(os.path.abspath(path))}?{options}"
        with closing(sqlite3.connect(uri, uri=True, timeout=_WAIT)) as connection:
            connection.row_factory = sqlite3.Row
            # texts that are no UTF-8 are named by what shows them, and end nothing
            connection.text_factory = lambda data: data.decode("utf-8", "backslashreplace")
            yield connection
    except (sqlite3.Error, UnicodeDecodeError) as error:  # its messages may quote what is damaged
        raise DatabaseUnreadableError(f"it cannot be read as a database ({error})") from error


def columns_of(connection: sqlite3.Connection, table: str) -> set[str]:
    """Return the names of a table's columns; none where there is no such table."""
    return {row["name"] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}
