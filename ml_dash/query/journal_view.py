"""What a reader asks of an experiment's journal: rows, statistics, columns, logs, parameters, tracks, status.

Every question looks at the disk first, so it sees all that was written before. Memory is that of the answer
and of one frame. What is damaged on disk is left out; each damage is told once, as a `JournalDamageWarning`.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, overload

from ml_dash.callers import warn_user
from ml_dash.errors import JournalDamageWarning, MissingExtraError
from ml_dash.journal.disk import REAL_DISK, Disk
from ml_dash.journal.index import Damage, JournalIndex
from ml_dash.journal.sweep import end_times
from ml_dash.processes import process_alive
from ml_dash.query.columns import to_arrays
from ml_dash.query.files import FileQuery, FilesReader
from ml_dash.query.logs import LogFilter
from ml_dash.query.pages import page, read_rows, whole_number
from ml_dash.query.params import read_params
from ml_dash.query.run_rows import writer_runs
from ml_dash.query.runs import RunInfo, fold_runs
from ml_dash.query.stats import SeriesStats
from ml_dash.query.times import iso_time
from ml_dash.query.tracks import TrackQuery, find_by_time, renderer
from ml_dash.series import Kind, Series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt
    import pandas as pd

    from ml_dash.journal.blocks import Block

__all__ = ["JournalView"]

_LOGS = Series(Kind.LOG, None)


class JournalView:
    """Answers questions about one experiment's journal. Any thread may ask; answers are given one at a time.

    Args:
        directory: The journal's directory; it need not exist.
        disk: The file system.
        warns: Whether damage is told as a warning; where not, `index` lists it.

    Example:
        >>> view = JournalView(".dash/alice/project/run/journal")
        >>> view.read(Series(Kind.METRIC, "train"), start_index=0, limit=10)["total"]
        1000
    """

    def __init__(self, directory: str, *, disk: Disk = REAL_DISK, warns: bool = True) -> None:
        self.index = JournalIndex(directory, disk=disk)
        self._warns = warns
        self._lock = threading.Lock()
        self._told: set[tuple[str, int]] = set()
        self._files = FilesReader()

    def refresh(self) -> None:
        """Take in what was written since the last look. Every question does so by itself."""
        with self.reading():
            pass

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
        start, most = whole_number("start_index", start_index), whole_number("limit", limit)
        with self.reading() as index:
            rows = read_rows(index, series, start, most)
            total = index.count(series)
        after = rows[-1]["index"] + 1 if rows else start
        return page(rows, start, total, has_more=len(rows) == most and after < total)

    def stats(self, series: Series) -> dict[str, Any]:
        """Return counts, first and last values and times, and the statistics of each field.

        In ``fields``, ``count`` counts NaN too and ``nan`` says how many these are; ``min``, ``max`` and
        ``mean`` leave it out and are None for what has no numbers (bools and texts are none); the items of
        nested dicts are fields with dotted names. ``firstValue`` and ``lastValue`` are the row's one value,
        or a dict where it has several. First and last are so by index.
        """
        statistics = SeriesStats()
        with self.reading() as index:
            count = index.count(series)
            for start, block in index.blocks(series):
                statistics.add(start, block)
        return {"name": series.name, "count": count, "totalDataPoints": count, **statistics.as_dict()}

    def metrics(self) -> list[dict[str, Any]]:
        """Return each metric's ``name``, ``count``, ``fields``, ``firstDataAt`` and ``lastDataAt``.

        They come in order of first appearance, and so do the fields: the names as they were logged, where a
        nested dict is one field.
        """
        with self.reading() as index:
            metrics = index.series(Kind.METRIC)
            # one by one, ten thousand metrics would read each frame ten thousand times
            times = end_times(index, metrics)
            return [_metric(index, series, times.get(series)) for series in metrics]

    def to_numpy(self, series: Series) -> dict[str, npt.NDArray[Any]]:
        """Return a series as arrays: ``index`` (int64), ``_ts`` (float64 seconds) and each field.

        See `ml_dash.query.columns.to_arrays` for types, missing values and names.
        """
        with self.reading() as index:
            return to_arrays(lambda: index.blocks(series), index.count(series))

    def to_pandas(self, series: Series) -> pd.DataFrame:
        """Return `to_numpy` as a DataFrame, in which ``index`` is a column like the others.

        Raises:
            MissingExtraError: Pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtraError("to_pandas()", "pandas", "pandas") from error
        return pd.DataFrame(self.to_numpy(series))

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
        wanted = LogFilter(level, search)
        start, most = whole_number("start_index", start_index), whole_number("limit", limit)
        with self.reading() as index:
            rows, total, has_more = _read_logs(index, wanted, start, most)
        return page(rows, start, total, has_more=has_more)

    def params(self) -> dict[str, Any]:
        """Return the flat parameters that all writers' settings amount to, in order of their times."""
        with self.reading() as index:
            return read_params(index)

    def files(self, query: FileQuery | None = None) -> list[dict[str, Any]]:
        """Return the rows of the files that are asked for, by path and filename, of each name the newest first.

        Args:
            query: Which ones; None for the newest version of every name, without those that were deleted.
        """
        with self.reading() as index:
            return self._files.table(index).rows(query)

    def file(self, file_id: str) -> dict[str, Any] | None:
        """Return the row of one file, of an older version or a deleted one too; None where there is none."""
        with self.reading() as index:
            return self._files.table(index).get(file_id)

    def run(
        self,
        *,
        stale_after: float = 90.0,
        now_ns: int | None = None,
        host: str | None = None,
        pid_alive: Callable[[int], bool] = process_alive,
    ) -> RunInfo:
        """Return the run's status, see `ml_dash.query.runs.fold_runs` for the rules and the arguments."""
        with self.reading() as index:
            writers = writer_runs(index)
        return fold_runs(writers, stale_after=stale_after, now_ns=now_ns, host=host, pid_alive=pid_alive)

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

    def _entries(self, topic: str, query: TrackQuery) -> list[dict[str, Any]]:
        with self.reading() as index:
            return query.entries(index.blocks(Series(Kind.TRACK, topic)))

    @contextmanager
    def reading(self) -> Iterator[JournalIndex]:
        """Give the index as of now, for as long as the block takes; nobody else uses it meanwhile."""
        with self._lock:
            self.index.refresh()
            yield self.index
            if not self._warns:
                return
            news = [damage for damage in self.index.damage if damage[:2] not in self._told]
            self._told.update(damage[:2] for damage in news)
        for damage in news:
            warn_user(_describe(damage), JournalDamageWarning)


