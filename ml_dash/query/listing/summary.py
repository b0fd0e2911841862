"""What is kept of a metric's field, so that lists, sorts and filters read no rows.

A summary is made of a block's columns, and summaries of blocks that follow one another are merged. A bool counts as 0
or 1, so that the mean of ``success`` is its rate. Of texts the last one is kept alone; they are not counted. The step
of a value is what its own row calls ``step``, else the row's index.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from itertools import repeat
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ml_dash.journal.blocks import as_list
from ml_dash.query.columns import leaf_columns
from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ml_dash.journal.blocks import Block, Column

Aggregate: TypeAlias = Literal["last", "first", "min", "max", "mean", "count"]
AGGREGATES: tuple[Aggregate, ...] = ("last", "first", "min", "max", "mean", "count")
Number: TypeAlias = "int | float"

STEP = "step"
TEXT_MAX = 1000
"""Characters that are kept of a text: a table shows fewer."""
_FEW = 16
"""With fewer values than these, numpy's cost a call is larger than that of looking at them one by one."""
_BESIDE, _BESIDE_ROWS = 3, 1024
"""Columns that are looked at together, from so many on, and of so many rows at most: beyond, a copy costs more."""
_JSON = {
    "count": "count",
    "nan": "nan",
    "first": "first",
    "last": "last",
    "min": "min",
    "max": "max",
    "total": "total",
    "first_step": "firstStep",
    "last_step": "lastStep",
    "min_step": "minStep",
    "max_step": "maxStep",
}


