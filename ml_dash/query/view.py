"""What a reader asks of an experiment: rows, statistics, columns, logs, parameters, tracks, files, status.

`View` has the questions, whoever answers them. `RowView` answers all that rows alone can answer, from any `RowSource`,
so that a journal and a server's store give the same answers: they are made by the same functions.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, Literal, SupportsIndex, TypeVar, overload

from ml_dash.errors import InvalidArgumentError
from ml_dash.journal.block_ops import within
from ml_dash.journal.blocks import Block, as_list, block_rows
from ml_dash.query.columns import to_arrays
from ml_dash.query.data_frame import to_frame
from ml_dash.query.logs import LogFilter
from ml_dash.query.row_source import RowSource, read_params
from ml_dash.query.stats import SeriesStats
from ml_dash.query.times import iso_time, iso_times, nearest_ns, seconds_array
from ml_dash.query.tracks import TrackQuery, find_by_time, renderer
from ml_dash.series import Kind, Series

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import numpy.typing as npt
    import pandas as pd

    from ml_dash.query.files import FileQuery
    from ml_dash.query.runs import RunInfo

_LOGS = Series(Kind.LOG, None)

Source = TypeVar("Source", bound=RowSource)


class View(ABC):
    """Answers questions about one experiment; any thread may ask."""

    @abstractmethod
    def read(
        self, series: Series, start_index: SupportsIndex = 0, limit: SupportsIndex = 100
    ) -> dict[str, Any]:
        """Return rows of a series.

        Args:
            series: Whose rows. One that has none gives an empty answer.
            start_index: The first row's index.
            limit: How many rows at most.

        Returns:
            ``data``: rows ``{"index", "data": {fields…, "_ts": seconds}, "createdAt"}``; ``startIndex`` and
            ``endIndex``: the first and last index in it (``endIndex`` is one less where there is none);
            ``total``: all rows; ``hasMore``: whether a read from ``endIndex + 1`` may give more. Damaged rows
            keep their indices and are left out; rows behind them fill the limit.

        Raises:
            InvalidArgumentError: An argument is not a whole number from 0 on.
        """

    @abstractmethod
    def stats(self, series: Series) -> dict[str, Any]:
        """Return counts, first and last values and times, and the statistics of each field.

        In ``fields``, ``count`` counts NaN too and ``nan`` says how many these are; ``min``, ``max`` and
        ``mean`` leave it out and are None for what has no numbers (bools and texts have none); the items of
        nested dicts are fields with dotted names. ``firstValue`` and ``lastValue`` are the row's one value,
        or a dict where it has several. First and last are so by index.
        """

    @abstractmethod
    def metrics(self) -> list[dict[str, Any]]:
        """Return each metric's ``name``, ``count``, ``fields``, ``firstDataAt`` and ``lastDataAt``.

        They come in order of first appearance, and so do the fields: the names as they were logged, where a
        nested dict is one field.
        """

    @abstractmethod
    def to_numpy(self, series: Series) -> dict[str, npt.NDArray[Any]]:
        """Return a series as arrays: ``index`` (int64), ``_ts`` (float64 seconds) and each field.

        See `ml_dash.query.columns.to_arrays` for types, missing values and names.
        """

    def to_pandas(self, series: Series) -> pd.DataFrame:
        """Return `to_numpy` as a DataFrame, in which ``index`` is a column like the others.

        Raises:
            MissingExtraError: Pandas is not installed.
        """
        return to_frame(lambda: self.to_numpy(series))

    @abstractmethod
    def logs(
        self,
        level: str | None = None,
        search: str | None = None,
        start_index: SupportsIndex = 0,
        limit: SupportsIndex = 100,
    ) -> dict[str, Any]:
        """Return log rows ``{"index", "timestamp", "level", "message", "metadata"}``, in a page as of `read`.

        Args:
            level: Only this level, in any case; ``warning`` is ``warn``.
            search: Only messages that contain this, in any case.
            start_index: The first index to look at. A row's index is its place among all logs, whatever is
                asked for; so a read from ``endIndex + 1`` goes on where this one stopped.
            limit: How many rows at most.

        Returns:
            The page; ``total`` is the number of rows of all logs that are asked for.

        Raises:
            InvalidArgumentError: The level is not known, or another argument is not what it should be.
        """

    @abstractmethod
    def params(self) -> dict[str, Any]:
        """Return the flat parameters that all writers' settings amount to, in order of their times."""

    @abstractmethod
    def run(self) -> RunInfo:
        """Return the run's status."""

    @overload
    def track(
        self,
        topic: str,
        start_timestamp: float | None = None,
        end_timestamp: float | None = None,
        columns: Sequence[str] | None = None,
        format: Literal["json"] = "json",
    ) -> dict[str, Any]: ...

    @overload
    def track(
        self,
        topic: str,
        start_timestamp: float | None = None,
        end_timestamp: float | None = None,
        columns: Sequence[str] | None = None,
        format: str = "json",
    ) -> dict[str, Any] | str | bytes: ...

    def track(
        self,
        topic: str,
        start_timestamp: float | None = None,
        end_timestamp: float | None = None,
        columns: Sequence[str] | None = None,
        format: str = "json",
    ) -> dict[str, Any] | str | bytes:
        """Return a topic's entries in order of time: ``{"entries": [{"timestamp", fields…}], "count"}``.

        Rows of the same nanosecond are one entry; where they have the same field, the later row's wins.

        Args:
            topic: The track's name.
            start_timestamp: Seconds since the epoch; an entry of this very time is included.
            end_timestamp: The same for the end.
            columns: Fields to keep, dotted for one in a nested dict; entries with none of them are left out.
            format: ``json`` for the dict above, ``jsonl`` for text, ``parquet`` for bytes.

        Raises:
            InvalidArgumentError: An argument is not what it should be.
            MissingExtraError: Parquet needs pyarrow.
        """
        render = renderer(format)
        return render(self._entries(topic, TrackQuery(start_timestamp, end_timestamp, columns)))

    def find_by_time(self, topic: str, timestamp: float) -> dict[str, Any] | None:
        """Return a topic's entry at `timestamp` (seconds), else the last before it; None if there is none."""
        return find_by_time(self._entries(topic, TrackQuery(end_timestamp=timestamp)), timestamp)

    @abstractmethod
    def _entries(self, topic: str, query: TrackQuery) -> list[dict[str, Any]]:
        """Return the entries of a topic that are asked for, in order of time."""

    @abstractmethod
    def files(self, query: FileQuery | None = None) -> list[dict[str, Any]]:
        """Return the rows of the files that are asked for, by path and filename, of each name the newest first.

        Without a query it is the newest version of every name, without those that were deleted.
        """

    @abstractmethod
    def file(self, file_id: str) -> dict[str, Any] | None:
        """Return the row of one file, of an older version or a deleted one too; None where there is none."""


