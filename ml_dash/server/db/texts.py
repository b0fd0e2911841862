"""Texts as they are compared in either database; and whether one holds another.

Not by LIKE: of a pattern it tries every beginning to its end, and starts anew a character later, so that a readme of a
million letters and a search of a thousand take SQLite 15 seconds. Both functions here compare stretches of memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from ml_dash.query.listing import sql as listing_sql

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler

COMPARED_BYTES = 1000
"""Bytes of a text in an index. An entry of PostgreSQL's takes 2,700 bytes, and has up to two texts and an id."""


def searchable(text: str) -> str:
    """Return a text without the characters that databases refuse."""
    return text.encode("utf-8", "replace").decode().replace("\0", " ")


def findable(text: str) -> str:
    """Return a text without its case; in Python, since SQLite's lower() knows only ASCII."""
    return searchable(text).casefold()


def comparable_text(text: str) -> str:
    """Return so much of a text without its case as is compared."""
    return findable(text).encode()[:COMPARED_BYTES].decode("utf-8", "ignore")


def install(connection: Any) -> None:
    """Give a connection of `sqlite3` the functions that statements call there."""
    listing_sql.install(connection)
    connection.create_function("ml_dash_text", 1, _text_of, deterministic=True)


def _text_of(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace")


class Holds(FunctionElement[bool]):
    """``Holds(column, text)``: the text is somewhere in the column, in this very case."""

    name = "holds"
    type = Boolean()
    inherit_cache = True


@compiles(Holds, "sqlite")
def _in_sqlite(element: Holds, compiler: SQLCompiler, **options: Any) -> str:
    return f"(instr({compiler.process(element.clauses, **options)}) > 0)"


@compiles(Holds, "postgresql")
def _in_postgresql(element: Holds, compiler: SQLCompiler, **options: Any) -> str:
    return f"(strpos({compiler.process(element.clauses, **options)}) > 0)"
