"""The one piece of global state: this process's channels, its open runs, and the worker that they share."""

from __future__ import annotations

import gc
import os
import sys
import threading
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.errors import ServerUnavailableError
from ml_dash.forks import guarded_imports, importing
from ml_dash.journal.frame import has_segments, new_writer_id
from ml_dash.locks import MortalLock
from ml_dash.notices import logger
from ml_dash.pipeline.channel import Channel
from ml_dash.pipeline.channel_slab import after_fork, before_fork, slab_maker
from ml_dash.pipeline.exit import Exit
from ml_dash.pipeline.hooks import Hooks
from ml_dash.pipeline.senders import ChannelKey, replay_to, writers_to
from ml_dash.pipeline.solitude import Solitude
from ml_dash.pipeline.threads import LivingSet, apart, begin_apart
from ml_dash.pipeline.worker import Worker
from ml_dash.query.axes.ranks import rank_of
from ml_dash.slabs.bell import forget_bell
from ml_dash.slabs.place import may_hold_slabs
from ml_dash.spawning import behind_starts, forget_starts, is_last_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping

    from ml_dash.client.destination import Destination
    from ml_dash.pipeline.delivery import Recipient
    from ml_dash.pipeline.worker import Job
    from ml_dash.settings import Settings
    from ml_dash.storage.recovery import Recovered
    from ml_dash.upload.outbox import Replay

_T = TypeVar("_T")

_FORGET_AFTER = 5.0  # seconds for which the channel of an ended run is looked after
_IDLE_LINGER = 1.0  # seconds between two rounds where no run is open


if TYPE_CHECKING:

    class OpenRun(Protocol):
        """What the runtime asks of a run that is open in this process."""

        is_open: bool

        def beat(self) -> None:
            """Write a heartbeat."""

        def look(self) -> None:
            """Look whether it is asked to stop."""

        def settle(self) -> None:
            """Wait a moment for what is to be written before the end."""

        def end(self, status: str) -> bool:
            """Queue the end of the run, waiting for nothing; False where it is not this process's or has ended."""

        def forked(self) -> None:
            """Forget, in a forked child, what belongs to the parent."""

        def tell_end(self, *, waited: bool) -> None:
            """Say how the run went, if it has ended and has not said so; never raises.

            What has not arrived is told, too, unless whoever `waited` for it tells that.
            """

        @property
        def is_forsaken(self) -> bool:
            """Whether nothing is left in the script by which it could be ended, or logged to."""

        @property
        def is_by_hand(self) -> bool:
            """Whether it was started by hand, so that no block ends it."""


@cache
def catching_up() -> Callable[[str], list[Recovered]]:
    """Return `catch_up`, imported with the first run or the first read: kept, for a `__del__` can import nothing."""
    with guarded_imports():
        from ml_dash.storage.recovery import catch_up

    return catch_up


@cache
def _import_for_sync() -> None:
    """Import what side files are made with, while no lock is held: a fork would wait for it in the middle."""
    with guarded_imports():
        import hashlib  # noqa: F401 - readers of journals need it

        import ml_dash.query.journal_view  # noqa: F401
    catching_up()


def _latest_ns(journal: str) -> int:
    """Return what `latest_ns` does; a new journal needs nothing of what that imports."""
    if not has_segments(journal):
        return 0
    with guarded_imports():
        from ml_dash.journal.latest import latest_ns

    return latest_ns(journal)


@cache
def _recover_once() -> None:
    """Append what dead processes have left; no forked child does it again."""

    def recover() -> None:
        behind_starts()
        with guarded_imports():
            from ml_dash.storage.recovery import recover_dead

        recover_dead()

    begin_apart(recover)


def _new_channel(
    directory: str, settings: Settings, wake: Callable[[], None], is_alone: Callable[[], bool]
) -> Channel:
    # rows of those who died come before ours
    recovered = catching_up()(directory) if may_hold_slabs() else []
    born_ns = max(SYSTEM_CLOCK.time_ns(), _latest_ns(os.path.join(directory, "journal")) + 1)
    make_slab = slab_maker(settings)
    channel = Channel(
        directory,
        new_writer_id(born_ns, settings.rank),
        settings,
        wake,
        is_alone=is_alone,
        make_slab=make_slab,
    )
    channel.recovered = sum(found.rows for found in recovered)
    return channel


