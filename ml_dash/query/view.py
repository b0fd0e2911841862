"""What a reader asks of an experiment: rows, statistics, columns, logs, parameters, tracks, files, status.

`View` has the questions, whoever answers them. `RowView` answers all that rows alone can answer, from any `RowSource`,
so that a journal and a server's store give the same answers: they are made by the same functions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, SupportsIndex, TypeVar, overload

from ml_dash.journal.block_ops import slice_block, within
from ml_dash.journal.blocks import Block, as_list, block_rows
from ml_dash.query.axes.as_of import Clock
from ml_dash.query.axes.clocks import axis_of, column_of, find_x
from ml_dash.query.axes.ranks import NO_RANK, RANK, Ranks, known_rank, rank_column
from ml_dash.query.columns import to_arrays
from ml_dash.query.data_frame import to_frame
from ml_dash.query.environments import ENVIRONMENT, fold_environments
from ml_dash.query.listing.definitions import fold_definitions
from ml_dash.query.listing.listed import Kept
from ml_dash.query.listing.summary import summarized
from ml_dash.query.logs import AlertFilter, ConsoleFilter, LineFilter, LogFilter
from ml_dash.query.pages import Filling, Into, whole_number
from ml_dash.query.row_source import RowSource, param_rows, read_params
from ml_dash.query.runs import standing
from ml_dash.query.selection import checked_attempt, shown
from ml_dash.query.stats import SeriesStats
from ml_dash.query.times import iso_time, iso_times, nearest_ns, seconds_array
from ml_dash.query.tracks import FEW_ENTRIES, Earliest, TrackQuery, last_before, renderer
from ml_dash.series import Kind, Series

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import numpy.typing as npt
    import pandas as pd

    from ml_dash.query.attempts import Attempt
    from ml_dash.query.axes.as_of import Reach
    from ml_dash.query.axes.clocks import Axis, XName
    from ml_dash.query.columns import Beside
    from ml_dash.query.files import FileQuery
    from ml_dash.query.listing.listed import Best
    from ml_dash.query.listing.naming import Field
    from ml_dash.query.listing.summary import Summaries
    from ml_dash.query.pages import Take
    from ml_dash.query.runs import RunInfo
    from ml_dash.query.selection import AttemptChoice, Blocks, Range, Shown, Span

_AT_ONCE = 8192
"""Rows that are made at once."""

Source = TypeVar("Source", bound=RowSource)


class View(ABC):
    """Answers questions about one experiment; any thread may ask."""

    @abstractmethod
    def read(
        self,
        series: Series,
        start_index: SupportsIndex = 0,
        limit: SupportsIndex = 100,
        attempt: AttemptChoice = None,
        rank: int | None = None,
        x: str | None = None,
    ) -> dict[str, Any]:
        """Return rows of a series.

        Args:
            series: Whose rows. One that has none gives an empty answer.
            start_index: The first row's index.
            limit: How many rows at most.
            attempt: Which rows, see `ml_dash.query.selection`: those of the attempt with this number, ``"all"``, or
                without one all but those that a later attempt has superseded.
            rank: Only rows that this rank has written, see `ml_dash.query.axes.ranks`.
            x: What the rows are placed by, see `ml_dash.query.axes.clocks`: each has its ``x`` then, None where there
                is none.

        Returns:
            ``data``: rows ``{"index", "data": {fields…, "_ts": seconds}, "createdAt"}``, and the ``rank`` of those that
            have one; ``startIndex`` and ``endIndex``: the first and last index in it (``endIndex`` is one less where
            there is none); ``total``: all rows that are shown; ``hasMore``: whether a read from ``endIndex + 1`` may
            give more. Damaged rows, and those that are not shown, keep their indices and are left out; rows behind them
            fill the limit.
            ``superseded``: how many rows a later attempt has superseded, only there where it has any.

        Raises:
            InvalidArgumentError: An argument is not a whole number from 0 on, or there is no such rank or `x`.
        """

    @abstractmethod
    def stats(self, series: Series, attempt: AttemptChoice = None, rank: int | None = None) -> dict[str, Any]:
        """Return counts, first and last values and times, and the statistics of each field.

        In ``fields``, ``count`` counts NaN too and ``nan`` says how many these are; ``min``, ``max`` and
        ``mean`` leave it out and are None for what has no numbers (bools and texts have none); the items of
        nested dicts are fields with dotted names. ``firstValue`` and ``lastValue`` are the row's one value,
        or a dict where it has several. First and last are so by index.
        """

    @abstractmethod
    def attempts(self) -> list[dict[str, Any]]:
        """Return the attempts, in order of time.

        Each has its ``number``, ``status``, ``stale``, ``startedAt``, ``endedAt``, ``host``, ``error``, and
        ``resumeFrom``: the step from which on it supersedes the rows of earlier ones, or None.
        """

    @abstractmethod
    def environments(self) -> list[dict[str, Any]]:
        """Return what surrounded each process, the newest first, see `ml_dash.query.environments`."""

    @abstractmethod
    def metrics(self, rank: int | None = None) -> list[dict[str, Any]]:
        """Return each metric's ``name``, ``count``, ``fields``, ``firstDataAt`` and ``lastDataAt``.

        They come in order of first appearance, and so do the fields: the names as they were logged, where a
        nested dict is one field. Of a `rank`, those that it has logged, with the count and the times of its own rows.
        """

    @abstractmethod
    def ranks(self, series: Series) -> dict[int | None, int]:
        """Return how many rows of a series each rank has written, in order; None stands for writers without one."""

    @abstractmethod
    def to_numpy(
        self,
        series: Series,
        attempt: AttemptChoice = None,
        rank: int | None = None,
        x: str | None = None,
    ) -> dict[str, npt.NDArray[Any]]:
        """Return a series as arrays: ``index`` (int64), ``_ts`` (float64 seconds) and each field.

        See `ml_dash.query.columns.to_arrays` for types, missing values and names. An `x` of another metric is one more,
        of that name, and so is the ``rank`` where rows have one: int64 where each row has a whole number, else float64,
        with NaN where there is none.
        """

    def to_pandas(
        self,
        series: Series,
        attempt: AttemptChoice = None,
        rank: int | None = None,
        x: str | None = None,
    ) -> pd.DataFrame:
        """Return `to_numpy` as a DataFrame, in which ``index`` is a column like the others.

        Raises:
            MissingExtraError: Pandas is not installed.
        """
        return to_frame(lambda: self.to_numpy(series, attempt, rank, x))

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
    def console(
        self,
        stream: str | None = None,
        search: str | None = None,
        start_index: SupportsIndex = 0,
        limit: SupportsIndex = 100,
    ) -> dict[str, Any]:
        """Return printed lines ``{"index", "timestamp", "stream", "text", "rank"}``, in a page as of `logs`.

        Args:
            stream: Only those on ``"stdout"`` or ``"stderr"``.
            search: As of `logs`.
            start_index: As of `logs`.
            limit: As of `logs`.
        """

    @abstractmethod
    def alerts(
        self,
        level: str | None = None,
        search: str | None = None,
        start_index: SupportsIndex = 0,
        limit: SupportsIndex = 100,
    ) -> dict[str, Any]:
        """Return alerts ``{"index", "timestamp", "level", "title", "text", "held"}``, in a page as of `logs`.

        Args:
            level: Only ``info``, ``warning`` or ``error``.
            search: As of `logs`, in titles and texts.
            start_index: As of `logs`.
            limit: As of `logs`.
        """

    @abstractmethod
    def params(self) -> dict[str, Any]:
        """Return the flat parameters that all writers' settings amount to, in order of their times."""

    @abstractmethod
    def definitions(self) -> dict[Field, Best]:
        """Return which value of a metric's field is its best, where that was defined."""

    @abstractmethod
    def summaries(self, series: Series, attempt: AttemptChoice = None, rank: int | None = None) -> Summaries:
        """Return the summary of each field of a metric, see `ml_dash.query.listing.summary`."""

    def kept(self) -> Kept:
        """Return the summaries of all metrics, and which value of a field is its best."""
        names = [each["name"] for each in self.metrics()]
        return Kept({name: self.summaries(Series(Kind.METRIC, name)) for name in names}, self.definitions())

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
        return last_before(
            timestamp,
            lambda start, end: self._first(topic, TrackQuery(start, end)),
            lambda start, end: self._entries(topic, TrackQuery(start, end)),
        )

    @abstractmethod
    def _entries(self, topic: str, query: TrackQuery) -> list[dict[str, Any]]:
        """Return the entries of a topic that are asked for, in order of time."""

    @abstractmethod
    def _first(self, topic: str, query: TrackQuery) -> tuple[list[dict[str, Any]], bool]:
        """Return the first few of these entries, at least one if there are any, and whether there are more."""

    @abstractmethod
    def files(self, query: FileQuery | None = None) -> list[dict[str, Any]]:
        """Return the rows of the files that are asked for, by path and filename, of each name the newest first.

        Without a query it is the newest version of every name, without those that were deleted.
        """

    @abstractmethod
    def file(self, file_id: str) -> dict[str, Any] | None:
        """Return the row of one file, of an older version or a deleted one too; None where there is none."""


