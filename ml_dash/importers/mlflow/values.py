"""Values of metrics, thousands at a time: key, value, time in milliseconds and step of each."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.importers.mlflow.runs import MILLISECOND
from ml_dash.importers.named import Named, Points, blocks_of, named
from ml_dash.importers.source import Item

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_dash.importers.report import RunReport
    from ml_dash.importers.source import Position

MILLISECONDS_MOST = 2**63 // MILLISECOND
Value = tuple[Any, Any, Any, Any, Any]
"""Key, value, milliseconds since the epoch, step, and whether the value is NaN."""
_UNSOUND = 2


class Values:
    """Values, and a checksum that goes on from that of those before them; where a piece ends, it does not depend on."""

    def __init__(self, values: Sequence[Value]) -> None:
        import numpy as np

        keys, numbers, times, steps, marks = zip(*values, strict=True)
        is_sound = set(map(type, numbers)) <= {float, int} and set(map(type, (*times, *steps))) == {int}
        if not is_sound:
            values = [value if _is_sound(value) else (value[0], 0.0, 0, 0, _UNSOUND) for value in values]
            keys, numbers, times, steps, marks = zip(*values, strict=True)
        self.keys: Sequence[Any] = keys
        fields = [("time", "<i8"), ("step", "<i8"), ("value", "<f8"), ("mark", "u1"), ("key", "<u4")]
        self.table = np.zeros(len(values), fields)
        self.table["time"], self.table["step"], self.table["value"] = times, steps, numbers
        self.table["mark"] = [int(mark or 0) for mark in marks]
        sums = {key: zlib.crc32(str(key).encode("utf-8", "surrogatepass")) for key in set(keys)}
        self.table["key"] = [sums[key] for key in keys]

    def checksum(self, before: int) -> int:
        """Return the checksum of these behind others."""
        return zlib.crc32(self.table.tobytes(), before)

    def item(self, position: Position, place: str, report: RunReport) -> Item:
        """Return them as an item; what is none is noted and left out."""
        import numpy as np

        table = self.table
        known = {key: _named(key, place, report) for key in dict.fromkeys(self.keys)}
        meant = [name for name in known.values() if name is not None]
        numbers = {key: at for at, key in enumerate(key for key, name in known.items() if name is not None)}
        names = np.array([numbers.get(key, -1) for key in self.keys], np.int64)
        is_sound = (table["mark"] != _UNSOUND) & (np.abs(table["time"]) < MILLISECONDS_MOST)
        if unsound := int((~is_sound).sum()):
            report.note(place, f"{unsound:,} values have no number, time or step")
        kept = is_sound & (names >= 0)
        left_out = int((~kept).sum())
        if not kept.any():
            return Item((), position, left_out=left_out)
        values = np.where(table["mark"] == 1, np.nan, table["value"])[kept]
        times = table["time"][kept] * MILLISECOND
        points = Points(times, np.ascontiguousarray(table["step"][kept]), values, names[kept])
        return Item((), position, left_out=left_out, blocks=blocks_of(points, meant))


def _is_sound(value: Value) -> bool:
    _, number, time, step, _ = value
    return (
        type(number) in {float, int}
        and type(time) is int
        and type(step) is int
        and -MILLISECONDS_MOST < time < MILLISECONDS_MOST
        and -(2**63) <= step < 2**63
    )


def _named(key: Any, place: str, report: RunReport) -> Named | None:
    try:
        return named(str(key))
    except InvalidArgumentError as error:
        report.note(place, str(error))
        return None
