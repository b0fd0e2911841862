"""The parameters that a sequence of PARAMS rows amounts to."""

from __future__ import annotations

from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from ml_dash.query.row_source import TimedRows, rows_by_writer
from ml_dash.series import Kind, Series
from ml_dash.values.params import fold_params

if TYPE_CHECKING:
    from ml_dash.query.row_source import RowSource

_PARAMS = Series(Kind.PARAMS, None)


def read_params(source: RowSource) -> dict[str, Any]:
    """Return the flat parameters that all writers' settings amount to, in order of their times.

    A writer's own settings keep their order, though its clock may have been set back between two.
    """
    timed: TimedRows = []
    for rows in rows_by_writer(source, _PARAMS).values():
        times = accumulate((time_ns for time_ns, _ in rows), max)
        timed += zip(times, (fields for _, fields in rows), strict=True)
    timed.sort(key=itemgetter(0))
    return fold_params(fields["set"] for _, fields in timed if isinstance(fields.get("set"), dict))
