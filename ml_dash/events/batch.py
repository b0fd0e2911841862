"""Turning queued events, which are rows, into blocks of columns.

Events whose values are numbers are taken apart by numpy, thousands at a time (see `layout`); what is left, and
every small batch, goes through msgpack's unpacker one by one. Both ways give the same blocks.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.errors import LimitError
from ml_dash.events.column_event import ColumnEvent
from ml_dash.events.items import rows_of
from ml_dash.events.layout import Layout, parse_layout
from ml_dash.forks import guarded_imports
from ml_dash.journal.block_ops import join_columns, merge_blocks
from ml_dash.journal.blocks import DTYPES, Block, Column
from ml_dash.journal.frame import encode_frame
from ml_dash.journal.objects import DEPTH_MAX, flatten, is_shallow
from ml_dash.limits.sparing import check_numpy
from ml_dash.notices import is_news, logger
from ml_dash.query.columns import meeting
from ml_dash.records import NamedTuple
from ml_dash.series import Kind
from ml_dash.slabs.layout import MARK
from ml_dash.slabs.slab import Chunk
from ml_dash.values.pack import DeferredEvent, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from ml_dash.events.items import Event, Item
    from ml_dash.series import Series

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_FEW = 16  # events: fewer are not worth numpy's fixed cost
_FEW_WITHOUT_NUMPY = 1024  # events: fewer are not worth importing numpy for
SHORTAGES = ImportError, OSError, MemoryError
"""What keeps a batch from being encoded and is no fault of its rows: they wait until it is over."""
_FEW_FOR_MEMORY = 64  # events: as many are encoded together, or none, however little memory there is
_TOLD: set[str] = set()
_WITH_FIELDS = frozenset({Kind.METRIC, Kind.TRACK})
"""Kinds whose rows have fields of the caller's own."""
_NEXT_IMPORT = 1.0  # seconds after numpy could not be imported until that is tried again
_CONTAINERS = frozenset({dict, list})
_SHAPES_A_LENGTH = 8  # layouts looked for among events of one length before the rest are unpacked one by one


class Packed(NamedTuple):
    """Packed events ``[series id, time, fields]``, and the same bytes in one piece."""

    events: Sequence[bytes]
    joined: bytes

    @classmethod
    def of(cls, items: Sequence[Item]) -> Packed:
        """Join events: those in chunks too, and those of which the packing was put off."""
        try:
            return cls(items, b"".join(items))  # type: ignore[arg-type]  # what is not bytes raises TypeError
        except TypeError:
            events: list[bytes] = []
            for item in items:
                if isinstance(item, Chunk):
                    events += item.events()
                else:
                    events.append(item.pack() if isinstance(item, DeferredEvent) else item)  # type: ignore[arg-type]
            return cls(events, b"".join(events))


class Salvaged(NamedTuple):
    """A frame's blocks, and how many of the batch's events it and those before it have seen to."""

    blocks: list[Block]
    until: int


class SeriesNumbers:
    """The series of one channel and the numbers that stand for them in its events; that channel's lock guards it."""

    def __init__(self) -> None:
        self.known: list[Series] = []
        self._numbers: dict[Series, int] = {}

    def number(self, series: Series) -> int:
        """Return the number of a series, a new one where it is new."""
        number = self._numbers.get(series)
        if number is None:
            # In this order: a fork between the two must not leave the child a number that names nothing.
            self.known.append(series)
            number = self._numbers[series] = len(self.known) - 1
        return number


class _Part(NamedTuple):
    """Rows of one series, taken from a batch together."""

    positions: Sequence[int] | npt.NDArray[np.int64] | None  # in the batch; None: these are all its events
    times: Sequence[int] | npt.NDArray[np.int64]
    columns: list[Column]
    met: Iterable[str] = ()  # names under which values of a row meet


def _first_position(found: tuple[int, _Part]) -> int:
    positions = found[1].positions
    return 0 if positions is None else int(positions[0])


