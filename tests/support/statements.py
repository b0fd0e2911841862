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


@contextmanager
def plans(database: Database) -> Iterator[list[str]]:
    """Give a line for each step by which the database finds what the caller's thread asks for, and the question."""
    found: list[str] = []
    thread = threading.get_ident()
    is_sqlite = database.dialect == "sqlite"

    def explain(_: Any, cursor: Any, statement: str, parameters: Any, __: Any, many: bool) -> None:
        is_question = statement.startswith(("SELECT", "WITH")) and "pg_catalog" not in statement
        if threading.get_ident() == thread and is_question and not many:
            asking = cursor.connection.cursor()
            asking.execute(("EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN ") + statement, parameters)
            found.extend(f"{row[3] if is_sqlite else row[0]} <- {statement}" for row in asking.fetchall())

    event.listen(database.engine, "before_cursor_execute", explain)
    try:
        yield found
    finally:
        event.remove(database.engine, "before_cursor_execute", explain)