class RowView(View, Generic[Source]):
    """Answers from rows. Memory is that of the answer and of one block."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[Source]:
        """Give the rows as of now, for as long as the context lasts."""

    @abstractmethod
    def _end_times(
        self, rows: Source, metrics: list[Series]
    ) -> Mapping[Series, tuple[int | None, int | None]]:
        """Return the times of the first and the last row of each of these series."""

    def _blocks_between(
        self,
        rows: Source,
        series: Series,
        since_ns: int | None,  # noqa: ARG002 - for a server's store, which knows the times of each block
        until_ns: int | None,  # noqa: ARG002
    ) -> Iterator[tuple[int, Block]]:
        """Iterate over the blocks of a series, those at least that have rows of this time; None bounds nothing."""
        return rows.blocks(series)

    def read(
        self, series: Series, start_index: SupportsIndex = 0, limit: SupportsIndex = 100
    ) -> dict[str, Any]:
        """See `View.read`."""
        start, most = whole_number("start_index", start_index), whole_number("limit", limit)
        with self.reading() as source:
            rows = _read_rows(source, series, start, most)
            total = source.count(series)
        # by the last index and not by how many rows came: damaged ones keep their indices, and are left out
        after = rows[-1]["index"] + 1 if rows else start
        return page(rows, start, total, has_more=len(rows) == most and after < total)

    def stats(self, series: Series) -> dict[str, Any]:
        """See `View.stats`."""
        statistics = SeriesStats()
        with self.reading() as rows:
            count = rows.count(series)
            for start, block in rows.blocks(series):
                statistics.add(start, block)
        return {"name": series.name, "count": count, "totalDataPoints": count, **statistics.as_dict()}

    def metrics(self) -> list[dict[str, Any]]:
        """See `View.metrics`."""
        with self.reading() as rows:
            metrics = rows.series(Kind.METRIC)
            ends = self._end_times(rows, metrics)
            return [
                {
                    "name": series.name,
                    "count": rows.count(series),
                    "fields": rows.fields(series),
                    "firstDataAt": None if first_ns is None else iso_time(first_ns),
                    "lastDataAt": None if last_ns is None else iso_time(last_ns),
                }
                for series in metrics
                for first_ns, last_ns in (ends[series],)
            ]

    def tracks(self) -> list[dict[str, Any]]:
        """Return each track's ``topic`` and ``count`` of rows."""
        with self.reading() as rows:
            return [{"topic": series.name, "count": rows.count(series)} for series in rows.series(Kind.TRACK)]

    def count(self, series: Series) -> int:
        """Return how many rows a series has."""
        with self.reading() as rows:
            return rows.count(series)

    def to_numpy(self, series: Series) -> dict[str, npt.NDArray[Any]]:
        """See `View.to_numpy`."""
        with self.reading() as rows:
            return to_arrays(lambda: rows.blocks(series), rows.count(series))

    def logs(
        self,
        level: str | None = None,
        search: str | None = None,
        start_index: SupportsIndex = 0,
        limit: SupportsIndex = 100,
        since: float | None = None,
        until: float | None = None,
    ) -> dict[str, Any]:
        """See `View.logs`; `since` and `until`, in seconds since the epoch and both included, bound the times."""
        wanted = LogFilter(level, search)
        start, most = whole_number("start_index", start_index), whole_number("limit", limit)
        since_ns = None if since is None else nearest_ns(since)
        until_ns = None if until is None else nearest_ns(until)
        # without a filter the total is known, so the rows before and behind the page need not be read
        keeps_all = wanted.keeps_all and since_ns is None and until_ns is None
        found: list[dict[str, Any]] = []
        matching, has_more = 0, False
        with self.reading() as rows:
            if keeps_all:
                blocks = rows.blocks(_LOGS, start)
            else:
                blocks = within(self._blocks_between(rows, _LOGS, since_ns, until_ns), since_ns, until_ns)
            for row in wanted.rows(blocks):
                matching += 1
                if row["index"] < start:
                    continue
                has_more = len(found) == most
                if not has_more:
                    found.append(row)
                elif keeps_all:
                    break
            total = rows.count(_LOGS) if keeps_all else matching
        return page(found, start, total, has_more=has_more)

    def params(self) -> dict[str, Any]:
        """See `View.params`."""
        with self.reading() as rows:
            return read_params(rows)

    def _entries(self, topic: str, query: TrackQuery) -> list[dict[str, Any]]:
        with self.reading() as rows:
            return query.entries(self._blocks_between(rows, Series(Kind.TRACK, topic), *query.bounds_ns))


