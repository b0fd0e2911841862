"""Whether a run of this process is asked to stop: looked up in the background, so that whoever asks reads an attribute.

A request comes in the answers of the server that the run is sent to, or in ``stop.json`` beside the journal. It counts
as seen when the script has read that it is there; until then it may be taken back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.forks import guarded_imports
from ml_dash.journal.disk import REAL_DISK
from ml_dash.spawning import is_last_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_dash.clock import Clock
    from ml_dash.storage.stopping import StopFile, StopRequest

_LOOK_SECONDS = 1.0


class Stopping:
    """Requests to one attempt of an experiment, as one process knows them.

    Args:
        directory: The experiment's.
        attempt: What the run's start row calls the attempt.

    Attributes:
        asked: The request; None where nobody asks.
        is_seen: Whether the script has read that there is one.
    """

    def __init__(self, directory: str, attempt: str) -> None:
        self.asked: StopRequest | None = None
        self.is_seen = False
        self._attempt = attempt
        self._directory = directory
        self._file: StopFile | None = (
            None  # made by who looks first: it needs msgspec, which the start has no use for
        )
        self._looked_at = float("-inf")
        self._is_told = False

    def see(self) -> bool:
        """Say whether there is a request, for the script; no lock is taken, and no disk asked."""
        if self.asked is None:
            return False
        self.is_seen = True
        return True

    def look(self, clock: Clock, told: Callable[[], StopRequest | None]) -> None:
        """Look for a request, at most once a second; `told` gives what the server has said last."""
        now = clock.monotonic()
        if now < self._looked_at + _LOOK_SECONDS:
            return
        self._looked_at = now
        if self._file is None:
            if is_last_thread():  # nothing can be imported any more
                return
            with guarded_imports():
                from ml_dash.storage.stopping import StopFile

            self._file = StopFile(self._directory, REAL_DISK)
        found = [each for each in (told(), self._file.look()) if each is not None]
        asked = next((each for each in found if self._attempt in each.attempts), None)
        if asked is not None or not self.is_seen:
            self.asked = asked

    def take_news(self) -> dict[str, Any] | None:
        """Return, once, what a heartbeat says of the request that the script has seen; None where there is nothing."""
        asked = self.asked
        if not self.is_seen or self._is_told or asked is None:
            return None
        self._is_told = True
        return {
            "attempt": self._attempt,
            "asked_ns": asked.at_ns,
            "by": asked.by,
            "reason": asked.reason,
        }

    def seen_bytes(self, seen_ns: int) -> bytes:
        """Return what the file says when the script has seen the request, wherever that came from."""
        from msgspec import structs

        from ml_dash.storage.stopping import StopRequest, stop_bytes

        asked = self.asked or StopRequest(seen_ns, (self._attempt,))
        return stop_bytes(structs.replace(asked, seen_ns=seen_ns))
