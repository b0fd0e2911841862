"""Tracks: the rows of one topic in the order of their times, and the forms in which they are handed out."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from numbers import Real
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError, MissingExtraError
from ml_dash.journal.blocks import Block, block_rows
from ml_dash.journal.objects import to_msgpack
from ml_dash.query.columns import free_name, leaves_of
from ml_dash.query.json_text import json_text
from ml_dash.query.times import nearest_ns, seconds, seconds_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

TIMESTAMP = "timestamp"
FEW_ENTRIES = 100
"""How many entries are asked for where the last one before a time is looked for."""

_MISSING = object()
_AT_ONCE = 1024
"""Rows of a block that are made at once."""
_FOREVER = 2.0**64
_LATEST = 2.0**63 / 1e9
"""The last time in seconds that a row may have."""
_STRETCHES = tuple(16.0**power for power in range(8))
"""Seconds, up to eight years."""
_HALVES = 64
"""So often halved, eight years are less than a nanosecond."""
"""Seconds: beyond every time that int64 nanoseconds can say."""


class TrackQuery:
    """Which entries of a topic to read, and which of their columns.

    Bounds are seconds since the epoch, both included. See `View.track` for the columns; None keeps all.

    Raises:
        InvalidArgumentError: A bound is not a number, or the columns are not strings.
    """

    def __init__(
        self,
        start_timestamp: float | None = None,
        end_timestamp: float | None = None,
        columns: Sequence[str] | None = None,
    ) -> None:
        start = -_FOREVER if start_timestamp is None else _time("start_timestamp", start_timestamp)
        end = _FOREVER if end_timestamp is None else _time("end_timestamp", end_timestamp)
        self.start = None if start == -_FOREVER else start
        self.end = None if end == _FOREVER else end
        self.columns = _column_names(columns)

    @property
    def bounds_ns(self) -> tuple[int | None, int | None]:
        """Times between which the entries lie, in nanoseconds; None where there is no bound.

        They are a microsecond wider than was asked for, since `entries` compares floats of seconds.
        """
        # near 2**30 s a float64 is 0.2 µs apart, so a microsecond is more than any rounding
        since = None if self.start is None else max(nearest_ns(self.start) - 1000, -(2**63))
        return since, None if self.end is None else nearest_ns(self.end) + 1000

    def entries(self, blocks: Iterable[tuple[int, Block]]) -> list[dict[str, Any]]:
        """Return the entries in order of time.

        Rows of the same nanosecond are one entry; where they have the same field, the later row's wins.
        """
        earliest = Earliest(self)
        for start, block in blocks:
            earliest.add(start, block)
        return [entry for _, entry in earliest.entries()]

    def are_within(self, stamps: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Say which of these times, in seconds, lie in the bounds."""
        start = -_FOREVER if self.start is None else self.start
        end = _FOREVER if self.end is None else self.end
        within: npt.NDArray[np.bool_] = (stamps >= start) & (stamps <= end)
        return within


