"""Whether a text holds another one, asked of either database.

Not by LIKE: of a pattern it tries every beginning to its end, and starts anew a character later, so that a readme of a
million letters and a search of a thousand take SQLite 15 seconds. Both functions here compare stretches of memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler


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
