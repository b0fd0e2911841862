"""The statements that a piece of code has a database execute."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from ml_dash.server.db.database import Database


@contextmanager
def statements(database: Database, pattern: str = "") -> Iterator[list[str]]:
    """Give the statements as they are executed in the caller's thread: a server that runs has some of its own.

    Args:
        database: that executes them.
        pattern: how those begin that are meant.
    """
    found: list[str] = []
    wanted = re.compile(pattern, re.DOTALL)
    thread = threading.get_ident()

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if threading.get_ident() == thread and wanted.match(statement):
            found.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
