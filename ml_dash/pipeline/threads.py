"""Threads that wait for the disk or the network, and ways to wait for threads.

Problem: much of the work comes up while the interpreter is ending. Some versions of Python start no thread then, and
an executor of `concurrent.futures` takes no work from that moment on. So a `WorkThread` is started together with the
worker, before there is work for it, and is no executor; and whoever needs a thread that was not started before
(`begin_apart`) does the work itself where there can be none.
"""

from __future__ import annotations

import contextlib
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol, TypeVar

from ml_dash.log import logger

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

# Between two looks: a flush takes a millisecond or two on a good disk, and one of seconds is not felt to be later.
_FIRST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.02


class Pending(Protocol):
    """Something that will be over, such as a flush; a `threading.Event` is one."""

    def is_set(self) -> bool:
        """Whether it is over."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is over, at most `timeout` seconds; False where that time has passed before."""


class WorkThread:
    """Does one piece of work after the other."""

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread, once; RuntimeError where the interpreter no longer starts any."""
        if not self.is_started:
            self.thread.start()

    @property
    def is_started(self) -> bool:
        """Whether there is, or was, such a thread."""
        return self.thread.ident is not None

    def end(self) -> None:
        """Have the thread end after the work that it was given."""
        self._work.put(None)

    def begin(self, work: Callable[[], object]) -> threading.Event:
        """Have this done; the event is set when it is, be it by an error."""
        do, done = _announced(work)
        self._work.put(do)
        return done

    async def do(self, work: Callable[[], _T]) -> _T:
        """Have this done and wait for what it returns or raises, in a task of an asyncio event loop."""
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
            try:
                do()
            except Exception:  # noqa: BLE001 - a defect of ours must not end the tracking
                logger().exception("The thread %s met an unexpected error.", self.thread.name)
            del do  # what it refers to must not stay in memory until the next piece of work


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


def begin_apart(work: Callable[[], None]) -> threading.Event:
    """Do this in a thread of its own; the event is set when it is done."""
    run, done = _announced(work)
    try:
        threading.Thread(target=run, name="ml-dash-apart", daemon=True).start()
    except RuntimeError:
        run()  # the interpreter is ending, and starts no thread any more
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
