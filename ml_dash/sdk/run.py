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
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from ml_dash.errors import InvalidArgumentError
from ml_dash.pipeline.runtime import RUNTIME

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from ml_dash.pipeline.channel import Channel
    from ml_dash.sdk.experiment import Experiment

__all__ = ["RunManager"]

P = ParamSpec("P")
R = TypeVar("R")


class RunManager:
    """Starts and ends an experiment's run: as a context manager, a decorator, or by hand."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._lock = threading.RLock()
        self._pid: int | None = None  # of the process that called start(); None while not open
        self._open = False
        self._handle = os.urandom(4).hex()
        self.status: str | None = None

    def __repr__(self) -> str:
        return f"<run of {self._experiment.prefix!r}: {self.status or 'not started'}>"

    @property
    def is_open(self) -> bool:
        """Whether the experiment takes what is logged."""
        return self._open

    def start(self) -> Experiment:
        """Open the experiment for writing; does nothing where it is open.

        Returns:
            The experiment. After an end this reopens it, and row indices go on.

        Raises:
            JournalWriteError: the experiment's directory cannot be made or written.
        """
        if self._begin():
            self._experiment.wait_contact()
        return self._experiment

    def _begin(self) -> bool:
        """Open the run; False where it is open."""
        with self._lock:
            if self._open:
                return False
            self._experiment.prepare_directory()
            channel = self._experiment.open_channel(self)
            self._open, self._pid, self.status = True, os.getpid(), "RUNNING"
            channel.put_control(self._start_row())
            self._experiment.bind(channel)
            RUNTIME.settle(channel)  # at once: killed a moment later it must not look as if never started
            return True

    def complete(self) -> None:
        """Drain, and mark the run as completed; harmless when repeated."""
        self._finish("COMPLETED")

    def fail(self, error: BaseException | str | None = None) -> None:
        """Drain, and mark the run as failed; harmless when repeated.

        Args:
            error: what it failed of, for the record.
        """
        self._finish("FAILED", _describe(error))

    def cancel(self) -> None:
        """Drain, and mark the run as cancelled; harmless when repeated."""
        self._finish("CANCELLED")

    def __enter__(self) -> Experiment:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._finish(*_verdict(error))

    async def __aenter__(self) -> Experiment:
        if self._begin() and self._experiment.url is not None:
            from anyio import CancelScope, to_thread

            # Only the waiting on another thread: what `_begin` does about signals has to be done here.
            try:
                await to_thread.run_sync(self._experiment.wait_contact, abandon_on_cancel=True)
            except BaseException:
                with CancelScope(shield=True):  # nobody else would end it: the block is not entered
                    await to_thread.run_sync(self._finish, "CANCELLED")
                raise
        return self._experiment

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        from anyio import CancelScope, to_thread

        with CancelScope(shield=True):  # a block that is cancelled has to end its run, too
            await to_thread.run_sync(self._finish, *_verdict(error))

    def __call__(self, function: Callable[Concatenate[Experiment, P], R]) -> Callable[P, R]:
        """Decorate a function, `async def` too: it gets the experiment as its first argument."""
        import inspect

        given: Any = function
        if not callable(given) or inspect.isgeneratorfunction(given) or inspect.isasyncgenfunction(given):
            msg = (
                f"exp.run cannot decorate {function!r}: decorate a function or an async function, and in a generator "
                "open the run with `with exp.run:`"
            )
            raise InvalidArgumentError(msg)
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

    def beat(self) -> None:
        """Leave a sign of life in the journal."""
        channel = self._experiment.channel
        if channel is not None and self._open and not channel.failing:
            channel.put_control({"event": "heartbeat", **self._whereabouts()})

    def end(self, status: str, error: str | None = None) -> bool:
        """Queue the end of the run, waiting for nothing; False where it is not ours or has ended.

        In a forked child that is the end of what the child had buffered, and of nothing else.
        """
        with self._lock:
            channel = self._experiment.channel
            if not self._open or channel is None:
                return False
            if self._pid != os.getpid():
                self._experiment.summarize_leftovers()
                return False
            self._close(channel, status, error)
            # Behind the closing, so that nothing is buffered after this. Its warning may be an error by the user's
            # filters, which must not leave the run open.
            self._experiment.summarize_leftovers(channel.queue.put)
            return True

    def forked(self) -> None:
        """Become, in a forked child, a handle that logs but does not own the status."""
        self._lock = threading.RLock()
        self._experiment.forked()

    def _finish(self, status: str, error: str | None = None) -> None:
        was_open = self._open
        try:
            self.end(status, error)
        finally:
            if was_open:
                try:
                    if self._experiment.channel is not None:
                        RUNTIME.finish(self._experiment.channel)
                finally:  # after Ctrl-C in the middle of it, too
                    if not self._open:
                        RUNTIME.closed(self)

    def _close(self, channel: Channel, status: str, error: str | None) -> None:
        self._open, self.status = False, status
        if RUNTIME.closing:
            self._experiment.bind(channel)  # what the script's own exit handlers log goes straight to disk
        else:
            self._experiment.unbind()
        row = {"event": "end", "status": status, **self._whereabouts()}
        channel.put_control(row if error is None else {**row, "error": error})
        self._experiment.post_snapshot()

    def _whereabouts(self) -> dict[str, Any]:
        return {"handle": self._handle, "host": platform.node(), "pid": os.getpid()}

    def _start_row(self) -> dict[str, Any]:
        return {
            "event": "start",
            "status": "RUNNING",
            **self._whereabouts(),
            "python": platform.python_version(),
            "script": sys.argv[0] if sys.argv else "",
            "experiment": self._experiment.description(),
        }


def _verdict(error: BaseException | None) -> tuple[str, str | None]:
    """Say how a run ended whose block was left by `error`."""
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return "COMPLETED", None
    return "FAILED", _describe(error)


def _describe(error: BaseException | str | None) -> str | None:
    if error is None or isinstance(error, str):
        return error if error is None else str.__str__(error)
    try:
        return f"{type(error).__name__}: {error}"[:2000]
    except Exception:  # noqa: BLE001 - a broken __str__ of the error must not hide it
        return type(error).__name__
