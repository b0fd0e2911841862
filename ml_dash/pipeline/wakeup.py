"""A main thread that has missed a signal is woken, so that it runs the signal's handler.

Problem: what Python gives to the system as a signal's handler only sets a flag. The handler written in Python runs when
the main thread looks at it next, and the system cuts short a call in which that waits. Where the signal comes between
the last look and such a call, or to another thread, nothing is cut short, and the main thread sleeps on: of sixty
forked children that were terminated as they began to wait for a lock, thirteen stayed.

What was tried and does not work: a handler in C before Python's (`faulthandler.register`, chained by way of `ctypes`)
crashed CPython 3.13.0 once in a hundred thousand signals. And SIGTERM must not be sent again: it may have come to a
handler of the program's, which has run and has put ours back for the second one, and which that would now call.

What holds: `signal.set_wakeup_fd` has the number of each signal written to a pipe, in the moment at which it comes. The
background thread reads it, and a few milliseconds later sends the main thread SIGURG, for which there is a handler that
does nothing. That only cuts short the call that waits: whichever handlers are due run then, once each. So a byte too
many does no harm, such as that of a forked child, which has the pipe until it begins anew. Hardly anybody else uses
SIGURG, and without a handler it is ignored. A program that takes it keeps it, and does without this.

There is only one such descriptor. Who has it when a run starts keeps it: an event loop of the main thread's, which is
woken by it. Who takes it later replaces ours, and may find none before it, for trio complains of one that is there.
Hence the function of `signal` is wrapped, by which it is taken and given back. Both ends of the pipe have high numbers,
where they can: a program that closes all files it knows, and opens new ones, must not find the number of a signal in
one of these.

What still can fail: a program without the background thread, or whose background thread waits for a disk that answers
nothing, and one that has closed our pipe and has opened hundreds of files since. Other signals' bytes are read and
dropped: a Ctrl-C that is missed like this is CPython's to mend, and a person presses it again.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import FrameType

_set_wakeup_fd = signal.set_wakeup_fd

_KICKS = 0.01, 0.05, 0.25
"""Seconds after which a main thread that has not run its handler is woken: the second time may be missed as well."""
_PAUSE = 0.05
"""Seconds between two looks into the pipe, so that a program's profiler with a timer does not wake us at each tick."""
_HIGH = 512
"""The least number of our ends of a pipe, where the system has so many."""
_SIGNALS = 4096  # the bytes of one look
_NONE = -1