class Batcher:
    """Builds blocks for one journal; remembers the layouts that it has seen."""

    def __init__(self) -> None:
        self._layouts: dict[int, list[Layout]] = {}
        self._has_numpy = "numpy" in sys.modules
        self._import_at = float("-inf")
        self._told: set[tuple[Series, str]] = set()

    def blocks(self, items: Sequence[Item], series: Sequence[Series]) -> list[Block]:
        """Return the events as one block a series (`series` has them by id), rows in the order they were put.

        The series are in order of their first rows, and so are the fields of each: lists show them in that order.
        """
        by_series: dict[Series, list[Block]] = {}
        for block in self._pieces(items, series):
            by_series.setdefault(block.series, []).append(block)
        return [merge_blocks(found) if len(found) > 1 else found[0] for found in by_series.values()]

    def _pieces(self, items: Sequence[Item], series: Sequence[Series]) -> Iterator[Block]:
        """Yield a block for each chunk whose events are all alike, and those of what lies between these."""
        between: list[Item] = []
        for item in items:
            whole = self._of_chunk(item) if isinstance(item, Chunk) else None
            if whole is None:
                between.append(item)
                continue
            if between:
                yield from self._mixed(between, series)
                between = []
            series_id, part = whole
            yield Block(series[series_id], part.times, part.columns)
        if between:
            yield from self._mixed(between, series)

    def _mixed(self, items: Sequence[Item], series: Sequence[Series]) -> Iterator[Block]:
        # Sorted before they are gathered: parts come by the lengths of their events. A block has few of them.
        by_series: dict[int, list[_Part]] = {}
        for series_id, part in sorted(self._parts(*Packed.of(items), series), key=_first_position):
            by_series.setdefault(series_id, []).append(part)
            if part.met:
                self._tell(series[series_id], part.met)
        for series_id, found in by_series.items():
            yield _block(series[series_id], found)

    def _tell(self, series: Series, names: Iterable[str]) -> None:
        """Say, once each, which names of a row meet; no warning, for this is the background thread."""
        for name in names:
            if is_news((series, name), self._told):
                logger().warning(
                    "Rows of %s have two values called %r, as {'a.b': 1, 'a': {'b': 2}} would: statistics, columns "
                    "and charts take the one whose name is written out farther, else the later one (said once). Use "
                    "one name.",
                    "an unnamed metric" if series.name is None else repr(series.name), name,
                )  # fmt: skip

    def _parts(
        self, events: Sequence[bytes], joined: bytes, series: Sequence[Series]
    ) -> Iterator[tuple[int, _Part]]:
        if not self._is_worth_numpy(len(events)):
            return _unpacked(enumerate(events), series)
        if len(joined) == len(events) * len(events[0]):
            whole = self._whole(events[0], lambda layout: layout.records(joined))
            if whole is not None:
                return iter([whole])
        return self._parts_by_length(events, joined, series)

    def _of_chunk(self, chunk: Chunk) -> tuple[int, _Part] | None:
        """Return the one part that all events of a chunk are; None where they are several."""
        if not self._is_worth_numpy(chunk.rows):
            return None
        # Where they lie, without a copy. The mark of the last one may have come later, and that of the one before the
        # first. And what lies between two events is a mark: there is no event so short.
        memory, start, end = chunk.memory, chunk.start, chunk.end
        if memory[start : start + len(MARK)] == MARK:
            start += len(MARK)
        length = memory.find(MARK, start, end) - start
        rest = end - start - chunk.rows * (length + len(MARK))
        if length < 0 or rest not in (0, -len(MARK)):
            return None
        row = memory[start : start + length]
        return self._whole(row, lambda layout: layout.spaced_records(memory, chunk.rows, start, len(MARK)))

    def _is_worth_numpy(self, count: int) -> bool:
        return count >= (_FEW if self._has_numpy else _FEW_WITHOUT_NUMPY) and self._find_numpy()

    def _find_numpy(self) -> bool:
        """Import numpy where it has not been; False where that fails: it is quicker, and no row needs it."""
        if self._has_numpy or SYSTEM_CLOCK.monotonic() < self._import_at:
            return self._has_numpy
        try:
            check_numpy()
            with guarded_imports():
                import numpy as np  # noqa: F401 - for all that follows
        except Exception as error:  # noqa: BLE001 - a package that is broken or shadowed may raise anything
            if is_news("numpy", _TOLD):
                why = str(error) if isinstance(error, LimitError) else f"numpy cannot be imported ({error!r})"
                logger().warning(
                    "Rows are written without numpy, which takes longer; it is tried again every second: %s",
                    why,
                )
            self._import_at = SYSTEM_CLOCK.monotonic() + _NEXT_IMPORT
        else:
            self._has_numpy = True
        return self._has_numpy

    def _whole(
        self, row: bytes, records_of: Callable[[Layout], npt.NDArray[Any]]
    ) -> tuple[int, _Part] | None:
        """Return the one part that all events are, the first of them being `row`; None where they are several."""
        if len(row) not in self._layouts:
            self._layout_of(row)
        for layout in self._layouts[len(row)]:
            # What matches all of them matches the first: asking for that alone would cost as much again.
            if layout.resembles(row):
                records = records_of(layout)
                if layout.match(records).all():
                    return layout.series_id, _numbers(layout, records, None)
        return None

    def _parts_by_length(
        self, events: Sequence[bytes], joined: bytes, series: Sequence[Series]
    ) -> Iterator[tuple[int, _Part]]:
        import numpy as np

        lengths = np.fromiter(map(len, events), np.int64, len(events))
        ends = np.cumsum(lengths)
        rest: list[npt.NDArray[np.int64]] = []
        # `np.unique` would do as well, but its first call imports `numpy.ma`, which stalls everybody for 15 ms.
        for length in sorted(set(map(len, events))):
            positions = np.flatnonzero(lengths == length)
            first, last = int(positions[0]), int(positions[-1])
            if last - first + 1 == len(positions):
                buffer = joined[int(ends[first]) - length : int(ends[last])]
            else:
                buffer = b"".join([events[position] for position in positions.tolist()])
            yield from self._parts_of_length(buffer, positions, rest)
        if rest:
            left = np.sort(np.concatenate(rest)).tolist()
            yield from _unpacked(((position, events[position]) for position in left), series)

    def _parts_of_length(
        self, buffer: bytes, positions: npt.NDArray[np.int64], rest: list[npt.NDArray[np.int64]]
    ) -> Iterator[tuple[int, _Part]]:
        """Yield the parts among events of one length; put the positions of all others into `rest`."""
        import numpy as np

        length = len(buffer) // len(positions)
        left = np.arange(len(positions))
        for _ in range(_SHAPES_A_LENGTH):
            if len(left) < _FEW:
                break
            start = int(left[0]) * length
            layout = self._layout_of(buffer[start : start + length])
            if layout is None:
                break
            records = layout.records(buffer)
            if len(left) < len(records):
                records = records[left]
            matching = layout.match(records)
            yield layout.series_id, _numbers(layout, records[matching], positions[left[matching]])
            left = left[~matching]
        if len(left):
            rest.append(positions[left])

    def _layout_of(self, row: bytes) -> Layout | None:
        known = self._layouts.setdefault(len(row), [])
        for layout in known:
            if layout.fits(row):
                return layout
        parsed = parse_layout(row)
        if parsed is not None:
            # Newest first, oldest forgotten: a script that makes up ever new fields must not fill the memory.
            known.insert(0, parsed)
            del known[_SHAPES_A_LENGTH:]
        return parsed


