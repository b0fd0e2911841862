"""Calls of this process that must not hang."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def hang_limit(seconds: float) -> Iterator[None]:
    """Fail what is still waiting in the main thread after so many seconds, there where it waits.

    The alarm is the one of pytest-timeout, which goes on with what it had left.
    """

    def fail(*_: object) -> None:
        raise AssertionError(f"still waiting after {seconds} s")

    handler = signal.signal(signal.SIGALRM, fail)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, handler)
