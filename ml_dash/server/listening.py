"""What every server needs that listens: the signals that end it, and the reason when its port is not free."""

from __future__ import annotations

import asyncio
import signal


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


def reason_of(error: Exception) -> str:
    """Return why a socket could not be bound, without the number that an OSError begins with."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
