"""The end of a process, and of a run: what was logged is completed on the disk, then sent, as long as there is time.

Problem: a script may end at any moment, with rows in memory, threads that still log, and a server that is slow or not
there. Rows must not be lost, and the exit must not hang.

What was tried and does not work: everything in an `atexit` handler. It runs after non-daemon threads were joined, which
may take hours, and not at all in children that `multiprocessing` forks. Everything when the interpreter begins to shut
down does not work, either: other threads may still be logging.

What holds: the exit has two steps, see `ml_dash.pipeline.hooks` for their moments. `Exit.begin` flushes what there is;
`Exit.complete` ends the runs that are still open, and flushes once more. Neither needs a new thread, a working event
loop, or an import: where the worker is not up, the calling thread writes the journal itself. Disks come first, since
what is in a journal can be sent later. All waits of a process together take no longer than the exit timeout; and one
for a server that was waited for in vain is not repeated. What is logged after all this, by other handlers of the
script, is written before the call returns.

What still can fail: behind a disk that answers nothing, rows are lost that are in memory when the time is over; that is
said. Rows that are only on the disk are sent by the next run, or by ``ml-dash sync``.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.notices import logger
from ml_dash.records import NamedTuple
from ml_dash.slabs.bell import forget_bell

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from ml_dash.pipeline.channel import Channel
    from ml_dash.pipeline.counters import Counters
    from ml_dash.pipeline.delivery import Delivery
    from ml_dash.pipeline.threads import Pending

_QUIET_EXIT = 1.0  # seconds without a word of a wait for a server: a person takes less for the script's end
_DRAWN_EVERY = 0.1  # seconds between two pictures of how far that is
_PARTING = 0.2  # seconds of the exit timeout that are kept for what comes after the waiting for servers
_LONGEST_IMPORT = 5.0  # seconds by which SIGTERM may take longer where something is still to be imported
_LAST_WORD = 0.25  # seconds for the end rows even where the exit timeout has run out: a few fsyncs' time


if TYPE_CHECKING:

    class _Run(Protocol):
        """Of the `OpenRun` of that module."""

        def settle(self) -> None: ...
        def tell_end(self, *, waited: bool) -> None: ...


if TYPE_CHECKING:

    class _Registry(Protocol):
        """What is to be ended: see the methods of `Runtime`, which imports this module."""

        @property
        def is_up(self) -> bool: ...
        def open_channels(self) -> Collection[Channel]: ...
        def flush(self, channel: Channel, timeout: float | None = None) -> bool: ...
        def end_runs(self, status: str) -> None: ...
        def runs(self) -> Iterable[_Run]: ...
        def hang_up(self, timeout: float) -> None: ...
        def end_worker(self, timeout: float) -> None: ...


class _ServerWait(NamedTuple):
    channel: Channel
    delivery: Delivery
    done: Pending
    seconds: float

    def left(self, started: float, at_most: float = float("inf")) -> float:
        """Return the seconds that are left of a waiting that began at `started`."""
        return started + min(self.seconds, at_most) - SYSTEM_CLOCK.monotonic()


class Exit:
    """Ends the runs of a runtime, and with them the process."""

    def __init__(self, registry: _Registry) -> None:
        self._registry = registry
        self.forked()

    def forked(self) -> None:
        """Forget, in a forked child, what the parent has waited for and said."""
        self._waited = 0.0  # seconds that exit has waited so far
        self._told: dict[Channel, Counters] = {}

    def told(self, channel: Channel) -> None:
        """Note that the user knows what is pending of a channel now: it is told again only where it changes."""
        self._told[channel] = channel.counters()

    def time_left(self, channel: Channel) -> float:
        """Return the seconds that exit may still wait for a channel's disk."""
        return max(0.0, channel.settings.exit_timeout - self._waited)

    def finish(self, channel: Channel) -> None:
        """Complete the journal of a run that ends, and wait for its server, for as long as that can be reached."""
        self._registry.flush(channel)
        deadline = SYSTEM_CLOCK.monotonic() + channel.settings.flush_timeout
        self._deliver([channel], lambda _: max(0.0, deadline - SYSTEM_CLOCK.monotonic()), _begin_wait)

    def begin(self, status: str | None) -> None:
        """Flush what was logged so far: the interpreter begins to shut down, and threads have yet to be joined.

        The open runs end with `status` where there is no later moment to end them; else it is None.
        """
        for run in self._registry.runs():
            run.settle()
        if status is not None:
            self._registry.end_runs(status)
        self.drain(last=status is not None)
        if status is not None:
            self._leave_slabs()

    def complete(self, status: str) -> None:
        """End the runs that are still open, flush, and let go of servers and threads: no thread logs any more."""
        self._registry.end_runs(status)
        self.drain(_LAST_WORD)
        for run in self._registry.runs():
            run.tell_end(waited=True)
        with contextlib.suppress(KeyboardInterrupt):  # then connections are closed with a complaint
            self._hang_up()
        self._leave_slabs()

    def _leave_slabs(self) -> None:
        """Give back the shared memory of which all is in the journals: on a cluster's node nobody may come after us."""
        for channel in self._registry.open_channels():
            channel.queue.leave_slab()
        forget_bell()

    def save(self) -> None:
        """Complete the journals of a process that becomes another program; should it not, its runs go on."""
        for channel in self._registry.open_channels():
            if not channel.is_settled:
                self._registry.flush(channel, self.time_left(channel))

    def terminate(self, timeout: float, *, aloud: bool) -> None:
        """End the runs and complete the journals, waiting for no server; and say how they went, if that is `aloud`."""
        deadline = SYSTEM_CLOCK.monotonic() + timeout
        self._registry.end_runs("CANCELLED")
        channels = self._registry.open_channels()
        # Twice: threads go on logging, and one may have been inside a call when its run ended.
        for channel in (*channels, *channels):
            if not channel.is_settled:  # a child that has logged nothing needs no thread for that
                self._registry.flush(channel, max(0.0, deadline - SYSTEM_CLOCK.monotonic()))
        self._leave_slabs()
        if aloud:  # behind all else: a console that takes nothing costs no row
            for run in self._registry.runs():
                run.tell_end(waited=False)

    @property
    def concerns_any(self) -> bool:
        """Whether anything was logged that would have to be written."""
        return bool(self._registry.open_channels())

    def when_free(self, work: Callable[[], None]) -> None:
        """Do this; if this thread is in the middle of writing a journal, as soon as that is written."""
        if not any(channel.turns.put_off(work) for channel in self._registry.open_channels()):
            work()

    @property
    def termination_timeout(self) -> float:
        """The seconds that `terminate` may take."""
        channels = self._registry.open_channels()
        seconds = min((channel.settings.sigterm_timeout for channel in channels), default=0.0)
        # In the first half second of a process, many rows wait for the import of numpy, which may take long.
        return seconds if self._registry.is_up else seconds + _LONGEST_IMPORT

    def drain(self, least: float = 0.0, *, last: bool = True) -> None:
        """Flush every channel, waiting no longer than their exit timeout in all, but `least` seconds.

        First all journals are completed, on the disk; then what is left of the time is for the servers.
        """
        started = SYSTEM_CLOCK.monotonic()
        # The timeout is for the process: `begin` and `complete` share it, with hours of other threads between them.
        waited = self._waited

        def left(channel: Channel) -> float:
            timeout = channel.settings.exit_timeout
            return max(0.0, started + max(timeout - waited, min(least, timeout)) - SYSTEM_CLOCK.monotonic())

        flushed = {}
        try:
            for channel in self._registry.open_channels():
                flushed[channel] = self._registry.flush(channel, left(channel))
            self._deliver(
                self._registry.open_channels(),
                lambda channel: max(0.0, left(channel) - _PARTING),
                lambda delivery: delivery.begin_drain(),
            )
        except KeyboardInterrupt:
            waited = float("inf")  # the user waits no longer
        for channel in self._registry.open_channels():
            self._report(channel, done=flushed.get(channel, False), last=last)
        self._waited = waited + SYSTEM_CLOCK.monotonic() - started

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
            _ServerWait(channel, delivery, begin(delivery), delivery.patience(left(channel)))
            for channel in channels
            if (delivery := channel.delivery) is not None
        ]
        started = SYSTEM_CLOCK.monotonic()
        try:
            for wait in waits:
                wait.done.wait(max(0.0, wait.left(started, _QUIET_EXIT)))
            late = [wait for wait in waits if not wait.done.is_set() and wait.seconds > _QUIET_EXIT]
            # A forked child that has logged nothing has nothing to send, however late it learns of that.
            if any(wait.channel.writer.written_seq for wait in late):
                logger().warning(
                    "Sending the last events to %s (%s to go). Ctrl-C leaves at once, and loses nothing: "
                    "`ml-dash sync` sends the rest.",
                    late[0].delivery.url,
                    _to_go(
                        [wait.channel.counters() for wait in late],
                        earlier=not all(wait.delivery.has_earlier for wait in late),
                        own=not all(wait.delivery.has_all for wait in late),
                    ),
                )
            _watch(late, started)
        except KeyboardInterrupt:
            for wait in waits:
                wait.delivery.waited_in_vain(float("inf"))  # the user waits no longer
            raise
        for wait in waits:
            if not wait.done.is_set():
                wait.delivery.waited_in_vain(SYSTEM_CLOCK.monotonic() - started)
            elif wait in late and not wait.delivery.in_reach:
                # The transport gave up before the time was over. Another try would last as long, told of once more.
                # (One that was refused at once is not late, and gets its next try: a server may be restarting.)
                wait.delivery.waited_in_vain(float("inf"))

    def _hang_up(self) -> None:
        """Close what would complain while the interpreter goes down."""
        channels = self._registry.open_channels()
        deliveries = [channel.delivery for channel in channels if channel.delivery is not None]
        for delivery in deliveries:
            delivery.stop()
        deadline = SYSTEM_CLOCK.monotonic() + _LAST_WORD
        for delivery in deliveries:
            if delivery.has_all:  # else it waits for its server, as others have done before it in vain
                delivery.wait_finished(max(0.0, deadline - SYSTEM_CLOCK.monotonic()))
        self._registry.hang_up(_LAST_WORD)
        for channel in channels:
            if (ended := channel.begin_tidy()) is not None:
                ended.tidy()  # behind all of them: their last act is to write a cursor beside the journal
        self._registry.end_worker(_LAST_WORD)

    def _report(self, channel: Channel, *, done: bool, last: bool) -> None:
        """Say at exit, once, what is not on disk, and what is there and not at the server."""
        counters = channel.counters()
        unsure = 0 if done and not channel.failing else counters.unsafe
        is_news = self._told.get(channel) != counters
        if (unsure or counters.dropped) and is_news:
            logger().warning(
                "%s: at exit, events not known to be on disk: %d; dropped: %s%s.",
                channel.journal,
                unsure,
                dict(counters.dropped) or "none",
                f" ({channel.health.last_error})" if channel.health.last_error else "",
            )
        if last and is_news and channel.delivery is not None:
            _report_missing(channel.directory, channel.delivery, counters, unsure)
        if last or unsure or counters.dropped:
            self._told[channel] = counters


