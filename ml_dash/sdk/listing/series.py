"""A metric of many experiments, in full resolution."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias

from ml_dash.client.destination import is_server
from ml_dash.errors import InvalidArgumentError, MissingExtraError
from ml_dash.query.axes.clocks import checked_x
from ml_dash.query.axes.ranks import checked_rank
from ml_dash.query.data_frame import to_frame
from ml_dash.records import NamedTuple
from ml_dash.sdk.guidance.calls import explained
from ml_dash.sdk.listing.opening import experiment_of
from ml_dash.sdk.listing.tables import as_arrow
from ml_dash.sdk.series_port import check_name
from ml_dash.series import Kind, Series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa

    from ml_dash.query.listing.listed import ListedExperiment
    from ml_dash.query.selection import AttemptChoice
    from ml_dash.query.view import View

    Arrays: TypeAlias = dict[str, npt.NDArray[Any]]

_TOGETHER = 8
"""Experiments that are read from servers at once."""
_OWN = frozenset({"index", "_ts"})


class _Asked:
    """Which rows of each experiment, and what of them; raises `InvalidArgumentError` for what can be none of it."""

    def __init__(
        self, fields: Iterable[str] | None, attempt: AttemptChoice, rank: int | None, x: str | None
    ) -> None:
        self.fields = None if fields is None else {fields} if isinstance(fields, str) else set(fields)
        self.attempt = attempt
        self.rank = checked_rank(rank)
        self.x = checked_x(x)

    def of(self, arrays: Arrays) -> Arrays:
        """Return those that are wanted."""
        wanted = None if self.fields is None else {*self.fields, *_OWN, self.x}
        return {name: array for name, array in arrays.items() if wanted is None or name in wanted}


class _Read(NamedTuple):
    """An experiment's rows, and why it has none of what was asked for: the rank, or the x."""

    arrays: Arrays
    no_rank: Exception | None = None
    no_x: Exception | None = None


class ManySeries:
    """A metric of the experiments of a list: `experiments.metrics("train")`."""

    def __init__(
        self, name: str | None, experiments: Callable[[], Sequence[ListedExperiment]], *, has_places: bool
    ) -> None:
        if name is not None:
            check_name("metric", name)
        self._series = Series(Kind.METRIC, name)
        self._experiments = experiments
        self._has_places = has_places

    def __repr__(self) -> str:
        return f"<the metric {self._series.name!r} of many experiments>"

    @explained("experiments.metrics('train').to_numpy(['loss'])")
    def to_numpy(
        self,
        fields: Iterable[str] | None = None,
        *,
        attempt: AttemptChoice = None,
        rank: int | None = None,
        x: str | None = None,
    ) -> dict[str | tuple[str, str], Arrays]:
        """Return the rows of each experiment as arrays, as of `exp.metrics(…).to_numpy()`, by its prefix.

        Those that lack the metric, or were deleted meanwhile, have no rows. Of several places, the keys are tuples of
        place and prefix.

        Args:
            fields: Names of the fields that are wanted, besides ``index``, ``_ts`` and the `x`; without them, all.
            attempt: Which rows, see `MetricBuilder.read`.
            rank: Only rows that this process of a distributed training has logged: of an experiment without it, none.
                Without it, ``rank`` is one of the fields where rows have one.
            x: As of `MetricBuilder.to_numpy`: another metric's field, as of each row's time, is one more field of this
                name. An experiment without it has nothing there.

        Raises:
            InvalidArgumentError: None of the experiments has such a field, rank or x, or one has no such attempt.
        """
        return {
            (each.place, each.prefix) if self._has_places else each.prefix: arrays
            for each, arrays in self._read(_Asked(fields, attempt, rank, x))
        }

    @explained("experiments.metrics('train').to_pandas(['loss'])")
    def to_pandas(
        self,
        fields: Iterable[str] | None = None,
        *,
        attempt: AttemptChoice = None,
        rank: int | None = None,
        x: str | None = None,
    ) -> pd.DataFrame:
        """Return the rows of all experiments as one data frame, in which ``prefix`` tells whose a row is.

        Of several places there is a column ``place``, too. See `to_numpy` for the arguments.

        Raises:
            MissingExtraError: Pandas is not installed.
        """
        read = self._read(_Asked(fields, attempt, rank, x))
        frame = to_frame(lambda: _joined([arrays for _, arrays in read]))
        import numpy as np
        import pandas as pd

        for at, (title, names) in enumerate(self._whose(read).items()):
            kinds = pd.CategoricalDtype(list(dict.fromkeys(names)))
            codes = np.repeat(pd.Categorical(names, dtype=kinds).codes, _counts(read))
            frame.insert(at, title, pd.Series(pd.Categorical.from_codes(codes, dtype=kinds)))
        return frame

    @explained("experiments.metrics('train').to_arrow(['loss'])")
    def to_arrow(
        self,
        fields: Iterable[str] | None = None,
        *,
        attempt: AttemptChoice = None,
        rank: int | None = None,
        x: str | None = None,
    ) -> pa.Table:
        """Return the rows of all experiments as one Arrow table, as of `to_pandas`.

        Raises:
            MissingExtraError: PyArrow is not installed.
        """
        import numpy as np

        try:
            import pyarrow as pa
        except ImportError as error:
            raise MissingExtraError("to_arrow()", "pyarrow", "parquet") from error
        read = self._read(_Asked(fields, attempt, rank, x))
        whose = {}
        for title, names in self._whose(read).items():
            known = {name: code for code, name in enumerate(dict.fromkeys(names))}
            codes = np.repeat(np.array([known[name] for name in names], np.int32), _counts(read))
            whose[title] = pa.DictionaryArray.from_arrays(codes, pa.array(list(known), pa.string()))
        columns = {name: as_arrow(array) for name, array in _joined([arrays for _, arrays in read]).items()}
        return pa.table({**whose, **columns})

    def _whose(self, read: Sequence[tuple[ListedExperiment, Arrays]]) -> dict[str, list[str]]:
        names = {"prefix": [each.prefix for each, _ in read]}
        return {"place": [each.place for each, _ in read], **names} if self._has_places else names

    def _read(self, asked: _Asked) -> list[tuple[ListedExperiment, Arrays]]:
        experiments = self._experiments()

        def rows(found: ListedExperiment) -> _Read:
            return _rows(experiment_of(found).view, self._series, asked)

        # a server is asked for several at once; a disk is not read faster so
        together = _TOGETHER if any(is_server(each.place) for each in experiments) else 1
        if together == 1 or len(experiments) < 2:
            read = [rows(each) for each in experiments]
        else:
            with ThreadPoolExecutor(together, "ml-dash-series") as pool:
                read = list(pool.map(rows, experiments))
        _check_there(read)
        if asked.fields is not None:
            self._check(asked.fields, [each.arrays for each in read])
        return [(each, found.arrays) for each, found in zip(experiments, read, strict=True)]

    def _check(self, wanted: set[str], read: Sequence[Arrays]) -> None:
        """Refuse a field that none of the experiments has, where any has rows."""
        has_rows = any(len(arrays["index"]) for arrays in read)
        missing = wanted - _OWN - {name for arrays in read for name in arrays}
        if missing and has_rows:
            raise InvalidArgumentError(
                f"none of these experiments has a field {min(missing)!r} of the metric {self._series.name!r}: "
                "leave out the fields to see all of them"
            )