class FieldSummary(NamedTuple):
    """What is known of a field's values, in the order of their rows.

    Attributes:
        count: How many numbers there are, NaN included.
        nan: How many of these are NaN.
        first: The first number that is not NaN; None where there is none.
        last: The last number, which may be NaN, or the last text where that came later.
        min: The least of the numbers but NaN; None where there is none. Of equal ones the first.
        max: The largest.
        total: The sum of the numbers but NaN.
        first_step: At which step each of them is; None where it is None.
        last_step: As `first_step`.
        min_step: As `first_step`.
        max_step: As `first_step`.
    """

    count: int = 0  # type: ignore[assignment]  # `tuple.count` means nothing here
    nan: int = 0
    first: Number | None = None
    last: Number | str | None = None
    min: Number | None = None
    max: Number | None = None
    total: Number = 0.0
    first_step: Number | None = None
    last_step: Number | None = None
    min_step: Number | None = None
    max_step: Number | None = None

    @property
    def mean(self) -> float | None:
        """The mean of the numbers but NaN; None where there is none, as of both infinities."""
        numbers = self.count - self.nan
        mean = self.total / numbers if numbers else math.nan
        return None if math.isnan(mean) else mean

    def merge(self, newer: FieldSummary) -> FieldSummary:
        """Return the summary of these values and of those of later rows."""
        first, first_step = (
            (self.first, self.first_step) if self.first is not None else (newer.first, newer.first_step)
        )
        last, last_step = (
            (newer.last, newer.last_step) if newer.last is not None else (self.last, self.last_step)
        )
        least, least_step = self.min, self.min_step
        if newer.min is not None and (least is None or newer.min < least):
            least, least_step = newer.min, newer.min_step
        largest, largest_step = self.max, self.max_step
        if newer.max is not None and (largest is None or newer.max > largest):
            largest, largest_step = newer.max, newer.max_step
        return FieldSummary(
            self.count + newer.count,
            self.nan + newer.nan,
            first,
            last,
            least,
            largest,
            self.total + newer.total,
            first_step,
            last_step,
            least_step,
            largest_step,
        )

    def value(self, aggregate: Aggregate) -> Number | str | None:
        """Return one of `AGGREGATES`."""
        found: Number | str | None = getattr(self, aggregate)
        return found

    def step_of(self, aggregate: Aggregate) -> Number | None:
        """Return at which step an aggregate is; None for those that are at none."""
        found: Number | None = getattr(self, f"{aggregate}_step", None)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the form in which it is sent and stored; `mean` besides, for whoever only reads."""
        return {**{name: getattr(self, field) for field, name in _JSON.items()}, "mean": self.mean}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FieldSummary:
        """Return what `to_json` has given; what is not in it is as of no values."""
        return cls(**{field: data[name] for field, name in _JSON.items() if data.get(name) is not None})


Summaries: TypeAlias = "dict[str, FieldSummary]"
"""Of the fields of a metric, by their names: those in nested dicts with dots."""


def summarized(blocks: Iterable[tuple[int, Block]]) -> Summaries:
    """Return the summaries of the fields of a series.

    Args:
        blocks: Its blocks in their order, each with the index of its first row.
    """
    found: Summaries = {}
    for start, block in blocks:
        merge_into(found, block_summaries(start, block))
    return found


def merge_into(found: Summaries, newer: Summaries) -> None:
    """Merge the summaries of later rows into those of a series."""
    for field, summary in newer.items():
        older = found.get(field)
        found[field] = summary if older is None else older.merge(summary)


def block_summaries(start: int, block: Block) -> Summaries:
    """Return the summaries of a block's fields.

    Args:
        start: The index of the block's first row in its series.
        block: Consecutive rows of a metric.
    """
    columns = list(leaf_columns(block))
    steps = _Steps(start, [column for column in columns if column.field == STEP and column.type in "fi"])
    whole = _of_whole_columns(columns, steps, block.count)
    found: dict[str, _Part] = {}
    for column in columns:
        if column.field in whole:
            continue
        part = _part(column)
        older = found.get(column.field)
        found[column.field] = part if older is None else older.beside(part)
    if not found:
        return whole
    # in the order in which the block has them
    return {
        field: whole[field] if field in whole else found[field].summary(steps)
        for field in dict.fromkeys(column.field for column in columns)
    }


def _of_whole_columns(columns: Sequence[Column], steps: _Steps, count: int) -> Summaries:
    """Return the summaries of columns that have a number in each row, where there are several of a type.

    A run logs many fields in each row, and few rows in a block: by one call of numpy's for all of them each costs a
    tenth of what it would cost by itself. Those with a NaN are left out.
    """
    if len(columns) < _BESIDE or not 0 < count <= _BESIDE_ROWS:
        return {}
    named = Counter(column.field for column in columns)
    found: Summaries = {}
    for kind in "fi":
        group = [
            each for each in columns if each.type == kind and each.rows is None and named[each.field] == 1
        ]
        if len(group) >= _BESIDE:
            found |= _of_group(group, steps, count)
    # in the order in which the block has them
    return {column.field: found[column.field] for column in columns if column.field in found}


def _of_group(columns: Sequence[Column], steps: _Steps, count: int) -> Summaries:
    import numpy as np

    table = np.concatenate([np.asarray(column.values) for column in columns]).reshape(-1, count)
    names = [column.field for column in columns]
    if table.dtype.kind == "f" and (missing := np.isnan(table).any(axis=1)).any():
        table = table[~missing]
        names = [name for name, lacks in zip(names, missing.tolist(), strict=True) if not lacks]
    if not names:
        return {}
    lowest, highest, each = table.argmin(axis=1), table.argmax(axis=1), np.arange(len(names))
    values = zip(
        repeat(count),
        repeat(0),
        table[:, 0].tolist(),
        table[:, -1].tolist(),
        table[each, lowest].tolist(),
        table[each, highest].tolist(),
        _sum(table).tolist(),
        repeat(steps.at(0)),
        repeat(steps.at(count - 1)),
        steps.all_at(lowest),
        steps.all_at(highest),
        strict=False,
    )
    return dict(zip(names, map(FieldSummary._make, values), strict=True))


class _At(NamedTuple):
    """A value, and the row of the block that has it."""

    row: int
    value: Any


class _Part(NamedTuple):
    """What is known of one column."""

    numbers: int = 0
    nan: int = 0
    first: _At | None = None
    last: _At | None = None
    least: _At | None = None
    largest: _At | None = None
    total: Number = 0.0

    def beside(self, other: _Part) -> _Part:
        """Return this with another column of the field: its values, of other types, stand between these."""
        firsts, lasts = _there(self.first, other.first), _there(self.last, other.last)
        least, largest = _there(self.least, other.least), _there(self.largest, other.largest)
        return _Part(
            self.numbers + other.numbers,
            self.nan + other.nan,
            min(firsts, key=lambda at: at.row, default=None),
            max(lasts, key=lambda at: at.row, default=None),
            min(least, key=lambda at: (at.value, at.row), default=None),
            min(largest, key=lambda at: (-at.value, at.row), default=None),
            self.total + other.total,
        )

    def summary(self, steps: _Steps) -> FieldSummary:
        ends = (self.first, self.last, self.least, self.largest)
        first, last, least, largest = (None if at is None else at.value for at in ends)
        first_step, last_step, min_step, max_step = (None if at is None else steps.at(at.row) for at in ends)
        return FieldSummary(
            self.numbers,
            self.nan,
            first,
            last,
            least,
            largest,
            self.total,
            first_step,
            last_step,
            min_step,
            max_step,
        )


class _Steps:
    """At which step each row of a block is."""

    def __init__(self, start: int, columns: Sequence[Column]) -> None:
        self._start = start
        self._columns = columns

    def at(self, row: int) -> Number:
        for column in self._columns:
            position = row
            if column.rows is not None:
                position = bisect_left(column.rows, row)
                if position == len(column.rows) or column.rows[position] != row:
                    continue
            value = column.values[position]
            step: Number = value.item() if hasattr(value, "item") else value
            if step == step:  # noqa: PLR0124 - NaN is no step
                return step
        return self._start + row

    def all_at(self, rows: Any) -> list[Number]:
        """Return `at` of each; `rows` is an array."""
        if not self._columns:
            return (rows + self._start).tolist()  # type: ignore[no-any-return]
        if len(self._columns) == 1 and self._columns[0].rows is None:
            import numpy as np

            found = np.asarray(self._columns[0].values)[rows]
            if found.dtype.kind != "f" or not np.isnan(found).any():
                return found.tolist()  # type: ignore[no-any-return]
        return [self.at(row) for row in rows.tolist()]


def _there(*found: _At | None) -> list[_At]:
    return [each for each in found if each is not None]


def _part(column: Column) -> _Part:
    if not len(column.values):
        return _Part()
    if column.type == "o":
        return _of_objects(column)
    return _of_few(column) if len(column.values) < _FEW else _of_array(column)


def _row(column: Column, position: int) -> int:
    return position if column.rows is None else int(column.rows[position])


def _of_array(column: Column) -> _Part:
    import numpy as np

    values = np.asarray(column.values)
    if values.dtype.kind == "b":
        values = values.astype(np.int64)
    last = len(values) - 1
    last_at = _At(_row(column, last), values[last].item())
    missing = np.isnan(values) if values.dtype.kind == "f" else None
    nan = 0 if missing is None else int(np.count_nonzero(missing))
    if nan == len(values):
        return _Part(len(values), nan, last=last_at)
    first = 0
    if missing is not None and nan:
        # argmin and argmax would find a NaN before any number
        first, lowest, highest = int(missing.argmin()), int(np.nanargmin(values)), int(np.nanargmax(values))
        total = float(_sum(values[~missing]))
    else:
        lowest, highest, total = int(values.argmin()), int(values.argmax()), float(_sum(values))
    return _Part(
        len(values),
        nan,
        _At(_row(column, first), values[first].item()),
        last_at,
        _At(_row(column, lowest), values[lowest].item()),
        _At(_row(column, highest), values[highest].item()),
        total,
    )


def _sum(values: Any) -> Any:
    """Return the sum along the last axis."""
    import numpy as np

    with np.errstate(all="ignore"):  # of both infinities it is NaN, and beyond float64 an infinity
        # in float64: int64 would wrap around
        return values.sum(axis=-1, dtype=np.float64)


def _of_few(column: Column) -> _Part:
    values = as_list(column.values)
    if column.type == "b":
        values = [int(value) for value in values]
    return _of_numbers(column, list(enumerate(values)))


def _of_objects(column: Column) -> _Part:
    """An int beyond int64 is stored as an object, and is a number all the same; of texts the last one counts."""
    values = list(enumerate(as_list(column.values)))
    numbers = [(at, value) for at, value in values if isinstance(value, int) and not isinstance(value, bool)]
    part = _of_numbers(column, numbers) if numbers else _Part()
    text = next((each for each in reversed(values) if isinstance(each[1], str)), None)
    if text is None:
        return part
    at = _At(_row(column, text[0]), text[1][:TEXT_MAX])
    return part.beside(_Part(last=at))


def _of_numbers(column: Column, values: Sequence[tuple[int, Number]]) -> _Part:
    known = [(at, value) for at, value in values if value == value]  # noqa: PLR0124 - NaN alone differs
    first, last = (known[0] if known else None), values[-1]
    least = min(known, key=lambda each: each[1], default=None)
    largest = max(known, key=lambda each: each[1], default=None)
    return _Part(
        len(values),
        len(values) - len(known),
        None if first is None else _At(_row(column, first[0]), first[1]),
        _At(_row(column, last[0]), last[1]),
        None if least is None else _At(_row(column, least[0]), least[1]),
        None if largest is None else _At(_row(column, largest[0]), largest[1]),
        _float_sum(value for _, value in known),
    )


def _float_sum(values: Iterable[Number]) -> float:
    total = 0.0
    for value in values:
        try:
            total += float(value)
        except OverflowError:  # an int beyond float64
            total += math.inf if value > 0 else -math.inf
    return total
