"""What was logged in one call, of which thousands become blocks of columns at once.

Trackers whose rows are dictionaries of names and values log the same names again and again. So rows that hold nothing
but numbers wait until there are many, and are laid out by their columns; one with anything else ends the wait, for rows
of a metric stay in their order. What belongs to no metric, as messages do, goes along and ends nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.errors import InvalidArgumentError
from ml_dash.importers.media import without_media
from ml_dash.importers.named import Named, named
from ml_dash.importers.source import Item, Row
from ml_dash.journal.blocks import Block, Column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from ml_dash.importers.source import Position
    from ml_dash.series import Series

_ROWS = 4096
"""Rows that become blocks together: what they take in memory, and what a reader of one row has to check."""
_VALUES = 65_536
_FEW = 32  # rows: fewer are not worth numpy's fixed cost
_TYPES: dict[type, str] = {float: "f", int: "i", bool: "b"}
_NUMBERS = frozenset(_TYPES)


class Logged(NamedTuple):
    """Values by their names, at a time; `step` is None where there is none. `rows` are those of no metric.

    `position` is None for what may come otherwise the next time, as a line that is cut off.
    """

    time_ns: int
    step: int | float | None
    values: Mapping[str, Any]
    position: Position | None
    rows: tuple[Row, ...] = ()
    left_out: int = 0


def items_of(
    records: Iterable[Logged],
    leave_out: Callable[[str], None],
    meaning: Callable[[str], Named] = named,
) -> Iterator[Item]:
    """Yield what was logged as items.

    Args:
        records: What was logged, in its order.
        leave_out: Is called with what is wrong with a name that can be none; its values are left out.
        meaning: What names mean, or InvalidArgumentError.
    """
    names = _Names(leave_out, meaning)
    waiting: list[Logged] = []
    count = 0
    for record in records:
        if record.position is None:
            continue
        is_plain = _NUMBERS.issuperset(map(type, record.values.values()))
        if waiting and (not is_plain or len(waiting) >= _ROWS or count >= _VALUES):
            yield names.item(waiting)
            waiting, count = [], 0
        if is_plain:
            waiting.append(record)
            count += len(record.values)
        else:
            yield names.row_by_row([record])
    if waiting:
        yield names.item(waiting)


class _Names:
    """What names mean, those that can be none left out."""

    def __init__(self, leave_out: Callable[[str], None], meaning: Callable[[str], Named]) -> None:
        self._known: dict[str, Named | None] = {}
        self._leave_out, self._meaning = leave_out, meaning

    def get(self, name: str) -> Named | None:
        if name not in self._known:
            try:
                self._known[name] = self._meaning(name)
            except InvalidArgumentError as error:
                self._known[name] = None
                self._leave_out(str(error))
        return self._known[name]

    def row_by_row(self, records: Sequence[Logged]) -> Item:
        """Return an item of rows."""
        rows: list[Row] = []
        for record in records:
            rows += record.rows
            beside = {} if record.step is None else {"step": record.step}
            fields: dict[Series, dict[str, Any]] = {}
            for name, value in record.values.items():
                if (meant := self.get(name)) is not None:
                    fields.setdefault(meant.series, dict(beside))[meant.field] = value
            rows += [Row(series, record.time_ns, each) for series, each in fields.items()]
        return without_media(rows).item(**_what_is_known(records))

    def item(self, records: Sequence[Logged]) -> Item:
        """Return an item of blocks; of rows where there are few."""
        if len(records) >= _FEW:
            try:
                blocks = self._blocks(records)
            except OverflowError:  # a whole number of more than 64 bits is for the rows' way to see to
                return self.row_by_row(records)
            rows = tuple(row for record in records for row in record.rows)
            return Item(rows, blocks=blocks, **_what_is_known(records))
        return self.row_by_row(records)

    def _blocks(self, records: Sequence[Logged]) -> tuple[Block, ...]:
        import numpy as np

        found: dict[str, tuple[list[int], list[Any]]] = {}
        for row, record in enumerate(records):
            for name, value in record.values.items():
                if name not in found:
                    found[name] = ([], [])
                rows, values = found[name]
                rows.append(row)
                values.append(value)
        by_series: dict[Series, list[tuple[str, npt.NDArray[np.int64], list[Any]]]] = {}
        for name, (rows, values) in found.items():
            meant = self.get(name)
            if meant is not None:
                by_series.setdefault(meant.series, []).append((meant.field, np.array(rows), values))
        times = np.array([record.time_ns for record in records], np.int64)
        return tuple(_block(series, times, records, fields) for series, fields in by_series.items())


def _what_is_known(records: Sequence[Logged]) -> dict[str, Any]:
    return {
        "position": records[-1].position,
        "written_ns": max(record.time_ns for record in records),
        "left_out": sum(record.left_out for record in records),
    }


def _block(
    series: Series,
    times: npt.NDArray[np.int64],
    records: Sequence[Logged],
    fields: Sequence[tuple[str, npt.NDArray[np.int64], list[Any]]],
) -> Block:
    """Return a metric's rows: those records that have one of its fields."""
    import numpy as np

    is_own = np.zeros(len(times), np.bool_)
    for _, rows, _ in fields:
        is_own[rows] = True
    own = np.flatnonzero(is_own)
    place = np.cumsum(is_own) - 1
    columns: list[Column] = []
    steps = [(at, step) for at, row in enumerate(own.tolist()) if (step := records[row].step) is not None]
    if steps:
        at, values = zip(*steps, strict=True)
        columns += _columns("step", np.array(at), list(values), len(own))
    for field, rows, numbers in fields:
        columns += _columns(field, place[rows], numbers, len(own))
    return Block(series, times[own], columns)


def _columns(field: str, rows: npt.NDArray[np.int64], values: list[Any], count: int) -> Iterator[Column]:
    """Yield the columns of a field, one for each type of its values."""
    import numpy as np

    kinds = set(map(type, values))
    for kind in sorted(kinds, key=lambda each: _TYPES[each]):
        mine = (
            range(len(values))
            if len(kinds) == 1
            else [at for at, value in enumerate(values) if type(value) is kind]
        )
        numbers = np.array([values[at] for at in mine] if len(kinds) > 1 else values, _DTYPES[kind])
        at = None if len(numbers) == count else rows[mine]
        yield Column(field, _TYPES[kind], at, numbers)


_DTYPES: dict[type, str] = {float: "<f8", int: "<i8", bool: "?"}