def _metric(index: JournalIndex, series: Series, times: tuple[int, int] | None) -> dict[str, Any]:
    first_ns, last_ns = times or _readable_ends(index, series)
    return {
        "name": series.name,
        "count": index.count(series),
        "fields": index.fields(series),
        "firstDataAt": None if first_ns is None else iso_time(first_ns),
        "lastDataAt": None if last_ns is None else iso_time(last_ns),
    }


def _readable_ends(index: JournalIndex, series: Series) -> tuple[int | None, int | None]:
    """Return the times of the first and the last row that can be read."""
    count = index.count(series)
    first = next(index.blocks(series), None)
    # A damaged end is passed over, however long it is: wider and wider steps back, until a block can be read.
    reach = 1
    last = _last_block(index, series, count - reach)
    while last is None and reach < count:
        reach *= 64
        last = _last_block(index, series, max(count - reach, 0))
    return int(first[1].times[0]) if first else None, int(last.times[-1]) if last else None


def _last_block(index: JournalIndex, series: Series, start: int) -> Block | None:
    """Return the last block that can be read among those from row `start` on."""
    last = None
    for _, block in index.blocks(series, start):
        last = block
    return last


def _read_logs(
    index: JournalIndex, wanted: LogFilter, start: int, limit: int
) -> tuple[list[dict[str, Any]], int, bool]:
    """Return the rows of a page, how many rows are wanted in all, and whether more are behind it."""
    rows: list[dict[str, Any]] = []
    matching = 0
    has_more = False
    # without a filter the total is known, so the rows before and behind the page need not be read
    for row in wanted.rows(index.blocks(_LOGS, start if wanted.keeps_all else 0)):
        matching += 1
        if row["index"] < start:
            continue
        if len(rows) < limit:
            rows.append(row)
            continue
        has_more = True
        if wanted.keeps_all:
            break
    return rows, index.count(_LOGS) if wanted.keeps_all else matching, has_more


def _describe(damage: Damage) -> str:
    lost = "an unknown number of rows" if damage.rows is None else f"{damage.rows} rows"
    return (
        f"{damage.path} is damaged at byte {damage.offset}, {damage.length} bytes long: {damage.reason}. "
        f"{lost} lost, everything else is read; `ml-dash verify` lists all damage"
    )
