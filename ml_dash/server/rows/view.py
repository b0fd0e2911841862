"""What a reader asks of an experiment, answered from the store.

The questions are those of `ml_dash.query.journal_view.JournalView`. The answers have the same shapes, and are made by
the same functions; only where blocks come from differs. Rows are in the order in which they arrived, which for one
writer is that of its journal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ml_dash.journal.block_ops import slice_block, within
from ml_dash.query.logs import LogFilter
from ml_dash.query.pages import page, read_rows, whole_number
from ml_dash.query.params import read_params
from ml_dash.query.stats import SeriesStats
from ml_dash.query.times import iso_time, nearest_ns
from ml_dash.query.tracks import TrackQuery
from ml_dash.series import Kind, Series
from ml_dash.server.catalogue.run_status import run_info
from ml_dash.server.charts.chart import chart
from ml_dash.server.rows.file_listing import FileListing
from ml_dash.server.rows.index import StoreIndex, WriterOrder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml_dash.clock import Clock
    from ml_dash.journal.blocks import Block
    from ml_dash.journal.index import JournalIndex
    from ml_dash.query.files import FileQuery
    from ml_dash.query.runs import RunInfo
    from ml_dash.server.blobs.objects import ObjectStore
    from ml_dash.server.db.database import Database

__all__ = ["StoreView"]

_LOGS = Series(Kind.LOG, None)
_PARAMS = Series(Kind.PARAMS, None)


class StoreView:
    """Answers questions about one experiment. Make one for each request: what it has looked up, it keeps.

    Args:
        database: Where rows are stored.
        blobs: Where objects are.
        experiment_id: Which experiment.
        clock: The time.
        stale_after: Seconds without a sign of life, after which a running run counts as dead.
    """

    def __init__(
        self, database: Database, blobs: ObjectStore, experiment_id: str, *, clock: Clock, stale_after: float
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._id = experiment_id
        self._clock = clock
        self._stale_after = stale_after
        self._index = StoreIndex(database, blobs, experiment_id)

    def read(self, series: Series, start_index: int = 0, limit: int = 100) -> dict[str, Any]:
        """Return rows of a series, as `JournalView.read` does."""
        start, most = whole_number("start_index", start_index), whole_number("limit", limit)
        rows = read_rows(cast("JournalIndex", self._index), series, start, most)
        total = self._index.count(series)
        after = rows[-1]["index"] + 1 if rows else start
        return page(rows, start, total, has_more=len(rows) == most and after < total)

    def stats(self, series: Series) -> dict[str, Any]:
        """Return counts, first and last values and times, and the statistics of each field."""
        statistics = SeriesStats()
        count = self._index.count(series)
        for start, block in self._index.blocks(series):
            statistics.add(start, block)
        return {"name": series.name, "count": count, "totalDataPoints": count, **statistics.as_dict()}

    def metrics(self) -> list[dict[str, Any]]:
        """Return each metric's ``name``, ``count``, ``fields``, ``firstDataAt`` and ``lastDataAt``."""
        return [
            {
                "name": info.series.name,
                "count": info.rows,
                "fields": info.fields,
                "firstDataAt": iso_time(info.first_ns),
                "lastDataAt": iso_time(info.last_ns),
            }
            for info in self._index.all_series(Kind.METRIC)
        ]

    def tracks(self) -> list[dict[str, Any]]:
        """Return each track's ``topic`` and ``count`` of rows."""
        return [
            {"topic": info.series.name, "count": info.rows} for info in self._index.all_series(Kind.TRACK)
        ]

    def logs(
        self,
        level: str | None = None,
        search: str | None = None,
        start_index: int = 0,
        limit: int = 100,
        since: float | None = None,
        until: float | None = None,
    ) -> dict[str, Any]:
        """Return log rows, as `JournalView.logs` does; besides, only those of a time.

        Args:
            level: Only this level, in any case; ``warning`` is ``warn``.
            search: Only messages that contain this, in any case.
            start_index: The first index to look at.
            limit: How many rows at most.
            since: Seconds since the epoch; a row of this very time is included. None: no bound.
            until: The same for the last.
        """
        wanted = LogFilter(level, search)
        start, most = whole_number("start_index", start_index), whole_number("limit", limit)
        since_ns = None if since is None else nearest_ns(since)
        until_ns = None if until is None else nearest_ns(until)
        unbounded = since_ns is None and until_ns is None
        blocks = self._index.blocks(
            _LOGS,
            start if wanted.keeps_all and unbounded else 0,
            since_ns=since_ns,
            until_ns=until_ns,
        )
        if not unbounded:
            blocks = within(blocks, since_ns, until_ns)
        if wanted.keeps_all and unbounded:
            return self._all_logs(wanted, blocks, start, most)
        rows: list[dict[str, Any]] = []
        total, has_more = 0, False
        for row in wanted.rows(blocks):
            total += 1
            if row["index"] >= start:
                has_more = len(rows) == most
                if not has_more:
                    rows.append(row)
        return page(rows, start, total, has_more=has_more)

    def params(self) -> dict[str, Any]:
        """Return the flat parameters that all writers' settings amount to, in order of their times."""
        with self._database.read() as connection:
            rows = WriterOrder(connection, self._blobs, self._id, _PARAMS)
        return read_params(cast("JournalIndex", rows))

    def run(self) -> RunInfo:
        """Return the run's status."""
        with self._database.read() as connection:
            return run_info(connection, self._id, stale_after=self._stale_after, now_ns=self._clock.time_ns())

    def track(
        self,
        topic: str,
        start_timestamp: float | None = None,
        end_timestamp: float | None = None,
        columns: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Return a topic's entries in order of time: ``{"entries": [{"timestamp", fields…}], "count"}``."""
        query = TrackQuery(start_timestamp, end_timestamp, columns)
        blocks = self._index.blocks(
            Series(Kind.TRACK, topic),
            # a microsecond more: what is compared in the end are floats of seconds
            since_ns=None if start_timestamp is None else nearest_ns(start_timestamp) - 1000,
            until_ns=None if end_timestamp is None else nearest_ns(end_timestamp) + 1000,
        )
        entries = query.entries(blocks)
        return {"entries": entries, "count": len(entries)}

    def chart(
        self, series: Series, field: str, x: str, start: float | None, stop: float | None, width: int
    ) -> dict[str, Any]:
        """Return one field of a metric in at most `width` buckets, see `ml_dash.server.charts.chart`."""
        return chart(_Source(self._index, series), field, x, start, stop, width)

    def files(self, query: FileQuery | None = None) -> list[dict[str, Any]]:
        """Return the rows of files, as `JournalView.files` does, and of each whether its content is ``available``."""
        return FileListing(self._database, self._id).all(query)

    def files_page(self, query: FileQuery, limit: int, cursor: str | None) -> dict[str, Any]:
        """Return some of these rows, see `FileListing.page`."""
        return FileListing(self._database, self._id).page(query, limit, cursor)

    def file(self, file_id: str) -> dict[str, Any] | None:
        """Return the row of a file, whichever version, deleted or not; None where there is none."""
        return FileListing(self._database, self._id).get(file_id)

    def count(self, series: Series) -> int:
        """Return how many rows a series has."""
        return self._index.count(series)

    def blocks(self, series: Series, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        """Iterate over exactly the rows `start` to `stop`, in blocks."""
        stop = self._index.count(series) if stop is None else stop
        for first, block in self._index.blocks(series, start, stop):
            yield slice_block(block, max(start - first, 0), min(stop - first, block.count))

    def _all_logs(
        self, wanted: LogFilter, blocks: Iterator[tuple[int, Block]], start: int, limit: int
    ) -> dict[str, Any]:
        """Return a page of all logs: neither the rows before it nor those behind it are read."""
        rows: list[dict[str, Any]] = []
        has_more = False
        for row in wanted.rows(blocks):
            if row["index"] < start:
                continue
            if len(rows) == limit:
                has_more = True
                break
            rows.append(row)
        return page(rows, start, self._index.count(_LOGS), has_more=has_more)


class _Source:
    """A metric, as charts ask for it."""

    def __init__(self, index: StoreIndex, series: Series) -> None:
        self._index = index
        self._series = series

    @property
    def rows(self) -> int:
        return self._index.count(self._series)

    def summaries(self, start: int, stop: int) -> Iterator[tuple[int, int, bytes]]:
        return self._index.summaries(self._series, start, stop)

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, Block]]:
        return self._index.blocks(self._series, start, stop)
