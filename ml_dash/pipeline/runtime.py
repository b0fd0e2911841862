"""The one piece of global state: this process's channels, its worker, and its hooks at fork and exit.

Exit happens in two steps. When the interpreter begins to shut down (``threading._register_atexit``, which also runs
in ``multiprocessing`` children) everything is flushed; other threads may still be logging. After they have been joined
(``atexit``) the runs that are still open are ended and flushed. Neither step needs a new thread, a working
event loop, or an import: where the worker is not up yet, the calling thread writes the journal itself. What is
logged after that, by other handlers of the script, goes straight to disk.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shlex
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.forks import guarded_imports, hook_forks
from ml_dash.logger import logger
from ml_dash.pipeline.channel import Channel
from ml_dash.pipeline.delivery import Delivery
from ml_dash.pipeline.exit_bar import exit_bar
from ml_dash.pipeline.signals import Termination
from ml_dash.pipeline.threads import apart, begin_apart
from ml_dash.pipeline.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterable
    from types import FrameType

    from ml_dash.client.destination import Destination
    from ml_dash.pipeline.counters import Counters
    from ml_dash.pipeline.delivery import Recipient
    from ml_dash.pipeline.exit_bar import Left
    from ml_dash.pipeline.threads import Pending
    from ml_dash.pipeline.worker import Job
    from ml_dash.settings import Settings
    from ml_dash.upload.outbox import Replay

__all__ = ["RUNTIME", "OpenRun", "Runtime", "new_writer_id"]

_T = TypeVar("_T")

_FORGET_AFTER = 5.0
"""Seconds for which the channel of an ended run is looked after."""
_IDLE_LINGER = 1.0
"""Seconds between two rounds where no run is open."""
_QUIET_EXIT = 1.0
"""Seconds for which an exit that waits for a server says nothing."""
_DRAWN_EVERY = 0.1
"""Seconds between two pictures of how far that is."""
_PARTING = 0.2
"""Seconds of the exit timeout that are kept for what comes after the waiting for servers."""
_LAST_WORD = 0.25
"""Seconds that exit waits for the end rows even where the exit timeout has run out before."""


class OpenRun(Protocol):
    """What the runtime asks of a run that is open in this process."""

    def beat(self) -> None:
        """Leave a sign of life."""
        ...

    def end(self, status: str) -> bool:
        """Queue the end of the run, waiting for nothing; False where it is not this process's or has ended."""
        ...

    def forked(self) -> None:
        """Forget, in a forked child, what belongs to the parent."""
        ...


def new_writer_id() -> str:
    """Name a writer of journals: sorts by birth, and no two are alike."""
    return f"{time.time_ns():016x}-{os.getpid():x}-{os.urandom(4).hex()}"


class _ServerWait(NamedTuple):
    """Somebody waits, so many seconds at most, for what is set when a channel's server has all."""

    channel: Channel
    delivery: Delivery
    done: Pending
    seconds: float

    def until(self, started: float, *, at_most: float = float("inf")) -> None:
        """Wait; the time began at `started`."""
        self.done.wait(max(0.0, self.left(started, at_most)))

    def left(self, started: float, at_most: float = float("inf")) -> float:
        """Return the seconds that are left of the waiting."""
        return started + min(self.seconds, at_most) - SYSTEM_CLOCK.monotonic()


