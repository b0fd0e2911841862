"""Many rows of numbers that wait in the queue as one event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.journal.blocks import Block

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from ml_dash.journal.blocks import Column
    from ml_dash.series import Series


class ColumnEvent:
    """Rows of one series by their columns, which nobody changes any more.

    Its length is its size in bytes, by which the queue bounds memory; `rows` is how many rows it stands for.
    """

    __slots__ = ("_columns", "_nbytes", "_series_id", "_times", "rows")

    def __init__(self, series_id: int, times: npt.NDArray[np.int64], columns: Sequence[Column]) -> None:
        self._series_id = series_id
        self._times = times
        self._columns = columns
        self.rows = len(times)
        arrays = [times, *(part for column in columns for part in (column.rows, column.values))]
        self._nbytes = sum(getattr(array, "nbytes", 0) for array in arrays)

    def __len__(self) -> int:
        return self._nbytes

    def block(self, series: Sequence[Series]) -> Block:
        """Return the rows as a block; `series` has the channel's series by their numbers."""
        return Block(series[self._series_id], self._times, self._columns)
