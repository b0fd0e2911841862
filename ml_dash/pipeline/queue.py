"""The bounded queue between the threads that log and the worker that writes.

Putting an event is on the hot path of every call: no lock, no system call, no allocation of its own. The hottest
caller, `MetricBuilder.log`, has it in its own body, since a call of a Python function costs as much as all of it:

    write = queue.write
    try:
        write(event)
    except ValueError:
        queue.put(event)
    else:
        try:
            write(MARK)
        except ValueError:
            queue.end_event(write)

Where there is a slab (`ml_dash.slabs`), `write` is that of the region of shared memory which is being filled: two
copies of a few bytes, and the event survives the process. A region that is full raises ValueError. Then `put` goes on
with the next one, or waits until the worker has cleared one, and so costs the quick way nothing.

What a slab cannot hold waits in a list: many rows by their columns, rows whose values a device does not have yet, and
all rows where there is no slab. A list's `append`, slice and `del` are atomic under the interpreter's lock. So that
rows of a thread stay in order, what is in the slab by then is put into the list first, as a `Chunk`: not the rows
themselves, but where they lie. While the disk fails, or where overflowing rows are to be dropped, rows that find the
slab full go into the list, too, up to its capacity.

While the worker polls, `limit` is the capacity; when it goes to sleep for want of work the limit is 0, and the first
event put after that wakes it. Where there is no worker, it stays 0, and each caller sees to it whether it is time to
write. With a slab, `write` is then one that wakes, once. Whoever waits for room in vain writes, too, so that nothing
that keeps the worker from its work hangs the script.

Many rows may come as one event, by their columns. It counts as one at capacity, where its bytes bound it, as all its
rows in what is told, and is drained by itself, since it becomes a block as it is.

What still can happen: as no lock is taken, threads that put at the same moment may pass the capacity by one event
each, and at capacity "the newest" may be the event of another thread. Both are counted right. And a caller that found
the worker awake just when that went to sleep does not wake it: its row, which is safe, waits for the next look.
"""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import TYPE_CHECKING, NoReturn, Protocol

from ml_dash.errors import FileStoreError, NotStartedError
from ml_dash.locks import MortalLock
from ml_dash.pipeline.backlog import LARGE_EVENT, Backlog
from ml_dash.slabs.layout import MARK

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_dash.events.column_event import ColumnEvent
    from ml_dash.events.items import Event
    from ml_dash.settings import Overflow
    from ml_dash.slabs.slab import Slab

_WAIT = 0.02  # seconds between two looks of a caller that waits for room: less than the linger, at which it is made
_SHORT_WAIT = 0.002  # of one that waits for a region of the slab, of which one is cleared with each frame
_PATIENCE = 1.0
"""Seconds after which that caller writes: no slice takes the worker so long, but on a disk that hangs."""
_LONGEST = 10.0
"""Seconds after which it puts its event all the same. So no call waits for ever that has come in the middle of another
one, as a signal's handler does, and for what that holds; while a disk hangs, memory takes an event in ten seconds."""


if TYPE_CHECKING:

    class Queue(Protocol):
        """What a caller on the hot path needs; see the top of this module for how it is used."""

        @property
        def write(self) -> Callable[[bytes], object]:
            """Takes an event, and then `MARK`; look it up for each event. ValueError where it cannot."""

        def put(self, event: Event) -> None:
            """Put an event, whatever that takes."""

        def end_event(self, write: Callable[[bytes], object]) -> None:
            """See to an event that `write` has taken, and its mark not."""

        def put_columns(self, event: ColumnEvent) -> None:
            """Put many rows at once."""

        def keep(self, event: Event) -> None:
            """Put an event that must not be dropped; FileStoreError where the disk gives no room for it."""


