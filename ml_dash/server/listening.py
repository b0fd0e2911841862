"""What every server needs that listens: the signals that end it, an event loop that comes to its turn, and so on."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_TURN_SECONDS = 0.001


def end_on_signals() -> asyncio.Event:
    """Return an event of the running loop that SIGTERM and SIGINT set."""
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    # as callbacks of the loop: a handler of `signal` could interrupt anything, half-way
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, end.set)
        except NotImplementedError:  # Windows: Ctrl-C raises KeyboardInterrupt, which ends the loop
            continue
    return end


def call_on_hangup(function: Callable[[], object]) -> None:
    """Have SIGHUP call a function on the running loop, as daemons read their settings again.

    On a terminal that signal says that the terminal has gone, and it ends the process as ever.
    """
    if sys.platform == "win32" or (sys.stdin is not None and sys.stdin.isatty()):
        return
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, function)


def reason_of(error: Exception) -> str:
    """Return why a socket could not be bound, without the number that an OSError begins with."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def favour_the_loop() -> None:
    """Set the interpreter up so that its event loop comes to its turn soon. For a process that only serves.

    Threads that make pages take the interpreter's lock in turns of 5 ms, and several of them several turns: beside four
    that read a track, 99 % of the answers of ``/health`` came within 132 ms, and within 76 with turns of 1 ms. And a
    full garbage collection, which pages of many objects bring about, looks through all modules: the loop stood still
    for 60 to 250 ms, and for 20 to 30 where what was loaded is left out (CPython 3.11, two busy cores, a run each).
    """
    sys.setswitchinterval(_TURN_SECONDS)
    gc.collect()
    gc.freeze()
