"""Which column of a table becomes what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.errors import InvalidArgumentError
from ml_dash.importers.named import Named, named
from ml_dash.importers.source import NotUnderstoodError
from ml_dash.importers.times import from_iso, from_seconds
from ml_dash.sdk.series_port import check_name
from ml_dash.series import Kind, Series

if TYPE_CHECKING:
    from collections.abc import Mapping


def said_of_twice(names: list[str]) -> str:
    """Return what to say of columns of one name, of which the last one is taken; empty where there are none."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if not twice:
        return ""
    return f"several columns are called {', '.join(map(repr, twice))}: the last one of each is taken"


class Shape(NamedTuple):
    """What of a file becomes what.

    Attributes:
        metric: The metric that the rows are of; None is the unnamed one.
        columns: Those that are taken, and the names that they get, as ``train/loss``, or None for a column that is a
            field of `metric` under its own name; None for all columns.
        time: The column that has a row's time, as seconds since the epoch or as ISO 8601; None where there is none:
            then all rows have the file's time, in their order.
        step: The column that has a row's step; None where a step is a column like any other.
    """

    metric: str | None = None
    columns: Mapping[str, str | None] | None = None
    time: str | None = None
    step: str | None = None

    @classmethod
    def of(cls, metric: str | None, columns: str | None, time: str | None, step: str | None) -> Shape:
        """Return what options mean; `columns` is ``A,B=train/loss``.

        Raises:
            InvalidArgumentError: A name can be none.
        """
        if metric is not None:
            check_name("metric", metric)
        chosen: dict[str, str | None] | None = None
        if columns is not None:
            chosen = {}
            for part in columns.split(","):
                column, sign, name = part.partition("=")
                if not column.strip() or (sign and not name.strip()):
                    raise InvalidArgumentError(
                        f"--columns has {part!r}: write a column, or COLUMN=NAME, as in loss=train/loss"
                    )
                if sign:
                    named(name.strip())
                chosen[column.strip()] = name.strip() if sign else None
        return cls(metric, chosen, time, step)

    def stored(self) -> list[Any]:
        """Return it as plain data."""
        return [self.metric, self.columns and dict(self.columns), self.time, self.step]

    def meaning(self, column: str) -> Named:
        """Return what a column means."""
        name = self.columns.get(column) if self.columns is not None else None
        return Named(Series(Kind.METRIC, self.metric), column) if name is None else named(name)

    def take(
        self, fields: dict[str, Any], otherwise_ns: int
    ) -> tuple[int, int | float | None, dict[str, Any]]:
        """Return the time and the step of a row, and those of its fields that are taken.

        Raises:
            NotUnderstoodError: It has none, or its time is none.
        """
        time_ns: int | None = otherwise_ns
        step = None
        if self.time is not None:
            given = fields.pop(self.time, None)
            time_ns = from_seconds(given) if isinstance(given, (int, float)) else from_iso(given)
        if time_ns is None:
            raise NotUnderstoodError(f"its {self.time!r} is no time")
        if self.step is not None:
            step = fields.pop(self.step, None)
            if isinstance(step, bool) or not isinstance(step, (int, float)):
                raise NotUnderstoodError(f"its {self.step!r} is no number")
        if self.columns is not None:
            fields = {name: fields[name] for name in self.columns if name in fields}
        if not fields:
            raise NotUnderstoodError("it has none of the columns")
        return time_ns, step, fields
