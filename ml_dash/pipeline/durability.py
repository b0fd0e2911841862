"""Contents of files that are still to be made durable, and the frames that must not count as durable before them.

A row may say that a file is saved only when its content would survive a power cut, too. The caller of `save` does not
wait for that: the content's fsync runs where the journal's does, and rows put after it count when it has returned.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ml_dash.logger import logger

if TYPE_CHECKING:
    from ml_dash.clock import Clock
    from ml_dash.journal.disk import Disk

__all__ = ["Securing"]

_RETRY_SECONDS = 1.0


class Securing:
    """The contents of one channel whose fsync has not returned yet. Methods are for any thread.

    Args:
        root: the directories of the contents' names are made durable up to this one, which is the experiment's.
        disk: the file system.
        clock: the time.

    Attributes:
        last_error: why the disk refused the last one; None where it did not.
    """

    def __init__(self, root: str, disk: Disk, clock: Clock) -> None:
        self._root = root
        self._disk = disk
        self._clock = clock
        self._lock = threading.RLock()
        """Guards the fields below; held for a moment."""
        self._syncing = threading.RLock()
        """Held during the fsyncs: whoever comes second finds them done."""
        self._waiting: dict[str, int] = {}
        self._given_up: set[str] = set()
        self._retry_at = float("-inf")
        self.last_error: str | None = None

    def add(self, path: str, written: int) -> None:
        """Have a content made durable.

        Args:
            path: the content's, whole and under its name.
            written: the number of the last frame written: those after it count as durable only behind this content.
        """
        with self._lock:
            self._waiting.setdefault(path, written)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def is_due(self) -> bool:
        """Whether there is something to be made durable that the disk has not refused just now."""
        return bool(self._waiting) and self._clock.monotonic() >= self._retry_at

    def durable(self, sequence: int) -> int:
        """Return the number up to which frames are durable with the contents before them.

        Args:
            sequence: the number up to which they are, looked at by themselves.
        """
        with self._lock:
            return min(sequence, *self._waiting.values()) if self._waiting else sequence

    def urge(self) -> None:
        """Try at once what the disk refused: somebody waits for it."""
        self._retry_at = float("-inf")

    def sync(self) -> None:
        """Make all contents durable that wait for it. A disk that refuses is noted and tried again later."""
        with self._syncing:
            if not self.is_due:
                return
            for path in tuple(self._waiting):
                self._sync(path)

    def _sync(self, path: str) -> None:
        try:
            self._disk.secure(path, self._root, rewrite=path in self._given_up)
        except FileNotFoundError:
            pass  # removed meanwhile, as when its server has it: there is nothing left to make durable
        except OSError as error:
            # The kernel may have dropped the pages, so that a second fsync would prove nothing: it is written anew.
            self._given_up.add(path)
            self._refused(path, error)
            return
        with self._lock:
            self._waiting.pop(path, None)
            if not self._waiting:
                self.last_error = None
        self._given_up.discard(path)

    def _refused(self, path: str, error: OSError) -> None:
        self._retry_at = self._clock.monotonic() + _RETRY_SECONDS
        if self.last_error is None:
            logger().warning(
                "%s cannot be made durable (%s): the disk refuses. It is tried again every second; until then no row "
                "counts as durable that was logged after it.",
                path,
                error,
            )
        self.last_error = str(error)