def _begin_wait(delivery: Delivery) -> Pending:
    return delivery.begin_wait()


def _report_missing(directory: str, delivery: Delivery, counters: Counters, unsure: int) -> None:
    """Say what is on disk, and not at the server."""
    own = counters.pending > unsure or not delivery.has_all
    if own or not delivery.has_earlier:
        logger().warning(
            "%s does not have %s yet, safe in the journal: `ml-dash sync %s` sends what is missing.",
            delivery.url,
            _to_go([counters], unsure, earlier=not delivery.has_earlier, own=own),
            shlex.quote(directory),
        )


def _watch(late: Collection[_ServerWait], started: float) -> None:
    def left() -> tuple[int, int]:
        counters = [wait.channel.counters() for wait in late]
        arrived = sum(wait.delivery.blobs.arrived_bytes for wait in late)
        size = sum(each.pending_blob_bytes for each in counters)
        return sum(each.pending for each in counters), max(0, size - arrived)

    with _exit_bar(left) as show:
        for wait in late:
            while (seconds := wait.left(started)) > 0 and not wait.done.wait(min(_DRAWN_EVERY, seconds)):
                show()


def _to_go(
    counters: Collection[Counters], unsure: int = 0, *, earlier: bool = False, own: bool = True
) -> str:
    """Return what is not at the server: `own` rows and files, and what `earlier` runs have left."""
    count = sum(each.pending for each in counters) - unsure
    files = sum(each.pending_files for each in counters)
    parts = []
    if own:
        parts.append(_several(count, "event") if count > 0 else "the end of the run")
    if files:
        size = sum(each.pending_blob_bytes for each in counters)
        shown = f"{size / 1e6:.1f} MB" if size >= 100_000 else _several(size, "byte")
        parts.append(f"the contents of {_several(files, 'file')} ({shown})")
    if earlier:
        parts.append("what earlier runs have logged")
    return ", and ".join(parts) or "the end of the run"


def _several(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


@contextmanager
def _exit_bar(left: Callable[[], tuple[int, int]]) -> Iterator[Callable[[], None]]:
    """Show on a terminal how many rows and bytes of files are `left`; yield what draws that anew."""
    stderr = sys.stderr
    rows, size = left()
    try:
        is_seen = stderr is not None and stderr.isatty() and (rows or size)
    except ValueError:
        is_seen = False  # the script has closed it
    if not is_seen:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TaskProgressColumn

    count = DownloadColumn() if size else MofNCompleteColumn()
    console = Console(stderr=True)
    # It draws when it is told to: at this moment no thread can be started any more that would do so.
    columns = "{task.description}", BarColumn(), count, TaskProgressColumn()
    progress = Progress(*columns, console=console, auto_refresh=False, transient=True)
    total = size or rows
    task = progress.add_task("files" if size else "events", total=total)

    def show() -> None:
        rows, size_left = left()
        progress.update(task, completed=max(0, total - (size_left if size else rows)))
        with contextlib.suppress(OSError, ValueError):  # the terminal has gone
            progress.refresh()

    with progress:
        show()
        yield show