class EventQueue(Backlog):
    """Events on their way to the journal: bounded in number and, for large ones, in bytes.

    Args:
        capacity: events that may wait.
        capacity_bytes: bytes of events larger than `LARGE_EVENT` that may wait.
        wake: called, from any thread, when there is work for a worker that sleeps.
        write: writes some of what waits, in the thread of a caller that has waited for room in vain.
        write_all: writes all that waits by then, in the thread of a caller whose event no slab can hold.
        is_inside: whether the calling thread is in the middle of what the worker may be waiting for.
    """

    _lock = MortalLock()

    __slots__ = (
        "_capacity_bytes",
        "_early",
        "_forks",
        "_is_inside",
        "_makers",
        "_parent",
        "_wake",
        "_write",
        "_write_all",
        "capacity",
        "limit",
        "write",
    )

    def __init__(
        self,
        capacity: int,
        capacity_bytes: int,
        overflow: Overflow,
        wake: Callable[[], None],
        write: Callable[[], None] = lambda: None,
        write_all: Callable[[], None] = lambda: None,
        is_inside: Callable[[], bool] = lambda: False,
    ) -> None:
        self.capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._is_dropped = overflow == "drop"
        self._wake = wake
        self._write = write
        self._write_all = write_all
        self._is_inside = is_inside
        self._early: list[bytes] = []
        self._forget()
        self._begin()

    def reset(self) -> None:
        """Forget everything, locks included: what a forked child does with its parent's queue."""
        slab = self.slab
        self._forget()
        self._begin()
        if slab is not None:
            slab.forsake()

    def _begin(self) -> None:
        # Guards what is taken out, the counts of items, and the slab but for its `write`. Reentrant: a signal handler
        # may log in the middle.
        self._lock = threading.RLock()
        self.events += self._early
        self._early = []
        self.limit = 0
        self._forks: set[int] = set()  # the threads that are in the middle of one
        self._makers: list[Callable[[], None]] = []
        self.write: Callable[[bytes], object] = self._write_slowly

    # --- the slab

    def arm(self, make_slab: Callable[[], None]) -> None:
        """Have the first event make a slab, which `use` is called with, if there can be one."""
        self._makers = [make_slab]

    def make_slab(self) -> None:
        """Do so now. Others that come meanwhile put their events into the list."""
        try:
            make_slab = self._makers.pop()  # one thread's alone
        except IndexError:
            return
        make_slab()

    def use(self, slab: Slab, written: Callable[[], int]) -> None:
        """Put events into a slab from now on; behind what waits already, and the last frame that is `written`."""
        with self._lock:
            self.slab = slab  # frames that are written from here on are noted in it
            slab.begin_behind(written)
            self._aim()

    def leave_slab(self) -> None:
        """Put events into the list from now on; what is in the slab is drained as before."""
        self._makers = []
        with self._lock:
            self.write = self._write_slowly
            if self.slab is not None:
                self.slab.leave()
                self.remove_released()

    def forget_slab(self) -> None:
        """Have all that waits in the list, and in this process's memory only."""
        with self._lock:
            self.leave_slab()
            self.take_out_of_slab()

    def before_fork(self) -> None:
        """Have this thread write on a way on which a child can tell that the slab is its parent's."""
        if self.slab is not None:
            self._parent = os.getpid()
            self._forks.add(threading.get_ident())
            self.write = self._write_after_fork

    def after_fork(self) -> None:
        """In the parent: go on."""
        self._forks.discard(threading.get_ident())
        if self.write == self._write_after_fork and not self._forks:
            self.write = self._write_slowly
            self._aim()
            if self.events:
                self._wake_if_asleep()
            if any(type(event) is bytes for event in tuple(self.events)) and self._refusal() is None:
                self._write_all()  # what hooks of the program's have logged meanwhile

    def _write_after_fork(self, data: bytes) -> None:
        """Put events that a hook of the program's logs in the middle of a fork."""
        if data is MARK:
            return
        if self.write != self._write_after_fork:  # it is over, and this thread has come late
            self.put(data)
        elif self._parent == os.getpid():
            self._put_behind(data)
        else:
            self._early.append(data)

    def _aim(self) -> None:
        """Have callers write where the next events go; as long as the worker sleeps, by what wakes it."""
        # In the middle of a fork the child must not write where its parent does: see `before_fork`.
        if self.slab is not None and not self.slab.is_left and self.write != self._write_after_fork:
            self.write = self._write_and_wake if self.limit == 0 else self.slab.write

    def _write_slowly(self, data: bytes) -> None:
        if data is not MARK:
            self.put(data)

    def _write_and_wake(self, data: bytes) -> None:
        slab = self.slab
        if slab is None:
            self._write_slowly(data)
            return
        slab.write(data)
        if data is MARK:
            self._wake_if_asleep()

    def _wake_if_asleep(self) -> None:
        if self.limit == 0 and self._drainer != threading.get_ident():
            self.work()
            self._wake()

    def end_event(self, write: Callable[[bytes], object]) -> None:
        """See to an event that `write` has taken, and not its mark: it is known to be whole where its region ends."""
        with self._lock:
            slab = self.slab
            # by either name: the worker may have gone to sleep, or been woken, since the caller has looked it up
            if slab is not None and write in (slab.write, self._write_and_wake):
                slab.end()
        if slab is not None:
            self._wake_if_asleep()

    def _put_in_slab(self, event: bytes) -> bool:
        """Put an event into the slab, on the slow way; False where it has to go into the list."""
        looks = 0
        while self._goes_on(event):
            write = self.write
            if write == self._write_slowly:
                return False
            try:
                write(event)
            except ValueError:
                is_full = not self._advance(write)
            else:
                try:
                    write(MARK)
                except ValueError:
                    self.end_event(write)
                return True
            if is_full:
                if self._refusal() is not None or self._may_pass() or looks * _SHORT_WAIT > _LONGEST:
                    return False
                self._wait(looks := looks + 1, partial(self._is_stuck, write), _SHORT_WAIT)
        return False

    def _is_stuck(self, full: Callable[[bytes], object]) -> bool:
        return not self._advance(full)

    def _advance(self, full: Callable[[bytes], object]) -> bool:
        """Go on with the next region, unless another thread has; False where none is free."""
        with self._lock:
            slab = self.slab
            if self._is_changing:
                return False
            if slab is None or self.write != full:
                return True
            if not self._change(slab.advance):
                return False
            if slab.is_left:
                slab.end()  # a signal handler has had it left in the middle
            self._aim()
        self._wake()
        return True

    def put(self, event: Event) -> None:
        """Put an event. At capacity wait for room, or drop it and count it."""
        if self._makers:
            self.make_slab()
        slab = self.slab
        if slab is None:
            events = self.events
            events.append(event)
            if len(events) > self.limit or len(event) > LARGE_EVENT:
                self.attend(event)
        elif isinstance(event, bytes) and self._put_in_slab(event):
            self._wake_if_asleep()
        else:
            self._put_behind(event)
            self.attend(event)
            if self._is_news(event) or isinstance(event, bytes):
                self._wake()  # it is not in shared memory, and must not wait for long
            if isinstance(event, bytes) and len(event) > slab.event_bytes_max and self._refusal() is None:
                self._write_all()  # it must be in the journal when the call returns

    def put_columns(self, event: ColumnEvent) -> None:
        """Append many rows as one event; see `put`."""
        self._put_behind(event)
        self.attend(event)
        if self.slab is not None:
            self._wake()  # it is not in shared memory, and must not wait there for long

    def keep(self, event: Event) -> None:
        """Put an event that is never dropped; at capacity wait for room, which a disk that fails does not give."""
        if isinstance(event, bytes) and self._put_in_slab(event):
            self._wake_if_asleep()
            return
        looks = 0
        while len(self._kept) >= self.capacity and not self._may_pass() and looks * _WAIT <= _LONGEST:
            if self._failing:
                raise FileStoreError(
                    f"the journal cannot be written, and {len(self._kept)} events of files wait for it already: "
                    "nothing was saved; free space on its disk"
                )
            self._wait(looks := looks + 1, lambda: len(self._kept) >= self.capacity)
        self._kept.append(event)
        if self.limit == 0:
            self.limit = self.capacity
            self._wake()

    def rest(self) -> bool:
        """Ask to be woken by the next event; False where one is there already."""
        self.be_alone()
        if self.is_empty:
            return True
        self.work()
        return False

    def work(self) -> None:
        """Leave the state of `rest`: from now on the worker polls."""
        if self.limit != self.capacity:
            with self._lock:
                self.limit = self.capacity
                self._aim()

    def be_alone(self) -> None:
        """Have every caller `attend`: there is no worker."""
        with self._lock:
            self.limit = 0
            self._aim()

    def attend(self, event: Event) -> None:
        """Count a large event, wake the worker if it sleeps, and at capacity wait for room or drop an event."""
        if len(event) > LARGE_EVENT:
            with self._lock:
                self._large_bytes += len(event)
        self._wake_if_asleep()
        looks = 0
        while self._is_full() and not self._may_pass() and looks * _WAIT <= _LONGEST:
            reason = self._refusal()
            if reason is not None:
                with self._lock:
                    if self._is_full():
                        self._drop_newest(reason)
                return
            self._wait(looks := looks + 1, self._is_full)

    def _wait(self, looks: int, is_full: Callable[[], bool], seconds: float = _WAIT) -> None:
        """Wait a moment for room; after too long a time, make it."""
        self._wake()
        if looks * seconds > _PATIENCE:
            self._write()
        if is_full():  # else the waking has made room: see `be_alone`
            # No `time.sleep`, which programs replace in their tests; no condition, which each drain had to notify.
            threading.Event().wait(seconds)


