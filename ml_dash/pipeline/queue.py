"""The bounded queue between the threads that log and the worker that writes.

Putting an event is on the hot path of every call: no lock, no system call, no allocation of its own. A list's
`append`, slice and `del` are atomic under the interpreter's lock and its drain costs two C calls whatever the
number of events, where a deque costs one call each. The hottest caller, `MetricBuilder.log`, has the three lines
of `EventQueue.put` in its own body, since a call of a Python function costs as much as they do: so `events`, `limit`
and `attend` are part of the interface.

One comparison per call serves three ends. While the worker polls, the limit is the capacity; when it goes to
sleep for want of work the limit is 0, and the first event put after that wakes it. Where there is no worker, it stays
0, and each caller sees to it whether it is time to write.

Whoever waits for room in vain writes, too, so that nothing that keeps the worker from its work hangs the script.

Many rows may come as one event, by their columns. It counts as one at capacity, where its bytes bound it, as all its
rows in what is told, and is drained by itself, since it becomes a block as it is.

What still can happen: as no lock is taken, threads that put at the same moment may pass the capacity by one event
each, and at capacity "the newest" may be the event of another thread. Both are counted right.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, NoReturn, Protocol, TypeAlias

from ml_dash.errors import FileStoreError, NotStartedError
from ml_dash.locks import MortalLock
from ml_dash.pipeline.column_event import ColumnEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_dash.settings import Overflow
    from ml_dash.values.pack import DeferredEvent

LARGE_EVENT = 4096
"""Bytes above which an event is counted by its size and not only by its number."""
_WAIT = 0.02  # seconds between two looks of a caller that waits for room: less than the linger, at which it is made
_LOOKS = 50  # in vain, after which that caller writes: no slice takes the worker a second, but on a disk that hangs

Event: TypeAlias = "bytes | DeferredEvent | ColumnEvent"
"""What waits in the queue."""


class Appendable(Protocol):
    """Where an event is put: a list, or what behaves like one."""

    def append(self, event: Event, /) -> None:
        """Take an event."""

    def __len__(self) -> int: ...


class Queue(Protocol):
    """What a caller on the hot path needs: append to `events`, then call `attend` if there are more than `limit`."""

    @property
    def events(self) -> Appendable:
        """What waits; look it up for each event, since it may be replaced."""

    @property
    def limit(self) -> int:
        """With more events than this, or with a large one, the caller has to `attend`."""

    def attend(self, event: Event) -> None:
        """See to what an event that was appended brings about."""

    def put(self, event: Event) -> None:
        """Append an event, and attend if need be."""

    def put_columns(self, event: ColumnEvent) -> None:
        """Put many rows at once."""

    def keep(self, event: Event) -> None:
        """Put an event that must not be dropped; FileStoreError where the disk gives no room for it."""


class EventQueue:
    """Events on their way to the journal: bounded in number and, for large ones, in bytes.

    Args:
        capacity: events that may wait.
        capacity_bytes: bytes of events larger than `LARGE_EVENT` that may wait.
        wake: called, from any thread, when there is work for a worker that sleeps.
        write: writes what waits, in the thread of a caller that has waited for room in vain.
    """

    _lock = MortalLock()

    __slots__ = (
        "_capacity_bytes",
        "_column_events",
        "_column_rows",
        "_drainer",
        "_exempt",
        "_failing",
        "_kept",
        "_large_bytes",
        "_overflow",
        "_own_lock",
        "_wake",
        "_write",
        "capacity",
        "dropped",
        "events",
        "limit",
    )

    def __init__(
        self,
        capacity: int,
        capacity_bytes: int,
        overflow: Overflow,
        wake: Callable[[], None],
        write: Callable[[], None] = lambda: None,
    ) -> None:
        self.capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._overflow = overflow
        self._wake = wake
        self._write = write
        self.reset()

    def reset(self) -> None:
        """Forget everything, locks included: what a forked child does with its parent's queue."""
        self.events: list[Event] = []
        # Apart from the others, of which the newest is dropped at capacity, whoever's that is.
        self._kept: list[Event] = []
        self.limit = 0
        self._large_bytes = 0
        self._column_events = self._column_rows = 0
        # Guards what is taken out, and the counts of large and column events. Reentrant: a signal handler may log in
        # the middle.
        self._lock = threading.RLock()
        self.dropped: Counter[str] = Counter()
        self._failing = False
        self._drainer = self._exempt = 0

    def __len__(self) -> int:
        return len(self.events) + len(self._kept)

    @property
    def failing(self) -> bool:
        """Whether the disk refuses, so that at capacity events are dropped and counted."""
        return self._failing

    def disk_failed(self) -> None:
        """Drop and count events at capacity: nobody knows when there will be room."""
        self._failing = True

    def disk_works(self) -> None:
        """Wait for room at capacity, or do what `overflow` says."""
        self._failing = False

    def begin_drain(self) -> None:
        """Let this thread put events whatever the capacity: it drains, and must not wait for itself."""
        self._drainer = threading.get_ident()

    def end_drain(self) -> None:
        """Leave the state of `begin_drain`."""
        self._drainer = 0

    def exempt_this_thread(self) -> None:
        """Let this thread put events whatever the capacity: it ends the process, and its last ones are few."""
        self._exempt = threading.get_ident()

    def put(self, event: Event) -> None:
        """Append an event. At capacity wait for room, or drop it and count it."""
        events = self.events
        events.append(event)
        if len(events) > self.limit or len(event) > LARGE_EVENT:
            self.attend(event)

    def put_columns(self, event: ColumnEvent) -> None:
        """Append many rows as one event; see `put`."""
        with self._lock:
            self.events.append(event)
            self._column_events += 1
            self._column_rows += event.rows
        self.attend(event)

    def keep(self, event: Event) -> None:
        """Put an event that is never dropped; at capacity wait for room, which a disk that fails does not give."""
        looks = 0
        while len(self._kept) >= self.capacity and not self._may_pass():
            if self._failing:
                raise FileStoreError(
                    f"the journal cannot be written, and {len(self._kept)} rows of files wait for it already: nothing "
                    "was saved; free space on its disk"
                )
            self._wait(looks := looks + 1, lambda: len(self._kept) >= self.capacity)
        self._kept.append(event)
        if self.limit == 0:
            self.limit = self.capacity
            self._wake()

    def counts(self) -> tuple[int, Counter[str]]:
        """Return how many rows wait and how many were dropped, by reason, at one moment."""
        with self._lock:
            return len(self) - self._column_events + self._column_rows, Counter(self.dropped)

    @property
    def has_columns(self) -> bool:
        """Whether events of columns wait."""
        return self._column_events > 0

    def has(self, most: int, most_bytes: int) -> bool:
        """Whether as much waits as a `drain` takes: then there is no use in waiting for more."""
        return len(self) >= most or self._large_bytes >= most_bytes or self.has_columns

    def drain(self, most: int, most_bytes: int) -> list[Event]:
        """Take up to `most` events, oldest first, and of large ones about `most_bytes`; first those to be kept.

        One of columns comes alone, or behind those to be kept.
        """
        with self._lock:
            kept = self._kept[:most]
            del self._kept[: len(kept)]
            taken = self.events[: most - len(kept)]
            if self._column_events:
                places = (place for place, event in enumerate(taken) if type(event) is ColumnEvent)
                taken = taken[: next(places, len(taken)) or 1]
                if taken:
                    self._forget_columns(taken[0])
            if self._large_bytes:
                sizes = list(map(len, taken))
                taken = taken[: 1 + bisect_left(list(accumulate(sizes)), most_bytes)]
                self._large_bytes -= sum(size for size in sizes[: len(taken)] if size > LARGE_EVENT)
            del self.events[: len(taken)]
            if not self.events:
                # An event may be drained before its caller has counted its bytes: begin anew when all are gone.
                self._large_bytes = 0
        return kept + taken if kept else taken

    def _forget_columns(self, event: Event) -> None:
        if isinstance(event, ColumnEvent):
            self._column_events -= 1
            self._column_rows -= event.rows

    def rest(self) -> bool:
        """Ask to be woken by the next event; False where one is there already."""
        self.limit = 0
        if self.events or self._kept:
            self.limit = self.capacity
            return False
        return True

    def work(self) -> None:
        """Leave the state of `rest`: from now on the worker polls."""
        self.limit = self.capacity

    def be_alone(self) -> None:
        """Have every caller `attend`: there is no worker."""
        self.limit = 0

    def attend(self, event: Event) -> None:
        """Count a large event, wake the worker if it sleeps, and at capacity wait for room or drop an event."""
        size = len(event)
        if size > LARGE_EVENT:
            with self._lock:
                self._large_bytes += size
        if self.limit == 0 and self._drainer != threading.get_ident():
            self.limit = self.capacity
            self._wake()
        looks = 0
        while self._is_full() and not self._may_pass():
            reason = self._refusal()
            if reason is not None:
                self._drop_newest(reason)
                return
            self._wait(looks := looks + 1, self._is_full)

    def _wait(self, looks: int, is_full: Callable[[], bool]) -> None:
        """Wait a moment for room; after too many looks for it, make it."""
        self._wake()
        if looks > _LOOKS:
            self._write()
        if is_full():  # else the waking has made room: see `be_alone`
            # No `time.sleep`, which programs replace in their tests; no condition, which each drain had to notify.
            threading.Event().wait(_WAIT)

    def _is_full(self) -> bool:
        waiting = len(self.events)
        return waiting > self.capacity or (waiting > 0 and self._large_bytes > self._capacity_bytes)

    def _may_pass(self) -> bool:
        return threading.get_ident() in {self._drainer, self._exempt}

    def _refusal(self) -> str | None:
        if self._failing:
            return "disk"
        return "overflow" if self._overflow == "drop" else None

    def _drop_newest(self, reason: str) -> None:
        """Take back one event: the newest, be it this thread's or one that came just after."""
        with self._lock:
            if not self._is_full() or not self.events:
                return
            event = self.events.pop()
            size = len(event)
            if size > LARGE_EVENT:
                self._large_bytes -= size
            self._forget_columns(event)
            self.dropped[reason] += rows_of(event)


