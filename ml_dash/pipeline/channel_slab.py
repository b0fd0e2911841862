"""A channel's slab: made when a run starts, or with a forked child's first row, and left with the run's end."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from ml_dash.pipeline.batch import NOWHERE
from ml_dash.slabs.slab import make_slab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from ml_dash.events.batch import SeriesNumbers
    from ml_dash.pipeline.queue import EventQueue
    from ml_dash.series import Series
    from ml_dash.settings import Settings
    from ml_dash.slabs.slab import Slab

    MakeSlab = Callable[[str, str, int], "Slab | None"]

    class _Channel(Protocol):
        queue: EventQueue


_FIRST_PLACE = (1, 0)


class ChannelSlab:
    """Gives a queue its slab, and writes down in it what the numbers of series mean.

    `make` makes one for a writer, and `written` says which frame is the journal's last so far. `number` is called under
    the channel's `lock`. None is held while a slab is made: a signal handler of the script's may come in the middle,
    and want any of them.

    Attributes:
        place: up to where the slab's events were taken, by frames that are written or on their way.
    """

    def __init__(
        self,
        queue: EventQueue,
        series: SeriesNumbers,
        make: Callable[[str], Slab | None] | None,
        written: Callable[[], int],
        lock: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._queue = queue
        self._series = series
        self._make = make
        self._written = written
        self._lock = lock
        self.place = NOWHERE
        self._turn: list[str] = []

    def begin(self, writer_id: str) -> None:
        """Begin without one, as another writer: also in a forked child."""
        self.place = NOWHERE
        # What whoever makes a slab has to take: whose it is to be. A list, and no lock, as nothing is to wait for it.
        # Another one than before: a thread that is making a slab now makes it for a writer that writes no more.
        self._turn = [writer_id]

    def arm(self) -> None:
        """Have a slab made when the next event comes, unless `EventQueue.make_slab` is called before."""
        if self._make is not None:
            self._queue.arm(self._open)

    def _open(self) -> None:
        # Two runs of an experiment may begin at once, each with a thread that comes here: a second slab would take the
        # name of the first, and its place in the queue, and the rows in that one would be found by nobody.
        turn = self._turn
        try:
            writer_id = turn.pop()
        except IndexError:
            return
        try:
            slab = self._queue.slab
            if slab is None and self._make is not None:
                slab = self._make(writer_id)
                if slab is not None:
                    self._use(slab, turn)
            elif slab is not None and slab.is_left:
                self.arm()  # the last run's, of which not all is written yet: the next event asks again
        finally:
            turn.append(writer_id)

    def _use(self, slab: Slab, turn: list[str]) -> None:
        with self._lock():
            if turn is not self._turn:
                slab.remove()  # it is the one of a writer that writes no more
                return
            try:
                for number, series in enumerate(self._series.known):
                    slab.declare(number, series)
            except (OSError, ValueError, MemoryError):
                slab.remove()
            else:
                self.place = _FIRST_PLACE
                self._queue.use(slab, self._written)

    def number(self, series: Series) -> int:
        """Return the number that stands for a series; a new one is written down before its first event comes."""
        count = len(self._series.known)
        number = self._series.number(series)
        if number == count:
            self._declare(number, series)
        return number

    def _declare(self, number: int, series: Series) -> None:
        slab = self._queue.slab
        if slab is not None:
            try:
                slab.declare(number, series)
            except (OSError, ValueError, MemoryError):  # no room, or it has just been removed
                # nobody could tell what its rows are: they go where nobody has to
                self._queue.leave_slab()

    def leave_behind(self, writer_id: str) -> None:
        """Have what waits in memory only: a slab is one writer's, and who writes has another name from now on."""
        self._queue.forget_slab()
        self.begin(writer_id)
        self.arm()


def slab_maker(settings: Settings) -> MakeSlab | None:
    """Return what makes slabs for channels with these settings; None where they want none."""
    return partial(make_slab, settings.queue_dir) if settings.crash_proof else None


def before_fork(channels: Iterable[_Channel]) -> None:
    """Have what the forking thread logs take a way on which a child can tell that a slab is its parent's."""
    for channel in tuple(channels):
        channel.queue.before_fork()


def after_fork(channels: Iterable[_Channel]) -> None:
    """In the parent: go on as before."""
    for channel in tuple(channels):
        channel.queue.after_fork()
