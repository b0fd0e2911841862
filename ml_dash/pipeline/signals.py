"""SIGTERM: the journal is completed, and then the process dies of it as it would have without us.

A handler runs in the main thread between two of its instructions, whatever that is doing: it may hold any of our
locks. So the handler only starts a helper thread and lets the main one go on. The helper ends the runs and flushes;
what is still logged meanwhile goes straight to disk. Then, or when the time is over, the signal is sent again, and
now the handler restores what was there before us and lets it kill.

A main thread that is deep in somebody's C code runs no handler: then the process dies when that returns, as with
any handler written in Python. (`signal.set_wakeup_fd` would tell us at once, but there is only one of it, and event
loops such as trio's complain where somebody else has taken it.)
"""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

from ml_dash.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["Termination"]


class Termination:
    """What happens between SIGTERM and the end of the process.

    Args:
        finish: completes the journal, in any thread; called once, with the seconds that it may take.
        timeout: gives the seconds that SIGTERM may wait for the journal.
    """

    def __init__(self, finish: Callable[[float], None], timeout: Callable[[], float]) -> None:
        self._finish = finish
        self._timeout = timeout
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
            signal.signal(
                signum, self._handle
            )  # where the program's own has called this one, its part is done
            timeout = self._timeout()
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
            self._finish(timeout)
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
