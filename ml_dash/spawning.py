"""Starting threads where there may be none: whoever gets none does the work itself.

Problem: a thread may be refused at any moment. By the machine, where a limit on processes (``ulimit -u``, the pids
limit of a container) or on memory is reached; by the interpreter, where it is a subinterpreter or is about to end.
These raise RuntimeError. Until Python 3.11 an interpreter that is freeing its modules refuses nothing: `Thread.start`
waits for ever for the first word of a thread that will never run. A `__del__` of the script's may call us just then.

Where there is little memory, a thread may be started that cannot begin, and `Thread.start` waits for ever, too; so it
is not tried where a limit leaves little, see `ml_dash.limits.sparing`.

And a thread may end before it does anything: what the script has given to `threading.settrace` or `setprofile` runs
first, and may raise. So a start is only believed when the work has begun.

A thread that has begun imports what it needs, and whoever started it would wait for a slice of the interpreter's time,
of 5 ms, at each call to the system: a start took 100 ms, of which 15 were its own. So threads that are in no hurry wait
`behind_starts`.
"""

from __future__ import annotations

import _thread
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ml_dash.errors import JournalError, MLDashError
from ml_dash.limits.sparing import lack_for_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_LOOK_SECONDS = 0.01
"""Between two looks whether a thread still lives that has not begun its work."""
_BEHIND_SECONDS = 0.25
"""For how long a thread waits for starts of runs: one may hang on its disk."""
_STARTS: set[threading.Event] = set()
"""Those that are under way; without a lock, which a child that is forked meanwhile would find taken."""
_OURS: set[int] = set()
"""The threads that `start_thread` has started, and that have not ended."""


def is_last_thread() -> bool:
    """Whether the interpreter is freeing its modules: no other thread runs any more, or is waited for with success."""
    return sys.is_finalizing()


@contextmanager
def imports_for_reading() -> Iterator[None]:
    """Say of an import in the block that it comes too late, where it does: a `__del__` may read at any time.

    Raises:
        JournalError: The interpreter is freeing its modules.
    """
    try:
        yield
    except ImportError as error:
        if isinstance(error, MLDashError) or not is_last_thread():
            raise
        raise JournalError(
            "this cannot be read while the interpreter frees its modules, for nothing can be imported then: read it "
            "before the script ends, and not in a `__del__`"
        ) from error


def threads_are_greenlets() -> bool:
    """Whether gevent has patched the program, so that all its threads share one of the system's."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def start_greenlet(work: Callable[..., object], *arguments: object) -> None:
    """Have this done by a thread that is a greenlet, without a wait for its first word.

    gevent runs signal handlers in the middle of its own loop, where nobody may wait.
    """
    _thread.start_new_thread(work, arguments)


def start_thread(work: Callable[..., object], name: str, *arguments: object) -> threading.Thread | None:
    """Start a daemon thread that does this; None where there can be none, and nothing of the work was done."""
    if is_last_thread() or lack_for_thread():
        return None
    begun = threading.Event()

    def begin() -> None:
        thread = threading.get_ident()
        _OURS.add(thread)
        try:
            begun.set()
            work(*arguments)
        finally:
            _OURS.discard(thread)

    try:
        # Made here, too: a subinterpreter may refuse the making of a daemon.
        thread = threading.Thread(target=begin, name=name, daemon=True)
        thread.start()
    except (RuntimeError, MemoryError):
        return None
    while not begun.wait(_LOOK_SECONDS):
        # Asked for in this order: a thread may begin its work and end it between the two.
        if not thread.is_alive() and not begun.is_set():
            return None
    return thread


def is_ours() -> bool:
    """Whether the calling thread is one of ours: in its middle a finalizer of the script's may log."""
    return threading.get_ident() in _OURS


@contextmanager
def ahead_of_threads() -> Iterator[None]:
    """Do what the script waits for ahead of threads that have just been started, see `behind_starts`."""
    over = threading.Event()
    _STARTS.add(over)
    try:
        yield
    finally:
        _STARTS.discard(over)
        over.set()


def behind_starts() -> None:
    """Wait, in a thread that is in no hurry, for blocks of `ahead_of_threads` to end, but not long."""
    deadline = time.monotonic() + _BEHIND_SECONDS
    for over in tuple(_STARTS):
        over.wait(max(0.0, deadline - time.monotonic()))


def let_threads_go() -> None:
    """Have threads that wait behind starts begin: somebody waits for them."""
    for over in tuple(_STARTS):
        over.set()


def forget_starts() -> None:
    """Forget, in a forked child, starts that are under way in its parent, and the parent's threads."""
    _STARTS.clear()
    _OURS.clear()
