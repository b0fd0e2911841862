"""The run: when an experiment is open for writing, and how it ended.

Statuses: RUNNING from `start()` on, then COMPLETED, FAILED or CANCELLED; the first end wins until `start()` reopens
the experiment. Each is a row of the journal's RUN series:

=============  ==================================================================================
field          meaning
=============  ==================================================================================
``event``      ``start``, ``end``, ``heartbeat``, ``update``; ``recovered``, see `ml_dash.storage.recovery`
``status``     the status from this row on (in starts and ends)
``handle``     which `Experiment` object of the writing process
``host``       name of the machine
``pid``        process
``space``      in start rows, where ``pid`` means something, see `ml_dash.processes.process_space`
``born``       in start rows, which process has that number, see `ml_dash.processes.process_born`
``attempt``    in start rows, the name of the attempt that it opens, or takes part in
``rank``       in start rows of processes that are ranks of a training, the number of this one, as a text
``resume_from`` in start rows, the step from which on it supersedes what earlier attempts have logged
``experiment`` prefix, readme, tags, bindrs and metadata, in start rows; what has changed of these, in updates
``queue``      in start rows, where rows wait for the journal: ``shared memory`` or ``memory``
``error``      the exception's one-line text, in end rows of a run that failed by one
``stop``       in the heartbeat of a run that has seen that it is asked to stop: by whom, when and why
=============  ==================================================================================
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.errors import InvalidArgumentError, NotStartedError
from ml_dash.identity import script_path
from ml_dash.limits.sparing import check_room
from ml_dash.locks import MortalLock
from ml_dash.notices import logger
from ml_dash.pipeline.runtime import RUNTIME, open_runs
from ml_dash.pipeline.stopping import Stopping
from ml_dash.processes import host_name, process_born, process_space
from ml_dash.sdk.about import check_fits
from ml_dash.sdk.capturing import Capturing
from ml_dash.sdk.decorating import decorated
from ml_dash.sdk.directory import prepare_directory
from ml_dash.sdk.guidance.calls import explained
from ml_dash.sdk.narration import Narration, is_notebook
from ml_dash.sdk.parts import Part
from ml_dash.sdk.run_blocks import Blocks, Verdict, failure
from ml_dash.sdk.starting.ranks import with_rank
from ml_dash.sdk.starting.resuming import (
    Earlier,
    Resume,
    check_earlier,
    checked_step,
    earlier,
    earlier_at_server,
    first_beside,
    goes_on_text,
)
from ml_dash.spawning import ahead_of_threads, is_last_thread
from ml_dash.status import RunStatus
from ml_dash.storage.side_file import STOP_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml_dash.pipeline.channel import Channel
    from ml_dash.sdk.session import Session

_IMPORTED = "ml_dash.query.journal_view"
"""The largest module that the first run of a process imports."""
_ROOM_NEEDED = 20 << 20
"""Bytes of address space below which that run would fail in its middle."""

E = TypeVar("E")
P = ParamSpec("P")
R = TypeVar("R")


def _check_room(prefix: str) -> None:
    if _IMPORTED not in sys.modules:
        check_room(f"the run of {prefix!r}, with all that it imports,", _ROOM_NEEDED)


class Run:
    """Begins and ends a session's runs, for `RunManager` and for the runtime; for any thread."""

    _lock = MortalLock()

    def __init__(self, session: Session, resume: Resume = "allow") -> None:
        self._session = session
        self.resume = resume  # what is still to be checked
        self._handle = os.urandom(4).hex()
        self._pid: int | None = None  # of the process that called start(); None while not open
        self._start: dict[str, Any] = {}
        self._started_ns = 0
        self.attempt = ""  # its name in start rows
        self._earlier: Earlier | None = None  # what there was before; None where the run was going on
        self._is_placed = False  # whether the start is known to be behind what the server had
        self.is_open = False
        self._blocks = Blocks()
        self._capturing = Capturing(session)
        self._renew()
        # In this list a run that has ended is kept, too: the runtime only knows it weakly, and tells it of a fork.
        session.on_fork.append(self._renew)

    def _renew(self) -> None:
        # Reentrant: a signal handler may end the run in the middle of its beginning.
        self._lock = threading.RLock()
        self._blocks.forked()
        self._capturing.forked()
        self._narration = Narration(self._session)  # a child has nothing to tell of its parent's runs

    def _begin(self, resume_from: float | None = None) -> bool:
        session = self._session
        with self._lock:
            if self.is_open:
                if resume_from is not None:
                    raise InvalidArgumentError(
                        f"resume_from={resume_from!r}: the run of {session.prefix!r} is open, and was started without "
                        "it: give it to the first start()"
                    )
                return False
            if session.is_read_only:
                session.opened()  # says so
            if is_last_thread():
                raise NotStartedError(
                    f"the run of {session.prefix!r} cannot start while the interpreter frees its modules: start it "
                    "before the script ends"
                )
            _check_room(session.prefix)
            session.settings = with_rank(session.settings)
            here = next((run for run in open_runs(session.directory) if isinstance(run, Run)), None)
            before = Earlier() if here is not None else earlier(session)
            if here is None:
                before = check_earlier(session, before, self.resume)
                self.resume = "allow"  # what is reopened is there
            check_fits(session.description(), session.settings.frame_bytes)
            prepare_directory(session.identity, session.destination.root, keeps=session.destination.keeps)
            joined = before.joined if here is None else here.attempt
            self.attempt = joined or os.urandom(8).hex()
            # whoever starts the same object again knows what it goes on with
            self._earlier = None if joined or self._started_ns else before
            channel = session.open_channel(self)
            if self._earlier is not None and channel.recovered:
                # what a process that was killed had left is in the journal only now
                self._earlier = self._earlier._replace(rows=earlier(session).rows)
            channel.open_slab()
            self.is_open, self._pid, session.run_status = True, os.getpid(), RunStatus.RUNNING
            start = {
                "event": "start",
                "status": RunStatus.RUNNING,
                **self._whereabouts(),
                "space": process_space(),
                "born": process_born(os.getpid()),
                "attempt": self.attempt,
                "python": sys.version.split(maxsplit=1)[0],
                "script": script_path(),
                "queue": channel.queue.kind,
                "experiment": session.description(),
            }
            if resume_from is not None:
                start["resume_from"] = resume_from
            if session.settings.rank is not None:
                start["rank"] = str(session.settings.rank)
            # before the ports open: the run's first row
            self._start, self._started_ns, self._is_placed = start, channel.put_control(start), False
            session.bind(channel)
            # At once: a run that is killed a moment later must not look as if it had never started.
            RUNTIME.write_queued(channel)
            if not joined and (first := first_beside(session, self.attempt)) != self.attempt:
                self.attempt, self._earlier = first, None
                self._start = {**start, "attempt": first}
                self._started_ns = channel.put_control({**self._start, "again": True})
            session.stopping = Stopping(session.directory, self.attempt)
            self._capturing.begin(self.attempt)
            return True

    def start(self, resume_from: float | None = None) -> bool:
        """Open the run by hand: no block ends it. False where it is open."""
        if not self.is_open and is_notebook():
            self._end_of_cell_before()
        with ahead_of_threads():
            with self._lock:
                opens = self._begin(resume_from)
                if opens:
                    self._blocks.started_by_hand()
            return self._narrated(opens)

    def _end_of_cell_before(self) -> None:
        """End what this cell has started when it was executed before: else both would be one attempt, and averaged.

        The script still holds it: the name is bound anew only when `start` has returned.
        """
        for run in open_runs(self._session.directory):
            if isinstance(run, Run) and run.is_by_hand and not run.is_in_block:
                run.finish(Verdict(RunStatus.COMPLETED))

    def _narrated(self, opens: bool) -> bool:
        """Say where the run is that was opened, if it was; without the lock, for a console may take its time."""
        if opens:
            self._narration.begin()
        return opens

    def beat(self) -> None:
        """Write a heartbeat."""
        channel = self._session.channel
        if channel is not None and self.is_open and not channel.failing:
            self._start_behind()
            channel.put_control({"event": "heartbeat", **self._whereabouts()})

    def look(self) -> None:
        """Look whether the run is asked to stop, and tell when the script has seen that."""
        session = self._session
        if session.stopping is not None and self.is_open:
            session.stopping.look(SYSTEM_CLOCK, lambda: getattr(session.upload, "stop", None))
            self._tell_seen()

    def _tell_seen(self) -> None:
        channel, stopping = self._session.channel, self._session.stopping
        news = None if stopping is None else stopping.take_news()
        if channel is not None and stopping is not None and news is not None:
            seen_ns = channel.put_control({"event": "heartbeat", **self._whereabouts(), "stop": news})
            if self._session.destination.keeps:
                self._session.post_snapshot(STOP_FILE, lambda: stopping.seen_bytes(seen_ns))

    def wait_contact(self) -> None:
        """Wait for the server's first word, not for long, and see to what it says."""
        self._session.wait_contact()
        self._start_behind()
        self._say_what_goes_on()

    def _say_what_goes_on(self) -> None:
        text = self.goes_on_text()
        if text is not None:
            self._narration.mention(text)

    def goes_on_text(self) -> str | None:
        """Return the line that says what this run goes on with; None where that is nothing."""
        before = self._earlier
        if before is None:
            return None
        if not self._session.destination.keeps:
            before = earlier_at_server(self._session)
        return goes_on_text(self._session.prefix, before, self._start.get("resume_from"))

    def _start_behind(self) -> None:
        """Put the start once more, where the server had later rows before: of a machine whose clock is ahead of ours.

        The newest start or end says how an experiment stands.
        """
        channel, upload = self._session.channel, self._session.upload
        if (
            self._is_placed
            or channel is None
            or upload is None
            or upload.latest_ns is None
            or not self.is_open
        ):
            return
        self._is_placed = True
        if upload.latest_ns > self._started_ns:
            # what is said of the experiment may have changed since
            again = {**self._start, "experiment": self._session.description(), "again": True}
            channel.put_control(again, upload.latest_ns)

    def settle(self) -> None:
        """Wait a moment for what is still to be read of the run's surroundings."""
        if self.is_open and self._pid == os.getpid():
            self._capturing.settle()
            for settle in self._session.on_settle:
                settle(self._session.settings.exit_timeout)

    def end(self, status: str, error: str | None = None, traceback: str | None = None) -> bool:
        """Queue the end of the run, waiting for nothing; False where it is not ours or has ended.

        In a forked child that is the end of what the child had buffered, and of nothing else.
        """
        with self._lock:
            channel = self._session.channel
            if not self.is_open or channel is None:
                return False
            # A child that exits must not end the run of its parent, which goes on.
            if self._pid != os.getpid():
                self._session.log_rest()
                return False
            if status == RunStatus.FAILED and error is None and RUNTIME.closing:
                _, error, traceback = failure(getattr(sys, "last_value", None))  # of which the script ends
            self._tell_seen()
            stopping = self._session.stopping
            if status == RunStatus.COMPLETED and stopping is not None and stopping.is_seen:
                status = RunStatus.CANCELLED  # it ends because it was asked to
            self._capturing.end(traceback)
            self._close(channel, status, error)
            # Behind the closing, so that nothing is buffered after this.
            self._session.log_rest(channel.queue.put)
            return True

    def enter(self) -> bool:
        """Enter a block, in its own context; False where the run is open, and the block a part of it."""
        with ahead_of_threads():
            with self._lock:  # the last block may be left meanwhile
                opens = self._begin()
                self._blocks.enter(opens=opens)
            return self._narrated(opens)

    def leave(self, verdict: Verdict) -> bool:
        """Leave a block, in its own context; True where `finish_blocks` has to see to what that brings about."""
        with self._lock:
            self._blocks.leave(verdict)
            # A child that shares its parent's run has to write what it has logged.
            return self._blocks.verdict is not None or self._pid != os.getpid()

    def finish(self, verdict: Verdict) -> None:
        """End the run, and wait until it is written and, as long as the server can be reached, sent."""
        self._finish(lambda: self.end(*verdict))

    def finish_blocks(self) -> None:
        """Do as `finish` does for a run whose last block was left, unless another was entered since."""
        self._finish(self._end_blocks)

    def _end_blocks(self) -> bool:
        with self._lock:
            verdict = self._blocks.verdict
            if verdict is None and self._pid == os.getpid():
                return False
            return self.end(*(verdict or Verdict(RunStatus.COMPLETED)))

    def _finish(self, end: Callable[[], bool]) -> None:
        was_open = self.is_open
        try:
            self.settle()
            if end() and (channel := self._session.channel) is not None:
                RUNTIME.end_forsaken(channel, str(self._session.run_status))
        finally:
            if was_open:
                try:
                    if self._session.channel is not None:
                        RUNTIME.finish(self._session.channel)
                finally:  # after Ctrl-C in the middle of it, too
                    if not self.is_open:
                        RUNTIME.closed(self)
                if not self.is_open:
                    self._narration.end()

    def tell_end(self, *, waited: bool) -> None:
        """Say how the run went, at the end of the process, if it has ended and has not said so."""
        if not self.is_open:
            self._narration.end("waited" if waited else "dying")

    @property
    def is_forsaken(self) -> bool:
        """Whether nothing is left in the script by which it could be ended, or logged to."""
        return self._session.holders.are_gone

    @property
    def is_by_hand(self) -> bool:
        """Whether it was started by hand, so that no block ends it."""
        return not self._blocks.are_to_end_it

    @property
    def is_in_block(self) -> bool:
        """Whether one of its blocks was entered and not left."""
        return self._blocks.are_open

    def forked(self) -> None:
        """Become, in a forked child, a handle that logs but does not own the status."""
        self._session.forked()

    def _close(self, channel: Channel, status: str, error: str | None) -> None:
        self.is_open, self._session.run_status = False, RunStatus(status)
        if RUNTIME.closing:
            self._session.bind(channel)  # what the script's own exit handlers log goes straight to disk
        else:
            self._session.unbind()
        row = {"event": "end", "status": status, **self._whereabouts()}
        # Behind the last row of the run, in the same queue: nothing that was logged comes after its end.
        ended = row if error is None else {**row, "error": error}
        channel.put_control(ended, self._session.next_ns())
        self._session.snapshot()

    def _whereabouts(self) -> dict[str, Any]:
        return {"handle": self._handle, "host": host_name(), "pid": os.getpid()}