def rows_of(event: Event) -> int:
    """Return how many rows an event stands for."""
    return event.rows if isinstance(event, ColumnEvent) else 1


class ClosedQueue:
    """Stands in for a queue while the run is not open, and refuses every event; `refusal` says why."""

    __slots__ = ("_refusal", "events")

    limit = 0

    def __init__(self, refusal: Callable[[], str]) -> None:
        self._refusal = refusal
        self.events = self

    def __len__(self) -> int:
        return 0

    def append(self, event: Event) -> NoReturn:
        """Raise `NotStartedError`."""
        del event
        raise NotStartedError(self._refusal())

    put = put_columns = attend = keep = append


class ThroughQueue:
    """Stands in for a queue where each call is to return only when its event is on disk."""

    __slots__ = ("_flush", "_queue", "events")

    limit = 0

    def __init__(self, queue: Queue, flush: Callable[[], None]) -> None:
        self._queue = queue
        self._flush = flush
        self.events = self

    def __len__(self) -> int:
        return 0

    def append(self, event: Event) -> None:
        """Put an event, and return when it is on disk."""
        self._queue.put(event)
        self._flush()

    put = append

    def put_columns(self, event: ColumnEvent) -> None:
        """Put many rows, and return when they are on disk."""
        self._queue.put_columns(event)
        self._flush()

    def keep(self, event: Event) -> None:
        """Put an event that must not be dropped, and return when it is on disk."""
        self._queue.keep(event)
        self._flush()

    def attend(self, event: Event) -> None:
        """Do nothing: `append` has seen to it."""
