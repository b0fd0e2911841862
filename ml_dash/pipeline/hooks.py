"""The moments at which a process is about to change or to end: a fork, the interpreter's shutdown, and SIGTERM.

**Fork.** A child has the memory of its parent and none of its threads. Locks may be held by threads that are not there,
and what the parent had queued would be written twice. So in the child everything begins anew, locks included, under
another writer's name. What still can fail: a child forked from a thread in the middle of our own C calls; no such case
is known.

**Shutdown.** ``threading._register_atexit`` runs before other threads are joined, in children that `multiprocessing`
forks too, which run no `atexit` handlers. `atexit` runs after that. See `ml_dash.pipeline.exit` for what is done when.

**SIGTERM.** The journal is completed, and then the process dies of it as it would have without us. A handler runs in
the main thread between two of its instructions, whatever that is doing: it may hold any of our locks, so that flushing
in the handler may wait for ever. So the handler only starts a helper thread and lets the main one go on. The helper
ends the runs and flushes; what is still logged meanwhile goes straight to disk. Then, or when the time is over, the
signal is sent again, and now the handler restores what was there before us and lets it kill. What still can fail: a
main thread that is deep in somebody's C code runs no handler: then the process dies when that returns, as with any
handler written in Python. (`signal.set_wakeup_fd` would tell us at once, but there is only one of it, and event loops
such as trio's complain where somebody else has taken it.)
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.forks import hook_forks

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from ml_dash.pipeline.exit import Exit


class Hooks:
    """Has a process's end and its forks noticed, once `install` was called."""

    def __init__(self, after_fork: Callable[[], None], end: Exit) -> None:
        self._begin_anew = after_fork
        self._end = end
        self._installed = False
        self._termination = Termination(end)

    def install(self) -> bool:
        """Register what has not been; False where the interpreter is ending, and runs no new handler."""
        is_new, self._installed = not self._installed, True
        try:
            if is_new:
                self._register()
        except RuntimeError:
            return False
        finally:
            self._termination.hook()
        return True

    def _register(self) -> None:
        hook_forks()
        if hasattr(os, "register_at_fork"):
            # Such hooks are freed when little of the interpreter is left: ours keeps nothing alive till then.
            after_fork = weakref.WeakMethod(self._after_fork)
            os.register_at_fork(after_in_child=lambda: (begin_anew := after_fork()) and begin_anew())
        atexit.register(self._at_exit)
        # Private, and there since 3.9; where it is not, `atexit` does.
        register: Any = getattr(threading, "_register_atexit", atexit.register)
        register(self._at_shutdown)

    def _after_fork(self) -> None:
        self._termination.forked()
        self._begin_anew()

    def _at_shutdown(self) -> None:
        exit_code = _exit_code(sys._getframe())  # noqa: SLF001 - `inspect` costs too much for one name
        self._end.begin(None if exit_code is None else "FAILED" if exit_code else "COMPLETED")

    def _at_exit(self) -> None:
        failed = hasattr(sys, "last_type") and not hasattr(sys, "ps1")
        self._end.complete("FAILED" if failed else "COMPLETED")
        self._termination.conclude()


class Termination:
    """What happens between SIGTERM and the end of the process."""

    def __init__(self, end: Exit) -> None:
        self._end = end
        self.forked()

    def forked(self) -> None:
        """Forget, in a forked child, a signal that came to the parent."""
        self._deadline: float | None = None
        self._over = threading.Event()

    def hook(self) -> None:
        """Take SIGTERM where nobody has: a handler that the program installed is never replaced."""
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._handle)

    def conclude(self) -> None:
        """Die of the signal if it has come: for a script that ends by itself meanwhile. In the main thread."""
        if self._deadline is not None:
            self._over.wait(max(0.0, self._deadline - SYSTEM_CLOCK.monotonic()))
            _die(signal.SIGTERM)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        del frame
        if self._over.is_set():
            _die(signum)
        elif self._deadline is None:
            signal.signal(signum, self._handle)  # the program's own handler, if it called this one, is done
            timeout = self._end.termination_timeout
            self._deadline = SYSTEM_CLOCK.monotonic() + timeout
            try:
                _start(self._complete, timeout)
                _start(self._insist, timeout, signum, threading.get_ident())
            except RuntimeError:
                # The interpreter is ending, and starts no thread any more.
                self._complete(timeout)
                _die(signum)

    def _complete(self, timeout: float) -> None:
        try:
            self._end.terminate(timeout)
        finally:
            self._over.set()

    def _insist(self, timeout: float, signum: int, main: int) -> None:
        """Send the signal again when the journal is complete or the time is over."""
        self._over.wait(timeout)
        self._over.set()
        signal.pthread_kill(main, signum)


def _start(work: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=work, args=arguments, name="ml-dash-sigterm", daemon=True).start()


def _die(signum: int) -> None:
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)


def _exit_code(frame: FrameType | None) -> int | None:
    """Return the exit code of a child of `multiprocessing` that ends with this frame's stack; else None.

    A forked one runs no `atexit` handlers: this is its only moment for ending the runs that it opened. And whether
    its function raised, `multiprocessing` keeps to itself.
    """
    while frame is not None:
        if frame.f_code.co_name == "_bootstrap" and isinstance(code := frame.f_locals.get("exitcode"), int):
            return code
        frame = frame.f_back
    return None
