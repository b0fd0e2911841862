"""The names that experiments of a root have or had: of parameters, and of metrics and their fields.

Tables have numbers for them: a name is in each of a hundred thousand experiments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.query.listing.naming import ParamTarget
from ml_dash.query.listing.sql import Schema

if TYPE_CHECKING:
    from collections.abc import Collection
    from sqlite3 import Connection

    from ml_dash.query.listing.naming import Field, FieldTarget
    from ml_dash.storage.summaries.database import Database

_REMEMBERED = 200_000
"""Names whose numbers are kept in memory."""
_NAMES_TOLD = 10_000
"""Names that are listed for who asks for one that is not there."""
_DURATION = (
    "CASE WHEN e.started_ns IS NULL THEN NULL WHEN e.ended_ns IS NOT NULL THEN (e.ended_ns - e.started_ns) / 1e9"
    " WHEN e.standing = 'stale' THEN (e.active_ns - e.started_ns) / 1e9"
    " WHEN e.standing = 'running' THEN (:now - e.started_ns) / 1e9 END"
)
"""As `ListedExperiment.seconds` has it."""


class Names:
    """See `ml_dash.query.listing.naming.Names`. `schema` says what the tables are called."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._numbers: dict[str, int] = {}
        self._known: set[tuple[int, int | None]] = set()
        self.schema = Schema(
            {
                **{
                    name: f"e.{name}"
                    for name in ("prefix", "owner", "project", "folder", "name", "host", "error")
                },
                **{name: f"e.{name}" for name in ("note", "readme", "rows", "attempts")},
                "status": "e.standing",
                "started": "e.started_ns",
                "ended": "e.ended_ns",
                "active": "e.active_ns",
                "created": "e.created_ns",
                "duration": _DURATION,
            },
            words="e.words",
            ties=("e.created_ns", "e.uid"),
            name=self.number_of,
        )

    @property
    def connection(self) -> Connection:
        """That of now, see `Store.connection`."""
        return self._database.connection

    def forget(self) -> None:
        """Forget what is in memory, see `Store.forget`."""
        self._numbers.clear()
        self._known.clear()

    def number_of(self, name: str | None) -> int:
        """Return the number that stands for a name in the tables; -1 for one that is in none."""
        name = name or ""
        if (known := self._numbers.get(name)) is not None:
            return known
        found = self.connection.execute("SELECT id FROM names WHERE name = ?", (_encoded(name),)).fetchone()
        return -1 if found is None else int(found[0])

    def numbered(self, name: str) -> int:
        """Return the number of a name, which gets one if it has none; within `Database.writing`."""
        number = self.number_of(name)
        if number < 0:
            cursor = self.connection.execute("INSERT INTO names (name) VALUES (?)", (_encoded(name),))
            number = cursor.lastrowid or 0
        if len(self._numbers) >= _REMEMBERED:
            self._numbers.clear()
        self._numbers[name] = number
        return number

    def know(self, name: int, field: int | None) -> None:
        """Enter that there is a parameter of this name, or a metric of it with a field; within `Database.writing`."""
        if (name, field) in self._known:
            return
        if field is None:
            self.connection.execute("INSERT OR IGNORE INTO known_params VALUES (?)", (name,))
        else:
            self.connection.execute("INSERT OR IGNORE INTO known_fields VALUES (?, ?)", (name, field))
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known.add((name, field))

    def has_param(self, name: str) -> bool:
        """See `Names`."""
        found = self.connection.execute("SELECT 1 FROM known_params WHERE name = ?", (self.number_of(name),))
        return found.fetchone() is not None

    def has_field(self, metric: str | None, field: str) -> bool:
        """See `Names`."""
        found = self.connection.execute(
            "SELECT 1 FROM known_fields WHERE metric = ? AND field = ?",
            (self.number_of(metric), self.number_of(field)),
        )
        return found.fetchone() is not None

    def params(self) -> Collection[str]:
        """See `Names`."""
        found = self.connection.execute(
            "SELECT n.name FROM known_params k JOIN names n ON n.id = k.name LIMIT ?", (_NAMES_TOLD,)
        )
        return [_decoded(name) for (name,) in found]

    def fields(self) -> Collection[Field]:
        """See `Names`."""
        found = self.connection.execute(
            "SELECT m.name, f.name FROM known_fields k JOIN names m ON m.id = k.metric JOIN names f ON f.id = k.field"
            " LIMIT ?",
            (_NAMES_TOLD,),
        )
        return [(_decoded(metric) or None, _decoded(field)) for metric, field in found]

    def is_number(self, target: ParamTarget | FieldTarget) -> bool:
        """See `Names`."""
        if isinstance(target, ParamTarget):
            values: tuple[int, ...] = (self.number_of(target.name),)
            table, where, number, text = "params", "name = ?", "number", "text"
        else:
            values = (self.number_of(target.metric), self.number_of(target.field))
            table, where, number, text = (
                "metric_fields",
                "metric = ? AND field = ?",
                "last_value",
                "last_text",
            )
        other = f"SELECT 1 FROM {table} WHERE {where} AND {number} IS NULL AND {text} <> 'nan' LIMIT 1"  # noqa: S608
        one = f"SELECT 1 FROM {table} WHERE {where} LIMIT 1"  # noqa: S608
        is_there = self.connection.execute(one, values).fetchone() is not None
        return is_there and self.connection.execute(other, values).fetchone() is None


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "surrogatepass")
