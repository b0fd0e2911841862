"""Blobs of files that are still to be made durable, and the frames that must not count as durable before them.

Problem: a row may say that a file is saved only when its blob would survive a power cut, too, but an fsync of a large
blob takes minutes, for which neither the caller of `save` nor the rows of others can wait. So it runs behind, on a
thread of its own, and rows put after it are written at once and count as durable only when it has returned.

An fsync that failed proves nothing when it is called again: the kernel may have dropped the pages and reported that
once. So such a blob is written anew before the next try. What still can fail: a disk that acknowledges an fsync
without having written.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import weakref
from typing import TYPE_CHECKING

from ml_dash.locks import MortalLock
from ml_dash.notices import logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.clock import Clock
    from ml_dash.journal.disk import Disk
    from ml_dash.pipeline.queue import EventQueue

# Each try writes again all that is not durable: more often would fill a disk that is nearly full.
_RETRY_SECONDS = 1.0


class BlobDurability:
    """The blobs of one channel whose fsync has not returned yet. Methods are for any thread.

    Args:
        root: the directories of the blobs' names are made durable up to this one, which is the experiment's.
    """

    _lock = MortalLock()
    _syncing = MortalLock()

    def __init__(self, root: str, disk: Disk, clock: Clock) -> None:
        self._root = root
        self._disk = disk
        self._clock = clock
        # Guards the fields below; held for a moment. Reentrant: a signal handler may save a file in the middle.
        self._lock = threading.RLock()
        # Held during the fsyncs: whoever comes second finds them done. Reentrant: the warning of a disk that refuses
        # may go to a log handler of the script's that flushes.
        self._syncing = threading.RLock()
        self._waiting: dict[str, int] = {}
        self._given_up: set[str] = set()
        self._retry_at = float("-inf")
        self.last_error: str | None = None

    def add(self, path: str, written: int) -> None:
        """Have a blob made durable, behind which alone the frames after number `written` count as durable."""
        with self._lock:
            self._waiting.setdefault(path, written)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def is_due(self) -> bool:
        """Whether there is something to be made durable that the disk has not refused just now."""
        return bool(self._waiting) and self._clock.monotonic() >= self._retry_at

    def durable(self, sequence: int) -> int:
        """Return the number up to which frames are durable with the blobs before them; alone, up to `sequence`."""
        with self._lock:
            return min(sequence, *self._waiting.values()) if self._waiting else sequence

    def urge(self) -> None:
        """Try at once what the disk refused: somebody waits for it."""
        self._retry_at = float("-inf")

    def sync(self) -> None:
        """Make all blobs durable that wait for it. A disk that refuses is noted and tried again later."""
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
            self._retry_at = self._clock.monotonic() + _RETRY_SECONDS
            if self.last_error is None:
                logger().warning(
                    "%s cannot be made durable (%s): the disk refuses. It is tried again every second; until then no "
                    "row counts as durable that was logged after it.",
                    path,
                    error,
                )
            self.last_error = str(error)
            return
        with self._lock:
            self._waiting.pop(path, None)
            if not self._waiting:
                self.last_error = None
        self._given_up.discard(path)


_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE})
_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
_FAILING: dict[int, tuple[int, ...]] = {}
"""Why each journal cannot be written that shares the reason with others, by the id of its `DiskHealth`.

Without a lock: each step is one operation of the dict, and what two at once get wrong is a line too many.
"""


def _shared_reason(error: Exception, journal: str) -> tuple[int, ...] | None:
    """Return what tells the reason from others; None for one that is a journal's own, as the lack of a right."""
    if not isinstance(error, OSError) or error.errno is None:
        return None
    if error.errno in _EXHAUSTED:
        return os.getpid(), error.errno
    if error.errno in _OF_THE_DISK:
        with contextlib.suppress(OSError):
            return os.getpid(), error.errno, os.stat(journal).st_dev
    return None


def _remedy(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "the process is short of memory, or of what it may take of it (ulimit -v)"
    if not isinstance(error, OSError):
        return "this is no fault of the disk, but of an installation, or of ML-Dash"
    if error.errno in _EXHAUSTED:
        return "close some files, or raise the limit of open ones (ulimit -n)"
    if error.errno == errno.EFBIG:
        return "raise the limit on the size of files (ulimit -f)"
    return "free space on that disk, or mend its permissions"


class DiskHealth:
    """Whether the disk takes what is written to one journal, and when to try again if it does not.

    What is wrong with the disk is wrong for all journals on it, and a process may write hundreds: the first one tells,
    the second one says that there are others, and the last one tells that all is well again.
    """

    def __init__(self, journal: str, queue: EventQueue, clock: Clock) -> None:
        self._journal = journal
        self._queue = queue
        self._clock = clock
        self._retry_at = float("-inf")
        self.last_error: str | None = None
        weakref.finalize(self, _FAILING.pop, id(self), None).atexit = False

    @property
    def rests(self) -> bool:
        """Whether the disk has refused and is not to be tried now."""
        return self._queue.failing and self._clock.monotonic() < self._retry_at

    def urge(self) -> None:
        """Try the disk at once: somebody waits for it."""
        self._retry_at = float("-inf")

    def note(self, error: str) -> None:
        """Remember what went wrong."""
        self.last_error = error

    @contextlib.contextmanager
    def noting(self, kinds: tuple[type[Exception], ...] = (OSError, MemoryError)) -> Iterator[None]:
        """Note what is raised in the block as a refusal of the disk."""
        try:
            yield
        except kinds as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Note that the disk refused, or whatever else keeps rows from it, and say so the first time."""
        self._retry_at = self._clock.monotonic() + _RETRY_SECONDS
        self.note(str(error))
        if self._queue.failing:
            return
        self._queue.disk_failed()
        reason = _shared_reason(error, self._journal)
        others = 0
        if reason is not None:
            others = list(_FAILING.values()).count(reason)
            _FAILING[id(self)] = reason
        if others == 0:
            logger().warning(
                "The journal in %s cannot be written (%s). Training goes on; up to %d events wait in memory, "
                "further ones are dropped and counted in status().dropped['disk']. Writing is tried again "
                "every second: %s.",
                self._journal,
                error,
                self._queue.capacity,
                _remedy(error),
            )
        elif others == 1:
            logger().warning(
                "Other journals cannot be written for the same reason; each has its status(), and no line of its own."
            )

    def recover(self) -> None:
        """Note that the disk takes what is written, and say so if it did not before."""
        if self._queue.failing:
            self._queue.disk_works()
            reason = _FAILING.pop(id(self), None)
            dropped = self._queue.dropped["disk"]
            if reason in _FAILING.values() and not dropped:
                return  # the last one tells
            logger().warning(
                "The journal in %s can be written again; %d events were dropped meanwhile.",
                self._journal,
                dropped,
            )
