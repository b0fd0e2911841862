"""A journal, asked what `View` says.

Every question looks at the disk first, so it sees all that was written before. Memory is that of the answer
and of one frame. What is damaged on disk is left out; each damage is told once, as a `JournalDamageWarning`.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError, JournalDamageWarning
from ml_dash.journal.disk import REAL_DISK, Disk
from ml_dash.journal.index import JournalIndex
from ml_dash.journal.sweep import end_times
from ml_dash.locks import MortalLock
from ml_dash.notices import warn_user
from ml_dash.processes import process_alive
from ml_dash.query.axes.ranks import journal_ranks, ranks_of
from ml_dash.query.files import FileQuery, FilesReader, FileTable
from ml_dash.query.journal_attempts import JournalAttempts
from ml_dash.query.runs import RunInfo, fold_runs, writer_runs
from ml_dash.query.view import RowView
from ml_dash.spawning import imports_for_reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ml_dash.journal.blocks import Block
    from ml_dash.journal.damage import Damage
    from ml_dash.query.attempts import Attempt
    from ml_dash.query.axes.ranks import Ranks
    from ml_dash.query.selection import Range, Span
    from ml_dash.series import Series

_REMEMBERED = 1000
"""Metrics of which it is remembered which rows are superseded."""


class JournalView(RowView[JournalIndex]):
    """Answers questions about one experiment's journal. Any thread may ask; answers are given one at a time.

    Without `warns`, damage is not told as a warning: `index` lists it. A running run counts as dead after `stale_after`
    seconds without a heartbeat.

    Example:
        >>> view = JournalView(".dash/alice/project/run/journal")
        >>> view.read(Series(Kind.METRIC, "train"), start_index=0, limit=10)["total"]
        1000
    """

    _lock = MortalLock()

    def __init__(
        self, directory: str, *, disk: Disk = REAL_DISK, warns: bool = True, stale_after: float = 90.0
    ) -> None:
        self._directory = directory
        self._disk = disk
        self.index = JournalIndex(directory, disk=disk)
        self._warns = warns
        self._stale_after = stale_after
        # Reentrant: a signal handler of the script that reads runs in the middle of whatever read this thread is at,
        # and would wait for itself for ever. See `reading` for what it is given.
        self._lock = threading.RLock()
        self._is_read = False
        self._told: set[tuple[str, int]] = set()
        self._files = FilesReader()
        self._known = JournalAttempts()
        self._superseded: dict[Series, dict[tuple[int, int, float], list[Range]]] = {}

    def __repr__(self) -> str:
        return f"JournalView({self._directory!r})"

    def refresh(self) -> None:
        """Take in what was written since the last look. Every question does so by itself."""
        with self.reading():
            pass

    def files(self, query: FileQuery | None = None) -> list[dict[str, Any]]:
        """See `View.files`."""
        with self.reading() as index:
            return self._table(index).rows(query)

    def file(self, file_id: str) -> dict[str, Any] | None:
        """See `View.file`."""
        with self.reading() as index:
            return self._table(index).get(file_id)

    def run(
        self,
        *,
        stale_after: float | None = None,
        now_ns: int | None = None,
        space: str | None = None,
        pid_alive: Callable[[int, str | None], bool] = process_alive,
    ) -> RunInfo:
        """Return the run's status, see `ml_dash.query.runs.fold_runs` for the rules and the arguments.

        InvalidArgumentError where `stale_after` is not a number of seconds, 0 or more.
        """
        is_number = isinstance(stale_after, (int, float)) and not isinstance(stale_after, bool)
        if stale_after is not None and not (is_number and 0 <= stale_after < float("inf")):
            raise InvalidArgumentError(
                f"stale_after={stale_after!r:.200} is not a number of seconds, 0 or more: pass stale_after=90"
            )
        with self.reading() as index:
            writers = writer_runs(index).values()
        stale_after = self._stale_after if stale_after is None else stale_after
        return fold_runs(writers, stale_after=stale_after, now_ns=now_ns, space=space, pid_alive=pid_alive)

    @contextmanager
    def reading(self, *, quietly: bool = False) -> Iterator[JournalIndex]:
        """Give the index as of now, for as long as the block takes; nobody else uses it meanwhile.

        `quietly`, damage is told the next time.
        """
        with imports_for_reading(), self._lock:
            if self._is_read:
                # The read that was interrupted may have left the index half way between two states: this one must
                # neither see nor disturb it. Its damage is told by the other.
                own = JournalIndex(self._directory, disk=self._disk)
                own.refresh()
                yield own
                return
            self._is_read = True
            try:
                self.index.refresh()
                yield self.index
                if quietly or not self._warns:
                    return
                news = [damage for damage in self.index.damage if damage[:2] not in self._told]
                self._told.update(damage[:2] for damage in news)
            finally:
                self._is_read = False
        for damage in news:
            warn_user(_describe(damage), JournalDamageWarning)

    def _table(self, index: JournalIndex) -> FileTable:
        # what is remembered of the files belongs to the one index that it was read from
        return (self._files if index is self.index else FilesReader()).table(index)

    def _known_of(self, rows: JournalIndex) -> JournalAttempts:
        # as of `_table`
        if rows is self.index:
            return self._known
        known = JournalAttempts()
        known.of(rows)
        return known

    def _attempts(self, rows: JournalIndex) -> list[Attempt]:
        return self._known_of(rows).of(rows)

    _whole_attempts = _attempts

    def _spans(self, rows: JournalIndex, series: Series, attempts: Sequence[Attempt]) -> list[Span]:
        return self._known_of(rows).spans(rows, series, attempts)

    def _remembered(self, series: Series) -> dict[tuple[int, int, float], list[Range]]:
        if len(self._superseded) > _REMEMBERED:
            self._superseded.clear()
        return self._superseded.setdefault(series, {})

    def _known_ranks(self, rows: JournalIndex) -> frozenset[int]:
        return ranks_of(rows.catalogues)

    def _ranks(self, rows: JournalIndex, series: Series) -> Ranks | None:
        return journal_ranks(rows, series)

    def _end_times(
        self, rows: JournalIndex, metrics: list[Series]
    ) -> Mapping[Series, tuple[int | None, int | None]]:
        # one by one, ten thousand metrics would read each frame ten thousand times
        times = end_times(rows, metrics)
        return {series: times.get(series) or _readable_ends(rows, series) for series in metrics}


def _readable_ends(index: JournalIndex, series: Series) -> tuple[int | None, int | None]:
    """Return the times of the first and the last row that can be read."""
    last: Block | None = None
    count = index.count(series)
    first = next(index.blocks(series), None)
    # A damaged end is passed over, however long it is: wider and wider steps back, until a block can be read.
    reach = 0
    while last is None and reach < count:
        reach = 64 * reach or 1
        for _, block in index.blocks(series, max(count - reach, 0)):
            last = block
    return int(first[1].times[0]) if first else None, int(last.times[-1]) if last else None


def _describe(damage: Damage) -> str:
    what = "cannot be read" if damage.unread else "is damaged"
    return (
        f"{damage.path} {what} at byte {damage.offset}, {damage.length} bytes long: {damage.reason}. "
        f"{damage.loss}, everything else is read; `ml-dash verify` lists all of this"
    )
