"""Journals of a root, read and entered: see `Looking` for which."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ml_dash.errors import JournalError
from ml_dash.journal.disk import is_shortage
from ml_dash.journal.foreign_disk import ForeignDisk
from ml_dash.query.runs import fold_runs
from ml_dash.storage.summaries.checking import signature_of
from ml_dash.storage.summaries.digest import digest
from ml_dash.storage.summaries.records import described, pack_runs
from ml_dash.storage.summaries.tree import is_below

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from ml_dash.clock import Clock
    from ml_dash.query.runs import RunInfo, WriterRuns
    from ml_dash.storage.summaries.checking import Signature
    from ml_dash.storage.summaries.digest import Digest
    from ml_dash.storage.summaries.records import Record
    from ml_dash.storage.summaries.store import Row, Store
    from ml_dash.storage.survey import Located

Due = tuple["Row", "Signature"]
"""An experiment whose journal is to be read, and what its files look like now."""

_COMMITTED, _COMMIT_SECONDS = 1024, 2.0
"""Journals that are entered in one transaction, at most, and how long one may wait for that."""
_STATE_FROM = 64 << 10
"""Bytes of a journal from which on it is remembered how far it was read: less is read as fast as that."""
_PATIENCE = 20.0
"""Of looks that follow each other, none reads a journal again before so many times as long have passed as that took."""


@dataclass(slots=True)
class Look:
    """What a look has found.

    Attributes:
        refused: Why directories could not be looked into, by their paths.
        strange: Directories with a side file that is not ours.
        added: How many experiments are new.
        removed: How many are gone.
        checked: Of how many the files were looked at.
        listed: How many directories were listed.
        opened: How many journals were read to their ends.
        rows_read: How many of their rows were read.
        unread: How many experiments there are whose journals have never been read.
        is_whole: Whether all journals were read that have changed.
    """

    refused: dict[str, str] = field(default_factory=dict)
    strange: list[str] = field(default_factory=list)
    added: int = 0
    removed: int = 0
    checked: int = 0
    listed: int = 0
    opened: int = 0
    rows_read: int = 0
    unread: int = 0
    is_whole: bool = True


class Place(Protocol):
    """The root that is looked at; see `RootIndex`."""

    root: str
    stale_after: float
    is_own: bool
    clock: Clock
    lock: threading.RLock
    store: Store
    patience: dict[int, float]
    outside: list[str]

    def located(self, path: str) -> Located:
        """Return where the experiment with a path lies, and what it is called."""

    def directory_of(self, path: str) -> str:
        """Return the directory of an experiment."""


class _Read(NamedTuple):
    """What was read of an experiment's journal, to be entered."""

    row: Row
    record: Record
    found: Digest | None
    signature: Signature

    @property
    def is_whole(self) -> bool:
        """Whether the journal was read to its end."""
        return self.found is None or self.found.is_whole


def judged(place: Place, runs: Mapping[str, WriterRuns]) -> RunInfo:
    """Return how a run stands now."""
    return fold_runs(runs.values(), stale_after=place.stale_after, now_ns=place.clock.time_ns())


class Reading:
    """Reads journals, and counts them in `look`; see `RootIndex.look` for the other arguments."""

    def __init__(
        self, place: Place, look: Look, seconds: float | None, progress: Callable[[int, int], None] | None
    ) -> None:
        self._place = place
        self._store = place.store
        self._found = look
        self._seconds = seconds
        self._progress = progress

    def read(self, due: Sequence[Due]) -> bool:
        """Read the journals that have changed, and then those that were never read, the newest first.

        Returns:
            Whether all were read that have changed.
        """
        stop = self._stop()
        with self._place.lock:
            found = self._store.rows("seen IS NULL ORDER BY created_ns DESC")
        unread = [row for row in found if not any(is_below(row.path, link) for link in self._place.outside)]
        # of those that were never read, some may be due as well
        wanted: dict[int, tuple[Row, Signature | None]] = {each[0].id: each for each in due}
        wanted |= {row.id: (row, None) for row in unread if row.id not in wanted}
        batch: list[_Read] = []
        committed = self._place.clock.monotonic()
        left = {row.id for row, _ in due}
        read = 0
        for row, signature in wanted.values():
            if committed > stop:
                break
            if (
                self._seconds is not None
                and self._place.patience.get(row.id, 0.0) > self._place.clock.monotonic()
            ):
                continue
            known = signature or signature_of(self._place.directory_of(row.path), self._place.clock.time_ns())
            if known is None:
                left.discard(row.id)
                continue  # it is going away: the next look finds out
            batch.append(self._digest(row, known, stop))
            if batch[-1].is_whole:
                left.discard(row.id)
            read += 1
            now = self._place.clock.monotonic()
            if len(batch) >= _COMMITTED or now > min(stop, committed + _COMMIT_SECONDS):
                self._commit(batch)
                batch, committed = [], now
            if self._progress is not None:
                self._progress(read, len(wanted))
        self._commit(batch)
        with self._place.lock:
            self._found.unread = self._store.count("seen IS NULL")
        self._found.is_whole = not left and not self._found.unread
        return not left

    def read_now(self, due: Sequence[Due]) -> None:
        """Read these journals, and no others."""
        self._commit([self._digest(row, signature, self._stop()) for row, signature in due])

    def _stop(self) -> float:
        return math.inf if self._seconds is None else self._place.clock.monotonic() + self._seconds

    def _digest(self, row: Row, signature: Signature, stop: float) -> _Read:
        """Read what is new in a journal."""
        clock = self._place.clock
        began = clock.monotonic()
        located = self._place.located(row.path)
        record = described(located)
        with self._place.lock:
            state = self._store.detail(row.id, "state")
        found: Digest | None = None
        try:
            found = digest(
                located.journal, ForeignDisk(located.directory), state, lambda: clock.monotonic() > stop
            )
            self._found.rows_read += found.rows_read
            if not found.is_whole:
                return _Read(row, record, found, signature)
            record.take(found, judged(self._place, found.runs), located.odd_entries())
        except (JournalError, OSError) as error:
            if isinstance(error, OSError) and is_shortage(error):
                raise
            record.failure, record.status, record.is_read = str(error), None, True
        self._found.opened += 1
        now = clock.monotonic()
        self._place.patience[row.id] = now + _PATIENCE * (now - began)
        return _Read(row, record, found, signature)

    def _commit(self, batch: list[_Read]) -> None:
        """Enter what was read of journals."""
        if not batch:
            return
        with self._place.lock, self._store.writing():
            change = self._store.next_change()
            for row, record, found, signature in batch:
                if found is not None and not found.is_whole:
                    self._store.keep_state(row, found.state)
                    continue
                is_unsure = record.failure is not None or any(each.unread for each in record.damage)
                is_large = found is not None and found.size >= _STATE_FROM
                self._store.write(
                    row,
                    record,
                    change,
                    params={} if found is None else found.params,
                    metrics={} if found is None else found.metrics,
                    runs=pack_runs(found.runs) if found is not None and record.is_open else None,
                    state=found.state if found is not None and (is_large or record.is_open) else None,
                    seen=signature.seen,
                    # what cannot be read now may be later, without any change
                    content=None if is_unsure else signature.content,
                )
