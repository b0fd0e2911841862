"""SIGTERM: the journal is completed, and then the process dies of it as it would have without us.

A handler runs in the main thread between two of its instructions, whatever that is doing: it may hold any of our locks,
so that flushing in the handler may wait for ever. So the handler only starts a helper thread and lets the main one go
on. The helper ends the runs and flushes; what is still logged meanwhile goes straight to disk. Then, or when the time
is over, the signal is sent again, and now the handler restores what was there before us and lets it kill. Where there
can be no thread, the main one completes the journal itself, as soon as it is not in the middle of a write. What still
can fail: a main thread that is deep in somebody's C code runs no handler: then the process dies when that returns, as
with any handler written in Python. (`signal.set_wakeup_fd` would tell us at once, but there is only one of it, and
event loops such as trio's complain where somebody else has taken it.)

Only the main thread can install a handler, and a run may be started in another one. So it is there from the import on;
where nothing was ever logged, it kills at once.

A forked child has this handler from its first moment, before it has forgotten what belongs to its parent, and the
interpreter forgets a signal that comes in that moment. So the forking thread lets SIGTERM wait until the child has
begun anew. And a handler written in Python runs too late where the signal comes between the interpreter's last look for
one and a call that waits: of a hundred children that are terminated as they are born, one would survive. So until a
child has something to save, SIGTERM kills it as it would without us. By the system's own call, for the handler has to
come back when the child logs, in whichever of its threads.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.spawning import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from ml_dash.pipeline.exit import Exit

_FORKING = threading.local()
"""`_FORKING.blocked`: whether the thread that forks lets SIGTERM wait by itself."""

_HELPER = "ml-dash-sigterm"
_AGAIN_SECONDS = 0.05
_SIGACTION_BYTES = 1024
"""More than any system's ``struct sigaction`` takes. All zero it means the default."""


class Termination:
    """What happens between SIGTERM and the end of the process."""

    def __init__(self, end: Exit) -> None:
        self._end = end
        self._sigaction: Callable[..., int] | None = None
        self._asleep: ctypes.Array[ctypes.c_char] | None = None  # what `_wake_up` has to bring back
        self._begin()

    def _begin(self) -> None:
        self._deadline: float | None = None
        self._over = threading.Event()

    def forked(self) -> None:
        """Forget, in a forked child, a signal that came to the parent, and let one kill until something is to save."""
        self._begin()
        if self._asleep is None and self._sigaction is not None and self._is_ours:
            before = ctypes.create_string_buffer(_SIGACTION_BYTES)
            default = ctypes.create_string_buffer(_SIGACTION_BYTES)
            if self._sigaction(int(signal.SIGTERM), default, before) == 0:
                self._asleep = before

    @property
    def _is_ours(self) -> bool:
        return signal.getsignal(signal.SIGTERM) == self._handle

    def _wake_up(self) -> None:
        before, self._asleep = self._asleep, None
        if before is not None and self._sigaction is not None and self._is_ours:
            self._sigaction(int(signal.SIGTERM), before, None)

    def hook(self) -> None:
        """Take SIGTERM where nobody has: a handler that the program installed is never replaced."""
        self._wake_up()
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            with contextlib.suppress(ValueError):  # a subinterpreter: its main thread is not the process's
                signal.signal(signal.SIGTERM, self._handle)
                with contextlib.suppress(
                    Exception
                ):  # a system that has no such call; found here: a child may not look
                    self._sigaction = ctypes.CDLL(None).sigaction

    def conclude(self) -> None:
        """Die of the signal if it has come: for a script that ends by itself meanwhile. In the main thread."""
        if self._deadline is not None:
            self._over.wait(max(0.0, self._deadline - SYSTEM_CLOCK.monotonic()))
            _die(signal.SIGTERM)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        del frame
        if self._over.is_set() or not self._end.concerns_any:
            _die(signum)
        elif self._deadline is None:
            signal.signal(signum, self._handle)  # the program's own handler, if it called this one, is done
            timeout = self._end.termination_timeout
            self._deadline = SYSTEM_CLOCK.monotonic() + timeout
            insisting = start_thread(self._insist, _HELPER, timeout, signum, threading.get_ident())
            if insisting is None or start_thread(self._complete, _HELPER, timeout) is None:
                self._end.when_free(lambda: self._complete_here(timeout, signum))

    def _complete(self, timeout: float) -> None:
        try:
            self._end.terminate(timeout)
        finally:
            self._over.set()

    def _complete_here(self, timeout: float, signum: int) -> None:
        """Complete the journal in the thread that the signal came to, where there can be no other."""
        self._complete(timeout)
        _die(signum)

    def _insist(self, timeout: float, signum: int, main: int) -> None:
        """Send the signal again when the journal is complete or the time is over, until the process dies of it.

        Once is not enough: the main thread comes from the handler at this very moment, and goes on with a call that
        waits. A signal between the interpreter's last look for one and that call interrupts nothing.
        """
        self._over.wait(timeout)
        self._over.set()
        signal.pthread_kill(main, signum)
        while self._is_ours:
            time.sleep(_AGAIN_SECONDS)
            signal.pthread_kill(main, signum)


def before_fork() -> None:
    """Let SIGTERM wait, for this thread and the child that it is about to fork."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    _FORKING.blocked = signal.SIGTERM in before


def after_fork() -> None:
    """Take SIGTERM as before, in the parent, and in the child when it has begun anew."""
    if not getattr(_FORKING, "blocked", True):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _die(signum: int) -> None:
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