class Wakeup:
    """Has the main thread run a handler that it has missed, of a signal for which `is_missed` is true then."""

    def __init__(self, number: int, is_missed: Callable[[], bool]) -> None:
        self._number = number
        self._is_missed = is_missed
        self._kick_number: int | None = getattr(signal, "SIGURG", None)  # Windows has neither
        self._main: int | None = None
        self._is_wanted = self._stands_behind = False
        self._turn: list[None] = [
            None
        ]  # whoever opens has taken it out: SIGURG may come in the middle of that
        self._pipe: _Pipe | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def take(self) -> None:
        """Take SIGURG where nobody has; in the main thread."""
        if self._kick_number is not None and signal.getsignal(self._kick_number) is signal.SIG_DFL:
            signal.signal(self._kick_number, self._kicked)
            self._main = system_thread()

    def open(self) -> None:
        """Be told of signals from now on; where this is not the main thread, have that see to it."""
        if self._pipe is None and self._main is not None:
            self._is_wanted = True
            if self._main == system_thread():
                self._open()
            else:
                self._kick()

    def forked(self) -> None:
        """Leave the pipe to the parent, in a forked child, whose main thread is the one that forked."""
        self.close()
        self._turn = [None]
        if self._main is not None:
            self._main = system_thread()

    def close(self) -> None:
        """Be told of nothing any more; in the main thread."""
        pipe, self._pipe = self._pipe, None
        self._is_wanted, self._loop = False, None
        if pipe is not None:
            with contextlib.suppress(ValueError):  # not the main thread of the main interpreter
                before = _set_wakeup_fd(_NONE)
                if before not in (_NONE, pipe.writing):
                    _set_wakeup_fd(before, warn_on_full_buffer=False)
            pipe.close()

    def attend(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake the main thread where it is needed, from a loop that runs in another thread; as often as one likes."""
        if self._loop is not loop:
            self._loop = loop
            self._listen(loop)
            if self._is_wanted and self._pipe is None:
                for seconds in _KICKS:  # the one that was to open the pipe may have been missed as well
                    loop.call_later(seconds, self._ask_again)

    def stand_in(self) -> None:
        """Wake the main thread if it is needed now, where there is no loop."""
        pipe = self._pipe
        if pipe is not None and self._is_due(pipe):
            for seconds in _KICKS:
                time.sleep(seconds)
                self._wake()

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        pipe = self._pipe
        if pipe is not None and pipe.is_whole:
            loop.add_reader(pipe.reading, self._look, loop, pipe)

    def _look(self, loop: asyncio.AbstractEventLoop, pipe: _Pipe) -> None:
        loop.remove_reader(pipe.reading)
        if self._is_due(pipe):
            for seconds in _KICKS:
                loop.call_later(seconds, self._wake)
        loop.call_later(_PAUSE, self._listen, loop)

    def _ask_again(self) -> None:
        if self._pipe is None:
            self._kick()

    def _is_due(self, pipe: _Pipe) -> bool:
        return self._number in pipe.read() and self._is_missed()

    def _wake(self) -> None:
        if self._is_missed():
            self._kick()

    def _kick(self) -> None:
        number, main = self._kick_number, self._main
        if number is not None and main is not None and signal.getsignal(number) == self._kicked:
            with contextlib.suppress(OSError):  # it has ended
                signal.pthread_kill(main, number)

    def _kicked(self, signum: int, frame: FrameType | None) -> None:
        del signum, frame
        if self._is_wanted and self._pipe is None:
            self._open()

    def _open(self) -> None:
        try:
            self._turn.pop()
        except IndexError:
            return
        try:
            if self._pipe is None:
                self._pipe = self._opened()
        finally:
            self._turn.append(None)
        loop = self._loop
        if loop is not None:  # another thread has started the run, and the loop runs already
            with contextlib.suppress(RuntimeError):  # it has closed
                loop.call_soon_threadsafe(self._listen, loop)

    def _opened(self) -> _Pipe | None:
        try:
            pipe = _Pipe()
        except OSError:
            return None  # no descriptors are left
        try:
            before = _set_wakeup_fd(pipe.writing, warn_on_full_buffer=False)
        except ValueError:
            pipe.close()  # a subinterpreter: its main thread is not the process's
            return None
        if before != _NONE:
            _set_wakeup_fd(before, warn_on_full_buffer=False)
            with contextlib.suppress(OSError):
                os.write(before, pipe.read())  # what has come to ours within these two lines
        self._stand_behind()
        return pipe

    def _stand_behind(self) -> None:
        """Have others find no descriptor where ours is, and put ours back when they give theirs up."""
        if self._stands_behind:
            return
        self._stands_behind = True
        replaced = signal.set_wakeup_fd

        @functools.wraps(replaced)
        def set_wakeup_fd(fd: int, *, warn_on_full_buffer: bool = True) -> int:
            pipe = self._pipe
            if pipe is not None and fd == _NONE:
                fd, warn_on_full_buffer = pipe.writing, False
            before = replaced(fd, warn_on_full_buffer=warn_on_full_buffer)
            return _NONE if pipe is not None and before == pipe.writing else before

        signal.set_wakeup_fd = set_wakeup_fd


class _Pipe:
    """A pipe of which both ends wait for nothing; OSError where no descriptor is left for it."""

    def __init__(self) -> None:
        self.reading, self.writing = map(_moved_up, os.pipe())
        self._identity = _identity(self.reading)
        os.set_blocking(self.reading, False)
        os.set_blocking(self.writing, False)

    @property
    def is_whole(self) -> bool:
        """Whether nobody has closed an end of it, so that its number may be another file's by now."""
        return _identity(self.reading) == self._identity == _identity(self.writing)

    def read(self) -> bytes:
        """Return what is in it."""
        try:
            return os.read(self.reading, _SIGNALS) if self.is_whole else b""
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Close both ends."""
        if self.is_whole:
            os.close(self.writing)
            os.close(self.reading)


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _moved_up(descriptor: int) -> int:
    import fcntl

    try:
        high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    except OSError:
        return descriptor  # the limit is lower than that
    os.close(descriptor)
    return high


def system_thread() -> int:
    """Return what `signal.pthread_kill` knows the calling thread by; to gevent's `get_ident` a greenlet is a thread."""
    try:
        get_ident = ctypes.pythonapi.PyThread_get_thread_ident
    except AttributeError:  # an interpreter that exports no functions
        return threading.get_ident()
    get_ident.restype = ctypes.c_ulong
    return int(get_ident())