class _TrackView(View, Generic[Source]):
    """Answers what is asked of tracks."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[Source]:
        """Give the rows as of now, for as long as the context lasts."""

    def _blocks_between(
        self,
        rows: Source,
        series: Series,
        since_ns: int | None,  # noqa: ARG002 - for a server's store, which knows the times of each block
        until_ns: int | None,  # noqa: ARG002
    ) -> Iterator[tuple[int, Block]]:
        """Iterate over the blocks of a series, those at least that have rows of this time; None bounds nothing."""
        return rows.blocks(series)

    def _blocks_by_time(
        self,
        rows: Source,
        series: Series,
        since_ns: int | None,
        until_ns: int | None,
        is_due: Callable[[int], bool],  # noqa: ARG002 - for whoever knows the times of rows before they are read
    ) -> Iterator[tuple[int, Block]]:
        """Iterate over these blocks, if possible the earliest first, and on while `is_due` says so of the next time."""
        return self._blocks_between(rows, series, since_ns, until_ns)

    def tracks_into(self, take: Take, start: int, limit: int) -> int:
        """Give each track's ``topic`` and ``count`` of rows, from number `start` on; return how many there are."""
        with self.reading() as rows:
            tracks = rows.series(Kind.TRACK)
            for series in tracks[start : start + limit]:
                if not take({"topic": series.name, "count": rows.count(series)}):
                    break
        return len(tracks)

    def _entries(self, topic: str, query: TrackQuery) -> list[dict[str, Any]]:
        with self.reading() as rows:
            return query.entries(self._blocks_between(rows, Series(Kind.TRACK, topic), *query.bounds_ns))

    def _first(self, topic: str, query: TrackQuery) -> tuple[list[dict[str, Any]], bool]:
        found = self.earliest(topic, query, None, FEW_ENTRIES, 1 << 20)
        return [entry for _, entry in found.entries()], found.ceiling is not None

    def earliest(
        self, topic: str, query: TrackQuery, after_ns: int | None, limit: int, size: int
    ) -> Earliest:
        """Return the first entries of a topic that are asked for and behind a time; see `Earliest`."""
        found = Earliest(query, after_ns, limit, size)
        since_ns, until_ns = query.bounds_ns
        if after_ns is not None:
            since_ns = after_ns if since_ns is None else max(since_ns, after_ns)

        def is_due(earliest_ns: int) -> bool:
            return found.ceiling is None or earliest_ns < found.ceiling

        series = Series(Kind.TRACK, topic)
        with self.reading() as rows:
            for start, block in self._blocks_by_time(rows, series, since_ns, until_ns, is_due):
                found.add(start, block)
        return found


