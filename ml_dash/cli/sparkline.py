"""A field's course in one line of block characters, made of the columns as they are read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy.typing as npt

    from ml_dash.journal.blocks import Column

    Array: TypeAlias = npt.NDArray[Any]

__all__ = ["Sparkline"]

_BARS = "▁▂▃▄▅▆▇█"
_ASCII_BARS = "_.-~=+*#"
# Sums of any number of values of this size stay finite; larger ones are cut off, as no picture can show them.
_LARGEST = 1e290


class Sparkline:
    """Means of a field over equal parts of the rows. Its size is the number of parts, not that of the rows.

    Args:
        rows: How many rows there will be.
        parts: Into how many parts they are divided at most.

    Attributes:
        parts: Into how many they are divided.
    """

    __slots__ = ("_counts", "_rows", "_sums", "parts")

    def __init__(self, rows: int, parts: int) -> None:
        import numpy as np

        self._rows = max(rows, 1)
        self.parts = min(parts, self._rows)
        self._sums: Array = np.zeros(self.parts)
        self._counts: Array = np.zeros(self.parts, np.int64)

    def add(self, start: int, column: Column) -> None:
        """Take a column of numbers of the block whose first row has number `start`."""
        import numpy as np

        values = np.asarray(column.values, np.float64)
        rows = np.arange(len(values)) if column.rows is None else np.asarray(column.rows, np.int64)
        # an infinity would leave no height for anything else: it is a gap, like NaN
        known = np.isfinite(values)
        parts = ((rows[known] + start) * self.parts) // self._rows
        # rows that a writer has added since they were counted belong to the last part
        parts = np.minimum(parts, self.parts - 1)
        self._sums += np.bincount(parts, np.clip(values[known], -_LARGEST, _LARGEST), self.parts)
        self._counts += np.bincount(parts, minlength=self.parts)

    def draw(self, width: int, *, ascii_only: bool = False) -> str:
        """Return the line, at most this wide; a part without finite numbers is a space."""
        bars = _ASCII_BARS if ascii_only else _BARS
        means = self._means(min(width, self.parts))
        known = [mean for mean in means if not math.isnan(mean)]
        if not known:
            return ""
        lowest, highest = min(known), max(known)
        return "".join(" " if math.isnan(mean) else bars[_level(mean, lowest, highest)] for mean in means)

    def _means(self, parts: int) -> list[float]:
        import numpy as np

        wider = np.arange(self.parts) * parts // self.parts
        sums = np.bincount(wider, self._sums, parts).tolist()
        counts = np.bincount(wider, self._counts, parts).tolist()
        return [total / count if count else math.nan for total, count in zip(sums, counts, strict=True)]


def _level(value: float, lowest: float, highest: float) -> int:
    if highest == lowest:
        return 0
    # halves, for the difference of the largest floats is infinite
    share = (value / 2 - lowest / 2) / (highest / 2 - lowest / 2)
    return min(int(share * len(_BARS)), len(_BARS) - 1)
