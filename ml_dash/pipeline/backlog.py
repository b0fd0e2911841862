"""What waits in a queue: a list of it, what of that is large or is many rows, and what is in the slab before it.

Rows in a slab stay there until a frame has them. In the list stands a `Chunk` for them, put there by whoever takes, or
counts, or puts something behind them.

The lock is reentrant, for a signal handler or a finalizer that logs may come in the middle of anything. So a change of
the slab or the list is not begun within another one by the same thread: what such a handler puts waits apart for a
moment, and is put behind what that change has found.

Nor may such a handler wait for room. The worker, which makes it, may be waiting for what the interrupted call has: the
queue's lock, the channel's, or the turn to write. Who holds one of these puts its event into the list, beyond the
capacity if need be, and so does a finalizer in the middle of a thread of ours, which may be the one that makes room.
The call may hold other locks as well, as that of a run that is being ended: so no wait is endless. What is in the list
dies with the process, until the worker, which is woken, has written it.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from enum import Enum
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, TypeVar

from ml_dash.events.column_event import ColumnEvent
from ml_dash.events.items import Event, Item, rows_of
from ml_dash.locks import owns
from ml_dash.records import NamedTuple
from ml_dash.slabs.slab import Chunk
from ml_dash.values.pack import DeferredEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ml_dash.slabs.slab import Slab

_T = TypeVar("_T")

LARGE_EVENT = 4096
"""Bytes above which an event is counted by its size and not only by its number."""


class Exposure(Enum):
    """Which rows are in the memory of their process alone, and may be lost with it."""

    NONE = "none"
    ON_DEVICES = "those whose values are on their way from a device"
    ALL = "all"


class Drained(NamedTuple):
    """What a drain has taken: `items`, the `rows` that they stand for, and the last place of the slab among them."""

    items: list[Item]
    rows: int
    place: tuple[int, int] | None


NOTHING = Drained([], 0, None)


class Backlog:
    """Items in order, what they amount to, and the slab.

    Attributes:
        events: the list; putting into it takes no lock where there is no slab.
        dropped: rows that were taken back, by reason.
        taken: what the last drain has taken, until whoever asked for it has put it away, and sets this to `NOTHING`.
        slab: where rows wait that survive the process; None where all wait in its memory.
    """

    capacity: int
    _capacity_bytes: int
    _lock: threading.RLock
    _is_inside: Callable[[], bool]
    """Whether the calling thread is in the middle of what the worker may be waiting for."""
    _is_dropped: bool
    """Whether rows are taken back that find no room; else their callers wait, unless the disk fails."""

    __slots__ = (
        "_changer",
        "_column_events",
        "_drainer",
        "_exempt",
        "_expects_deferred",
        "_failing",
        "_is_dropped",
        "_kept",
        "_large_bytes",
        "_late",
        "_more_rows",
        "_own_lock",
        "dropped",
        "events",
        "slab",
        "taken",
    )

    def _forget(self) -> None:
        self.events: list[Item] = []
        # Apart from the others, of which the newest is dropped at capacity, whoever's that is.
        self._kept: list[Item] = []
        self._large_bytes = 0
        # Of the items in the list: how many are columns, and how many rows more they all are than their number.
        self._column_events = self._more_rows = 0
        self.dropped: Counter[str] = Counter()
        self._failing = False
        self._drainer = self._exempt = self._changer = 0
        self._expects_deferred = False  # whether rows wait for their devices, or did at the last drain
        # Put in the middle of a change, by the thread that makes it; with the place in the slab that they come behind.
        self._late: list[tuple[Event, tuple[int, int] | None]] = []
        self.slab: Slab | None = None
        self.taken = NOTHING

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

    def _may_pass(self) -> bool:
        """Whether this thread must not wait for room: it makes some, or holds what whoever makes some may wait for."""
        if threading.get_ident() in {self._drainer, self._exempt, self._changer}:
            return True
        return owns(self._lock) or self._is_inside()

    def _goes_on(self, event: bytes) -> bool:
        """Whether the slab takes more, and such an event."""
        slab = self.slab
        return slab is not None and not slab.is_left and len(event) <= slab.event_bytes_max

    def _is_full(self) -> bool:
        waiting = len(self.events)
        return waiting > self.capacity or (waiting > 0 and self._large_bytes > self._capacity_bytes)

    def _refusal(self) -> str | None:
        if self._failing:
            return "disk"
        return "overflow" if self._is_dropped else None

    def _put_behind(self, item: Event) -> None:
        """Put something into the list that is no slab's, behind what is in the slab by now."""
        with self._lock:
            if self._is_changing:
                self._late.append((item, None if self.slab is None else self.slab.place))
            else:
                self._change(partial(self._append, item))

    def _is_news(self, item: Event) -> bool:
        """Whether this is the first that waits for its device: such are in no shared memory, and looked for sooner."""
        is_news = type(item) is DeferredEvent and not self._expects_deferred
        self._expects_deferred |= is_news
        return is_news

    def _append(self, item: Event, place: tuple[int, int] | None = None) -> None:
        self._collect_now(place)
        self.events.append(item)
        self._column_events += type(item) is ColumnEvent
        self._more_rows += rows_of(item) - 1

    @property
    def _is_changing(self) -> bool:
        """Whether this thread is in the middle of a change."""
        return self._changer == threading.get_ident()

    def _change(self, change: Callable[[], _T]) -> _T:
        """Change the slab or the list, and not in the middle of another change; the caller has the lock."""
        self._changer = threading.get_ident()
        try:
            self._append_late()  # what came when the last change was as good as over
            result = change()
            self._append_late()
            return result
        finally:
            self._changer = 0

    def _append_late(self) -> None:
        while self._late:
            self._append(*self._late.pop(0))

    def release(self, place: tuple[int, int]) -> None:
        """Take note that what waited before this place of the slab is in the journal."""
        with self._lock:
            # In the middle of a change it is left to the next one that is released, or to who finds the file.
            if self.slab is not None and not self._is_changing:
                self.slab.release(*place)
                self.remove_released()

    @property
    def on_devices(self) -> int:
        """How many rows wait of which values were still on a device at the call."""
        return sum(type(item) is DeferredEvent for item in tuple(self.events))

    @property
    def kind(self) -> str:
        """Where rows wait, in a word or two for users."""
        return "memory" if self.slab is None or self.slab.is_left else "shared memory"

    @property
    def exposure(self) -> Exposure:
        """What of all that waits, and of what comes, would be lost with the process."""
        slab = self.slab
        kinds = set(map(type, tuple(self.events))) - {Chunk}
        if slab is None or slab.is_left or self._kept or kinds - {DeferredEvent}:
            return Exposure.ALL
        return Exposure.ON_DEVICES if kinds or self._expects_deferred else Exposure.NONE

    def remove_released(self) -> None:
        """Let go of a slab that takes nothing more, and of which all is in the journal; the caller has the lock."""
        slab = self.slab
        if slab is not None and slab.is_released:
            # In this order: the interpreter's end may stop this thread in between, and whoever comes after it must not
            # find a slab that is closed. What is left then is a file of which all is in the journal.
            self.slab = None
            slab.remove()

    def _collect(self) -> None:
        """Put what is in the slab into the list; the caller has the lock."""
        if self.slab is not None and not self._is_changing:
            self._change(self._collect_now)

    def _collect_now(self, until: tuple[int, int] | None = None) -> None:
        slab = self.slab
        while slab is not None:
            last = self.events[-1] if self.events else None
            found = slab.find_more(last if isinstance(last, Chunk) else None, until)
            if found is None:
                return
            chunk, end, rows = found
            total, more = chunk.rows + rows, self._more_rows + rows - (chunk is not last)
            if chunk is not last:
                self.events.append(chunk)
            # From here on nothing takes memory, which may be short: all of this, or nothing.
            chunk.rows, chunk.end, slab.taken_offset, self._more_rows = total, end, end, more

    def __len__(self) -> int:
        if self.slab is not None:
            with self._lock:
                self._collect()
        return len(self.events) + len(self._kept) + len(self._late) + len(self.taken.items)

    def counts(self) -> tuple[int, Counter[str]]:
        """Return how many rows wait and how many were dropped, by reason, at one moment."""
        with self._lock:
            waiting = len(self)  # first: it looks for more
            more = self._more_rows + self.taken.rows - len(self.taken.items)
            return waiting + more, Counter(self.dropped)

    @property
    def has_columns(self) -> bool:
        """Whether events of columns wait."""
        return self._column_events > 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        has_any = self.events or self._kept or self._late or self.taken.items
        return not (has_any or (self.slab is not None and self.slab.has_more))

    def has(self, most: int, most_bytes: int) -> bool:
        """Whether as much waits as a `drain` takes: then there is no use in waiting for more."""
        waiting = len(self.events) + len(self._kept) + self._more_rows
        slab = self.slab
        is_much = waiting >= most or self._large_bytes >= most_bytes
        return is_much or self.has_columns or (slab is not None and slab.has_full_region)

    def drain(self, most: int, most_bytes: int, *, waits: bool = True) -> Drained:
        """Take up to about `most` rows, oldest first, and of large ones about `most_bytes`; first those to be kept.

        Columns come alone, or behind those to be kept. Without `waits`, none from the first row on whose device has not
        come to it.
        """
        with self._lock:
            if self._is_changing:
                return NOTHING
            return self._change(partial(self._drain, most, most_bytes, waits=waits))

    def _drain(self, most: int, most_bytes: int, *, waits: bool) -> Drained:
        if self.taken.items:
            return self.taken  # memory was short when it was to be put away
        kept = self._kept[:most]
        self._collect_now()
        taken = self.events[: most - len(kept)]
        self._expects_deferred = DeferredEvent in set(map(type, taken))
        if self._expects_deferred and not waits:
            taken = taken[: _arrived(taken)]
        is_mixed = self.slab is not None or self._column_events > 0
        if is_mixed:
            taken = taken[: _reach(taken, most - len(kept))]
        large = self._large_bytes
        if large:
            sizes = list(map(len, taken))
            taken = taken[: 1 + bisect_left(list(accumulate(sizes)), most_bytes)]
            large -= sum(map(_large_bytes_of, taken))
        rows, place = len(kept) + len(taken), None
        more, columns = self._more_rows, self._column_events
        if is_mixed:
            extra = sum(map(rows_of, taken)) - len(taken)
            more -= extra
            rows += extra
            columns -= sum(type(item) is ColumnEvent for item in taken[:1])
            last = next((item for item in reversed(taken) if isinstance(item, Chunk)), None)
            place = None if last is None else (last.generation, last.end)
        drained = Drained(kept + taken if kept else taken, rows, place)
        # Nothing has changed so far, for memory may be short; the first of these may need some, and the others none.
        del self.events[: len(taken)]
        del self._kept[: len(kept)]
        self._more_rows, self._column_events = more, columns
        # An event may be drained before its caller has counted its bytes: begin anew when all are gone.
        self._large_bytes = large if self.events else 0
        self.taken = drained
        return drained

    def take_out_of_slab(self) -> None:
        """Have what is in the slab in memory only, and remove that; the caller has the lock, and has left it."""
        if self.slab is not None:
            self._change(partial(self._take_out, self.slab))

    def _take_out(self, slab: Slab) -> None:
        self._collect_now()
        # a caller that has found no slab, once, may put more meanwhile, without a lock
        waiting = tuple(self.events)
        items = _without_chunks((*self.taken.items, *waiting))
        more = sum(map(rows_of, items)) - len(items)
        columns = sum(type(item) is ColumnEvent for item in items)
        self.events[: len(waiting)] = items
        self._more_rows, self._column_events, self.taken = more, columns, NOTHING
        self.slab = None  # first, as in `remove_released`
        slab.remove()

    def _drop_newest(self, reason: str) -> None:
        """Take back one event: the newest, be it this thread's or one that came just after. The caller has the lock."""
        # Not what is in the slab, which takes no room here.
        places = range(len(self.events) - 1, -1, -1)
        place = next((place for place in places if type(self.events[place]) is not Chunk), None)
        if place is None:
            return
        event = self.events.pop(place)
        self._large_bytes -= _large_bytes_of(event)
        self._column_events -= type(event) is ColumnEvent
        self._more_rows -= rows_of(event) - 1
        self.dropped[reason] += rows_of(event)


def _without_chunks(items: Sequence[Item]) -> list[Item]:
    return [event for item in items for event in (item.cut() if isinstance(item, Chunk) else [item])]


def _large_bytes_of(item: Item) -> int:
    size = len(item)
    return size if size > LARGE_EVENT and type(item) is not Chunk else 0


def _arrived(items: Sequence[Item]) -> int:
    """Return how many items come before the first one whose device has not come to it."""
    for place, item in enumerate(items):
        if isinstance(item, DeferredEvent) and not item.is_there:
            return place
    return len(items)


def _reach(items: Sequence[Item], most: int) -> int:
    """Return how many items are taken together: about `most` rows, and columns alone."""
    rows = 0
    for place, item in enumerate(items):
        if type(item) is ColumnEvent:
            return place or 1
        rows += rows_of(item)
        if rows >= most:
            return place + 1
    return len(items)
