"""What has become of the blobs that one writer has saved; read from any thread, and waited for."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from typing import TYPE_CHECKING

from ml_dash.locks import MortalLock

if TYPE_CHECKING:
    from collections.abc import Iterator


class BlobLedger:
    """Counts the saves of each blob until the server has it."""

    _lock = MortalLock()

    def __init__(self) -> None:
        # Reentrant: a signal handler of the script may save a file, or ask for the status, in the middle.
        self._lock = threading.RLock()
        self._saves: Counter[str] = Counter()
        self._sizes: dict[str, int] = {}
        self._waits: list[threading.Event] = []
        self._confirmed = 0
        self._in_doubt = False
        self._in_hand: set[object] = set()
        self.is_hopeless = False
        """Whether the server is out of reach, or refuses."""
        self.last_error: str | None = None
        """Why blobs are not sent, or not all of them; None where nothing stands in the way, or nobody has tried."""
        self.damaged_saves = 0
        """Saves of blobs that are lost: damaged on this disk, or missing from it."""
        self.arrived_bytes = 0
        """Bytes of parts that the server has of blobs which it does not have as a whole."""

    @contextlib.contextmanager
    def logging(self) -> Iterator[None]:
        """Say that a save is offered and its row logged within: in between, nothing but this knows of the row."""
        save = object()
        with self._lock:
            self._in_hand.add(save)
        try:
            yield
        finally:
            with self._lock:
                self._in_hand.discard(save)

    @property
    def in_hand(self) -> frozenset[object]:
        """The saves whose rows may not be logged yet, each by a thing that stands for it."""
        with self._lock:
            return frozenset(self._in_hand)

    def offer(self, checksum: str, size: int) -> None:
        """Count a save."""
        with self._lock:
            self._saves[checksum] += 1
            self._sizes[checksum] = size

    def withdraw(self, checksum: str) -> None:
        """Take back a save that was counted, and did not come about."""
        with self._lock:
            self._saves[checksum] -= 1
            if self._saves[checksum] <= 0:
                del self._saves[checksum]
                self._sizes.pop(checksum, None)
        self._release()

    @property
    def pending_saves(self) -> int:
        """Saves whose blob the server does not have, or may not have any more."""
        with self._lock:
            return self._saves.total() + (self._confirmed if self._in_doubt else 0)

    @property
    def pending_files(self) -> int:
        """Blobs that the server does not have, or may not have any more."""
        with self._lock:
            return len(self._sizes) + (self._confirmed if self._in_doubt else 0)

    @property
    def pending_bytes(self) -> int:
        """Bytes of these."""
        with self._lock:
            return sum(self._sizes.values())

    @property
    def in_doubt(self) -> bool:
        """Whether the server has forgotten some of what it had, and was not asked yet which."""
        return self._in_doubt

    @property
    def awaited(self) -> list[str]:
        """The blobs of which it is not known that the server has them."""
        with self._lock:
            return list(self._sizes)

    def confirm(self, checksum: str) -> None:
        """The server has a blob."""
        with self._lock:
            self._confirmed += self._saves.pop(checksum, 0)
            self._sizes.pop(checksum, None)
        self._release()

    def doubt(self) -> None:
        """The server has forgotten some of what it had: nobody knows which blobs, before it is asked."""
        with self._lock:
            self._in_doubt = self._confirmed > 0

    def forget(self, checksum: str, size: int, saves: int) -> None:
        """The server does not have a blob any more: these saves are pending again."""
        with self._lock:
            self._confirmed = max(0, self._confirmed - saves)
            self._saves[checksum] += saves
            self._sizes[checksum] = size

    def trust(self) -> None:
        """The server was asked: it has all blobs but those that are pending."""
        with self._lock:
            self._in_doubt = False
        self._release()

    def damage(self, checksum: str) -> None:
        """A blob is lost: this disk does not have it any more."""
        with self._lock:
            self.damaged_saves += self._saves.pop(checksum, 0)
            self._sizes.pop(checksum, None)
        self._release()

    def note_arrived(self, size: int) -> None:
        """The server has this many bytes of the large blob that is under way; 0 at its end."""
        self.arrived_bytes = size

    def wait(self) -> threading.Event:
        """Return what is set when the server has all, or as soon as there is no hope that it soon will."""
        done = threading.Event()
        with self._lock:
            self._waits.append(done)
        self._release()
        return done

    def hopeless(self, *, is_so: bool = True) -> None:
        """The server is out of reach, or refuses; or it is not any more."""
        self.is_hopeless = is_so
        self._release()

    def _release(self) -> None:
        with self._lock:
            if (self._sizes or self._in_doubt) and not self.is_hopeless:
                return
            waits, self._waits = self._waits, []
        # outside of the lock: whoever wakes up asks for the numbers at once
        for done in waits:
            done.set()
