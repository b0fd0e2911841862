"""The one way in for time, so that tests and the simulation can put their own in its place."""

from __future__ import annotations

import time
from typing import Protocol


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


SYSTEM_CLOCK = SystemClock()