class Earliest:
    """The earliest entries behind a time, of rows in any order.

    In memory are those and a block, however long the track is.

    Attributes:
        ceiling: From this time on, in nanoseconds, entries are left for later; None where all have found room.
    """

    def __init__(
        self,
        query: TrackQuery,
        after_ns: int | None = None,
        limit: int | None = None,
        size: int | None = None,
    ) -> None:
        """Make room for the rows of `limit` times, and of `size` bytes (those of one time always); None is no bound."""
        self._query = query
        self._after_ns = after_ns
        self._limit = limit
        self._room = size
        self.ceiling: int | None = None
        # By time: its row, where there are several all of them with their indices, and the bytes of these. Hardly any
        # time has several: a list for each would be so many more objects to look through for the garbage collector.
        self._kept: dict[int, dict[str, Any]] = {}
        self._indices: dict[int, int] = {}
        self._several: dict[int, list[tuple[int, dict[str, Any]]]] = {}
        self._sizes: dict[int, int] = {}
        self._latest: list[int] = []

    def add(self, start: int, block: Block) -> None:
        """Take in the rows of a block, of which the first has the index `start`."""
        import numpy as np

        times = np.asarray(block.times)
        wanted = self._query.are_within(seconds_array(times))
        if self._after_ns is not None:
            wanted &= times > self._after_ns
        if self.ceiling is not None:
            wanted &= times < self.ceiling
        at = np.flatnonzero(wanted)
        found = times[at]
        # compared, for a difference of two int64 may be none
        ascends = bool((found[1:] >= found[:-1]).all())
        if not ascends:
            at = at[np.argsort(found, kind="stable")]
        # Some at a time, since the first may fill all the room; where times are in disorder, these lie anywhere.
        step = _AT_ONCE if ascends else max(1, len(at))
        for begin in range(0, len(at), step):
            some = at[begin : begin + step]
            first = int(some.min())
            fields = block_rows(block, first, int(some.max()) + 1)
            for row in some.tolist():
                time_ns = int(times[row])
                if self.ceiling is not None and time_ns >= self.ceiling:
                    return
                self._keep(time_ns, start + row, fields[row - first])

    def entries(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the entries in order of time, each with its time in nanoseconds."""
        for time_ns in sorted(self._kept):
            fields = self._kept[time_ns]
            if time_ns in self._several:
                fields = {}
                for _, each in sorted(self._several[time_ns], key=itemgetter(0)):
                    fields.update(each)
            if self._query.columns is not None:
                fields = _projected(fields, self._query.columns)
                if not fields:
                    continue
            yield time_ns, _entry(seconds(time_ns), fields)

    @property
    def last_ns(self) -> int | None:
        """The time of the last rows that have found room."""
        return max(self._kept, default=None)

    def _keep(self, time_ns: int, index: int, fields: dict[str, Any]) -> None:
        other = self._kept.setdefault(time_ns, fields)
        if other is not fields:
            if time_ns not in self._several:
                self._several[time_ns] = [(self._indices[time_ns], other)]
            self._several[time_ns].append((index, fields))
        else:
            self._indices[time_ns] = index
            if self._limit is not None:
                heapq.heappush(self._latest, -time_ns)
        if self._limit is None or self._room is None:
            return
        size = len(to_msgpack(fields))
        self._sizes[time_ns] = self._sizes.get(time_ns, 0) + size
        self._room -= size
        while len(self._kept) > self._limit or (self._room < 0 and len(self._kept) > 1):
            self.ceiling = -heapq.heappop(self._latest)
            del self._kept[self.ceiling]
            self._several.pop(self.ceiling, None)
            self._room += self._sizes.pop(self.ceiling)


def find_by_time(entries: Sequence[dict[str, Any]], timestamp: float) -> dict[str, Any] | None:
    """Return the entry at `timestamp` (seconds), else the last one before it; None where all are later."""
    after = bisect_right(entries, _time("timestamp", timestamp), key=lambda entry: entry[TIMESTAMP])
    return entries[after - 1] if after else None


def last_before(
    timestamp: float,
    first: Callable[[float | None, float], tuple[list[dict[str, Any]], bool]],
    every: Callable[[float, float], list[dict[str, Any]]],
) -> dict[str, Any] | None:
    """Do as `find_by_time`, over a track of any length, of which few entries are asked for.

    Between two times, the earlier of which may be None, `first` gives the first few entries, and whether there are
    more; `every` gives all.
    """
    end = min(_time("timestamp", timestamp), _LATEST)
    # backwards, in wider and wider stretches up to the first in which there is an entry…
    for width in (*_STRETCHES, None):
        found, has_more = first(None if width is None else end - width, end)
        if found:
            break
    else:
        return None
    # … and then by halves, between the last entry that is known and a time behind which there is none
    for _ in range(_HALVES):
        if not has_more:
            return found[-1]
        known = float(found[-1][TIMESTAMP])
        some, more = first(known + (end - known) / 2, end)
        if some:
            found, has_more = some, more
        else:
            end = known + (end - known) / 2
    # nearer than a float can tell them apart
    return find_by_time(every(float(found[-1][TIMESTAMP]), end), end)


def renderer(format: str) -> Callable[[list[dict[str, Any]]], dict[str, Any] | str | bytes]:
    """Return what makes ``json`` (a dict), ``jsonl`` (text, a line each) or ``parquet`` (bytes) of entries.

    In jsonl, NaN and infinities are the literals that Python's `json` reads and writes. In parquet the items
    of nested dicts are columns with dotted names, and a column whose values have no one plain type is JSON
    text; it raises `MissingExtraError` where pyarrow is not installed.

    Raises:
        InvalidArgumentError: The format is not known.
    """
    if format not in _RENDERERS:
        raise InvalidArgumentError(f"format={format!r} is not known: use one of {', '.join(_RENDERERS)}")
    return _RENDERERS[format]


def _time(name: str, value: Any) -> float:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or value != value:  # noqa: PLR0124 - NaN
        raise InvalidArgumentError(f"{name}={value!r} is not a time: give seconds since the epoch")
    # an infinity means no bound, and an int may be beyond float
    return _FOREVER if value > _FOREVER else -_FOREVER if value < -_FOREVER else float(value)


def _column_names(columns: Any) -> list[str] | None:
    if columns is None:
        return None
    names = [] if isinstance(columns, str) else list(columns)
    if isinstance(columns, str) or not all(isinstance(name, str) for name in names):
        raise InvalidArgumentError(
            f"columns={columns!r} is not a list of field names, such as ['x', 'pose.y']"
        )
    return names


def _projected(fields: dict[str, Any], columns: list[str]) -> dict[str, Any]:
    """Return these columns of the row, nested as they were."""
    kept: dict[str, Any] = {}
    for column in columns:
        if column in fields:
            kept[column] = fields[column]
        elif "." in column:
            _keep_inner(fields, column.split("."), kept)
    return kept


def _keep_inner(fields: dict[str, Any], path: list[str], kept: dict[str, Any]) -> None:
    value: Any = fields
    for name in path:
        value = value.get(name, _MISSING) if isinstance(value, dict) else _MISSING
    if value is _MISSING:
        return
    for name in path[:-1]:
        # a copy: the whole dict may have been kept by a column before this one
        kept[name] = dict(kept.get(name, {}))
        kept = kept[name]
    kept[path[-1]] = value


def _entry(stamp: float, fields: dict[str, Any]) -> dict[str, Any]:
    """Return time and fields together; a field that is called ``timestamp`` gives way: ``timestamp_``."""
    entry = {TIMESTAMP: stamp}
    for name, value in fields.items():
        entry[free_name(name, entry) if name == TIMESTAMP else name] = value
    return entry


def _parquet(entries: list[dict[str, Any]]) -> bytes:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("Reading a track as parquet", "pyarrow", "parquet") from error
    rows = [leaves_of(entry) for entry in entries]
    # not by pyarrow's `from_pylist`, which takes the columns of the first row alone
    names = dict.fromkeys((TIMESTAMP, *(name for row in rows for name in row)))
    arrays = {_utf8(name): _arrow([row.get(name) for row in rows], pa) for name in names}
    arrays[TIMESTAMP] = arrays[TIMESTAMP].cast(pa.float64())
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(arrays), sink)
    return bytes(sink.getvalue().to_pybytes())


def _utf8(name: str) -> str:
    """Python's strings may hold lone surrogates, Arrow's names may not."""
    return name.encode("utf-8", "backslashreplace").decode()


def _arrow(values: list[Any], pa: Any) -> Any:
    try:
        array = pa.array(values)
        inner = array.type.value_type if pa.types.is_list(array.type) else array.type
        if not pa.types.is_nested(inner):
            return array
    except (pa.ArrowException, UnicodeError, OverflowError, TypeError, ValueError):
        pass  # values of several types, or a text that is not UTF-8
    return pa.array([None if value is None else json_text(value) for value in values], pa.string())


_RENDERERS: dict[str, Callable[[list[dict[str, Any]]], dict[str, Any] | str | bytes]] = {
    "json": lambda entries: {"entries": entries, "count": len(entries)},
    "jsonl": lambda entries: "".join(json_text(entry) + "\n" for entry in entries),
    "parquet": _parquet,
}
