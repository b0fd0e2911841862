"""What the rows of a metric are placed by, as x: a field of theirs, or what another metric said last at their time.

=================  ====================================================================================
x                  what it is
=================  ====================================================================================
``index``          the row's index in its metric
``time``           the row's time, in seconds since the epoch
``epoch``          a field of the metric itself; else one of the unnamed metric, as of the row's time
``train/step``     a field of another metric, as of the row's time: the last value at or before it
=================  ====================================================================================

A name is looked for in this order. Of ``a/b/c``, the metric ``a/b`` is tried before ``a``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ml_dash.errors import InvalidArgumentError
from ml_dash.query.axes.as_of import AsOf, numbers_in
from ml_dash.query.columns import columns_named
from ml_dash.query.listing.naming import nearest, title_of
from ml_dash.query.times import seconds_array
from ml_dash.records import NamedTuple
from ml_dash.series import Kind, Series

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from ml_dash.journal.blocks import Block
    from ml_dash.query.axes.as_of import Clock

    Array: TypeAlias = npt.NDArray[Any]

INDEX = "index"
"""As x: the index of the row in its series."""
TIME = "time"
"""As x: the time of the row, in seconds since the epoch."""
_LISTED = 6
"""Names that are told of, where the one that was given is unknown."""


class FieldNames(Protocol):
    """Which metrics there are, and which fields they have."""

    def series(self, kind: Kind) -> list[Series]:
        """Return the series of a kind."""

    def fields(self, series: Series) -> list[str]:
        """Return the names of a series' fields; none where it has no rows."""


class ListedFields:
    """The fields of metrics that are listed, see `View.metrics`."""

    def __init__(self, metrics: Iterable[Mapping[str, Any]]) -> None:
        self._fields = {Series(Kind.METRIC, each["name"]): list(each["fields"]) for each in metrics}

    def series(self, kind: Kind) -> list[Series]:
        """See `FieldNames`."""
        return [series for series in self._fields if series.kind == kind]

    def fields(self, series: Series) -> list[str]:
        """See `FieldNames`."""
        return self._fields.get(series, [])


class XName(NamedTuple):
    """What a name means: a field of another metric; or with None, something of the rows themselves."""

    series: Series | None
    field: str


def checked_x(name: Any) -> str | None:
    """Return `name` if it can be the name of an x, or None; else raise `InvalidArgumentError`."""
    if name is None or (isinstance(name, str) and name):
        return name
    raise InvalidArgumentError(
        f"x={name!r:.100} is not what rows can be placed by: give 'index', 'time', a field of the metric, or another "
        "metric's, such as 'train/step'"
    )


def find_x(name: str, own: Series, names: FieldNames) -> XName:
    """Return what the x of a metric's rows means.

    Raises:
        InvalidArgumentError: There is no such field; the message names those that come near.
    """
    checked_x(name)
    if name in (INDEX, TIME) or _has(names.fields(own), name):
        return XName(None, name)
    for series, field in _readings(name):
        if series != own and _has(names.fields(series), field):
            return XName(series, field)
    raise InvalidArgumentError(_unknown(name, own, names))


def _has(fields: Collection[str], name: str) -> bool:
    """Whether there is a field of this name, or one whose items may have it."""
    return name in fields or any(name.startswith(f"{field}.") for field in fields)


def _readings(name: str) -> Iterator[tuple[Series, str]]:
    at = len(name)
    while (at := name.rfind("/", 0, at)) > 0:
        yield Series(Kind.METRIC, name[:at]), name[at + 1 :]
    yield Series(Kind.METRIC, None), name


def _unknown(name: str, own: Series, names: FieldNames) -> str:
    others = [each for each in names.series(Kind.METRIC) if each != own]
    titles = [title_of(each.name, field) for each in others for field in names.fields(each)]
    known = [*names.fields(own), *titles]
    near = nearest(name, known)
    listed = ", ".join(map(repr, near or known[:_LISTED]))
    hint = f"did you mean {listed}?" if near else f"there are {listed}" if known else "nothing was logged yet"
    metric = "the unnamed metric" if own.name is None else f"the metric {own.name!r:.100}"
    return f"x={name!r:.100} is neither 'index' or 'time', nor a field of {metric} or of another one: {hint}"


class Axis(Protocol):
    """Gives the x of rows."""

    def of(self, pieces: Sequence[tuple[int, Block]]) -> AsOf:
        """Return the x of each row of these blocks, which come with their first rows' indices; at least one block."""


def axis_of(found: XName, clock: Callable[[Series, str], Clock]) -> Axis:
    """Return what gives the x of rows; `clock` makes one of a field of another metric."""
    if found.series is not None:
        return _Elsewhere(clock(found.series, found.field))
    if found.field == INDEX:
        return _Index()
    return _Time() if found.field == TIME else _Own(found.field)


def column_of(clock: Clock) -> Callable[[Array, Array], Array]:
    """Return what gives a column of x for rows, by their indices and times, see `ml_dash.query.columns.to_arrays`."""
    return lambda _, times: clock.at(times).as_array()


class _Index:
    def of(self, pieces: Sequence[tuple[int, Block]]) -> AsOf:
        import numpy as np

        rows = np.concatenate([np.arange(first, first + block.count) for first, block in pieces])
        return AsOf(rows.astype(np.float64), np.ones(len(rows), np.bool_), np.ones(len(rows), np.bool_))


class _Time:
    def of(self, pieces: Sequence[tuple[int, Block]]) -> AsOf:
        import numpy as np

        times = seconds_array(_times(pieces))
        return AsOf(times, np.ones(len(times), np.bool_), np.zeros(len(times), np.bool_))


class _Own:
    def __init__(self, field: str) -> None:
        self._field = field

    def of(self, pieces: Sequence[tuple[int, Block]]) -> AsOf:
        import numpy as np

        count = sum(block.count for _, block in pieces)
        found = AsOf(np.full(count, np.nan), np.zeros(count, np.bool_), np.zeros(count, np.bool_))
        start = 0
        for _, block in pieces:
            for column in columns_named(block, (self._field,)):
                rows, values, whole = numbers_in(column, block.count)
                rows = rows + start
                found.values[rows], found.known[rows], found.whole[rows] = values, True, whole
            start += block.count
        return found


class _Elsewhere:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def of(self, pieces: Sequence[tuple[int, Block]]) -> AsOf:
        return self._clock.at(_times(pieces))


def _times(pieces: Iterable[tuple[int, Block]]) -> Array:
    import numpy as np

    return np.concatenate([np.asarray(block.times, np.int64) for _, block in pieces])
