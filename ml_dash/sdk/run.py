"""The run: when an experiment is open for writing, and how it ended.

Statuses: RUNNING from `start()` on, then COMPLETED, FAILED or CANCELLED; the first end wins until `start()` reopens
the experiment. Each is a row of the journal's RUN series:

=============  ==================================================================================
field          meaning
=============  ==================================================================================
``event``      ``start``, ``end`` or ``heartbeat``
``status``     the status from this row on (not in heartbeats)
``handle``     which `Experiment` object of the writing process
``host``       name of the machine
``pid``        process
``experiment`` prefix, readme, tags, bindrs and metadata, in start rows
``error``      the exception's one-line text, in end rows of a run that failed by one
=============  ==================================================================================
"""

from __future__ import annotations

import functools
import os
import platform
import sys
import threading
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast

from ml_dash.errors import InvalidArgumentError
from ml_dash.pipeline.runtime import RUNTIME
from ml_dash.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_dash.pipeline.channel import Channel
    from ml_dash.sdk.session import Session

E = TypeVar("E")
P = ParamSpec("P")
R = TypeVar("R")


class Run:
    """Begins and ends a session's runs, for `RunManager` and for the runtime; for any thread."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._handle = os.urandom(4).hex()
        self._pid: int | None = None  # of the process that called start(); None while not open
        self.is_open = False
        self._renew_lock()
        # In this list a run that has ended is kept, too: the runtime only knows it weakly, and tells it of a fork.
        session.on_fork.append(self._renew_lock)

    def _renew_lock(self) -> None:
        # Reentrant: a signal handler may end the run in the middle of its beginning.
        self._lock = threading.RLock()

    def begin(self) -> bool:
        """Open the run; False where it is open."""
        session = self._session
        with self._lock:
            if self.is_open:
                return False
            session.prepare_directory()
            channel = session.open_channel(self)
            self.is_open, self._pid, session.run_status = True, os.getpid(), RunStatus.RUNNING
            start = {
                "event": "start",
                "status": RunStatus.RUNNING,
                **self._whereabouts(),
                "python": platform.python_version(),
                "script": sys.argv[0] if sys.argv else "",
                "experiment": session.description(),
            }
            channel.put_control(start)  # before the ports open: the run's first row
            session.bind(channel)
            # At once: a run that is killed a moment later must not look as if it had never started.
            RUNTIME.write_queued(channel)
            return True

    def beat(self) -> None:
        """Leave a sign of life in the journal."""
        channel = self._session.channel
        if channel is not None and self.is_open and not channel.failing:
            channel.put_control({"event": "heartbeat", **self._whereabouts()})

    def end(self, status: str, error: str | None = None) -> bool:
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
            self._close(channel, status, error)
            # Behind the closing, so that nothing is buffered after this. Its warning may be an error by the user's
            # filters, which must not leave the run open.
            self._session.log_rest(channel.queue.put)
            return True

    def finish(self, status: str, error: str | None = None) -> None:
        """End the run, and wait until it is written and, as long as the server can be reached, sent."""
        was_open = self.is_open
        try:
            self.end(status, error)
        finally:
            if was_open:
                try:
                    if self._session.channel is not None:
                        RUNTIME.finish(self._session.channel)
                finally:  # after Ctrl-C in the middle of it, too
                    if not self.is_open:
                        RUNTIME.closed(self)

    def forked(self) -> None:
        """Become, in a forked child, a handle that logs but does not own the status."""
        self._session.forked()

    def _close(self, channel: Channel, status: str, error: str | None) -> None:
        self.is_open, self._session.run_status = False, status
        if RUNTIME.closing:
            self._session.bind(channel)  # what the script's own exit handlers log goes straight to disk
        else:
            self._session.unbind()
        row = {"event": "end", "status": status, **self._whereabouts()}
        # Behind the last row of the run, in the same queue: nothing that was logged comes after its end.
        channel.put_control(row if error is None else {**row, "error": error})
        self._session.snapshot()

    def _whereabouts(self) -> dict[str, Any]:
        return {"handle": self._handle, "host": platform.node(), "pid": os.getpid()}


class RunManager(Generic[E]):
    """Starts and ends an experiment's run: as a context manager, a decorator, or by hand."""

    def __init__(self, session: Session, experiment: E) -> None:
        self._session = session
        self._experiment = experiment
        self._run = Run(session)

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

    def start(self) -> E:
        """Open the experiment for writing; does nothing where it is open.

        Returns:
            The experiment. After an end this reopens it, and row indices go on.

        Raises:
            JournalWriteError: the experiment's directory cannot be made or written.
        """
        if self._run.begin():
            self._session.wait_contact()
        return self._experiment

    def complete(self) -> None:
        """Drain, and mark the run as completed; harmless when repeated."""
        self._run.finish(RunStatus.COMPLETED)

    def fail(self, error: BaseException | str | None = None) -> None:
        """Drain, and mark the run as failed; harmless when repeated.

        Args:
            error: what it failed of, for the record.
        """
        self._run.finish(RunStatus.FAILED, _describe(error))

    def cancel(self) -> None:
        """Drain, and mark the run as cancelled; harmless when repeated."""
        self._run.finish(RunStatus.CANCELLED)

    def __enter__(self) -> E:
        return self.start()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._run.finish(*_verdict(error))

    async def __aenter__(self) -> E:
        if self._run.begin() and self._session.destination.url is not None:
            from anyio import CancelScope, to_thread

            # Only the waiting on another thread: what `begin` does about signals has to be done here.
            try:
                await to_thread.run_sync(self._session.wait_contact, abandon_on_cancel=True)
            except BaseException:
                with CancelScope(shield=True):  # nobody else would end it: the block is not entered
                    await to_thread.run_sync(self._run.finish, RunStatus.CANCELLED)
                raise
        return self._experiment

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        from anyio import CancelScope, to_thread

        with CancelScope(shield=True):  # a block that is cancelled has to end its run, too
            await to_thread.run_sync(self._run.finish, *_verdict(error))

    def __call__(self, function: Callable[Concatenate[E, P], R]) -> Callable[P, R]:
        """Decorate a function, `async def` too: it gets the experiment as its first argument."""
        import inspect

        given: Any = function
        # A generator's body would run when the run around the call has ended already.
        if not callable(given) or inspect.isgeneratorfunction(given) or inspect.isasyncgenfunction(given):
            raise InvalidArgumentError(
                f"exp.run cannot decorate {function!r}: decorate a function or an async function, and in a generator "
                "open the run with `with exp.run:`"
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                async with self as experiment:
                    return await function(experiment, *args, **kwargs)

            return cast("Callable[P, R]", run_async)

        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            with self as experiment:
                return function(experiment, *args, **kwargs)

        return run


def _verdict(error: BaseException | None) -> tuple[RunStatus, str | None]:
    """Return how a run ended whose block was left by `error`, and why."""
    # sys.exit() and sys.exit(0) are how scripts say that all is well.
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return RunStatus.COMPLETED, None
    return RunStatus.FAILED, _describe(error)


def _describe(error: BaseException | str | None) -> str | None:
    if error is None or isinstance(error, str):
        # Plain text: a subclass of str might not be storable, or keep more alive than its characters.
        return error if error is None else str.__str__(error)
    try:
        # Cut: some errors carry a whole program or tensor as text, and this goes into every listing.
        return f"{type(error).__name__}: {error}"[:2000]
    except Exception:  # noqa: BLE001 - a broken __str__ of the error must not hide it
        return type(error).__name__
