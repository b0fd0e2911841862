"""Threads that wait for the disk, so that nobody else has to.

They are started by whoever starts the worker, and not by the worker when that gets round to it: some versions of Python
start no thread any more once the interpreter has begun to shut down, and a short script may be there by then. For the
same reason they are no executor of `concurrent.futures`, which takes no work from that moment on.
"""

from __future__ import annotations

import contextlib
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from ml_dash.logger import logger

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WorkThread"]

_T = TypeVar("_T")


class WorkThread:
    """Does one piece of work after the other.

    Args:
        name: the thread's.
    """

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; RuntimeError where the interpreter no longer starts any."""
        self.thread.start()

    def end(self) -> None:
        """Have the thread end after the work that it was given."""
        self._work.put(None)

    def begin(self, work: Callable[[], object]) -> threading.Event:
        """Have this done; the event is set when it is, be it by an error."""
        done = threading.Event()

        def do() -> None:
            try:
                work()
            finally:
                done.set()

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
