"""A journal on this disk, asked what `ServedView` says."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ml_dash.journal.block_ops import slice_block
from ml_dash.query.axes.as_of import Reach
from ml_dash.query.journal_view import JournalView
from ml_dash.query.stretches import Stretch, blocks_by_time
from ml_dash.server.charts.looked_at import LookedAt
from ml_dash.server.charts.summaries import gather
from ml_dash.server.http.cursors import invalid_cursor
from ml_dash.server.local.ahead import Ahead
from ml_dash.server.local.blobs import is_here
from ml_dash.server.local.summaries import Summaries
from ml_dash.server.rows.library import ServedView
from ml_dash.storage.blobs import Staging

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from ml_dash.journal.blocks import Block
    from ml_dash.journal.index import JournalIndex
    from ml_dash.query.files import FileQuery
    from ml_dash.query.pages import Take
    from ml_dash.query.selection import Blocks
    from ml_dash.series import Series
    from ml_dash.server.charts.summaries import Buckets
    from ml_dash.storage.survey import Located

_BLOCK_ROWS = 65_536
_FEW_ROWS = 8192
"""So many are read as fast as it is looked up which of them to read."""


class LocalView(JournalView, ServedView):
    """Answers questions about one experiment. Any thread may ask; answers are given one at a time."""

    def __init__(self, located: Located, stale_after: float, looked_at: LookedAt | None = None) -> None:
        super().__init__(located.journal, disk=located.disk, warns=False, stale_after=stale_after)
        self.disk = located.disk
        self.staging = Staging(located.directory)
        self._summaries = Summaries()
        self._ahead = Ahead()
        self._token = object()
        self._looked_at = LookedAt() if looked_at is None else looked_at

    def prepare(self, series: Sequence[Series], room: int) -> int:
        """See `ServedView.prepare`: a frame has blocks of all metrics, and is read and checked once for them."""
        with self.reading() as index:
            return self._ahead.read(index, series, room)

    def release(self) -> None:
        """See `ServedView.release`."""
        with self._lock:
            self._ahead.forget()

    def _blocks_of(self, rows: JournalIndex, series: Series) -> Blocks | None:
        known = self._ahead.blocks(rows, series)
        if known is not None or rows.count(series) <= _FEW_ROWS:
            return known
        return partial(self._looked_at.pieces, self._key(rows, series), partial(rows.blocks, series))

    def _buckets_of(self, rows: JournalIndex, series: Series) -> Callable[[Sequence[str]], Buckets]:
        return lambda fields: self._looked_at.buckets(
            self._key(rows, series),
            partial(self._summaries.of, rows, series),
            rows.count(series),
            fields,
            self.asked.get(series, ()),
        )

    def _key(self, rows: JournalIndex, series: Series) -> Hashable:
        # by the view as well: all views may share what is kept
        return self._token, series, self._summaries.numbering(rows, series)

    def _summaries_of(
        self, rows: JournalIndex, series: Series
    ) -> Callable[[int, int], Iterator[tuple[int, int, bytes]]]:
        return partial(self._summaries.of, rows, series)

    def _started_ns(self, rows: JournalIndex) -> int | None:
        openings = (each for attempt in self._attempts(rows) for each in attempt.openings)
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
        stretches = [
            Stretch(each.min_ns, each.first, each.stop)
            for each in self._all_reaches(rows, series)
            if (since_ns is None or each.max_ns >= since_ns) and (until_ns is None or each.min_ns <= until_ns)
        ]
        return blocks_by_time(stretches, partial(rows.blocks, series), is_due)

    def _reaches(self, rows: JournalIndex, series: Series) -> list[Reach] | None:
        return None if rows.count(series) <= _FEW_ROWS else self._all_reaches(rows, series)

    def _all_reaches(self, rows: JournalIndex, series: Series) -> list[Reach]:
        known = gather(self._summaries.of(rows, series, 0, rows.count(series)), ())
        columns = known.start, known.start + known.rows, known.times["min"], known.times["max"]
        return [Reach(*each) for each in zip(*(column.tolist() for column in columns), strict=True)]

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
