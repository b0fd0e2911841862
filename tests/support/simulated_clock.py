"""Time that passes only when the simulation says so."""

from __future__ import annotations

__all__ = ["BIRTH_NS", "HandClock", "SimulatedClock"]

BIRTH_NS = 1_700_000_000_000_000_000
"""When every simulated world begins."""


class SimulatedClock:
    """A clock that stands still until it is told to go on, but never shows the same nanosecond twice."""

    def __init__(self) -> None:
        self._now_ns = BIRTH_NS
        self._off_ns = 0
        self._shown: set[int] = set()

    def time_ns(self) -> int:
        """See `ml_dash.clock.Clock`. A row's time is its name in the simulation, hence unique."""
        self._now_ns += 1
        shown = self._now_ns + self._off_ns
        while shown in self._shown:  # the clock was set back
            shown += 1
        self._shown.add(shown)
        return shown

    def shift(self, seconds: float) -> None:
        """Set the clock ahead or back; `monotonic` never notices."""
        self._off_ns += int(seconds * 1e9)

    def monotonic(self) -> float:
        """See `ml_dash.clock.Clock`."""
        return (self._now_ns - BIRTH_NS) / 1e9

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now_ns += int(seconds * 1e9)


class HandClock:
    """A clock that a test turns."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns

    def time_ns(self) -> int:
        return self.now_ns

    def monotonic(self) -> float:
        return self.now_ns / 1e9
