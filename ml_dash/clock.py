"""The one way in for time, so that tests and the simulation can put their own in its place."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from ml_dash.locks import MortalLock


class Clock(Protocol):
    """What the pipeline and the journal ask of time."""

    def time_ns(self) -> int:
        """Return nanoseconds since the epoch, UTC."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""


class SystemClock:
    """The machine's clock. Its methods are the builtins themselves: a call costs no frame."""

    time_ns = staticmethod(time.time_ns)
    monotonic = staticmethod(time.monotonic)


_DOOMSDAY_NS = 2**63 - 2**60
"""In 2225: behind it there must be room for all times of an experiment, which have to fit an int64."""


class RisingClock:
    """Gives times of which each is later than the one before, whatever the clock that they are taken from does.

    For rows of which the later one wins: a machine's clock may be set back, and be behind the one of the machine that
    an experiment ran on before. Then the times are as close as can be, until the clock has caught up. Any thread may
    ask; a forked child has to `renew` it.
    """

    _lock = MortalLock()

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._latest_ns = 0
        self.renew()

    def renew(self) -> None:
        """Replace the lock, which another thread of the parent may have held; the times go on behind the parent's."""
        self._lock = threading.RLock()  # reentrant: a signal handler of the script may set a parameter, too

    def next_ns(self, after_ns: int = 0) -> int:
        """Return a time that is later than all before it, and than `after_ns` unless that is beyond all reason."""
        with self._lock:
            if after_ns < _DOOMSDAY_NS:
                self._latest_ns = max(self._latest_ns, after_ns)
            self._latest_ns = max(self._clock.time_ns(), self._latest_ns + 1)
            return self._latest_ns


SYSTEM_CLOCK = SystemClock()
