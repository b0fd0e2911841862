"""The summaries of a root, from which lists of it are answered; see the package for how they are kept."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from ml_dash.clock import SYSTEM_CLOCK, Clock
from ml_dash.locks import MortalLock
from ml_dash.storage.standing import is_experiment
from ml_dash.storage.summaries.database import Database, places_for
from ml_dash.storage.summaries.looking import Looking
from ml_dash.storage.summaries.store import Store
from ml_dash.storage.survey import Located, has_experiments, prefix_under

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ml_dash.storage.summaries.reading import Look

T = TypeVar("T")

_TRIES = 4
"""More than there are places for the file: the last one is in memory, and fails for want of that alone."""


class RootIndex:
    """Keeps what lists of a root show. Any thread may ask; one at a time looks at the disk.

    Args:
        root: The directory.
        stale_after: Seconds without a sign of life after which an open run counts as dead.
        is_own: Whether it is the user's own, so that links in it are followed wherever they lead.
        places: Where the file may lie, the best first; None for where `places_for` says.
        clock: The time.
    """

    _looking = MortalLock()
    lock = MortalLock()

    def __init__(
        self,
        root: str,
        stale_after: float,
        *,
        is_own: bool = False,
        places: Sequence[str | None] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.root = root
        self.stale_after = stale_after
        self.is_own = is_own
        self.clock = clock
        if places is None:
            places = _places(root)
        self._looking = threading.Lock()
        # taken while `_looking` is held, never the other way round; held for short: no journal is read meanwhile
        self.lock = threading.RLock()
        self.store = Store(Database(root, places))
        self.outside: list[str] = []
        """Links that lead out of the root and are not followed, as of the last look: nothing below them is listed."""
        self.patience: dict[int, float] = {}
        """When a journal may be read again, by the number of its experiment; see `Looking`."""

    def close(self) -> None:
        """Let go of the file."""
        with self._looking, self.lock:
            self.store.database.close()

    def look(
        self,
        *,
        everything: bool = False,
        seconds: float | None = None,
        rings: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> Look:
        """Take in what has changed since the last look, of this or of another process.

        Args:
            everything: Whether the files of all experiments are looked at.
            seconds: How long journals may be read; None for until all are.
            rings: Whether processes are asked to write what waits in their memory.
            progress: Is told how many journals were read, and of how many.

        Raises:
            InvalidArgumentError: The root is not a directory.
            OSError: There are no descriptors or no memory to look with, see `is_shortage`.
        """

        def look() -> Look:
            looking = Looking(self, everything=everything, seconds=seconds, rings=rings, progress=progress)
            return looking.look()

        return self._tried(look)

    def look_at(self, path: str, seconds: float | None = None) -> None:
        """Take in what has changed of one experiment, which is known, without a look at others."""
        self._tried(lambda: Looking(self, seconds=seconds, rings=False).look_at(path))

    @contextmanager
    def reading(self) -> Iterator[Store]:
        """Give the tables, for as long as the block takes; it is to be short, for a look waits."""
        with self.lock:
            yield self.store

    def ask(self, question: Callable[[Store], T], *, seconds: float | None = None) -> T:
        """Return what a question finds in the tables; where their file cannot be read any more, in new ones.

        Args:
            question: Reads the tables.
            seconds: How long journals may be read for new ones, see `look`.

        Raises:
            OSError: As `look`.
        """
        try:
            with self.lock:
                return question(self.store)
        except sqlite3.DatabaseError as error:
            with self._looking:
                self._replace(error)
            self.look(seconds=seconds)
            with self.lock:
                return question(self.store)

    def located(self, path: str) -> Located:
        """Return where the experiment with a path lies, and what it is called."""
        directory = self.directory_of(path)
        return Located(path or prefix_under(self.root, directory), directory)

    def directory_of(self, path: str) -> str:
        """Return the directory of an experiment."""
        return os.path.join(self.root, *path.split("/")) if path else self.root

    def _tried(self, look: Callable[[], T]) -> T:
        with self._looking:
            for _ in range(_TRIES):
                try:
                    if os.path.isdir(self.root) and not self.store.database.is_there:
                        self._replace(None)
                    return look()
                except sqlite3.DatabaseError as error:
                    self._replace(error)
            return look()

    def _replace(self, error: sqlite3.Error | None) -> None:
        with self.lock:
            self.store.forget()
            self.patience.clear()
            self.store.database.replace(error)


def _places(root: str) -> list[str | None]:
    """Return where the file may lie; nowhere but in memory where there is nothing yet of which to keep summaries."""
    places = places_for(root, is_experiment=is_experiment(root))
    is_kept = any(place is not None and os.path.isdir(place) for place in places)
    return places if is_kept or has_experiments(root) else [None]
