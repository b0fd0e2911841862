"""Recognising rows of numbers by their bytes, so that thousands are taken apart at once.

A packed event is ``[series id, time, {field: value, …}]``. Two events of one series, with the same fields and
values of the same msgpack types, differ only in the bytes of their numbers: everything else, the field names
included, is equal and in the same place. A `Layout` holds those constant bytes and the places of the numbers, and
gives the events, seen as records of one numpy dtype, their columns without touching them one by one.

That the constant bytes are right in a record proves that it is an event of this layout: msgpack's type bytes
say how many bytes follow, so by induction every record of a buffer begins where the one before it ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.records import NamedTuple
from ml_dash.values.pack import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from mmap import mmap

    import numpy as np
    import numpy.typing as npt

_EVENT = 0x93  # an array of three
_UINT64 = 0xCF
_INTS = {
    0xCC: ("u1", 1),
    0xCD: (">u2", 2),
    0xCE: (">u4", 4),
    # Read as signed: a negative one is an unsigned value beyond int64, which a column cannot carry.
    _UINT64: (">i8", 8),
    0xD0: ("i1", 1),
    0xD1: (">i2", 2),
    0xD2: (">i4", 4),
    0xD3: (">i8", 8),
}
_FLOAT64 = 0xCB
_FALSE, _TRUE = 0xC2, 0xC3
_STRINGS = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_MAPS = {0xDE: 2, 0xDF: 4}


class Slot(NamedTuple):
    """Where a number lies in a record."""

    column_type: str  # "f", "i" or "b", as in `ml_dash.journal.blocks.Column`
    dtype: str
    offset: int
    guard: str  # what the number's own byte must satisfy: a key of `_GUARDS`, or ""


class Layout:
    """The shape shared by many packed events; `fields` are names and column types of the values, in order."""

    __slots__ = ("_constants", "_dtype", "_slots", "_spans", "fields", "length", "series_id")

    def __init__(self, row: bytes, series_id: int, time: Slot, fields: list[tuple[str, Slot]]) -> None:
        import numpy as np

        self.series_id = series_id
        self.length = len(row)
        self.fields = tuple((name, slot.column_type) for name, slot in fields)
        self._slots = (time, *(slot for _, slot in fields))
        self._spans = [(start, row[start:stop]) for start, stop in _constant_spans(self._slots, len(row))]
        words = [word for start, constant in self._spans for word in _words(start, constant)]
        self._constants = [
            (f"c{number}", np.frombuffer(word, dtype)[0]) for number, (_, word, dtype) in enumerate(words)
        ]
        self._dtype = np.dtype(
            {
                "names": [f"c{i}" for i in range(len(words))] + [f"v{i}" for i in range(len(self._slots))],
                "formats": [dtype for _, _, dtype in words] + [slot.dtype for slot in self._slots],
                "offsets": [offset for offset, _, _ in words] + [slot.offset for slot in self._slots],
                "itemsize": self.length,
            }
        )

    def fits(self, row: bytes) -> bool:
        """Whether one event is of this layout."""
        return self.resembles(row) and bool(self.match(self.records(row))[0])

    def resembles(self, row: bytes) -> bool:
        """Whether one event has this layout's length and constant bytes: most of `fits`, without numpy."""
        return len(row) == self.length and all(
            row.startswith(constant, start) for start, constant in self._spans
        )

    def records(self, buffer: bytes) -> npt.NDArray[Any]:
        """See a buffer of whole events as records; `match` says which are of this layout."""
        import numpy as np

        return np.frombuffer(buffer, self._dtype)

    def spaced_records(self, buffer: mmap, count: int, offset: int, gap: int) -> npt.NDArray[Any]:
        """See a buffer as records that begin at an offset, with `gap` bytes between any two."""
        import numpy as np

        return np.ndarray((count,), self._dtype, buffer, offset, (self.length + gap,))

    def match(self, records: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Say of each record whether it is an event of this layout."""
        matching: npt.NDArray[np.bool_] = records["c0"] == self._constants[0][1]
        for name, constant in self._constants[1:]:
            matching &= records[name] == constant
        for number, slot in enumerate(self._slots):
            if slot.guard:
                matching &= _GUARDS[slot.guard](records[f"v{number}"])
        return matching

    def columns(self, records: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Return the times, then the values of each field, of records that match."""
        return [_column(slot, records[f"v{number}"]) for number, slot in enumerate(self._slots)]


_GUARDS: dict[str, Callable[[npt.NDArray[Any]], npt.NDArray[np.bool_]]] = {
    "positive fixint": lambda byte: byte < 0x80,
    "negative fixint": lambda byte: (byte < 0) & (byte >= -32),
    "bool": lambda byte: (byte & 0xFE) == _FALSE,
    "int64": lambda value: value >= 0,
}


def _column(slot: Slot, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if slot.column_type == "b":
        return (values & 1).astype("?")  # 0xC2 is false, 0xC3 true
    return values.astype("<f8" if slot.column_type == "f" else "<i8")


def _constant_spans(slots: tuple[Slot, ...], length: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of bytes between the numbers."""
    start = 0
    for slot in slots:
        if slot.offset > start:
            yield start, slot.offset
        start = slot.offset + int(slot.dtype[-1])
    if start < length:
        yield start, length


def _words(start: int, constant: bytes) -> Iterator[tuple[int, bytes, str]]:
    """Cover constant bytes with as few words as possible, the last one overlapping: (offset, bytes, dtype)."""
    size = next(size for size in (8, 4, 2, 1) if size <= len(constant))
    for offset in (*range(0, len(constant) - size, size), len(constant) - size):
        yield start + offset, constant[offset : offset + size], f"u{size}"


def parse_layout(row: bytes) -> Layout | None:
    """Return the layout of a packed event, or None where a value is not a number."""
    parser = _Parser(row)
    if row[0] != _EVENT:
        return None
    series_id = parser.constant_int()
    time = parser.number()
    count = parser.map_size()
    if time is None or count is None or time.column_type != "i":
        return None
    fields = []
    for _ in range(count):
        name = parser.string()
        slot = parser.number()
        if name is None or slot is None:
            return None
        fields.append((name, slot))
    if not parser.is_at_end:
        return None  # two events in one piece: two threads have put them at the same moment
    return Layout(row, series_id, time, fields)


class _Parser:
    """Walks over one packed event, from just behind its first byte."""

    __slots__ = ("_at", "_row")

    def __init__(self, row: bytes) -> None:
        self._row = row
        self._at = 1

    @property
    def is_at_end(self) -> bool:
        """Whether this was the whole row."""
        return self._at == len(self._row)

    def _big_endian(self, size: int) -> int:
        self._at += size
        return int.from_bytes(self._row[self._at - size : self._at], "big")

    def _byte(self) -> int:
        self._at += 1
        return self._row[self._at - 1]

    def constant_int(self) -> int:
        """A series id: never negative."""
        first = self._byte()
        return first if first < 0x80 else self._big_endian(_INTS[first][1])

    def number(self) -> Slot | None:
        """The place of a number, or None where something else is there."""
        first = self._byte()
        at = self._at
        if first == _FLOAT64:
            self._at += 8
            return Slot("f", ">f8", at, "")
        if first == _UINT64 and self._row[at] >= 0x80:
            return None  # beyond int64
        if first in _INTS:
            dtype, size = _INTS[first]
            self._at += size
            return Slot("i", dtype, at, "int64" if first == _UINT64 else "")
        if first < 0x80:
            return Slot("i", "u1", at - 1, "positive fixint")
        if first >= 0xE0:
            return Slot("i", "i1", at - 1, "negative fixint")
        return Slot("b", "u1", at - 1, "bool") if first in (_FALSE, _TRUE) else None

    def map_size(self) -> int | None:
        first = self._byte()
        if 0x80 <= first <= 0x8F:
            return first & 0x0F
        return self._big_endian(_MAPS[first]) if first in _MAPS else None

    def string(self) -> str | None:
        start, first = self._at, self._byte()
        if 0xA0 <= first <= 0xBF:
            size = first & 0x1F
        elif first in _STRINGS:
            size = self._big_endian(_STRINGS[first])
        else:
            return None
        self._at += size
        return str(unpack(self._row[start : self._at]))
