"""The readable files beside a journal, such as ``experiment.json``.

They are a convenience: the journal holds the same. So they are written where its fsync is, behind the rows that they
tell of, and one that cannot be written now waits.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from ml_dash.locks import MortalLock
from ml_dash.records import NamedTuple
from ml_dash.storage.marks import mark_changed

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_dash.clock import Clock
    from ml_dash.journal.disk import Disk

_RETRY_SECONDS = 1.0


class _Posted(NamedTuple):
    produce: Callable[[], bytes]
    goal: int  # how many events must be written before that


class SideFiles:
    """The side files of one channel that are still to be replaced.

    Args:
        lock: the channel's, which guards what waits: a file is posted together with the number of events before it.
        is_written: says whether the first events, as many as it is given, are written.
        note: takes what goes wrong, for the channel's status.
    """

    _lock = MortalLock()
    _saving = MortalLock()

    def __init__(
        self,
        directory: str,
        disk: Disk,
        clock: Clock,
        lock: threading.RLock,
        is_written: Callable[[int], bool],
        note: Callable[[str], None],
    ) -> None:
        self._directory = directory
        self._disk = disk
        self._clock = clock
        self._lock = lock
        self._is_written = is_written
        self._note = note
        # Held while files are written, so that an older one never replaces a newer. Reentrant: what returns a file's
        # bytes is the SDK's code and may set off a finalizer of the script, which may flush.
        self._saving = threading.RLock()
        self._posted: dict[str, _Posted] = {}
        self._retry_at = float("-inf")

    def __bool__(self) -> bool:
        return bool(self._posted)

    @property
    def is_due(self) -> bool:
        """Whether a file waits that was not refused just now."""
        return bool(self._posted) and self._clock.monotonic() >= self._retry_at

    def post(self, name: str, produce: Callable[[], bytes], goal: int) -> None:
        """Have a file replaced by what `produce` returns, as soon as `goal` events are written."""
        with self._lock:
            self._posted[name] = _Posted(produce, goal)
            self._retry_at = float("-inf")

    def write(self) -> None:
        """Replace those files that are due."""
        with self._saving:
            while self._write_next():
                pass

    def _write_next(self) -> bool:
        with self._lock:
            if not self.is_due:
                return False
            name, posted = next(iter(self._posted.items()))
            if not self._is_written(posted.goal):
                return False
        try:
            self._disk.replace(os.path.join(self._directory, name), posted.produce())
        except Exception as error:  # noqa: BLE001 - reading a damaged journal may raise anything
            self._retry_at = self._clock.monotonic() + _RETRY_SECONDS
            self._note(str(error))
            with self._lock:
                # To the end of the queue: one that never succeeds must not hold up the others.
                self._posted[name] = self._posted.pop(name)
            return False
        # the rows that it tells of are written as well: whoever looks now finds all
        mark_changed(self._directory)
        with self._lock:
            if self._posted.get(name) is posted:  # else it was posted anew meanwhile
                del self._posted[name]
        return True