def encoded(batcher: Batcher, events: Sequence[Item], series: Sequence[Series]) -> list[Block]:
    """Return a batch's events as blocks; the last of them may be one of columns, which is a block already."""
    last = events[-1]
    if not isinstance(last, ColumnEvent):
        return batcher.blocks(events, series)
    before = batcher.blocks(events[:-1], series) if len(events) > 1 else []
    return [*before, last.block(series)]


def salvage(
    events: Sequence[Event], series: Sequence[Series], frame_bytes: int, controls: int = 0
) -> tuple[list[Salvaged], int]:
    """Return the blocks of those events that can be encoded, by frames that are not too large.

    Halved again and again, so that few frames come of a batch that is only too large, or has one bad row, or for which
    there is too little memory.

    Returns:
        The frames, and how many rows are left out; the first `controls` events do not count.

    Raises:
        ImportError, OSError, MemoryError: what no row is to blame for; see `SHORTAGES`.
    """
    frames: list[Salvaged] = []
    lost = 0
    waiting = [(events, len(events))]
    while waiting:
        some, until = waiting.pop()
        try:
            found = encoded(Batcher(), some, series)
            encode_frame(1, found, most=frame_bytes)
        except SHORTAGES as error:
            if not isinstance(error, MemoryError) or len(some) <= _FEW_FOR_MEMORY:
                raise
            half = len(some) // 2  # half as many take half the memory
            waiting += (some[half:], until), (some[:half], until - len(some) + half)
        except Exception:  # noqa: BLE001 - whatever it is, the other rows must be saved; it is counted
            if len(some) > 1:
                half = len(some) // 2
                waiting += (some[half:], until), (some[:half], until - len(some) + half)
                continue
            if until <= controls:
                logger().exception(
                    "What a run says of itself, or has captured, could not be encoded: it is left out."
                )
                continue
            logger().exception("A row could not be encoded, and is counted as dropped['malformed'].")
            lost += rows_of(some[0])
        else:
            frames.append(Salvaged(found, until))
    return frames, lost


