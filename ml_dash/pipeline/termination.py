"""SIGTERM: the journal is completed, and then the process dies of it as it would have without us.

A handler runs in the main thread between two of its instructions, whatever that is doing: it may hold any of our locks,
so that flushing in the handler may wait for ever. So the handler only starts a helper thread and lets the main one go
on. The helper ends the runs and flushes; what is still logged meanwhile goes straight to disk; and last it says
how they went. Then, or when the time is over, the signal is sent again, and now the handler restores what was there
before us and lets it kill. Where there
can be no thread, the main one completes the journal itself, as soon as it is not in the middle of a write. A main
thread that goes on waiting, since it has missed the signal, is woken: see `ml_dash.pipeline.wakeup`. What still can
fail: one that is deep in somebody's C code runs no handler: then the process dies when that returns, as with any
handler written in Python.

Only the main thread can install a handler, and a run may be started in another one. So it is there from the import on.
But until there is something to save, it sleeps: to the system the signal is as it was, and kills at once, whatever the
main thread is doing. By the system's own call, for the handler has to wake up with the first run, in whichever thread
that starts.

A forked child has this handler from its first moment, before it has forgotten what belongs to its parent, and the
interpreter forgets a signal that comes in that moment. So the forking thread lets SIGTERM wait until the child has
begun anew. There the handler sleeps until the child logs.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.pipeline.wakeup import Wakeup, system_thread
from ml_dash.records import NamedTuple
from ml_dash.spawning import start_greenlet, start_thread, threads_are_greenlets

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
_TELLING_BYTES = 16
"""Of these bytes: the handler is within them, and what follows may have been left as it was found."""


class _Sleep(NamedTuple):
    """What the system is to do with SIGTERM when we wake up, and what it does until then."""

    handler: bytes
    action: bytes | None


class Termination:
    """What happens between SIGTERM and the end of the process."""

    def __init__(self, end: Exit) -> None:
        self._end = end
        self._sigaction: Callable[..., int] | None = None
        self._sleep: _Sleep | None = None
        self._is_awake = False
        self._wakeup = Wakeup(signal.SIGTERM, self._is_due)
        self._begin()

    def _begin(self) -> None:
        self._deadline: float | None = None
        self._over = threading.Event()

    @property
    def wakeup(self) -> Wakeup:
        """What wakes a main thread that has missed the signal."""
        return self._wakeup

    def _is_due(self) -> bool:
        """Whether a signal that has come has not been handled yet."""
        return self._deadline is None and self._is_ours

    @property
    def _is_ours(self) -> bool:
        return signal.getsignal(signal.SIGTERM) == self._handle

    def take(self) -> None:
        """Take SIGTERM where nobody has: a handler that the program installed is never replaced."""
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            with contextlib.suppress(ValueError):  # a subinterpreter: its main thread is not the process's
                signal.signal(signal.SIGTERM, self._handle)
                self._sleep = None
                # A system that has no such call; found here, for a child may not look.
                with contextlib.suppress(Exception):
                    self._sigaction = ctypes.CDLL(None).sigaction
                self._wakeup.take()
                if not self._is_awake:
                    self._fall_asleep()

    def wake_up(self) -> None:
        """Have SIGTERM save what is logged from now on; in any thread."""
        self._is_awake = True
        sleep, self._sleep = self._sleep, None
        # What somebody has installed in the meantime stays, be it by another way than Python's.
        if sleep is not None and self._is_ours and _same(self._action(), sleep.action):
            self._action(sleep.handler)
        if self._is_ours:
            self._wakeup.open()

    def forked(self) -> None:
        """Forget, in a forked child, a signal that came to the parent, and let one kill until something is to save."""
        self._begin()
        self._wakeup.forked()
        self._is_awake = False
        if self._sleep is None and self._is_ours:
            self._fall_asleep()

    def _fall_asleep(self) -> None:
        handler = self._action(bytes(_SIGACTION_BYTES))
        if handler is not None:
            self._sleep = _Sleep(handler, self._action())

    def _action(self, new: bytes | None = None) -> bytes | None:
        """Return what the system does with SIGTERM, and have it do something else where that is given."""
        before = ctypes.create_string_buffer(_SIGACTION_BYTES)
        if self._sigaction is None or self._sigaction(int(signal.SIGTERM), new, before) != 0:
            return None
        return before.raw

    def conclude(self) -> None:
        """Die of the signal if it has come: for a script that ends by itself meanwhile. In the main thread."""
        self._wakeup.close()
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
            insist = self._insist, timeout, signum, system_thread()
            if threads_are_greenlets():
                start_greenlet(*insist)
                start_greenlet(partial(self._complete, timeout, aloud=False))
            elif not _start(*insist) or not _start(self._complete, timeout):
                self._end.when_free(lambda: self._complete_here(timeout, signum))

    def _complete(self, timeout: float, *, aloud: bool = True) -> None:
        # Not aloud where nobody else could end a process that waits for its console.
        try:
            self._end.terminate(timeout, aloud=aloud)
        finally:
            self._over.set()

    def _complete_here(self, timeout: float, signum: int) -> None:
        """Complete the journal in the thread that the signal came to, where there can be no other."""
        self._complete(timeout, aloud=False)
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


def _start(work: Callable[..., None], *arguments: object) -> bool:
    return start_thread(work, _HELPER, *arguments) is not None


def _same(action: bytes | None, other: bytes | None) -> bool:
    return action is not None and other is not None and action[:_TELLING_BYTES] == other[:_TELLING_BYTES]


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
