"""Who looks at the root while pages ask for lists: a thread, so that nobody waits for a journal that takes long.

A list waits for the look that it asks for, and that reads journals for a moment only; what is left of these is read
behind it, look by look, so that whoever asks meanwhile is told what is known by then.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from ml_dash.errors import InvalidArgumentError
from ml_dash.notices import logger

if TYPE_CHECKING:
    from ml_dash.storage.summaries.root import RootIndex

_LOOK_SECONDS, _LOOK_TIMES = 1.0, 20.0
"""Time between two looks, and how many times as long as one takes it is at least: of 100,000 it takes 0.2 s."""
_READ_SECONDS, _REST_SECONDS = 0.2, 0.5
"""How long a look reads journals: one that a list waits for, and one that goes on with what others have left."""
_WAIT_SECONDS = 10.0
"""How long a list waits for a look: a disk that does not answer must not hold up what is known."""
_LEFT_SECONDS = 0.5
"""How long it waits for journals that this look has left, of which most are read in a moment."""
_EVERYTHING_SECONDS, _EVERYTHING_TIMES = 60.0, 50.0
"""As the first two, for looks at all files; those of small roots are looked at each time."""


class Looker:
    """Looks when it is asked to, and goes on until all journals are read. Any thread may ask."""

    def __init__(self, index: RootIndex) -> None:
        self._index = index
        self._changed = threading.Condition()
        self._asked = self._answered = 0
        self._looked_at = self._next_at = float("-inf")
        self._everything_at = time.monotonic() + _EVERYTHING_SECONDS
        self._error: Exception | None = None
        self._refused: set[str] = set()
        self._thread: threading.Thread | None = None
        self._is_closed = self._is_left = False
        self.opened = 0
        """How many journals were read so far."""
        self.is_gone = False
        """Whether the root was not there at the last look."""

    def close(self) -> None:
        """Stop, behind the look of this moment."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> None:
        """Have the root looked at, unless it was a moment ago.

        Raises:
            OSError: There are no descriptors or no memory to look with.
        """
        with self._changed:
            if time.monotonic() < self._next_at:
                return
            self._asked += 1
            wanted = self._asked
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="ml-dash-look", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._answered >= wanted or self._is_closed, _WAIT_SECONDS)
            if self._answered >= wanted and self._error is not None:
                raise self._error
            self._changed.wait_for(lambda: not self._is_left or self._is_closed, _LEFT_SECONDS)

    def expire(self) -> None:
        """Have the next call of `look` look, however long ago the last one was: this process has changed something."""
        with self._changed:
            self._next_at = float("-inf")

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._asked > self._answered or self._is_left or self._is_closed
                )
                if self._is_closed:
                    return
                asked = self._asked
            self._look(asked)

    def _look(self, asked: int) -> None:
        began = time.monotonic()
        everything = began >= self._everything_at
        error: Exception | None = None
        is_left = False
        try:
            seconds = _READ_SECONDS if asked > self._answered else _REST_SECONDS
            found = self._index.look(everything=everything, seconds=seconds, rings=False)
            self.opened += found.opened
            is_left, self.is_gone = not found.is_whole, False
            self._tell(found.refused)
        except InvalidArgumentError:
            self.is_gone = True
        except Exception as raised:  # noqa: BLE001 - told to whoever asks, who may ask again
            error = raised
        now = time.monotonic()
        if everything:
            self._everything_at = now + max(_EVERYTHING_SECONDS, _EVERYTHING_TIMES * (now - began))
        with self._changed:
            self._error = error
            self._answered = asked
            # the next one begins after this: what is asked for behind it is looked at
            self._next_at = began if error else began + max(_LOOK_SECONDS, _LOOK_TIMES * (now - began))
            # read behind it, though nobody asks
            self._is_left = is_left
            self._changed.notify_all()

    def _tell(self, refused: dict[str, str]) -> None:
        for path in refused.keys() - self._refused:
            logger().warning("Cannot read %s: %s. What is new in it is not shown.", path, refused[path])
        self._refused = set(refused)