def whole_number(name: str, value: Any) -> int:
    """Return the argument as an int; numpy's integers will do.

    Raises:
        InvalidArgumentError: It is not a whole number from 0 on.
    """
    try:
        # a bool is an int to Python, and a mistake here; `index` takes numpy's integers and refuses floats
        number = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = -1
    if number < 0:
        raise InvalidArgumentError(f"{name}={value!r} is not a whole number from 0 on: give an int that is")
    return number


def page(rows: list[dict[str, Any]], start: int, total: int, *, has_more: bool) -> dict[str, Any]:
    """Return rows and where they are; where there are none, they end before `start`."""
    return {
        "data": rows,
        "startIndex": rows[0]["index"] if rows else start,
        "endIndex": rows[-1]["index"] if rows else start - 1,
        "total": total,
        "hasMore": has_more,
    }


def _read_rows(source: RowSource, series: Series, start: int, limit: int) -> list[dict[str, Any]]:
    """Return up to `limit` rows from index `start` on; damaged ones are passed over."""
    import numpy as np

    indices: list[int] = []
    times: list[int] = []
    rows: list[dict[str, Any]] = []
    if not limit:
        return rows
    for first, block in source.blocks(series, start):
        offset = max(start - first, 0)
        found = block_rows(block, offset, offset + limit - len(rows))
        indices += range(first + offset, first + offset + len(found))
        times += as_list(block.times[offset : offset + len(found)])
        rows += found
        if len(rows) == limit:
            break
    # The times of all rows together: of a slow run each may lie in a block of its own, and be one array.
    stamps = np.array(times, np.int64)
    for fields, stamp in zip(rows, seconds_array(stamps).tolist(), strict=True):
        fields["_ts"] = stamp
    return [
        {"index": index, "data": fields, "createdAt": created}
        for index, fields, created in zip(indices, rows, iso_times(stamps), strict=True)
    ]
