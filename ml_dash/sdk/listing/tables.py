"""Tables of experiments: a row for each, and columns that are called what a filter calls them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ml_dash.errors import MissingExtraError
from ml_dash.query.data_frame import to_frame
from ml_dash.query.listing.binding import bind_name, value_of
from ml_dash.query.listing.comparing import json_text
from ml_dash.query.listing.naming import (
    COLUMNS,
    TIMES,
    FieldTarget,
    KnownNames,
    ParamTarget,
    RecordTarget,
    title_of,
)
from ml_dash.query.listing.summary import STEP

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa

    from ml_dash.query.listing.listed import ListedExperiment
    from ml_dash.query.listing.naming import Target

_FIRST = ("prefix", "status", "started", "duration", "rows", "tags")
"""Columns of a table for which none were asked."""
_INT64 = range(-(2**63), 2**63)


def all_columns(experiments: Sequence[ListedExperiment]) -> list[str]:
    """Return the names of all columns that a table of these may have, but for aggregates of metrics."""
    names = KnownNames(experiments)
    return [
        *COLUMNS,
        *(f"params.{name}" for name in names.params()),
        *(title_of(*field) for field in names.fields()),
    ]


class Table:
    """A table of experiments, of which one is made by `to_pandas` or `to_arrow`.

    Raises:
        InvalidFilterError: A column's name cannot be understood.
    """

    def __init__(self, experiments: Sequence[ListedExperiment], columns: Sequence[str] | None) -> None:
        names = KnownNames(experiments)
        targets: dict[str, Target | None] = (
            _default(experiments, names)
            if columns is None
            else {column: bind_name(column, names) for column in columns}
        )
        now_ns = time.time_ns()
        self._columns = {
            title: [None if target is None else _cell(target, each, now_ns) for each in experiments]
            for title, target in targets.items()
        }
        self._times = [
            title
            for title, target in targets.items()
            if isinstance(target, RecordTarget) and target.key in TIMES
        ]

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame."""
        frame = to_frame(lambda: {title: _array(values) for title, values in self._columns.items()})
        import pandas as pd

        for title in self._times:
            frame[title] = pd.to_datetime(pd.Series(self._columns[title], dtype="Int64"), unit="ns", utc=True)
        return frame

    def to_arrow(self) -> pa.Table:
        """Return an Arrow table."""
        try:
            import pyarrow as pa
        except ImportError as error:
            raise MissingExtraError("to_arrow()", "pyarrow", "parquet") from error
        types = {title: pa.timestamp("ns", "UTC") for title in self._times}
        arrays = [as_arrow(values, types.get(title)) for title, values in self._columns.items()]
        return pa.table(arrays, names=list(self._columns))


def _default(experiments: Sequence[ListedExperiment], names: KnownNames) -> dict[str, Target | None]:
    found: dict[str, Target | None] = {key: RecordTarget(key) for key in _FIRST}
    for name in names.params():
        found[f"params.{name}"] = ParamTarget(name)
    defined = {field for each in experiments for field in each.best}
    for metric, field in names.fields():
        if field == STEP:  # where the others are, and no result
            continue
        title = title_of(metric, field)
        found[title] = FieldTarget(metric, field)
        if (metric, field) in defined:
            found[f"best({title})"] = FieldTarget(metric, field, "best")
    return found


def _cell(target: Target, experiment: ListedExperiment, now_ns: int) -> Any:
    if isinstance(target, ParamTarget):
        return experiment.params.get(target.name)
    value = value_of(target, experiment, now_ns)
    return list(value) if isinstance(value, tuple) else value


def _array(values: Sequence[Any]) -> npt.NDArray[Any]:
    """Return values as an array: of bools or ints where all are, of floats where all that are there are numbers."""
    import numpy as np

    kinds = {type(value) for value in values if value is not None}
    is_whole = bool(values) and None not in values
    if kinds == {bool} and is_whole:
        return np.array(values, np.bool_)
    if kinds and kinds <= {int, float}:
        if kinds == {int} and is_whole and all(value in _INT64 for value in values):
            return np.array(values, np.int64)
        if not any(isinstance(value, int) and abs(value) > 2**53 for value in values):
            return np.array([np.nan if value is None else value for value in values], np.float64)
    return _objects(values)


def _objects(values: Sequence[Any]) -> npt.NDArray[np.object_]:
    import numpy as np

    found = np.empty(len(values), np.object_)  # np.array would make a second dimension of lists of one length
    for at, value in enumerate(values):
        found[at] = value
    return found


def as_arrow(values: Sequence[Any] | npt.NDArray[Any], kind: Any = None) -> Any:
    """Return values as an Arrow array: those of several types as texts, but for ints and floats."""
    import numpy as np
    import pyarrow as pa

    if not isinstance(values, list) and getattr(values, "dtype", None) == np.object_:
        values = list(values)
    if (
        isinstance(values, list)
        and kind is None
        and {type(each) for each in values} - {type(None)} == {int, float}
    ):
        values = [None if value is None else float(value) for value in values]
    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([None if value is None else _text(value) for value in values])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value)
