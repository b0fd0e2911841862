"""The background thread: one a process, running an anyio event loop, shared by all experiments.

It polls the queues at the linger interval, so that a call need not wake it, and sleeps when nothing has come for
a while. It moves a slice at a time and lets go of the interpreter between two, so that it never stalls the
training thread for long. An fsync runs on a second thread, and moving goes on meanwhile.

Problem: the loop may fail, such as for want of a file descriptor, or where asyncio, or what it imports, is broken. Rows
must reach the disk all the same. So the thread then does its rounds without a loop, and tries a new one every minute;
nothing is sent meanwhile, and nobody waits for it. Where there can be no thread at all, see `StandIn`.

What was tried and does not work: taking the event loop that the program has asked for, by its policy, or uvloop where
it is installed. Such a loop may be made for one thread only, such as Qt's, and uvloop takes down a process that ends
while it starts. Nothing is gained: the loop sleeps nearly all the time.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
import time
import weakref
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ml_dash.alarm import Alarm
from ml_dash.errors import ServerUnavailableError
from ml_dash.forks import guarded_imports, importing
from ml_dash.notices import logger
from ml_dash.pipeline.mover import SLICE, SLICE_BYTES
from ml_dash.pipeline.threads import WorkThread
from ml_dash.slabs.bell import current_bell
from ml_dash.spawning import behind_starts, let_threads_go, start_thread, threads_are_greenlets
from ml_dash.values.pack import packer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Iterable

    from anyio.abc import TaskGroup

    from ml_dash.pipeline.channel import Channel
    from ml_dash.pipeline.wakeup import Wakeup
    from ml_dash.slabs.bell import Bell

_T = TypeVar("_T")

_IDLE_AFTER = 20  # polls without work before the worker sleeps until it is woken
_IDLE_SLEEP = 1.0  # seconds after which a sleeping worker looks around: heartbeats, a disk to try again
_BREATH = 0.0005  # seconds between two slices in which the other threads have the interpreter to themselves
_NEEDED = (
    # for the side files, when `channel.sync` writes them
    *("json", "hashlib", "ml_dash.query.journal_view", "ml_dash.storage.recovery"),
    *("inspect", "platform", "uuid", "decimal", "msgspec", "ml_dash.storage.stopping"),
    *(
        "logging",
        "concurrent.futures",
        "subprocess",
        "ssl",
        "asyncio",
        "anyio",
        "anyio.abc",
        "anyio.streams.memory",
    ),
)
"""What this thread imports, in pieces: between two of them other threads have the interpreter to themselves."""
_LONGEST_IMPORT = (
    5.0  # seconds by which its end may take longer in the middle of that: a busy machine takes some
)
_LOOK = 0.02  # seconds between two looks at a thread that is to end
_NEXT_LOOP = 60.0  # seconds after a loop that failed until another one is tried


if TYPE_CHECKING:

    class Job(Protocol):
        """Something that runs on the worker's loop beside the moving of events, such as an upload."""

        async def run(self) -> None:
            """Do it; never raise. What may wait for the disk, or for a host name, is done on other threads."""