def _without_idle(channels: Mapping[ChannelKey, Channel], in_use: set[Channel]) -> dict[ChannelKey, Channel]:
    """Stop and leave out the channels of runs that ended a while ago.

    Not at once: a thread that was inside a `log` call when the run ended may still be about to put its event.
    """
    idle = {each for each in channels.values() if each not in in_use and each.quiet_for(_FORGET_AFTER)}
    for channel in idle:
        if channel.delivery is not None:
            channel.delivery.stop()
    return {key: channel for key, channel in channels.items() if channel not in idle}


class Runtime:
    """This process's channels and the worker that they share."""

    _lock = MortalLock()

    def __init__(self) -> None:
        # Guards the registry; held while a run is opened. Reentrant: a signal handler or a finalizer of the script may
        # log in the middle, which may start a worker.
        self._lock = threading.RLock()
        # By directory, server and rank: a run that stays local must not be sent because another one of this name is.
        self._channels: dict[ChannelKey, Channel] = {}
        self._runs: dict[OpenRun, Channel] = {}
        self._worker: Worker | None = None
        self._beat_at = float("inf")
        self._over = False  # whether the last handler has run: there is no worker any more
        self._solitude = Solitude()
        self.closing = False
        """Whether the process is about to end: what is still logged is written before the call returns."""
        self._replays: dict[Destination, Replay] = {}
        self._born: LivingSet[Channel] = LivingSet()
        self._exit = Exit(self)
        pause, go_on = partial(before_fork, self._born), partial(after_fork, self._born)
        self._hooks = Hooks(pause, go_on, self._after_fork, self._exit)
        # Whoever may hold an object of ours in a forked child is told, the runs that have ended too.
        self._handles: LivingSet[OpenRun] = LivingSet()

    def opened(
        self,
        run: OpenRun,
        directory: str,
        settings: Settings,
        known: Channel | None,
        recipient: Recipient | None = None,
    ) -> Channel:
        """Look after a run that starts, and return this process's one channel for its directory.

        Args:
            run: the run.
            directory: the experiment's.
            settings: for a new channel.
            known: the channel that the run had before it was reopened.
            recipient: who receives what is written, and what earlier runs left for the same server; None in local mode.
        """
        with self._lock:
            self._hook()
            self._channels = _without_idle(self._channels, set(self._runs.values()))
            url = recipient.destination.url if recipient is not None else None
            key = ChannelKey(directory, url, settings.rank)
            channel = self._channels.get(key) or known
            if channel is None:
                channel = _new_channel(directory, settings, self.wake, lambda: self.is_alone)
                self._born.add(channel)
            before_ns = _latest_ns(channel.journal)
            is_shared = channel in self._runs.values()
            writer_id = new_writer_id(channel.times.next_ns(before_ns), settings.rank)
            channel.resume(writer_id, is_shared=is_shared)
            if recipient is not None:
                channel.deliver(recipient, self)
            if channel.delivery is not None:
                channel.delivery.begin()
            # Replaced, never changed: the worker walks over it without a lock.
            self._channels = {**self._channels, key: channel}
            self._runs[run] = channel
            self._handles.add(run)
            self._ensure_worker()
            if recipient is not None:
                self._prepare_uploads()
                if self._worker is None and channel.delivery is not None:
                    channel.delivery.lose_hope()
                self._replay(recipient.destination)
            self._beat_at = min(self._beat_at, SYSTEM_CLOCK.monotonic() + self._heartbeat())
            return channel

    def _replay(self, destination: Destination) -> None:
        """Have sent what earlier runs have left for a server, once for each."""
        if destination not in self._replays:
            self._replays[destination] = replay_to(destination, self._born, lambda: self._channels, self)

    def senders_own(self, url: str) -> frozenset[str]:
        """Return the writers of this process that send to a server what they write."""
        return writers_to(tuple(self._born), url)

    def _prepare_uploads(self) -> None:
        if self._worker is not None:
            self._worker.start_uploads()

    def closed(self, run: OpenRun) -> None:
        """Forget a run that has ended; the last one closes the journal's file.

        Another run of the experiment may begin at any moment, in another thread. Under the lock it has either begun,
        and nothing is taken from under it; or it will, and finds a channel that has left its slab, or its journal.
        """
        with self._lock:
            channel = self._runs.pop(run, None)
            if channel is None or channel in self._runs.values():
                return
            channel.queue.leave_slab()
        _begin(channel.close, None if is_last_thread() else self._worker).wait()
        with self._lock:
            delivery = None if channel in self._runs.values() else channel.begin_tidy()
        if delivery is not None:
            delivery.tidy()

    def end_forsaken(self, channel: Channel, status: str) -> None:
        """End the forsaken runs of an experiment of which a run has just ended: nobody else will."""
        others = {run: its for run, its in tuple(self._runs.items()) if its.directory == channel.directory}
        if any(run.is_open and run.is_by_hand and not run.is_forsaken for run in others):
            gc.collect()  # it may only be held by a circle of the script's own objects
        for run, its in others.items():
            if run.is_forsaken and run.end(status):
                if its is not channel:
                    self.flush(its)
                self.closed(run)

    def wake(self) -> None:
        """Have the worker begin a round; start it where there is none, as in a forked child."""
        worker = self._worker or self._ensure_worker()
        if worker is not None:
            worker.wake()
        elif not self._over:
            self._tick()  # in whichever thread logs: there is no other

    @property
    def is_alone(self) -> bool:
        """Whether there is no worker: whoever logs has to write."""
        return self._worker is None

    def expect(self) -> None:
        """Be ready for what will be logged sooner or later, as values that are buffered are."""
        if self._worker is None:
            self._ensure_worker()

    def flush(self, channel: Channel, timeout: float | None = None) -> bool:
        """Write and sync what a channel holds now, waiting at most `timeout` seconds; False where that is over."""
        return self.begin_flush(channel).wait(timeout)

    def begin_flush(self, channel: Channel) -> threading.Event:
        """Have what a channel holds now written and synced; the event is set when it is."""
        worker = None
        if not is_last_thread():
            _import_for_sync()
            worker = self._worker or self._ensure_worker()
        return _begin(channel.flush, worker)

    def live_channels(self, directory: str) -> list[Channel]:
        """Return the channels by which this process writes to an experiment's directory."""
        return [channel for key, channel in self._channels.items() if key.directory == directory]

    def write_queued(self, channel: Channel) -> None:
        """Write what a channel holds now, so that a reader finds it."""
        if not channel.is_written():
            apart(channel.write_queued)

    def flush_through(self, channel: Channel) -> None:
        """Flush for a caller that wants its row on disk: for as long as it takes, or as exit may still wait."""
        self.flush(channel, self._exit.time_left(channel) if self.closing else None)

    def finish(self, channel: Channel) -> None:
        """Complete the journal of a run that ends, and wait for its server, for as long as that can be reached."""
        self._exit.finish(channel)

    def ask(self, question: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine on the background thread's loop; `ServerUnavailableError` where there is none."""
        with self._lock:  # for two that ask at once: a thread is started once only
            self._hook()
            worker = self._ensure_worker(even_idle=True)
            if worker is not None:
                worker.start_uploads()
        if worker is None:
            question.close()
            raise ServerUnavailableError(
                "a server cannot be asked now: no thread can be started, since the interpreter is ending, or a limit "
                "on processes is reached"
            )
        return worker.call(question)

    async def read(self, work: Callable[[], _T]) -> _T:
        """Read or write files on the thread for uploads, for a coroutine on the background thread's loop."""
        worker = self._worker
        return work() if worker is None else await worker.read(work)

    async def look_up(self, work: Callable[[], _T]) -> _T:
        """Look up a host name on the thread for that, for a coroutine on the background thread's loop."""
        worker = self._worker
        return work() if worker is None else await worker.look_up(work)

    def _ensure_worker(self, *, even_idle: bool = False) -> Worker | None:
        if self._over or self._solitude.lasts:
            return None  # without a lock: the caller may be in the middle of anything
        with self._lock:
            if self._worker is None and (self._channels or even_idle):
                self._hooks.watch()
                self._hooks.wake_up()  # a forked child that logs has something to save from SIGTERM now
                worker = Worker(self.open_channels, self._linger, self._tick, self._jobs, self._hooks.wakeup)
                if not worker.start():
                    # from 3.12 on there are none when the main thread has ended
                    is_ending = is_last_thread() or not threading.main_thread().is_alive()
                    self._solitude.begin(quietly=self.closing or is_ending)
                    return None
                self._worker = worker
                _recover_once()
                self._solitude.end(self._channels.values())
                if any(channel.delivery is not None for channel in self._channels.values()):
                    self._prepare_uploads()  # in a forked child the runs are open already
            return self._worker

    @property
    def is_up(self) -> bool:
        """Whether all is imported that is needed to write what waits."""
        return self._worker is None or (self._worker.ready and "numpy" in sys.modules and not importing())

    def open_channels(self) -> Collection[Channel]:
        """Return this process's channels, but those of runs that ended a while ago."""
        return self._channels.values()

    def _linger(self) -> float:
        return min((channel.linger for channel in self._channels.values()), default=_IDLE_LINGER)

    def _jobs(self) -> Iterable[Job]:
        deliveries = [channel.delivery for channel in self._channels.values() if channel.delivery is not None]
        return [*deliveries, *self._replays.values()]

    def _heartbeat(self) -> float:
        return min(channel.settings.heartbeat for channel in self._channels.values())

    def _tick(self) -> None:
        now = SYSTEM_CLOCK.monotonic()
        if now >= self._beat_at:
            self._beat_at = now + self._heartbeat()
            for run in tuple(self._runs):
                run.beat()
        for run in tuple(self._runs):
            run.look()

    def watch(self) -> None:
        """Notice SIGTERM and forks from now on; in the main thread, where alone that can be done."""
        self._hooks.watch()

    def _hook(self) -> None:
        if not self._hooks.install():
            self.closing = True

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        forget_bell()
        forget_starts()
        self._worker = None
        self._runs = {}
        self._replays = {}
        self.closing = self._over = False
        self._solitude = Solitude()
        self._exit.forked()
        # The channels of ended runs too: whoever reopens such a run here must not write in the parent's name.
        for channel in tuple(self._born):
            channel.times.renew()
            channel.reset(new_writer_id(channel.times.next_ns(), rank_of(channel.writer_id)))
        for run in tuple(self._handles):
            run.forked()

    def end_runs(self, status: str) -> None:
        """Queue the end of the open runs, in the thread that ends the process: it must not wait for room in a queue."""
        self.closing = True
        for channel in self.open_channels():
            channel.queue.exempt_this_thread()
        for run in tuple(self._handles):
            try:
                run.end(status)
            except Exception:  # noqa: BLE001 - a warning that is an error, in one run, must not stop the others
                logger().exception("A run could not be ended; its rows are written all the same.")

    def runs(self) -> tuple[OpenRun, ...]:
        """Return the runs of this process that are open, and those whose objects are still there."""
        return tuple(self._handles)

    def told(self, channel: Channel) -> None:
        """Note that the user knows what is pending of a channel now."""
        self._exit.told(channel)

    def hang_up(self, timeout: float) -> None:
        """Close the connections to servers, waiting at most `timeout` seconds."""
        if self._worker is not None:
            self._worker.hang_up(timeout)

    def end_worker(self, timeout: float) -> None:
        """End the threads; what is logged after that is written by whoever logs it."""
        with self._lock:
            self._over = True
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop(timeout)
        forget_bell()


RUNTIME = Runtime()


def open_runs(directory: str) -> list[OpenRun]:
    """Return the runs of an experiment's directory that are open in this process."""
    runs = tuple(RUNTIME._runs.items())  # noqa: SLF001 - its own module; the class is large enough
    return [run for run, channel in runs if channel.directory == directory and run.is_open]


def _begin(work: Callable[[], None], worker: Worker | None) -> threading.Event:
    """Do this where Ctrl-C cannot cut it in half, by the worker's thread for the disk if there is one."""
    if worker is None:
        return begin_apart(work)
    if not worker.is_current:
        return worker.begin(work)
    done = threading.Event()
    work()
    done.set()
    return done
