"""The arguments of `log_columns`: one value a row in each column, a time for each row.

What comes of it is what a `log` of each row would have left. Numbers go to the journal as the arrays they are, some
tens of millions of rows a second; a table with anything else in it (texts, lists, integers beyond int64) goes row by
row, as `log` does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ml_dash.errors import InvalidArgumentError
from ml_dash.journal.blocks import Column as BlockColumn
from ml_dash.sdk.guidance.calls import shown
from ml_dash.sdk.series_port import LATEST, row_time
from ml_dash.values.tensors import fetch, on_host

if TYPE_CHECKING:
    import numpy.typing as npt

    from ml_dash.sdk.series_port import Port

_FEW = 64  # rows: fewer go with the other rows that wait, where each table would be a frame of its own
_CHUNK_BYTES = (
    1024 * 1024
)  # of a frame, and so of a request and of what a reader of a single row has to check
_FOREVER = 9.2e9  # seconds: not quite what int64 nanoseconds hold
_LENGTH_LIST = 20  # columns named in an error

Values: TypeAlias = "npt.NDArray[Any] | list[Any]"
"""A column's values: int64, float64 or bool in an array, which may be masked, or anything in a list."""


class Table:
    """Rows by their columns.

    Attributes:
        times: int64 nanoseconds since the epoch, one a row.

    Raises:
        InvalidArgumentError: the columns are of different lengths, there is none, or `_ts` is no time.
    """

    def __init__(self, given: dict[str, Any]) -> None:
        stamps = given.pop("_ts", None)
        several = {name: column for name in given if (column := _column(name, given[name])) is not None}
        times = _column("_ts", stamps)
        if not several and times is None:
            values = ", ".join(f"{name}={shown(value)}" for name, value in list(given.items())[:_LENGTH_LIST])
            raise InvalidArgumentError(
                f"log_columns({values}) was given no column: pass at least one list or array, or use log() for a "
                "single row"
            )
        self._count = _common_length(several if times is None else {**several, "_ts": times})
        self._columns = {
            name: several[name] if name in several else _repeated(value, self._count)
            for name, value in given.items()
        }
        # What is the same for all rows takes the memory of one, here and in `_repeated`.
        self.times = (
            np.broadcast_to(np.int64(row_time(stamps)), (self._count,)) if times is None else _times(times)
        )

    def write(self, port: Port) -> None:
        """Put all rows."""
        if self._count <= _FEW or any(isinstance(values, list) for values in self._columns.values()):
            for time_ns, fields in self._rows():
                port.write(time_ns, fields)
            return
        step = max(_CHUNK_BYTES // (8 + 8 * len(self._columns)), _FEW)
        for start in range(0, self._count, step):
            part = slice(start, start + step)
            # Copied: the caller may fill the same arrays anew as soon as the call has returned.
            columns = [
                _block_column(name, np.asanyarray(values[part])) for name, values in self._columns.items()
            ]
            port.write_columns(self.times[part].copy(), columns)

    def _rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        names = list(self._columns)
        lists = [_listed(values) for values in self._columns.values()]
        for time_ns, *values in zip(self.times.tolist(), *lists, strict=True):
            yield (
                time_ns,
                {name: value for name, value in zip(names, values, strict=True) if value is not np.ma.masked},
            )


def _column(name: str, value: Any) -> Values | None:
    """Return the values of a column; None for what is one value, and each row's."""
    if isinstance(value, Iterator):
        raise InvalidArgumentError(
            f"{name}=… is a {type(value).__name__}, whose length is not known: pass a list or an array"
        )
    try:
        if callable(getattr(value, "to_pylist", None)):
            return _of_list(value.to_pylist())  # pyarrow, whose values have a type of their own
        if callable(getattr(value, "to_numpy", None)):
            # Of a type of pandas' or polars' own, which numpy has nothing for where a value is missing.
            return _of_array(value.to_numpy()) if isinstance(value.dtype, np.dtype) else _of_list(list(value))
        dimensions = getattr(value, "ndim", 0)
    except Exception:  # noqa: BLE001 - foreign code: then it is a value, of which the repr is stored
        return None
    if isinstance(dimensions, int) and dimensions > 0:
        return _of_array(value)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)):
        return _of_list(list(value))
    return None


