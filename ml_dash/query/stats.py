"""Statistics of a series, streamed over its blocks: memory does not grow with the number of rows.

The sum is kept exactly, as one Python integer, so the mean is the float nearest to the true mean of all
values, in whatever order or batches they came; it neither drifts nor overflows. (`math.fsum` for each block
took four times as long, and would round once a block.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from ml_dash.journal.blocks import Block, Column, block_rows
from ml_dash.query.columns import leaf_columns
from ml_dash.query.times import iso_time

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[Any]

# 2**-1126 is the smallest part that np.frexp's 53 bits of a subnormal can name: every float is a whole number
# of these, with no case for subnormals.
_UNIT_BITS = 1126
_HIGH_BITS, _LOW_BITS = 27, 26
# With fewer values than these, numpy's cost a call is larger than that of adding them one by one.
_FEW = 32


class ExactSum:
    """The exact sum of finite numbers: an integer number of units of 2**-1126."""

    __slots__ = ("_units",)

    def __init__(self) -> None:
        self._units = 0

    def add(self, value: float) -> None:
        """Add one number, an int of any size included."""
        numerator, denominator = value.as_integer_ratio()
        self._units += (numerator << _UNIT_BITS) // denominator

    def add_ints(self, values: npt.NDArray[np.int64]) -> None:
        """Add int64 values, as halves whose sums cannot overflow."""
        high, low = int((values >> 32).sum()), int((values & 0xFFFFFFFF).sum())
        self._units += ((high << 32) + low) << _UNIT_BITS

    def add_floats(self, values: npt.NDArray[np.float64]) -> None:
        """Add finite floats: values of one exponent are summed as integers, of 27 bits and then of 26.

        Below 2**26 values, more than a frame holds, such a sum is below 2**53, hence exact in float64.
        """
        import numpy as np

        mantissas, exponents = np.frexp(values)
        lowest = int(exponents.min())
        scaled = np.ldexp(mantissas, _HIGH_BITS)
        high = np.trunc(scaled)
        low = np.ldexp(scaled - high, _LOW_BITS)
        shift = lowest + _UNIT_BITS - _HIGH_BITS
        for parts, bits in ((high, shift), (low, shift - _LOW_BITS)):
            sums = np.bincount(exponents - lowest, weights=parts)
            for exponent in np.flatnonzero(sums).tolist():
                self._units += int(sums[exponent]) << (bits + exponent)

    def divided_by(self, count: int) -> float:
        """Return the float nearest to the sum over `count` (Python rounds a quotient of integers once)."""
        return self._units / (count << _UNIT_BITS)


class FieldStats:
    """What is known of one field so far."""

    __slots__ = ("_infinite", "_last", "_last_row", "_max", "_min", "_sum", "count", "nan", "numbers")

    def __init__(self) -> None:
        self.count = 0
        self.nan = 0
        self.numbers = 0
        self._min: float | None = None
        self._max: float | None = None
        self._sum = ExactSum()
        self._infinite = 0.0
        self._last: Any = None
        self._last_row = -1

    def add(self, start: int, column: Column) -> None:
        """Take a leaf column of the block whose first row has index `start`."""
        import numpy as np

        if not len(column.values):
            return
        self.count += len(column.values)
        last = start + (int(column.rows[-1]) if column.rows is not None else len(column.values) - 1)
        if last > self._last_row:
            value = column.values[-1]
            self._last, self._last_row = value if column.type == "o" else np.asarray(value).item(), last
        if column.type in "fi":
            self._add_numbers(np.asarray(column.values))
        elif column.type == "o":
            for value in column.values:
                # an int beyond int64 is stored as an object, and is a number all the same
                if isinstance(value, int):
                    self._extend(value, value, 1)
                    self._sum.add(value)

    def as_dict(self) -> dict[str, Any]:
        """Return the public form. What has no numbers has a count, a last value, and None for the rest."""
        mean = None
        if self.numbers:
            # IEEE's answer where there are infinities: that infinity, or NaN where there are both
            mean = self._infinite if self._infinite != 0 else self._sum.divided_by(self.numbers)
        return {
            "count": self.count,
            "nan": self.nan,
            "min": self._min,
            "max": self._max,
            "mean": mean,
            "last": self._last,
        }

    def _add_numbers(self, values: Array) -> None:
        import numpy as np

        if values.dtype.kind == "f":
            missing = np.isnan(values)
            nans = int(np.count_nonzero(missing))
            self.nan += nans
            values = values[~missing] if nans else values
        if not len(values):
            return
        lowest, highest = values.min().item(), values.max().item()
        self._extend(lowest, highest, len(values))
        if values.dtype.kind == "f" and (lowest == -np.inf or highest == np.inf):
            finite = np.isfinite(values)
            self._infinite += sum(values[~finite].tolist())
            values = values[finite]
        if len(values) < _FEW:
            for value in values.tolist():
                self._sum.add(value)
        elif values.dtype.kind == "f":
            self._sum.add_floats(values)
        else:
            self._sum.add_ints(values)

    def _extend(self, lowest: float, highest: float, numbers: int) -> None:
        self.numbers += numbers
        self._min = lowest if self._min is None else min(self._min, lowest)
        self._max = highest if self._max is None else max(self._max, highest)


class SeriesStats:
    """The statistics of one series, of blocks added in index order."""

    __slots__ = ("_fields", "_first", "_last")

    def __init__(self) -> None:
        self._fields: dict[str, FieldStats] = {}
        self._first: tuple[int, Any] | None = None
        self._last: Block | None = None

    def add(self, start: int, block: Block) -> None:
        """Take the block whose first row has index `start`."""
        for column in leaf_columns(block):
            if column.field not in self._fields:
                self._fields[column.field] = FieldStats()
            self._fields[column.field].add(start, column)
        if block.count:
            self._first = self._first or _point(block, 0)
            self._last = block

    def as_dict(self) -> dict[str, Any]:
        """Return values, times and fields in their public form."""
        first_at, first = self._first or (None, None)
        last_at, last = _point(self._last, self._last.count - 1) if self._last is not None else (None, None)
        return {
            "firstValue": first,
            "lastValue": last,
            "firstDataAt": None if first_at is None else iso_time(first_at),
            "lastDataAt": None if last_at is None else iso_time(last_at),
            "fields": {name: field.as_dict() for name, field in self._fields.items()},
        }


def _point(block: Block, row: int) -> tuple[int, Any]:
    """Return a row's time and value: the value itself where the row has one field, else all fields."""
    fields = block_rows(block, row, row + 1)[0]
    return int(block.times[row]), next(iter(fields.values())) if len(fields) == 1 else fields
