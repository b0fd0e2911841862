"""How a server is told to end."""

from __future__ import annotations

import asyncio
import signal

__all__ = ["end_on_signals"]


def end_on_signals() -> asyncio.Event:
    """Return an event of the running loop that SIGTERM and SIGINT set."""
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, end.set)
        except NotImplementedError:  # Windows: Ctrl-C raises KeyboardInterrupt, which ends the loop
            continue
    return end
