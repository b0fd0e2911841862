"""Waiting for what threads set, in async code of whichever event loop the program has."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading

__all__ = ["wait_for"]

_FIRST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.02


async def wait_for(done: threading.Event, timeout: float | None) -> None:
    """Wait until an event is set, `timeout` seconds at most; can be cancelled at any time."""
    from anyio import move_on_after, sleep

    # Looked at now and then: a thread that waits could not be cancelled, and would hold up the exit.
    pause = _FIRST_PAUSE
    with move_on_after(timeout):
        while not done.is_set():
            await sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
