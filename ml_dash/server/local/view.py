"""A journal on this disk, asked what `ServedView` says."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from ml_dash.journal.block_ops import slice_block
from ml_dash.query.journal_view import JournalView
from ml_dash.query.stretches import Stretch, blocks_by_time
from ml_dash.server.charts.rows import ChartSource
from ml_dash.server.charts.summaries import gather
from ml_dash.server.http.cursors import invalid_cursor
from ml_dash.server.local.ahead import Ahead
from ml_dash.server.local.blobs import is_here
from ml_dash.server.local.summaries import Summaries
from ml_dash.server.rows.library import ServedView
from ml_dash.storage.blobs import Staging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ml_dash.journal.blocks import Block
    from ml_dash.journal.index import JournalIndex
    from ml_dash.query.files import FileQuery
    from ml_dash.query.pages import Take
    from ml_dash.query.selection import AttemptChoice
    from ml_dash.series import Series
    from ml_dash.storage.survey import Located

_BLOCK_ROWS = 65_536
_FEW_ROWS = 8192
"""So many are read as fast as it is looked up which of them to read."""


class LocalView(JournalView, ServedView):
    """Answers questions about one experiment. Any thread may ask; answers are given one at a time."""

    def __init__(self, located: Located, stale_after: float) -> None:
        super().__init__(located.journal, disk=located.disk, warns=False, stale_after=stale_after)
        self.disk = located.disk
        self.staging = Staging(located.directory)
        self._summaries = Summaries()
        self._ahead = Ahead()

    @contextmanager
    def charting(self, series: Series, attempt: AttemptChoice = None) -> Iterator[ChartSource]:
        """See `ServedView.charting`."""
        with self.reading() as index:
            summaries = partial(self._summaries.of, index, series)
            found = self._shown(index, series, attempt, self._ahead.blocks(index, series))
            yield ChartSource(
                index.count(series), summaries, found, index.fields(series), partial(self._started_ns, index)
            )

    def prepare(self, series: Sequence[Series]) -> None:
        """See `ServedView.prepare`: a frame has blocks of all metrics, and is read and checked once for them."""
        with self.reading() as index:
            self._ahead.read(index, series)

    def _started_ns(self, index: JournalIndex) -> int | None:
        openings = (each for attempt in self._attempts(index) for each in attempt.openings)
        return min((each.start_ns for each in openings if not each.is_end_only), default=None)

    def _blocks_by_time(
        self,
        rows: JournalIndex,
        series: Series,
        since_ns: int | None,
        until_ns: int | None,
        is_due: Callable[[int], bool],
    ) -> Iterator[tuple[int, Block]]:
        if rows.count(series) <= _FEW_ROWS:
            return rows.blocks(series)
        # a journal tells no times of rows before they are read; the summaries do, once they are made
        known = gather(self._summaries.of(rows, series, 0, rows.count(series)), ())
        times = zip(known.times["min"].tolist(), known.times["max"].tolist(), strict=True)
        stretches = [
            Stretch(min_ns, start, start + count)
            for (min_ns, max_ns), start, count in zip(
                times, known.start.tolist(), known.rows.tolist(), strict=True
            )
            if (since_ns is None or max_ns >= since_ns) and (until_ns is None or min_ns <= until_ns)
        ]
        return blocks_by_time(stretches, partial(rows.blocks, series), is_due)

    def files_into(self, take: Take, query: FileQuery, limit: int, cursor: str | None) -> dict[str, Any]:
        """See `ServedView.files_into`."""
        start = end = 0 if cursor is None else _parse(cursor)
        rows = self.files(query)
        for row in rows[start : start + limit]:
            if not take(self._with_availability(row)):
                break
            end += 1
        has_more = end < len(rows)
        return {
            "total": len(rows),
            "hasMore": has_more,
            "cursor": str(end) if has_more and end > start else None,
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
