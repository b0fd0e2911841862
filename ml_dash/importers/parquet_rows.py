"""Parquet: read batch by batch, whose columns become those of blocks as they are."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError, MissingExtraError
from ml_dash.importers.shape import said_of_twice
from ml_dash.importers.source import Item
from ml_dash.importers.times import from_iso, from_seconds
from ml_dash.journal.blocks import Block, Column

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from ml_dash.importers.named import Named
    from ml_dash.importers.report import RunReport
    from ml_dash.importers.shape import Shape
    from ml_dash.importers.source import Position, Store

BATCH = 16_384
"""Rows that become one frame."""


class ParquetUnreadableError(InvalidArgumentError):
    """A file is no parquet, or a damaged one; the text says what is wrong."""


def import_pyarrow() -> Any:
    """Return pyarrow, with its parquet and compute modules."""
    try:
        import pyarrow as pa
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("Import of parquet", "pyarrow", "parquet") from error
    return pa


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """Give a `pyarrow.parquet.ParquetFile`; ParquetUnreadableError where it cannot be read, also within the block."""
    pa = import_pyarrow()
    try:
        with pa.parquet.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        said = str(error).split("\n", 1)[0]
        raise ParquetUnreadableError(f"it cannot be read as parquet ({said:.200})") from error


def batches(
    file: Any, position: Position | None, columns: list[str] | None = None
) -> Iterator[tuple[Any, int]]:
    """Yield batches behind a position, and how many rows there are up to the end of each."""
    done = position["rows"] if position else 0
    rows = 0
    for batch in file.iter_batches(BATCH, columns=columns):
        rows += batch.num_rows
        if rows > done:
            yield batch.slice(max(0, batch.num_rows - (rows - done))), rows


def identity_of(file: Any, path: str) -> list[int]:
    """Return what tells a file from another one in its place: it does not grow, and is replaced as a whole."""
    return [file.metadata.num_rows, os.path.getsize(path)]


class ParquetTable:
    """The rows of one file."""

    name = "rows"

    def __init__(self, path: str, shape: Shape) -> None:
        self._path, self._shape = path, shape
        self._left_out = 0

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        del store
        if position is not None and position["shape"] != self._shape.stored():
            report.note(self._path, "it was imported with other options: import it under another name (--as)")
            return
        try:
            with opened(self._path) as file:
                identity = identity_of(file, self._path)
                if position is not None and position["file"] != identity:
                    report.note(
                        self._path,
                        "it was written anew since it was imported: import it under another name (--as)",
                    )
                    return
                if twice := said_of_twice(file.schema_arrow.names):
                    report.note(self._path, twice)
                known = {"file": identity, "shape": self._shape.stored()}
                for batch, rows in batches(file, position, self._wanted(file)):
                    self._left_out = 0
                    blocks = self._blocks(batch, report)
                    yield Item((), {**known, "rows": rows}, left_out=self._left_out, blocks=blocks)
        except ParquetUnreadableError as error:
            report.note(self._path, str(error))

    def _wanted(self, file: Any) -> list[str] | None:
        """Return the columns that are taken.

        Raises:
            InvalidArgumentError: One of them is not there.
        """
        there = file.schema_arrow.names
        asked = [self._shape.time, self._shape.step, *(self._shape.columns or ())]
        wanted = [name for name in asked if name is not None]
        if missing := [name for name in wanted if name not in there]:
            raise InvalidArgumentError(
                f"{self._path!r} has no column {missing[0]!r}: it has {', '.join(there)[:500]}"
            )
        return None if self._shape.columns is None else wanted

    def _blocks(self, batch: Any, report: RunReport) -> tuple[Block, ...]:
        import numpy as np

        shape = self._shape
        values = {name: batch.column(at) for at, name in enumerate(batch.schema.names)}
        times = np.full(batch.num_rows, os.stat(self._path).st_mtime_ns, np.int64)
        is_row = np.ones(batch.num_rows, np.bool_)
        if shape.time is not None:
            times, is_row = _times(values.pop(shape.time))
        steps: Any = None
        if shape.step is not None:
            steps = values.pop(shape.step)
            is_row &= np.asarray(steps.is_valid().to_numpy(zero_copy_only=False))
        if left_out := int((~is_row).sum()):
            self._left_out = left_out
            report.note(self._path, f"rows have no time or step ({left_out:,})")
        by_series: dict[Any, list[tuple[Named, Any]]] = {}
        for name, column in values.items():
            meant = shape.meaning(name)
            by_series.setdefault(meant.series, []).append((meant, column))
        blocks = []
        for series, fields in by_series.items():
            has_any = np.zeros(batch.num_rows, np.bool_)
            for _, column in fields:
                has_any |= np.asarray(column.is_valid().to_numpy(zero_copy_only=False))
            own = np.flatnonzero(is_row & has_any)
            if not len(own):
                continue
            columns = [] if steps is None else [_column("step", steps, own)]
            columns += [_column(meant.field, column, own) for meant, column in fields]
            kept = [column for column in columns if column is not None]
            blocks.append(Block(series, times[own], kept))
        return tuple(blocks)


def _times(column: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return a column's times in nanoseconds, and where there is one: times, seconds, or ISO 8601."""
    import numpy as np

    pa = import_pyarrow()
    if pa.types.is_timestamp(column.type):
        exact = column.cast(pa.timestamp("ns", column.type.tz), safe=False).cast(pa.int64())
        there = np.asarray(column.is_valid().to_numpy(zero_copy_only=False))
        return np.asarray(exact.fill_null(0).to_numpy(zero_copy_only=False)), there
    found = [
        from_seconds(value) if isinstance(value, (int, float)) else from_iso(value)
        for value in column.to_pylist()
    ]
    is_time = np.array([value is not None for value in found], np.bool_)
    return np.array([value or 0 for value in found], np.int64), is_time


def _column(field: str, column: Any, own: npt.NDArray[np.int64]) -> Column | None:
    """Return the values of a field in the rows of a block; None where there are none."""
    import numpy as np

    pa = import_pyarrow()
    mine = column.take(pa.array(own))
    at = np.flatnonzero(np.asarray(mine.is_valid().to_numpy(zero_copy_only=False)))
    if not len(at):
        return None
    there = mine.drop_null()
    rows = None if len(at) == len(own) else at
    kind, dtype = _kind(pa, column.type)
    if kind == "o":
        return Column(field, kind, rows, [_plain(value) for value in there.to_pylist()])
    values = there.to_numpy(zero_copy_only=False)
    return Column(field, kind, rows, values.astype(dtype))


def _kind(pa: Any, type_: Any) -> tuple[str, str]:
    """Return the type of a column, and numpy's name of it."""
    if pa.types.is_boolean(type_):
        return "b", "?"
    if pa.types.is_floating(type_):
        return "f", "<f8"
    if pa.types.is_integer(type_) and type_ != pa.uint64():
        return "i", "<i8"
    return "o", ""


def _plain(value: Any) -> Any:
    """Return a value of any other type as plain data: numbers of other kinds, times and the like as their texts."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