def _rows(view: View, series: Series, asked: _Asked) -> _Read:
    try:
        return _Read(asked.of(view.to_numpy(series, asked.attempt, asked.rank, asked.x)))
    except InvalidArgumentError as error:
        # looked at only now: a server would have to be asked for it each time
        ranks = view.ranks(series)
        if asked.rank is not None and asked.rank not in ranks:
            nothing = view.to_numpy(series, asked.attempt)
            return _Read(
                {name: nothing[name][:0] for name in ("index", "_ts")}, no_rank=error if ranks else None
            )
        if asked.x is None:
            raise
        rest = view.to_numpy(series, asked.attempt, asked.rank)  # which raises what is not the fault of the x
        return _Read(asked.of(rest), no_x=error if ranks else None)


def _check_there(read: Sequence[_Read]) -> None:
    """Refuse a rank, or an x, that none of the experiments has which have rows."""
    for whys in ([each.no_rank for each in read], [each.no_x for each in read]):
        if not any(whys) or any(
            len(each.arrays["index"]) and not why for each, why in zip(read, whys, strict=True)
        ):
            continue
        # the most helpful one: of an experiment that has something near
        why = min(filter(None, whys), key=lambda each: "did you mean" not in str(each))
        raise InvalidArgumentError(f"none of these experiments has it: {why}") from why


def _counts(read: Sequence[tuple[ListedExperiment, Arrays]]) -> list[int]:
    return [len(arrays["index"]) for _, arrays in read]


def _joined(parts: Sequence[Arrays]) -> Arrays:
    """Return arrays one behind the other; where a part lacks a field, it has NaN, or None among objects."""
    parts = [arrays for arrays in parts if len(arrays["index"])]
    names = dict.fromkeys(("index", "_ts", *(name for arrays in parts for name in arrays)))
    counts = [len(arrays["index"]) for arrays in parts]
    return {name: _column([arrays.get(name) for arrays in parts], counts) for name in names}


def _column(parts: Sequence[npt.NDArray[Any] | None], counts: Sequence[int]) -> npt.NDArray[Any]:
    import numpy as np

    kinds = {part.dtype.kind for part in parts if part is not None}
    is_whole = all(part is not None for part in parts)
    if not kinds:
        return np.empty(0, np.float64)
    dtype: Any = np.object_
    if kinds <= {"i", "f"}:
        dtype = np.int64 if kinds == {"i"} and is_whole else np.float64
    elif kinds == {"b"} and is_whole:
        dtype = np.bool_
    nothing = np.nan if dtype is np.float64 else None
    found = np.empty(sum(counts), dtype)
    at = 0
    for part, count in zip(parts, counts, strict=True):
        found[at : at + count] = nothing if part is None else part
        at += count
    return found