class _LineView(_TrackView[Source]):
    """Answers what is asked of messages, printed lines and alerts."""

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
        return self._lines(LogFilter(level, search), start_index, limit, since, until)

    def console(
        self,
        stream: str | None = None,
        search: str | None = None,
        start_index: SupportsIndex = 0,
        limit: SupportsIndex = 100,
    ) -> dict[str, Any]:
        """See `View.console`."""
        return self._lines(ConsoleFilter(stream, search), start_index, limit)

    def alerts(
        self,
        level: str | None = None,
        search: str | None = None,
        start_index: SupportsIndex = 0,
        limit: SupportsIndex = 100,
    ) -> dict[str, Any]:
        """See `View.alerts`."""
        return self._lines(AlertFilter(level, search), start_index, limit)

    def _lines(
        self,
        wanted: LineFilter,
        start_index: SupportsIndex,
        limit: SupportsIndex,
        since: float | None = None,
        until: float | None = None,
    ) -> dict[str, Any]:
        found: list[dict[str, Any]] = []
        places = self.lines_into(Into(found), wanted, start_index, limit, since, until)
        return {"data": found, **places}

    def lines_into(
        self,
        take: Take,
        wanted: LineFilter,
        start_index: SupportsIndex,
        limit: SupportsIndex,
        since: float | None = None,
        until: float | None = None,
    ) -> dict[str, Any]:
        """Give the rows of a page of messages, printed lines or alerts to `take`; return where they are."""
        start, most = whole_number("start_index", start_index), whole_number("limit", limit)
        since_ns = None if since is None else nearest_ns(since)
        until_ns = None if until is None else nearest_ns(until)
        # without a filter the total is known, so the rows before and behind the page need not be read
        keeps_all = wanted.keeps_all and since_ns is None and until_ns is None
        filling = Filling(take, start, most)
        matching, has_more = 0, False
        with self.reading() as rows:
            if keeps_all:
                blocks = rows.blocks(wanted.series, start)
            else:
                some = self._blocks_between(rows, wanted.series, since_ns, until_ns)
                blocks = within(some, since_ns, until_ns)
            for row in wanted.rows(blocks):
                matching += 1
                if row["index"] < start:
                    continue
                has_more = has_more or not filling.put(row)
                if has_more and keeps_all:
                    break
            total = rows.count(wanted.series) if keeps_all else matching
        return filling.places(total, has_more=has_more)