class Runtime:
    """This process's channels and the worker that they share."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        # By directory and server: a run that stays local must not be sent because another one of this name is.
        self._channels: dict[tuple[str, str | None], Channel] = {}
        self._runs: dict[OpenRun, Channel] = {}
        self._worker: Worker | None = None
        self._beat_at = float("inf")
        self._hooked = False
        self._over = False  # whether the last handler has run: there is no worker any more
        self.closing = False
        """Whether the process is about to end: what is still logged is written before the call returns."""
        self._replays: dict[Destination, Replay] = {}
        self._waited = 0.0  # seconds that exit has waited so far
        self._told: dict[Channel, Counters] = {}
        self._termination = Termination(self._terminate, self._sigterm_timeout)
        # Whoever may hold an object of ours in a forked child is told, the runs that have ended too.
        self._handles: weakref.WeakSet[OpenRun] = weakref.WeakSet()
        self._born: weakref.WeakSet[Channel] = weakref.WeakSet()

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
            self._forget_idle()
            key = directory, recipient.destination.url if recipient is not None else None
            channel = self._channels.get(key) or known
            if channel is None:
                channel = Channel(directory, new_writer_id(), settings, self.wake)
                self._born.add(channel)
            channel.resume(new_writer_id())
            if recipient is not None:
                channel.deliver(recipient, self)
            if channel.delivery is not None:
                channel.delivery.renew_patience()
            # Replaced, never changed: the worker walks over it without a lock.
            self._channels = {**self._channels, key: channel}
            self._runs[run] = channel
            self._handles.add(run)
            self._ensure_worker()
            if recipient is not None:
                self._prepare_uploads()
                if self._worker is None and channel.delivery is not None:
                    channel.delivery.stop()  # the interpreter is ending: nobody runs it
                self._replay(recipient.destination)
            self._beat_at = min(self._beat_at, SYSTEM_CLOCK.monotonic() + self._heartbeat())
            return channel

    def _replay(self, destination: Destination) -> None:
        """Have sent what earlier runs have left for a server, once for each."""
        if destination not in self._replays:
            with guarded_imports():
                from ml_dash.upload.outbox import Replay

            self._replays[destination] = Replay(destination, self._own_writers, self.read, self.look_up)

    def _own_writers(self) -> frozenset[str]:
        return frozenset(channel.writer_id for channel in tuple(self._born))

    def _prepare_uploads(self) -> None:
        """Have ready what an upload needs, at the interpreter's exit too, where no thread can be started any more."""
        if self._worker is not None:
            with contextlib.suppress(RuntimeError):  # the interpreter is ending: nothing is sent any more
                self._worker.start_uploads()

    def closed(self, run: OpenRun) -> None:
        """Forget a run that has ended; the last one closes the journal's file."""
        with self._lock:
            channel = self._runs.pop(run, None)
            last = channel is not None and channel not in self._runs.values()
        if channel is not None and last:
            apart(channel.close)
            channel.tidy()

    def _forget_idle(self) -> None:
        """Drop the channels of runs that ended a while ago.

        Not at once: a thread that was inside a `log` call when the run ended may still be about to put its event.
        """
        open_channels = set(self._runs.values())
        forgotten = {
            channel
            for channel in self._channels.values()
            if channel not in open_channels and channel.quiet_for(_FORGET_AFTER)
        }
        for channel in forgotten:
            if channel.delivery is not None:
                channel.delivery.stop()
        self._channels = {key: channel for key, channel in self._channels.items() if channel not in forgotten}

    def wake(self) -> None:
        """Have the worker begin a round; start it where there is none, as in a forked child."""
        worker = self._worker or self._ensure_worker()
        if worker is not None:
            worker.wake()

    def flush(self, channel: Channel, timeout: float | None = None) -> bool:
        """Write and sync what a channel holds now, waiting at most `timeout` seconds; False where that is over."""
        return self.begin_flush(channel).wait(timeout)

    def begin_flush(self, channel: Channel) -> threading.Event:
        """Have what a channel holds now written and synced; the event is set when it is."""
        worker = self._worker or self._ensure_worker()
        if worker is None:
            return begin_apart(channel.flush)
        if not worker.is_current:
            return worker.flush(channel)
        done = threading.Event()
        channel.flush()
        done.set()
        return done

    def live_channels(self, directory: str) -> list[Channel]:
        """Return the channels by which this process writes to an experiment's directory."""
        return [channel for (place, _), channel in self._channels.items() if place == directory]

    def settle(self, channel: Channel) -> None:
        """Write what a channel holds now, so that a reader finds it."""
        if not channel.is_settled():
            apart(channel.settle)

    def flush_through(self, channel: Channel) -> None:
        """Flush for a caller that wants its row on disk: for as long as it takes, or as exit may still wait."""
        self.flush(channel, max(0.0, channel.settings.exit_timeout - self._waited) if self.closing else None)

    def drain(self, least: float = 0.0, *, last: bool = True) -> None:
        """Flush every channel for an exit that waits no longer than their exit timeout in all, but `least` seconds.

        First all journals are completed, on the disk; then what is left of the time is for the servers.
        """
        started = SYSTEM_CLOCK.monotonic()
        waited = self._waited

        def left(channel: Channel) -> float:
            timeout = channel.settings.exit_timeout
            return max(0.0, started + max(timeout - waited, min(least, timeout)) - SYSTEM_CLOCK.monotonic())

        flushed = {}
        try:
            for channel in self._channels.values():
                flushed[channel] = self.flush(channel, left(channel))
            self._deliver(
                self._channels.values(),
                lambda channel: max(0.0, left(channel) - _PARTING),
                Delivery.begin_drain,
            )
        except KeyboardInterrupt:
            waited = float("inf")  # the user waits no longer
        for channel in self._channels.values():
            self._report(channel, done=flushed.get(channel, False), last=last)
        self._waited = waited + SYSTEM_CLOCK.monotonic() - started

    def finish(self, channel: Channel) -> None:
        """Complete the journal of a run that ends, and wait for its server, for as long as that can be reached."""
        self.flush(channel)
        if channel.delivery is None:
            return
        deadline = SYSTEM_CLOCK.monotonic() + channel.settings.flush_timeout
        self._deliver([channel], lambda _: max(0.0, deadline - SYSTEM_CLOCK.monotonic()), Delivery.begin_wait)

    def _deliver(
        self,
        channels: Iterable[Channel],
        left: Callable[[Channel], float],
        begin: Callable[[Delivery], Pending],
    ) -> None:
        """Wait for servers to have what is in the journals; say so where it takes a while.

        The end of a run and the exit behind it wait once for a server that answers nothing, and not twice.
        """
        waits = [
            _ServerWait(
                channel, channel.delivery, begin(channel.delivery), channel.delivery.patience(left(channel))
            )
            for channel in channels
            if channel.delivery is not None
        ]
        started = SYSTEM_CLOCK.monotonic()
        try:
            for wait in waits:
                wait.until(started, at_most=_QUIET_EXIT)
            late = [wait for wait in waits if not wait.done.is_set() and wait.seconds > _QUIET_EXIT]
            if late:
                logger().warning(
                    "Sending the last rows to %s (%s to go). Ctrl-C leaves at once, and loses nothing: `ml-dash sync` "
                    "sends the rest.",
                    late[0].delivery.url,
                    _to_go([wait.channel.counters() for wait in late]),
                )
            self._watch(late, started)
        except KeyboardInterrupt:
            for wait in waits:
                wait.delivery.waited_in_vain(float("inf"))  # the user waits no longer
            raise
        for wait in waits:
            if not wait.done.is_set():
                wait.delivery.waited_in_vain(SYSTEM_CLOCK.monotonic() - started)

    @staticmethod
    def _watch(late: Collection[_ServerWait], started: float) -> None:
        """Wait to the end, and show on a terminal how far it is."""
        with exit_bar(lambda: _left([wait.channel for wait in late])) as show:
            for wait in late:
                while (seconds := wait.left(started)) > 0 and not wait.done.wait(min(_DRAWN_EVERY, seconds)):
                    show()

    def ask(self, question: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine on the background thread's loop, and return what it returns.

        Raises:
            RuntimeError: the interpreter is ending, and there is no such thread.
        """
        with self._lock:
            self._hook()
        worker = self._ensure_worker(even_idle=True)
        if worker is None:
            question.close()
            raise RuntimeError("the interpreter is ending: nothing can be asked any more")
        worker.start_uploads()
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
        with self._lock:
            if self._worker is None and not self._over and (self._channels or even_idle):
                worker = Worker(self._open_channels, self._linger, self._tick, self._jobs)
                try:
                    worker.start()
                except RuntimeError:
                    return None  # the interpreter is ending: whoever flushes does it in its own thread
                self._worker = worker
                if any(channel.delivery is not None for channel in self._channels.values()):
                    self._prepare_uploads()  # in a forked child the runs are open already
            return self._worker

    def _open_channels(self) -> Collection[Channel]:
        return self._channels.values()

    def _linger(self) -> float:
        return min((channel.settings.linger for channel in self._channels.values()), default=_IDLE_LINGER)

    def _jobs(self) -> Iterable[Job]:
        deliverys = [channel.delivery for channel in self._channels.values() if channel.delivery is not None]
        return [*deliverys, *self._replays.values()]

    def _heartbeat(self) -> float:
        return min(channel.settings.heartbeat for channel in self._channels.values())

    def _tick(self) -> None:
        now = SYSTEM_CLOCK.monotonic()
        if now >= self._beat_at:
            self._beat_at = now + self._heartbeat()
            for run in tuple(self._runs):
                run.beat()

    def _hook(self) -> None:
        """Register what must happen at a fork, at exit and at SIGTERM; once a process tree."""
        if not self._hooked:
            self._hooked = True
            hook_forks()
            if hasattr(os, "register_at_fork"):
                # Such hooks are freed when little of the interpreter is left: ours keeps nothing alive till then.
                after_fork = weakref.WeakMethod(self._after_fork)
                os.register_at_fork(after_in_child=lambda: (begin_anew := after_fork()) and begin_anew())
            atexit.register(self._at_exit)
            # Private, and there since 3.9; where it is not, `atexit` does.
            register: Any = getattr(threading, "_register_atexit", atexit.register)
            try:
                register(self._at_shutdown)
            except RuntimeError:
                self.closing = True  # the interpreter is ending already, and may run no new handler
        self._termination.hook()

    def _after_fork(self) -> None:
        """Begin anew in a forked child: the parent's rows, runs and thread are the parent's."""
        self._lock = threading.RLock()
        self._worker = None
        self._runs = {}
        self._replays = {}
        self.closing = self._over = False
        self._waited = 0.0
        self._told = {}
        self._termination.forked()
        # The channels of ended runs too: whoever reopens such a run here must not write in the parent's name.
        for channel in tuple(self._born):
            channel.reset(new_writer_id())
        for run in tuple(self._handles):
            run.forked()

    def _at_shutdown(self) -> None:
        """Flush what was logged so far; threads that go on logging have yet to be joined."""
        exit_code = _exit_code(sys._getframe())  # noqa: SLF001 - `inspect` costs too much for one name
        if exit_code is not None:
            self._end_all("FAILED" if exit_code else "COMPLETED")
        self.drain(last=exit_code is not None)

    def _at_exit(self) -> None:
        failed = hasattr(sys, "last_type") and not hasattr(sys, "ps1")
        self._end_all("FAILED" if failed else "COMPLETED")
        self.drain(_LAST_WORD)
        self._hang_up()
        self._termination.conclude()

    def _hang_up(self) -> None:
        """Close the connections to servers, so that nothing complains of them while the interpreter goes down."""
        with contextlib.suppress(KeyboardInterrupt):  # the interpreter closes them, then, with a complaint
            self._hang_up_all()
            self._end_worker()

    def _hang_up_all(self) -> None:
        deliverys = [channel.delivery for channel in self._channels.values() if channel.delivery is not None]
        for delivery in deliverys:
            delivery.stop()
        deadline = SYSTEM_CLOCK.monotonic() + _LAST_WORD
        for delivery in deliverys:
            if delivery.has_all:  # else it waits for its server, as others have done before it in vain
                delivery.wait_finished(max(0.0, deadline - SYSTEM_CLOCK.monotonic()))
        if self._worker is not None:
            self._worker.hang_up(_LAST_WORD)
        for channel in self._channels.values():
            channel.tidy()

    def _end_worker(self) -> None:
        """End the threads; what is logged after that is written by whoever logs it."""
        with self._lock:
            self._over = True
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop(_LAST_WORD)

    def _terminate(self, timeout: float) -> None:
        deadline = SYSTEM_CLOCK.monotonic() + timeout
        self._end_all("CANCELLED")
        # Twice: threads go on logging, and one may have been inside a call when its run ended.
        for channel in (*self._channels.values(), *self._channels.values()):
            self.flush(channel, max(0.0, deadline - SYSTEM_CLOCK.monotonic()))

    def _sigterm_timeout(self) -> float:
        return min((channel.settings.sigterm_timeout for channel in self._channels.values()), default=0.0)

    def _end_all(self, status: str) -> None:
        """End the runs that are open, in the thread that ends the process: it must not wait for room in a queue."""
        self.closing = True
        for channel in self._channels.values():
            channel.queue.exempt_this_thread()
        for run in tuple(self._handles):
            try:
                run.end(status)
            except Exception:  # noqa: BLE001 - a warning that is an error, in one run, must not stop the others
                logger().exception("A run could not be ended; its rows are written all the same.")

    def _report(self, channel: Channel, *, done: bool, last: bool) -> None:
        """Say at exit, once, what is not on disk, and what is there and not at the server."""
        counters = channel.counters()
        unsure = 0 if done and not channel.failing else counters.unsafe
        if (unsure or counters.dropped) and self._told.get(channel) != counters:
            logger().warning(
                "%s: at exit, rows not known to be on disk: %d; dropped: %s%s.",
                channel.journal,
                unsure,
                dict(counters.dropped) or "none",
                f" ({channel.last_error})" if channel.last_error else "",
            )
        late = channel.delivery is not None and (counters.pending > unsure or not channel.delivery.has_all)
        if last and channel.delivery is not None and late and self._told.get(channel) != counters:
            logger().warning(
                "%s does not have %s yet, safe in the journal: `ml-dash sync %s` sends what is missing.",
                channel.delivery.url,
                _to_go([counters], unsure) if counters.pending > unsure else "the end of the run",
                shlex.quote(channel.directory),
            )
        if last or unsure or counters.dropped:
            self._told[channel] = counters


def _left(channels: Iterable[Channel]) -> Left:
    """Return what servers do not have yet: rows, and bytes of files."""
    counters = [(channel.counters(), channel.delivery) for channel in channels]
    arrived = sum(delivery.blobs.arrived_bytes for _, delivery in counters if delivery is not None)
    size = sum(each.pending_blob_bytes for each, _ in counters)
    return sum(each.pending for each, _ in counters), max(0, size - arrived)


def _to_go(counters: Collection[Counters], unsure: int = 0) -> str:
    """Say how much a server does not have."""
    rows = _several(sum(each.pending for each in counters) - unsure, "row")
    files = sum(each.pending_files for each in counters)
    size = sum(each.pending_blob_bytes for each in counters)
    shown = f"{size / 1e6:.1f} MB" if size >= 100_000 else _several(size, "byte")
    return f"{rows}, and the contents of {_several(files, 'file')} ({shown})" if files else rows


def _several(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _exit_code(frame: FrameType | None) -> int | None:
    """Return the exit code of a child of `multiprocessing` that ends with this frame's stack; else None.

    A forked one runs no `atexit` handlers: this is its only moment for ending the runs that it opened. And whether
    its function raised, `multiprocessing` keeps to itself.
    """
    while frame is not None:
        if frame.f_code.co_name == "_bootstrap" and isinstance(code := frame.f_locals.get("exitcode"), int):
            return code
        frame = frame.f_back
    return None


RUNTIME = Runtime()
