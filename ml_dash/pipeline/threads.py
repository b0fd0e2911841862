"""Threads that wait for the disk or the network, ways to wait for threads, and a set that threads walk over.

Problem: much of the work comes up while the interpreter is ending. Some versions of Python start no thread then, and
an executor of `concurrent.futures` takes no work from that moment on. So a `WorkThread` is started together with the
worker, before there is work for it, and is no executor. And a thread may be refused at any time, see
`ml_dash.spawning`: then whoever would have given it the work does that itself.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import weakref
from typing import TYPE_CHECKING, Protocol, TypeVar

from ml_dash.notices import logger
from ml_dash.spawning import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_T = TypeVar("_T")

# Between two looks: a flush takes a millisecond or two on a good disk, and one of seconds is not felt to be later.
_FIRST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.02


if TYPE_CHECKING:

    class Pending(Protocol):
        """Something that will be over, such as a flush; a `threading.Event` is one."""

        def is_set(self) -> bool:
            """Whether it is over."""

        def wait(self, timeout: float | None = None) -> bool:
            """Wait until it is over, at most `timeout` seconds; False where that time has passed before."""


class WorkThread:
    """Does one piece of work after the other."""

    def __init__(self, name: str) -> None:
        self._name = name
        # Looked up when it is needed: gevent may have put its own in the place of this one since our import.
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, once. Where there can be none, `begin` and `do` do what they are given."""
        if self.thread is None:
            self.thread = start_thread(self._run, self._name)

    def end(self) -> None:
        """Have the thread end after the work that it was given."""
        self._work.put(None)

    def begin(self, work: Callable[[], object]) -> threading.Event:
        """Have this done; the event is set when it is, be it by an error."""
        do, done = _announced(work)
        if self.thread is None:
            _attempt(do, self._name)
        else:
            self._work.put(do)
        return done

    async def do(self, work: Callable[[], _T]) -> _T:
        """Have this done and wait for what it returns or raises, in a task of an asyncio event loop."""
        if self.thread is None:
            return work()
        import asyncio

        loop = asyncio.get_running_loop()
        result: asyncio.Future[_T] = loop.create_future()

        def tell(value: _T | None, error: BaseException | None) -> None:
            if result.done():
                return  # whoever waited was cancelled
            if error is not None:
                result.set_exception(error)
            else:
                result.set_result(value)  # type: ignore[arg-type]  # without an error it is a _T

        def do() -> None:
            value: _T | None = None
            error: BaseException | None = None
            try:
                value = work()
            except BaseException as raised:  # noqa: BLE001 - it is raised where it is waited for
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop has closed, and nobody waits any more
                loop.call_soon_threadsafe(tell, value, error)

        self._work.put(do)
        return await result

    def _run(self) -> None:
        while (do := self._work.get()) is not None:
            _attempt(do, self._name)
            del do  # what it refers to must not stay in memory until the next piece of work


def _attempt(do: Callable[[], None], name: str) -> None:
    try:
        do()
    except BaseException:  # noqa: BLE001 - a defect of ours, or a SystemExit sent to the thread, must not end the tracking
        with contextlib.suppress(Exception):  # where memory is short, there may be none to tell of it
            logger().exception("The thread %s met an unexpected error.", name)


def _announced(work: Callable[[], object]) -> tuple[Callable[[], None], threading.Event]:
    done = threading.Event()

    def do() -> None:
        try:
            work()
        finally:
            done.set()

    return do, done


def apart(work: Callable[[], None]) -> None:
    """Do this where Ctrl-C cannot cut it in half, and return when it is done."""
    if threading.current_thread() is threading.main_thread():
        begin_apart(work).wait()
    else:
        work()  # only the main thread is interrupted


def begin_apart(work: Callable[[], object]) -> threading.Event:
    """Do this in a thread of its own; the event is set when it is done."""
    run, done = _announced(work)
    if start_thread(run, "ml-dash-apart") is None:
        run()
    return done


async def wait_for(pending: Pending, timeout: float | None) -> None:
    """Wait until this is over, at most `timeout` seconds, on whichever event loop the program has.

    It can be cancelled at any time. So it looks now and then: a thread that waits could not be cancelled, and would
    hold up the exit.
    """
    from anyio import move_on_after, sleep

    pause = _FIRST_PAUSE
    with move_on_after(timeout):
        while not pending.is_set():
            await sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


class LivingSet(weakref.WeakSet[_T]):
    """A set that keeps none of its members, and that others may add to while somebody walks over it.

    `weakref.WeakSet` raises RuntimeError then: the exit of a process, or a fork, in one thread would stop in its middle
    because a run begins in another one. No lock: a signal handler may walk, in the middle of an `add`.
    """

    def __iter__(self) -> Iterator[_T]:
        """Walk over those that are there now."""
        while True:
            try:
                return iter(tuple(super().__iter__()))
            except RuntimeError:
                continue  # one was added in the middle