class ClosedQueue:
    """Stands in for a queue while the run is not open, and refuses every event; `refusal` says why."""

    __slots__ = ("_refusal",)

    def __init__(self, refusal: Callable[[], str]) -> None:
        self._refusal = refusal

    def write(self, event: object) -> NoReturn:
        """Raise `NotStartedError`."""
        del event
        raise NotStartedError(self._refusal())

    put = put_columns = end_event = keep = write


class ThroughQueue:
    """Stands in for a queue where each call is to return only when its event is on disk."""

    __slots__ = ("_flush", "_queue")

    def __init__(self, queue: Queue, flush: Callable[[], None]) -> None:
        self._queue = queue
        self._flush = flush

    def write(self, data: bytes) -> None:
        """Put an event, and return when it is on disk; its mark says nothing."""
        if data is not MARK:
            self.put(data)

    def put(self, event: Event) -> None:
        """Put an event, and return when it is on disk."""
        self._queue.put(event)
        self._flush()

    def put_columns(self, event: ColumnEvent) -> None:
        """Put many rows, and return when they are on disk."""
        self._queue.put_columns(event)
        self._flush()

    def keep(self, event: Event) -> None:
        """Put an event that must not be dropped, and return when it is on disk."""
        self._queue.keep(event)
        self._flush()

    def end_event(self, write: Callable[[bytes], object]) -> None:
        """Do nothing: `write` takes every mark."""