def _of_array(value: Any) -> Values:
    value = on_host(value)
    try:
        array = value if isinstance(value, np.ndarray) else np.asarray(value)
    except Exception:  # noqa: BLE001 - foreign code
        return _of_list(value.tolist())
    kind = array.dtype.kind if array.ndim == 1 else ""
    if kind == "b":
        return array
    if kind == "f":
        return array.astype(np.float64, copy=False)
    if kind == "i" or (kind == "u" and (array.dtype.itemsize < 8 or not (array > 2**63 - 1).any())):
        return array.astype(np.int64, copy=False)
    return _of_list(_listed(array))


def _of_list(values: list[Any]) -> Values:
    # By their exact types: an int among floats is stored as an int, as `log` does, and a bool is no number.
    kinds = set(map(type, values))
    if len(kinds) == 1 and (kind := kinds.pop()) in {bool, float, int}:
        try:
            return np.array(values, {bool: np.bool_, float: np.float64, int: np.int64}[kind])
        except OverflowError:
            pass  # beyond int64
    return values


def _listed(values: Values) -> list[Any]:
    """Return Python values; `masked` where there is none."""
    if isinstance(values, list):
        return values
    plain: list[Any] = np.asarray(values).tolist()
    if isinstance(values, np.ma.MaskedArray) and values.ndim == 1:
        mask = np.ma.getmaskarray(values).tolist()
        return [np.ma.masked if gone else value for value, gone in zip(plain, mask, strict=True)]
    return plain


def _common_length(columns: dict[str, Values]) -> int:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name}: {length}" for name, length in list(lengths.items())[:_LENGTH_LIST])
        raise InvalidArgumentError(
            f"columns of different lengths ({told}): pass as many values in each, or a single value for all rows"
        )
    return next(iter(lengths.values()))


def _repeated(value: Any, count: int) -> Values:
    """Return a column that has the same value in each row."""
    number = fetch(value) if callable(getattr(value, "item", None)) else value
    values = _of_list([number])
    return values * count if isinstance(values, list) else np.broadcast_to(values, (count,))


def _block_column(name: str, values: npt.NDArray[Any]) -> BlockColumn:
    code = values.dtype.kind
    if isinstance(values, np.ma.MaskedArray) and (mask := np.ma.getmaskarray(values)).any():
        rows = np.flatnonzero(~mask)
        return BlockColumn(name, code, rows, values.data[rows])
    return BlockColumn(name, code, None, np.array(values))


def _times(values: Values) -> npt.NDArray[np.int64]:
    """Return `row_time` of every value, where -1 is the time of the row before."""
    if not isinstance(values, list) and _are_plain(values):
        return _nanoseconds(values)
    times: list[int] = []
    latest: int | None = getattr(LATEST, "time_ns", None)
    for value in _listed(values):
        if value is None or value is np.ma.masked:
            latest = time.time_ns()
        else:
            latest = row_time(value) if value != -1 or latest is None else latest
        times.append(latest)
    return np.array(times, np.int64)


def _are_plain(seconds: npt.NDArray[Any]) -> bool:
    """Whether all are times, and none stands for another."""
    return bool(
        seconds.dtype.kind in "if"
        and not np.ma.is_masked(seconds)
        and ((seconds > -_FOREVER) & (seconds < _FOREVER) & (seconds != -1)).all()
    )


def _nanoseconds(seconds: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    whole: npt.NDArray[Any] = np.floor(seconds)  # apart, as in `row_time`
    rest: npt.NDArray[np.int64] = np.rint((seconds - whole) * 1e9).astype(np.int64)
    rest += whole.astype(np.int64) * 1_000_000_000
    return rest