class Worker:
    """Moves events from the channels' queues to their journals; at each round, `tick`s and runs `jobs` that are new.

    Between rounds `wakeup` is attended to.
    """

    def __init__(
        self,
        channels: Callable[[], Iterable[Channel]],
        linger: Callable[[], float],
        tick: Callable[[], None],
        jobs: Callable[[], Iterable[Job]],
        wakeup: Wakeup,
    ) -> None:
        self._channels = channels
        self._jobs = jobs
        self._linger = linger
        self._tick = tick
        self._wakeup = wakeup
        self._loop: asyncio.AbstractEventLoop | None = None
        self._alarm = Alarm()
        self._disk = WorkThread("ml-dash-disk")
        # Another one: what is sent must not wait for an fsync, nor an fsync for what is sent.
        self._uploads = WorkThread("ml-dash-upload")
        # And one more: looking up a host name can hang for as long as the network's own time-outs.
        self._names = WorkThread("ml-dash-names")
        # The fsync of a large blob takes minutes, for which that of the journal must not wait.
        self._blobs = WorkThread("ml-dash-blobs")
        self._others = self._disk, self._uploads, self._names, self._blobs
        # Weak: a delivery that the runtime forgets must be freed with its journal, though the worker lives on.
        self._begun: weakref.WeakSet[Job] = weakref.WeakSet()
        self._standing = threading.Event()
        self._failure = ""
        self._is_uploading = False
        self._bell: Bell | None = None
        self._syncing: set[Channel] = set()
        self._syncing_blobs: set[Channel] = set()
        self._starting = ExitStack()
        self._ending = self._is_importing = False
        self._thread: threading.Thread | None = None

    def start(self) -> bool:
        """Start the threads; False where there can be none."""
        self._disk.start()
        self._thread = start_thread(self._run, "ml-dash")
        if self._thread is None:
            self._disk.end()
        return self._thread is not None

    def start_uploads(self) -> None:
        """Start the threads that uploads need, and the uploads."""
        self._uploads.start()
        self._names.start()
        self._is_uploading = True
        self.wake()

    def call(self, work: Coroutine[Any, Any, _T], timeout: float | None = None) -> _T:
        """Run a coroutine on the loop and return what it returns.

        TimeoutError where it takes longer than `timeout` seconds, `ServerUnavailableError` where there is no loop, or
        the caller is in the middle of its work.
        """
        import asyncio

        if self._thread is not threading.current_thread():
            let_threads_go()
            # The first call may come while the loop is still being imported.
            self._standing.wait(timeout)
            loop = self._loop
            if loop is not None:
                return asyncio.run_coroutine_threadsafe(work, loop).result(timeout)
        work.close()
        raise ServerUnavailableError(
            "a server cannot be asked now: the event loop of the background thread does not run "
            f"({self._failure or 'it has ended'})"
        )

    def hang_up(self, timeout: float) -> None:
        """Close the connections to servers, waiting at most `timeout` seconds."""
        # Not imported for this, and perhaps just being imported by the loop: then there is no connection yet.
        close_session = getattr(sys.modules.get("ml_dash.client.http"), "close_session", None)
        if close_session is not None and self.ready:
            import concurrent.futures

            with contextlib.suppress(
                concurrent.futures.TimeoutError,
                concurrent.futures.CancelledError,
                RuntimeError,
                ServerUnavailableError,
            ):
                self.call(close_session(), timeout)

    def stop(self, timeout: float) -> None:
        """End the loop and the threads, waiting at most `timeout` seconds; what they have not begun is not done.

        An interpreter that goes down under threads of ours frees what they are using. So they end before it does,
        but for one that hangs, such as on a disk that answers nothing.
        """
        deadline = time.monotonic() + timeout
        latest = deadline + _LONGEST_IMPORT
        self._ending = True
        self.wake()
        for other in self._others:
            other.end()
        for thread in self._threads():
            while thread is not None and thread.is_alive():
                now = time.monotonic()
                if self._is_importing or importing():  # which ends soon, and cannot be told to
                    deadline = min(latest, now + timeout)
                if now >= deadline:
                    break
                thread.join(min(_LOOK, deadline - now))

    async def read(self, work: Callable[[], _T]) -> _T:
        """Do what may wait for the disk, for an upload; see `WorkThread.do`."""
        return await self._uploads.do(work)

    async def look_up(self, work: Callable[[], _T]) -> _T:
        """Look up a host name; see `WorkThread.do`."""
        return await self._names.do(work)

    @property
    def ready(self) -> bool:
        """Whether the loop runs and takes requests."""
        return self._loop is not None and self._thread is not None and self._thread.is_alive()

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on one of this worker's threads, as a finalizer of the script may."""
        return threading.current_thread() in self._threads()

    def _threads(self) -> list[threading.Thread | None]:
        """Return the threads; None in the place of one that was not started, or refused."""
        return [self._thread, *(other.thread for other in self._others)]

    def wake(self) -> None:
        """Begin a round soon; from any thread."""
        self._alarm.wake()

    def begin(self, work: Callable[[], None]) -> threading.Event:
        """Have the thread for the disk do this, and the event set then; the loop need not stand."""
        return self._disk.begin(work)

    def _run(self) -> None:
        behind_starts()
        while not self._ending:
            try:
                self._is_importing = True
                with ExitStack() as self._starting:
                    self._run_loop()
            except BaseException as error:  # noqa: BLE001 - whatever it is, it must not end the tracking
                # On the next loop all jobs are begun once more.
                self._write_without_loop(error)

    def _run_loop(self) -> None:
        for name in _NEEDED:
            if self._ending:
                return
            with guarded_imports():
                importlib.import_module(name)
            threading.Event().wait(_BREATH)
        packer()
        if self._ending:
            return
        # Until the loop stands, and with it the rest that it imports: `_main` lets go of it.
        self._starting.enter_context(guarded_imports())
        import anyio

        anyio.run(self._main, backend_options={"loop_factory": _new_loop})

    def _write_without_loop(self, error: BaseException) -> None:
        """Do the rounds of the loop that has failed, but for the jobs, until it is time for another loop."""
        self._is_importing = False
        with contextlib.suppress(Exception):  # where memory is short, there may be none to tell of it
            self._tell(error)
        self._standing.set()
        until = time.monotonic() + _NEXT_LOOP
        while not self._ending and time.monotonic() < until:
            try:
                for channel in self._channels():
                    if channel.delivery is not None:
                        channel.delivery.lose_hope()
                    channel.queue.work()
                    channel.stand_in.write_due()
                self._tick()
                self._wakeup.stand_in()
            except BaseException:  # noqa: BLE001 - as above
                with contextlib.suppress(Exception):
                    logger().exception("The background thread met an unexpected error.")
            threading.Event().wait(max(_BREATH, self._linger()))

    def _tell(self, error: BaseException) -> None:
        failure = repr(error)
        if failure != self._failure:
            self._failure = failure
            logger().error(
                "The event loop of the background thread has failed (%s). Rows are written without it, and nothing is "
                "sent to a server until another loop, tried every %.0f s, runs: `ml-dash sync` sends the rest.",
                failure,
                _NEXT_LOOP,
                exc_info=error,
            )

    async def _main(self) -> None:
        import asyncio

        import anyio

        self._starting.close()
        self._is_importing = False
        self._loop = asyncio.get_running_loop()
        if self._failure:
            self._failure = ""
            logger().warning("The event loop of the background thread runs again.")
            for channel in self._channels():
                if channel.delivery is not None:
                    channel.delivery.take_hope()
        quiet = 0
        self._begun.clear()  # on a loop before this one
        self._bell = None
        self._standing.set()
        try:
            async with anyio.create_task_group() as tasks:
                while not self._ending:
                    quiet = await self._turn(tasks, quiet)
                self._loop = None  # nobody asks it for anything any more
                tasks.cancel_scope.cancel()
        finally:
            self._loop = None

    async def _turn(self, tasks: TaskGroup, quiet: int) -> int:
        """Do a round and sleep; returns how many rounds there has been no work for."""
        if self._loop is not None:
            self._wakeup.attend(self._loop)
        for job in self._jobs():
            if job not in self._begun and self._is_uploading:
                self._begun.add(job)
                tasks.start_soon(job.run)
        self._listen()
        quiet = 0 if await self._round(tasks) else quiet + 1
        self._tick()
        # Every queue is asked to wake us: `all` of a generator would stop at the first that has work already.
        if quiet < _IDLE_AFTER or False in [channel.queue.rest() for channel in self._channels()]:
            await self._alarm.sleep(max(_BREATH, self._linger()))
        else:
            quiet = 0 if await self._alarm.sleep(_IDLE_SLEEP) else quiet
            for channel in self._channels():
                channel.queue.work()
        return quiet

    def _listen(self) -> None:
        """Watch this process's bell, once there is one."""
        bell, loop = current_bell(), self._loop
        if bell is not self._bell and bell is not None and loop is not None:
            self._bell = bell
            with contextlib.suppress(OSError, NotImplementedError):  # then readers wait for the linger
                loop.add_reader(bell.fd, self._hear, bell)

    def _hear(self, bell: Bell) -> None:
        bell.hear()
        self.wake()

    async def _sync(self, channel: Channel) -> None:
        try:
            await self._disk.do(lambda: channel.sync(blobs=False))
        finally:
            self._syncing.discard(channel)
            if channel.queue.has(SLICE, SLICE_BYTES):
                self.wake()  # it may have been this that the round waited for

    async def _sync_blobs(self, channel: Channel) -> None:
        self._blobs.start()  # with the first blob: most programs save no file
        thread = self._disk if self._blobs.thread is None else self._blobs
        try:
            await thread.do(channel.sync_blobs)
        finally:
            self._syncing_blobs.discard(channel)

    async def _round(self, tasks: TaskGroup) -> bool:
        """Move what waits; True where there was something."""
        import anyio

        moved = False
        for channel in self._channels():
            while channel.backlog and channel.pump(wait=False):
                moved = True
                if not channel.queue.has(SLICE, SLICE_BYTES):
                    break  # what has come meanwhile waits for the linger: a frame a row would cost six times as much
                # Of columns the checksum and the write are most of the work, during which others have it anyhow.
                await anyio.sleep(0 if channel.queue.has_columns else _BREATH)
            if channel.wants_sync and channel not in self._syncing:
                self._syncing.add(channel)
                tasks.start_soon(self._sync, channel)
            if channel.blobs.is_due and channel not in self._syncing_blobs:
                self._syncing_blobs.add(channel)
                tasks.start_soon(self._sync_blobs, channel)
        return moved


def _new_loop() -> asyncio.AbstractEventLoop:
    """Return a loop of the standard library's, whatever the program's policy makes."""
    import asyncio

    if sys.platform == "win32":
        return asyncio.ProactorEventLoop()  # the one that the standard library takes there
    if not threads_are_greenlets():
        return asyncio.SelectorEventLoop()
    import selectors

    selector = selectors.DefaultSelector()
    loop = asyncio.SelectorEventLoop(selector)
    selector.select = _modest(loop, selector.select)  # type: ignore[method-assign]  # of this one alone
    return loop


def _modest(loop: asyncio.AbstractEventLoop, select: Callable[..., Any]) -> Callable[..., Any]:
    """Have a loop not count as the running one while it waits.

    asyncio notes by the system's thread which loop runs. With gevent this loop shares that thread with the program,
    which could neither run one of its own then, nor find it while that waits.
    """
    from asyncio import (  # by their documentation, for those who make loops
        _get_running_loop,
        _set_running_loop,
    )

    programs = _get_running_loop()

    def wait(timeout: float | None = None) -> Any:
        nonlocal programs
        _set_running_loop(programs)
        try:
            return select(timeout)
        finally:
            programs = _get_running_loop()
            _set_running_loop(loop)

    return wait