class RowView(_LineView[Source]):
    """Answers from rows. Memory is that of the answer and of one block."""

    @abstractmethod
    def _end_times(
        self, rows: Source, metrics: list[Series]
    ) -> Mapping[Series, tuple[int | None, int | None]]:
        """Return the times of the first and the last row of each of these series."""

    @abstractmethod
    def _attempts(self, rows: Source) -> Sequence[Attempt]:
        """Return the attempts that there are."""

    @abstractmethod
    def _spans(self, rows: Source, series: Series, attempts: Sequence[Attempt]) -> Sequence[Span]:
        """Return whose the rows of a series are, all of them, in order."""

    @abstractmethod
    def _remembered(self, series: Series) -> dict[tuple[int, int, float], list[Range]]:
        """Return what is remembered of which rows are superseded."""

    def _shown(
        self,
        rows: Source,
        series: Series,
        attempt: AttemptChoice,
        rank: int | None,
        blocks: Blocks | None = None,
    ) -> Shown:
        """Return the rows of a metric that are shown; `blocks` gives them, in the place of `rows`."""
        choice = checked_attempt(attempt)
        found = shown(
            choice,
            [] if choice == "all" else (attempts := self._attempts(rows)),
            lambda: self._spans(rows, series, attempts),
            blocks or partial(rows.blocks, series),
            rows.count(series),
            self._remembered(series),
        )
        if rank is None:
            return found
        wanted = known_rank(rank, self._known_ranks(rows))
        ranks = self._ranks(rows, series)
        return found.only([] if ranks is None or wanted is None else ranks.ranges(wanted))

    def _reaches(self, rows: Source, series: Series) -> list[Reach] | None:  # noqa: ARG002 - for who knows them
        """Return between which times all rows of a series lie; None where that is not known before they are read."""
        return None

    @abstractmethod
    def _ranks(self, rows: Source, series: Series) -> Ranks | None:
        """Return which rank has written which rows; None where no writer of the experiment has a rank."""

    def _owners(self, rows: Source, series: Series, rank: int | None) -> Ranks | None:
        """Return which rank has written which of the rows that are read."""
        return self._ranks(rows, series) if rank is None else Ranks.of_one(rank, rows.count(series))

    @abstractmethod
    def _known_ranks(self, rows: Source) -> Collection[int]:
        """Return the ranks that the experiment's writers have."""

    def _clock(
        self, rows: Source, series: Series, field: str, attempt: AttemptChoice, rank: int | None
    ) -> Clock:
        """Return a field to look times up in: of the rows of the rank, or where it has logged none, of all."""
        found = self._shown(rows, series, attempt, rank)
        if not found.count:
            found = self._shown(rows, series, attempt, None)
        state = series, field, rows.count(series), found.ranges
        return Clock(field, found.blocks, self._reaches(rows, series), state)

    def _axis(self, rows: Source, found: XName, attempt: AttemptChoice, rank: int | None) -> Axis:
        return axis_of(found, lambda series, field: self._clock(rows, series, field, attempt, rank))

    def ranks(self, series: Series) -> dict[int | None, int]:
        """See `View.ranks`."""
        with self.reading() as rows:
            found, count = self._ranks(rows, series), rows.count(series)
            return ({None: count} if count else {}) if found is None else found.counts()

    def shown(self, series: Series, attempt: AttemptChoice = None, rank: int | None = None) -> Shown:
        """Return which rows of a metric are shown; what has come since is in no answer of it."""
        with self.reading() as rows:
            return self._shown(rows, series, attempt, rank)

    def shown_of_ranks(
        self, series: Series, attempt: AttemptChoice = None, rank: int | None = None
    ) -> tuple[Shown, Ranks | None]:
        """Return which rows of a metric are shown, as of `shown`, and which rank has logged which."""
        with self.reading() as rows:
            return self._shown(rows, series, attempt, rank), self._ranks(rows, series)

    @abstractmethod
    def _whole_attempts(self, rows: Source) -> Sequence[Attempt]:
        """Return the attempts that there are, each with all that it consists of."""

    def attempts(self) -> list[dict[str, Any]]:
        """See `View.attempts`."""
        with self.reading() as rows:
            attempts = self._whole_attempts(rows)
        run = self.run()
        found = [_told(attempt) for attempt in attempts]
        if found:  # whether the newest one lives is not told by its rows
            found[-1] |= {"status": run.status, "stale": run.stale, "host": run.host, "error": run.error}
            found[-1]["endedAt"] = None if run.ended_at is None else iso_time(run.ended_at)
        return found

    def environments(self) -> list[dict[str, Any]]:
        """See `View.environments`."""
        with self.reading() as rows:
            return fold_environments(rows.blocks(ENVIRONMENT), self._whole_attempts(rows))

    def read(
        self,
        series: Series,
        start_index: SupportsIndex = 0,
        limit: SupportsIndex = 100,
        attempt: AttemptChoice = None,
        rank: int | None = None,
        x: str | None = None,
    ) -> dict[str, Any]:
        """See `View.read`."""
        rows: list[dict[str, Any]] = []
        return {"data": rows, **self.read_into(Into(rows), series, start_index, limit, attempt, rank, x)}

    def read_into(
        self,
        take: Take,
        series: Series,
        start_index: SupportsIndex = 0,
        limit: SupportsIndex = 100,
        attempt: AttemptChoice = None,
        rank: int | None = None,
        x: str | None = None,
    ) -> dict[str, Any]:
        """Give the rows of a page to `take`; return where they are."""
        start, most = whole_number("start_index", start_index), whole_number("limit", limit)
        filling = Filling(take, start, most)
        with self.reading() as source:
            found = self._shown(source, series, attempt, rank)
            axis = None if x is None else self._axis(source, find_x(x, series, source), attempt, rank)
            _fill(filling, found, axis, self._owners(source, series, rank))
        # by the last index and not by how many rows came: damaged ones keep their indices, and are left out
        has_more = not filling.room and filling.after < found.stop
        return {**filling.places(found.count, has_more=has_more), **found.notes}

    def stats(self, series: Series, attempt: AttemptChoice = None, rank: int | None = None) -> dict[str, Any]:
        """See `View.stats`."""
        statistics = SeriesStats()
        with self.reading() as rows:
            found = self._shown(rows, series, attempt, rank)
            for start, block in found.blocks():
                statistics.add(start, block)
        counts = {"name": series.name, "count": found.count, "totalDataPoints": found.count, **found.notes}
        return {**counts, **statistics.as_dict()}

    def metrics(self, rank: int | None = None) -> list[dict[str, Any]]:
        """See `View.metrics`."""
        found: list[dict[str, Any]] = []
        self.metrics_into(Into(found), rank=rank)
        return found

    def metrics_into(
        self, take: Take, start: int = 0, limit: int | None = None, rank: int | None = None
    ) -> int:
        """Give the metrics from number `start` on to `take`; return how many there are in all."""
        with self.reading() as rows:
            counts = self._counts(rows, rank)
            wanted = [*counts][start : None if limit is None else start + limit]
            ends = self._end_times(rows, wanted) if rank is None else self._own_ends(rows, wanted, rank)
            for series in wanted:
                first_ns, last_ns = ends[series]
                metric = {
                    "name": series.name,
                    "count": counts[series],
                    "fields": rows.fields(series),
                    "firstDataAt": None if first_ns is None else iso_time(first_ns),
                    "lastDataAt": None if last_ns is None else iso_time(last_ns),
                }
                if not take(metric):
                    break
        return len(counts)

    def _counts(self, rows: Source, rank: int | None) -> dict[Series, int]:
        """Return how many rows each metric has; of a rank, those alone that have any."""
        metrics = rows.series(Kind.METRIC)
        if rank is None:
            return {series: rows.count(series) for series in metrics}
        counts = {series: self._shown(rows, series, "all", rank).count for series in metrics}
        return {series: count for series, count in counts.items() if count}

    def _own_ends(
        self, rows: Source, metrics: list[Series], rank: int
    ) -> Mapping[Series, tuple[int | None, int | None]]:
        return {series: _ends(self._shown(rows, series, "all", rank)) for series in metrics}

    def count(self, series: Series) -> int:
        """Return how many rows a series has."""
        with self.reading() as rows:
            return rows.count(series)

    def to_numpy(
        self,
        series: Series,
        attempt: AttemptChoice = None,
        rank: int | None = None,
        x: str | None = None,
    ) -> dict[str, npt.NDArray[Any]]:
        """See `View.to_numpy`."""
        with self.reading() as rows:
            found = self._shown(rows, series, attempt, rank)
            beside: dict[str, Beside] = {}
            if x is not None and (place := find_x(x, series, rows)).series is not None:
                beside[x] = column_of(self._clock(rows, place.series, place.field, attempt, rank))
            if (ranks := self._owners(rows, series, rank)) is not None:
                beside[RANK] = lambda index, _: rank_column(ranks.of(index))
            return to_arrays(found.blocks, found.count, beside)

    def params(self) -> dict[str, Any]:
        """See `View.params`."""
        with self.reading() as rows:
            return read_params(rows)

    def definitions(self) -> dict[Field, Best]:
        """See `View.definitions`."""
        with self.reading() as rows:
            return fold_definitions(param_rows(rows))

    def summaries(self, series: Series, attempt: AttemptChoice = None, rank: int | None = None) -> Summaries:
        """See `View.summaries`."""
        with self.reading() as rows:
            return summarized(self._shown(rows, series, attempt, rank).blocks())


