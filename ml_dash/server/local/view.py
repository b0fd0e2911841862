"""One experiment on this disk, asked the questions that `StoreView` answers for a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.journal.block_ops import slice_block, within
from ml_dash.query.journal_view import JournalView
from ml_dash.query.logs import LogFilter
from ml_dash.query.pages import page, whole_number
from ml_dash.query.times import nearest_ns
from ml_dash.series import Kind, Series
from ml_dash.server.charts.chart import chart
from ml_dash.server.http.cursors import no_cursor
from ml_dash.server.local.blobs import is_here
from ml_dash.server.local.summaries import JournalSeries, Summaries
from ml_dash.storage.blobs import Staging

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml_dash.journal.blocks import Block
    from ml_dash.query.files import FileQuery
    from ml_dash.query.runs import RunInfo
    from ml_dash.storage.survey import Located

__all__ = ["LocalView"]

_LOGS = Series(Kind.LOG, None)
_BLOCK_ROWS = 65_536


class LocalView:
    """Answers questions about one experiment. Any thread may ask; answers are given one at a time.

    Args:
        located: Which experiment.
        stale_after: Seconds without a sign of life, after which a running run counts as dead.
    """

    def __init__(self, located: Located, stale_after: float) -> None:
        self.journal = JournalView(located.journal, warns=False)
        self.staging = Staging(located.directory)
        self._stale_after = stale_after
        self._summaries = Summaries()
        self.read = self.journal.read
        self.stats = self.journal.stats
        self.metrics = self.journal.metrics
        self.params = self.journal.params
        self.file = self._file

    def tracks(self) -> list[dict[str, Any]]:
        """Return each track's ``topic`` and ``count`` of rows."""
        with self.journal.reading() as index:
            return [
                {"topic": series.name, "count": index.count(series)} for series in index.series(Kind.TRACK)
            ]

    def track(
        self,
        topic: str,
        start_timestamp: float | None = None,
        end_timestamp: float | None = None,
        columns: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Return a topic's entries in order of time."""
        return self.journal.track(topic, start_timestamp, end_timestamp, columns, format="json")

    def logs(
        self,
        level: str | None = None,
        search: str | None = None,
        start_index: int = 0,
        limit: int = 100,
        since: float | None = None,
        until: float | None = None,
    ) -> dict[str, Any]:
        """Return log rows, of a time too, as `StoreView.logs` does."""
        if since is None and until is None:
            return self.journal.logs(level, search, start_index, limit)
        wanted = LogFilter(level, search)
        start, most = whole_number("start_index", start_index), whole_number("limit", limit)
        since_ns = None if since is None else nearest_ns(since)
        until_ns = None if until is None else nearest_ns(until)
        rows: list[dict[str, Any]] = []
        total, has_more = 0, False
        with self.journal.reading() as index:
            for row in wanted.rows(within(index.blocks(_LOGS), since_ns, until_ns)):
                total += 1
                if row["index"] >= start:
                    has_more = len(rows) == most
                    if not has_more:
                        rows.append(row)
        return page(rows, start, total, has_more=has_more)

    def run(self) -> RunInfo:
        """Return the run's status."""
        return self.journal.run(stale_after=self._stale_after)

    def chart(
        self, series: Series, field: str, x: str, start: float | None, stop: float | None, width: int
    ) -> dict[str, Any]:
        """Return one field of a metric in at most `width` buckets, see `ml_dash.server.charts.chart`."""
        with self.journal.reading() as index:
            source = JournalSeries(index, series, self._summaries)
            return chart(source, field, x, start, stop, width)

    def files_page(self, query: FileQuery, limit: int, cursor: str | None) -> dict[str, Any]:
        """Return some of the rows of files, each with whether its content is ``available``."""
        start = 0 if cursor is None else _parse(cursor)
        rows = self.journal.files(query)
        has_more = start + limit < len(rows)
        return {
            "data": [self._with_availability(row) for row in rows[start : start + limit]],
            "total": len(rows),
            "hasMore": has_more,
            "cursor": str(start + limit) if has_more and limit else None,
        }

    def count(self, series: Series) -> int:
        """Return how many rows a series has."""
        with self.journal.reading() as index:
            return index.count(series)

    def blocks(self, series: Series, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        """Iterate over exactly the rows `start` to `stop`, in blocks."""
        stop = self.count(series) if stop is None else stop
        # some at a time: nobody else can ask while the journal is held, and whoever takes these may be slow
        for at in range(start, stop, _BLOCK_ROWS):
            end = min(stop, at + _BLOCK_ROWS)
            with self.journal.reading() as index:
                found = list(index.blocks(series, at, end))
            for first, block in found:
                yield slice_block(block, max(at - first, 0), min(end - first, block.count))

    def _file(self, file_id: str) -> dict[str, Any] | None:
        row = self.journal.file(file_id)
        return None if row is None else self._with_availability(row)

    def _with_availability(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "available": is_here(self.staging, row["checksum"], row["sizeBytes"])}


def _parse(cursor: str) -> int:
    if cursor.isascii() and cursor.isdigit() and len(cursor) < 16:
        return int(cursor)
    raise no_cursor(cursor)