def _numbers(layout: Layout, records: npt.NDArray[Any], positions: npt.NDArray[np.int64] | None) -> _Part:
    times, *values = layout.columns(records)
    columns = [
        Column(name, column_type, None, column)
        for (name, column_type), column in zip(layout.fields, values, strict=True)
    ]
    return _Part(positions, times, columns)


def _unpacked(events: Iterable[tuple[int, bytes]], series: Sequence[Series]) -> Iterator[tuple[int, _Part]]:
    rows: dict[int, tuple[list[int], list[int], list[dict[str, Any]]]] = {}
    met: dict[int, set[str]] = {}
    for position, event in events:
        series_id, time, fields = unpack(event)
        kinds = set(map(type, fields.values()))
        if len(event) > DEPTH_MAX and kinds & _CONTAINERS and not is_shallow(fields.values()):
            flatten(fields.values())
        if dict in kinds and series[series_id].kind in _WITH_FIELDS:
            met.setdefault(series_id, set()).update(meeting(fields))
        positions, times, values = rows.setdefault(series_id, ([], [], []))
        positions.append(position)
        times.append(time)
        values.append(fields)
    for series_id, (positions, times, values) in rows.items():
        yield series_id, _Part(positions, times, _columns(values), sorted(met.get(series_id, ())))


def _columns(rows: list[dict[str, Any]]) -> list[Column]:
    """Turn dicts into columns: one a field and type of value, sparse where some rows lack it."""
    found: dict[tuple[str, str], tuple[list[int], list[Any]]] = {}
    for position, fields in enumerate(rows):
        for name, value in fields.items():
            positions, values = found.setdefault((name, _column_type(value)), ([], []))
            positions.append(position)
            values.append(value)
    return [
        Column(name, column_type, None if len(values) == len(rows) else positions, values)
        for (name, column_type), (positions, values) in found.items()
    ]


def _column_type(value: Any) -> str:
    kind = type(value)
    if kind is float:
        return "f"
    if kind is bool:
        return "b"
    return "i" if kind is int and _INT64_MIN <= value <= _INT64_MAX else "o"


def _block(series: Series, parts: list[_Part]) -> Block:
    if len(parts) == 1:
        return Block(series, parts[0].times, parts[0].columns)
    # Several: put together, rows in the order of their positions in the batch.
    import numpy as np

    positions = np.concatenate([np.asarray(part.positions, np.int64) for part in parts])
    order = np.argsort(positions)
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    times = np.concatenate([np.asarray(part.times, np.int64) for part in parts])[order]
    pieces: dict[tuple[str, str], list[tuple[npt.NDArray[np.int64], Any]]] = {}
    start = 0
    for part in parts:
        own = ranks[start : start + len(part.times)]
        start += len(part.times)
        for column in part.columns:
            rows = own if column.rows is None else own[np.asarray(column.rows)]
            pieces.setdefault((column.field, column.type), []).append((rows, column.values))
    columns = []
    # sorted by their first rows: a part that begins first may have fields of rows behind those of another
    for (field, kind), found in sorted(
        pieces.items(), key=lambda piece: min(int(rows[0]) for rows, _ in piece[1])
    ):
        values = [values if kind == "o" else np.asarray(values, DTYPES[kind]) for _, values in found]
        columns.append(join_columns(field, kind, [rows for rows, _ in found], values, len(times)))
    return Block(series, times, columns)
