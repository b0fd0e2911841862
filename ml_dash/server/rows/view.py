"""The store of a server, asked what `ServedView` says.

Rows are in the order in which they arrived, which for one writer is that of its journal.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from ml_dash.journal.block_ops import slice_block
from ml_dash.query.attempts import Attempt
from ml_dash.query.axes.ranks import Ranks
from ml_dash.query.stretches import blocks_by_time
from ml_dash.server.catalogue.run_status import run_info
from ml_dash.server.charts.looked_at import LookedAt
from ml_dash.server.charts.summaries import gather
from ml_dash.server.db.tables import EXPERIMENTS
from ml_dash.server.rows.attempts import read_attempts, read_spans, remembered
from ml_dash.server.rows.file_listing import FileListing
from ml_dash.server.rows.index import StoreIndex
from ml_dash.server.rows.library import ServedView

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from ml_dash.journal.blocks import Block
    from ml_dash.query.axes.as_of import Reach
    from ml_dash.query.files import FileQuery
    from ml_dash.query.pages import Take
    from ml_dash.query.runs import RunInfo
    from ml_dash.query.selection import Blocks, Range, Span
    from ml_dash.series import Series
    from ml_dash.server.blobs.backend import Backend
    from ml_dash.server.charts.summaries import Buckets
    from ml_dash.server.rows.index import SeriesInfo, StoredBlock


class Known(NamedTuple):
    """What is known of an experiment before its view is asked.

    Attributes:
        series: What is stored of some series; None of one that has no rows.
        attempts: How many there are.
        started_ns: When the first of them was started.
        blocks: All blocks of some series, as the database has them.
        ranks: Those that its writers have.
    """

    series: dict[Series, SeriesInfo | None]
    attempts: int
    started_ns: int | None
    blocks: dict[Series, list[StoredBlock]]
    ranks: frozenset[int]


class StoreView(ServedView):
    """Answers questions about one experiment. Make one for each request: what it has looked up, it keeps."""

    def __init__(
        self,
        backend: Backend,
        experiment_id: str,
        known: Known | None = None,
        looked_at: LookedAt | None = None,
    ) -> None:
        self._backend = backend
        self._looked_at = LookedAt() if looked_at is None else looked_at
        self._database = backend.database
        self._id = experiment_id
        self._known = known
        self._attempts_read: list[Attempt] | None = None
        series, blocks, ranks = (
            (None, None, None) if known is None else (known.series, known.blocks, known.ranks)
        )
        self._index = StoreIndex(backend.database, backend.objects, experiment_id, series, blocks, ranks)

    def reading(self) -> AbstractContextManager[StoreIndex]:
        """See `RowView.reading`."""
        # nothing needs to be held: stored rows are never changed (see `rows.index`)
        return nullcontext(self._index)

    def _attempts(self, rows: StoreIndex) -> list[Attempt]:  # noqa: ARG002 - they are beside the rows
        if self._known is not None and self._known.attempts < 2:
            return [Attempt(1)] * self._known.attempts
        if self._attempts_read is None:
            with self._database.read() as connection:
                self._attempts_read = read_attempts(connection, self._id)
        return self._attempts_read

    def _whole_attempts(self, rows: StoreIndex) -> list[Attempt]:  # noqa: ARG002
        with self._database.read() as connection:
            return read_attempts(connection, self._id, whole=True)

    def _spans(self, rows: StoreIndex, series: Series, attempts: Sequence[Attempt]) -> list[Span]:
        info = rows.info(series)
        if info is None:
            return []
        with self._database.read() as connection:
            return read_spans(connection, self._id, info, attempts)

    def _remembered(self, series: Series) -> dict[tuple[int, int, float], list[Range]]:
        info = self._index.info(series)
        return {} if info is None else remembered(self._backend.superseded, self._id, info)

    def _reaches(self, rows: StoreIndex, series: Series) -> list[Reach]:
        return rows.reaches(series)

    def _known_ranks(self, rows: StoreIndex) -> frozenset[int]:
        return rows.ranks

    def _ranks(self, rows: StoreIndex, series: Series) -> Ranks | None:
        return Ranks(partial(rows.rank_spans, series), rows.count(series)) if rows.ranks else None

    def _end_times(self, rows: StoreIndex, metrics: list[Series]) -> dict[Series, tuple[int, int]]:
        return {series: (info.first_ns, info.last_ns) for series in metrics if (info := rows.info(series))}

    def _blocks_between(
        self, rows: StoreIndex, series: Series, since_ns: int | None, until_ns: int | None
    ) -> Iterator[tuple[int, Block]]:
        return rows.blocks(series, since_ns=since_ns, until_ns=until_ns)

    def _blocks_by_time(
        self,
        rows: StoreIndex,
        series: Series,
        since_ns: int | None,
        until_ns: int | None,
        is_due: Callable[[int], bool],
    ) -> Iterator[tuple[int, Block]]:
        return blocks_by_time(
            rows.stretches(series, since_ns, until_ns), partial(rows.blocks, series), is_due
        )

    def run(self) -> RunInfo:
        """See `View.run`."""
        stale_after, now_ns = self._backend.settings.stale_after, self._backend.clock.time_ns()
        with self._database.read() as connection:
            return run_info(connection, self._id, stale_after=stale_after, now_ns=now_ns)

    def _summaries_of(
        self, rows: StoreIndex, series: Series
    ) -> Callable[[int, int], Iterator[tuple[int, int, bytes]]]:
        return partial(rows.summaries, series)

    def _buckets_of(self, rows: StoreIndex, series: Series) -> Callable[[Sequence[str]], Buckets]:
        info = rows.info(series)
        if info is None:
            return partial(gather, ())
        return lambda fields: self._looked_at.buckets(
            self._key(info),
            partial(rows.summaries, series),
            info.rows,
            fields,
            self.asked.get(series, ()),
        )

    def _blocks_of(self, rows: StoreIndex, series: Series) -> Blocks | None:
        info = rows.info(series)
        if info is None or rows.holds(series):
            return None
        return partial(self._looked_at.pieces, self._key(info), partial(rows.blocks, series))

    def _key(self, info: SeriesInfo) -> Hashable:
        # the time of the first row: what is written after all rows were removed has the same numbers
        return self._id, info.number, info.first_ns

    def prepare(self, series: Sequence[Series], room: int) -> int:  # noqa: ARG002 - no rows are kept
        """See `ServedView.prepare`."""
        self._index.look_up(series)
        return 0

    def release(self) -> None:
        """See `ServedView.release`: a view is made for each request, and goes with it."""

    def _started_ns(self, rows: StoreIndex) -> int | None:  # noqa: ARG002 - it is beside the rows
        if self._known is not None:
            return self._known.started_ns
        with self._database.read() as connection:
            query = select(EXPERIMENTS.c.started_ns).where(EXPERIMENTS.c.id == self._id)
            found: int | None = connection.execute(query).scalar_one_or_none()
        return found

    def files(self, query: FileQuery | None = None) -> list[dict[str, Any]]:
        """See `View.files`; besides, each row says whether its blob is ``available``."""
        return FileListing(self._database, self._id).all(query)

    def files_into(self, take: Take, query: FileQuery, limit: int, cursor: str | None) -> dict[str, Any]:
        """See `FileListing.page_into`."""
        return FileListing(self._database, self._id).page_into(take, query, limit, cursor)

    def file(self, file_id: str) -> dict[str, Any] | None:
        """See `View.file`."""
        return FileListing(self._database, self._id).get(file_id)

    def blocks(self, series: Series, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        """See `ServedView.blocks`."""
        stop = self._index.count(series) if stop is None else stop
        for first, block in self._index.blocks(series, start, stop):
            yield slice_block(block, max(start - first, 0), min(stop - first, block.count))
