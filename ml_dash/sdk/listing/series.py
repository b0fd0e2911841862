"""A metric of many experiments, in full resolution."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias

from ml_dash.client.destination import is_server
from ml_dash.errors import InvalidArgumentError, MissingExtraError
from ml_dash.query.data_frame import to_frame
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

    Arrays: TypeAlias = dict[str, npt.NDArray[Any]]

_TOGETHER = 8
"""Experiments that are read from servers at once."""
_OWN = frozenset({"index", "_ts"})


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
        self, fields: Iterable[str] | None = None, *, attempt: AttemptChoice = None
    ) -> dict[str | tuple[str, str], Arrays]:
        """Return the rows of each experiment as arrays, as of `exp.metrics(…).to_numpy()`, by its prefix.

        Those that lack the metric, or were deleted meanwhile, have no rows. Of several places, the keys are tuples of
        place and prefix.

        Args:
            fields: Names of the fields that are wanted, besides ``index`` and ``_ts``; without them, all.
            attempt: Which rows, see `MetricBuilder.read`.
        """
        return {
            (each.place, each.prefix) if self._has_places else each.prefix: arrays
            for each, arrays in self._read(fields, attempt)
        }

    @explained("experiments.metrics('train').to_pandas(['loss'])")
    def to_pandas(
        self, fields: Iterable[str] | None = None, *, attempt: AttemptChoice = None
    ) -> pd.DataFrame:
        """Return the rows of all experiments as one data frame, in which ``prefix`` tells whose a row is.

        Of several places there is a column ``place``, too. See `to_numpy` for the arguments.

        Raises:
            MissingExtraError: Pandas is not installed.
        """
        read = self._read(fields, attempt)
        frame = to_frame(lambda: _joined([arrays for _, arrays in read]))
        import numpy as np
        import pandas as pd

        for at, (title, names) in enumerate(self._whose(read).items()):
            kinds = pd.CategoricalDtype(list(dict.fromkeys(names)))
            codes = np.repeat(pd.Categorical(names, dtype=kinds).codes, _counts(read))
            frame.insert(at, title, pd.Series(pd.Categorical.from_codes(codes, dtype=kinds)))
        return frame

    @explained("experiments.metrics('train').to_arrow(['loss'])")
    def to_arrow(self, fields: Iterable[str] | None = None, *, attempt: AttemptChoice = None) -> pa.Table:
        """Return the rows of all experiments as one Arrow table, as of `to_pandas`.

        Raises:
            MissingExtraError: PyArrow is not installed.
        """
        import numpy as np

        try:
            import pyarrow as pa
        except ImportError as error:
            raise MissingExtraError("to_arrow()", "pyarrow", "parquet") from error
        read = self._read(fields, attempt)
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

    def _read(
        self, fields: Iterable[str] | None, attempt: AttemptChoice
    ) -> list[tuple[ListedExperiment, Arrays]]:
        wanted = None if fields is None else {fields} if isinstance(fields, str) else set(fields)
        experiments = self._experiments()
        series = self._series

        def rows(found: ListedExperiment) -> Arrays:
            view = experiment_of(found).view
            arrays = view.to_numpy(series, attempt)
            return {name: array for name, array in arrays.items() if wanted is None or name in wanted | _OWN}

        # a server is asked for several at once; a disk is not read faster so
        together = _TOGETHER if any(is_server(each.place) for each in experiments) else 1
        if together == 1 or len(experiments) < 2:
            read = [rows(each) for each in experiments]
        else:
            with ThreadPoolExecutor(together, "ml-dash-series") as pool:
                read = list(pool.map(rows, experiments))
        if wanted is not None:
            self._check(wanted, read)
        return list(zip(experiments, read, strict=True))

    def _check(self, wanted: set[str], read: Sequence[Arrays]) -> None:
        """Refuse a field that none of the experiments has, where any has rows."""
        has_rows = any(len(arrays["index"]) for arrays in read)
        missing = wanted - _OWN - {name for arrays in read for name in arrays}
        if missing and has_rows:
            raise InvalidArgumentError(
                f"none of these experiments has a field {min(missing)!r} of the metric {self._series.name!r}: "
                "leave out the fields to see all of them"
            )


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