def _told(attempt: Attempt) -> dict[str, Any]:
    stands = standing(attempt.openings, lambda _: False)
    return {
        "number": attempt.number,
        "status": stands.status,
        "stale": stands.stale,
        "startedAt": iso_time(attempt.start_ns),
        "endedAt": None if stands.ended_at is None else iso_time(stands.ended_at),
        "host": stands.host,
        "error": stands.error,
        "resumeFrom": attempt.resume_from,
    }


def _ends(found: Shown) -> tuple[int | None, int | None]:
    """Return the times of the first and the last of some rows; None of one that cannot be read."""
    first = next((int(block.times[0]) for _, block in found.blocks()), None)
    last = None
    for _, block in found.blocks(found.stop - 1):
        last = int(block.times[-1])
    return first, last


def _fill(filling: Filling, found: Shown, axis: Axis | None, ranks: Ranks | None) -> None:
    """Put rows of a series in, up to the end of the page; damaged ones are passed over."""
    if not filling.room:
        return
    batch = _Batch(filling, axis, ranks)
    for first, block in found.blocks(filling.start):
        offset = max(filling.start - first, 0)
        while offset < block.count and filling.room:
            offset += batch.add(first, block, offset)
        if not filling.room:
            return
    batch.put()


class _Batch:
    """Rows that are made together: of a slow run each may lie in a block of its own, with one time.

    Few at first and then more and more: where rows are large, a few of them fill the page.
    """

    def __init__(self, filling: Filling, axis: Axis | None, ranks: Ranks | None) -> None:
        self._filling = filling
        self._axis = axis
        self._ranks = ranks
        self._most = 16
        self._clear()

    def add(self, first: int, block: Block, offset: int) -> int:
        """Take rows of a block from one on, and return how many."""
        some = min(self._filling.room, self._most) - len(self._rows)
        found = block_rows(block, offset, offset + some)
        self._indices += range(first + offset, first + offset + len(found))
        self._times += as_list(block.times[offset : offset + len(found)])
        self._rows += found
        if self._axis is not None:
            self._pieces.append((first + offset, slice_block(block, offset, offset + len(found))))
        # objects may be of any size: those of many blocks are not kept together
        if len(found) == some or any(column.type == "o" for column in block.columns):
            self.put()
        return len(found)

    def put(self) -> None:
        """Put the rows into the page."""
        import numpy as np

        stamps = np.array(self._times, np.int64)
        for fields, stamp in zip(self._rows, seconds_array(stamps).tolist(), strict=True):
            fields["_ts"] = stamp
        rows = [
            {"index": index, "data": fields, "createdAt": created}
            for index, fields, created in zip(self._indices, self._rows, iso_times(stamps), strict=True)
        ]
        if self._axis is not None and self._pieces:
            for row, x in zip(rows, self._axis.of(self._pieces).as_list(), strict=True):
                row["x"] = x
        if self._ranks is not None:
            ranks = self._ranks.of(np.array(self._indices, np.int64)).tolist()
            for row, rank in zip(rows, ranks, strict=True):
                if rank != NO_RANK:
                    row["rank"] = rank
        self._filling.put_all(rows)
        self._most = min(2 * self._most, _AT_ONCE)
        self._clear()

    def _clear(self) -> None:
        self._indices: list[int] = []
        self._times: list[int] = []
        self._rows: list[dict[str, Any]] = []
        self._pieces: list[tuple[int, Block]] = []