class RunManager(Part, Generic[E], written="exp.run"):
    """Starts and ends an experiment's run: as a context manager, a decorator, or by hand."""

    def __init__(self, session: Session, run: Run, experiment: E) -> None:
        super().__init__(session, "run")
        self._experiment = experiment
        self._run = run

    def __repr__(self) -> str:
        return f"<run of {self._session.prefix!r}: {self.status or 'not started'}>"

    @property
    def status(self) -> str | None:
        """RUNNING, COMPLETED, FAILED or CANCELLED; None before the first start."""
        return self._session.run_status

    @property
    def is_open(self) -> bool:
        """Whether the experiment takes what is logged."""
        return self._run.is_open

    @explained("exp.run.start(), or exp.run.start(resume_from=1000), with everything else in Experiment(…)")
    def start(self, *, resume_from: float | None = None) -> E:
        """Open the experiment for writing; does nothing where it is open.

        Args:
            resume_from: the first step that this run logs: rows of earlier attempts with this ``step`` or a later one
                are kept, and not shown any more; see `MetricBuilder.read`.

        Returns:
            The experiment. After an end this reopens it, and row indices go on.

        Raises:
            JournalWriteError: the experiment's directory cannot be made or written.
            ResumeError: there is not what `resume=` of the experiment wants.
            InvalidArgumentError: `resume_from` is not a step, or the run is open.
        """
        if self._run.start(checked_step(resume_from)):
            self._run.wait_contact()
        return self._experiment

    @explained("exp.run.complete(), or exp.run.fail('why')")
    def complete(self) -> None:
        """Drain, and mark the run as completed; harmless when repeated."""
        self._run.finish(Verdict(RunStatus.COMPLETED))

    @explained("exp.run.fail(error)")
    def fail(self, error: BaseException | str | None = None) -> None:
        """Drain, and mark the run as failed; harmless when repeated.

        Args:
            error: what it failed of, for the record.
        """
        self._run.finish(failure(error))

    @explained("exp.run.cancel(), or exp.run.fail('why')")
    def cancel(self) -> None:
        """Drain, and mark the run as cancelled; harmless when repeated."""
        self._run.finish(Verdict(RunStatus.CANCELLED))

    def __enter__(self) -> E:
        if self._run.enter():
            try:
                self._run.wait_contact()
            except BaseException:  # Ctrl-C: nobody else would end it, for the block is not entered
                self._leave(Verdict(RunStatus.CANCELLED))
                raise
        return self._experiment

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        with _nothing_instead_of(error):
            self._leave(_verdict(error))

    def _leave(self, verdict: Verdict) -> None:
        if self._run.leave(verdict):
            self._run.finish_blocks()

    async def __aenter__(self) -> E:
        if self._run.enter() and self._session.destination.url is not None:
            from anyio import to_thread

            # Only the waiting on another thread: what `enter` does about signals has to be done here.
            try:
                await to_thread.run_sync(self._run.wait_contact, abandon_on_cancel=True)
            except BaseException:
                await self._leave_async(Verdict(RunStatus.CANCELLED))
                raise
        return self._experiment

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        with _nothing_instead_of(error):
            await self._leave_async(_verdict(error))

    async def _leave_async(self, verdict: Verdict) -> None:
        from anyio import CancelScope, to_thread

        if self._run.leave(verdict):
            with CancelScope(shield=True):  # a block that is cancelled has to end its run, too
                await to_thread.run_sync(self._run.finish_blocks)

    # No type can tell of a parameter `experiment` that is not the first; with overloads mypy checks no argument at all.
    @explained("`with exp.run:`, exp.run.start(), or @exp.run above a function")
    def __call__(self, function: Callable[Concatenate[E, P], R]) -> Callable[P, R]:
        """Decorate a function, `async def` too: a block around each call.

        It gets the experiment as its parameter `experiment`, or where it has none of that name, as the first one.
        """
        return decorated(function, lambda: self)


def should_stop(experiment: Any) -> bool:
    """Whether somebody has asked this run to stop (`ml-dash stop`, the pages, `exp.stop()`): a loop that looks ends.

    It is an attribute that the background thread sets, within some ten seconds: no lock is taken, and nothing is waited
    for, so that each step may look. A run that has seen it and then completes ends as CANCELLED. False where the run is
    not open, and where nobody asks.
    """
    stopping = experiment._session.stopping  # noqa: SLF001 - completion on `exp.` shows what users call
    return stopping is not None and stopping.see()


@contextmanager
def _nothing_instead_of(error: BaseException | None) -> Iterator[None]:
    """Let no error of ours take the place of the one by which a block is left."""
    try:
        yield
    except Exception:
        if error is None:
            raise
        logger().exception("The run could not be ended in an orderly way; its rows are written all the same.")


def _verdict(error: BaseException | None) -> Verdict:
    """Return how a run ended whose block was left by `error`, and why."""
    # sys.exit() and sys.exit(0) are how scripts say that all is well.
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return Verdict(RunStatus.COMPLETED)
    return failure(error)
