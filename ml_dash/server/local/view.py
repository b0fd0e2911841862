"""A journal on this disk, asked what `ServedView` says."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ml_dash.journal.block_ops import slice_block
from ml_dash.query.journal_view import JournalView
from ml_dash.server.charts.chart import chart
from ml_dash.server.charts.rows import ChartSource
from ml_dash.server.http.cursors import invalid_cursor
from ml_dash.server.local.blobs import is_here
from ml_dash.server.local.summaries import Summaries
from ml_dash.server.rows.library import ServedView
from ml_dash.storage.blobs import Staging

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.journal.blocks import Block
    from ml_dash.query.files import FileQuery
    from ml_dash.series import Series
    from ml_dash.storage.survey import Located

_BLOCK_ROWS = 65_536


class LocalView(JournalView, ServedView):
    """Answers questions about one experiment. Any thread may ask; answers are given one at a time."""

    def __init__(self, located: Located, stale_after: float) -> None:
        super().__init__(located.journal, disk=located.disk, warns=False, stale_after=stale_after)
        self.disk = located.disk
        self.staging = Staging(located.directory)
        self._summaries = Summaries()

    def chart(
        self, series: Series, field: str, x: str, start: float | None, stop: float | None, width: int
    ) -> dict[str, Any]:
        """See `ServedView.chart`."""
        with self.reading() as index:
            summaries = partial(self._summaries.of, index, series)
            source = ChartSource(index.count(series), summaries, partial(index.blocks, series))
            return chart(source, field, x, start, stop, width)

    def files_page(self, query: FileQuery, limit: int, cursor: str | None) -> dict[str, Any]:
        """See `ServedView.files_page`."""
        start = 0 if cursor is None else _parse(cursor)
        rows = self.files(query)
        has_more = start + limit < len(rows)
        return {
            "data": [self._with_availability(row) for row in rows[start : start + limit]],
            "total": len(rows),
            "hasMore": has_more,
            "cursor": str(start + limit) if has_more and limit else None,
        }

    def blocks(self, series: Series, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        """See `ServedView.blocks`."""
        stop = self.count(series) if stop is None else stop
        # some at a time: nobody else can ask while the journal is held, and whoever takes these may be slow
        for at in range(start, stop, _BLOCK_ROWS):
            end = min(stop, at + _BLOCK_ROWS)
            with self.reading() as index:
                found = list(index.blocks(series, at, end))
            for first, block in found:
                yield slice_block(block, max(at - first, 0), min(end - first, block.count))

    def file(self, file_id: str) -> dict[str, Any] | None:
        """See `View.file`; besides, the row says whether the blob is ``available``."""
        row = super().file(file_id)
        return None if row is None else self._with_availability(row)

    def _with_availability(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "available": is_here(self.disk, self.staging, row["checksum"], row["sizeBytes"])}


def _parse(cursor: str) -> int:
    if cursor.isascii() and cursor.isdigit() and len(cursor) < 16:
        return int(cursor)
    raise invalid_cursor(cursor)
