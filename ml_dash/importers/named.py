"""Values by the names that others give them, as rows: ``train/loss`` is the field ``loss`` of the metric ``train``.

Names are taken apart as the adapters do it (`split_name`), so that a script that logs to us by an
adapter, and its older runs that were imported, have the same metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.importers.source import Row
from ml_dash.journal.blocks import Block, Column
from ml_dash.sdk.series_port import check_name, split_name
from ml_dash.series import Kind, Series

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

_TYPES = {"f": "f", "i": "i", "b": "b", "O": "o"}
"""Types of columns by numpy's kinds."""


class Named(NamedTuple):
    """What a name means here."""

    series: Series
    field: str


def named(name: str) -> Named:
    """Return what a name means; InvalidArgumentError where it can be none."""
    metric, field = split_name(name)
    if metric is not None:
        check_name("metric", metric)
    return Named(Series(Kind.METRIC, metric), field)


def rows_of(values: Mapping[str, Any], time_ns: int, beside: Mapping[str, Any]) -> list[Row]:
    """Return a row for each metric among values by their names, each with what stands `beside` them all."""
    rows: dict[Series, dict[str, Any]] = {}
    for name, value in values.items():
        series, field = named(name)
        rows.setdefault(series, dict(beside))[field] = value
    return [Row(series, time_ns, fields) for series, fields in rows.items()]


class Points(NamedTuple):
    """Single values in the order in which they were logged: times in nanoseconds, and of each the number of its name.

    `steps` are int64 or float64; `values` float64, int64, bool, or objects.
    """

    times: npt.NDArray[np.int64]
    steps: npt.NDArray[Any]
    values: npt.NDArray[Any]
    names: npt.NDArray[np.int64]


def blocks_of(points: Points, names: Sequence[Named]) -> tuple[Block, ...]:
    """Return a block for each metric, with a row for each point, in their order; `names` has them by number."""
    import numpy as np

    series = {each: at for at, each in enumerate(dict.fromkeys(name.series for name in names))}
    fields = {name: at for at, name in enumerate(dict.fromkeys(names))}
    series_of = np.array([series[name.series] for name in names], np.int64)[points.names]
    field_of = np.array([fields[name] for name in names], np.int64)[points.names]
    by_number = list(fields)
    blocks = []
    for rows in _groups(series_of):
        own = field_of[rows]
        step = Column("step", _TYPES[points.steps.dtype.kind], None, points.steps[rows])
        columns = [
            Column(
                by_number[int(own[members[0]])].field,
                _TYPES[points.values.dtype.kind],
                None if len(members) == len(rows) else members,
                points.values[rows[members]],
            )
            for members in _groups(own)
        ]
        blocks.append(Block(names[int(points.names[rows[0]])].series, points.times[rows], [step, *columns]))
    return tuple(blocks)


def _groups(numbers: npt.NDArray[np.int64]) -> Iterable[npt.NDArray[np.int64]]:
    """Return the places of each number, ascending, in the order of their first ones."""
    import numpy as np

    if not len(numbers):
        return []
    if (numbers == numbers[0]).all():
        return [np.arange(len(numbers))]
    order = np.argsort(numbers, kind="stable")
    ends = np.flatnonzero(np.diff(numbers[order])) + 1
    return sorted(np.split(order, ends), key=lambda places: int(places[0]))
