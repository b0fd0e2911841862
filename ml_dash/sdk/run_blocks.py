"""The blocks of a run: `with exp.run:` and calls of decorated functions, nested, or side by side in threads and tasks.

Problem: a helper that is decorated, or has a block of its own, is called inside of the outer block, or by several
threads at once. Were each block the end of the run, what is logged after the first of them would be refused.

What holds: who opens the run ends it. A block in a run that was started by hand ends nothing. Of blocks that overlap,
the last one to be left ends the run. The verdict is that of the block that opened it, for there an exception of a block
within may be caught; a block that outlives it can only turn COMPLETED into FAILED.

Python does not tell `__exit__` which block is left. So each block is noted in the context of its thread or task, too.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar

from ml_dash.records import NamedTuple
from ml_dash.status import RunStatus

_WITHIN: ContextVar[tuple[object, ...]] = ContextVar("ml_dash_blocks", default=())
"""The blocks, of whichever runs, that this thread or task is in, from the outermost on."""


_ERROR_MAX = 2000  # characters
_TRACEBACK_MAX = 16_000  # characters, of its end


class Verdict(NamedTuple):
    """How a run ends, and of what."""

    status: RunStatus
    error: str | None = None
    traceback: str | None = None


def failure(error: BaseException | str | None) -> Verdict:
    """Return the verdict of a run that has failed by an error, as far as that is known."""
    traceback = None
    if isinstance(error, BaseException):
        with contextlib.suppress(Exception):  # as below
            from traceback import format_exception

            lines = format_exception(type(error), error, error.__traceback__)
            traceback = "".join(lines)[-_TRACEBACK_MAX:]
    return Verdict(RunStatus.FAILED, _describe(error), traceback)


def _describe(error: BaseException | str | None) -> str | None:
    if error is None:
        return None
    try:
        # Plain text: a subclass of str might not be storable, or keep more alive than its characters.
        text = str.__str__(error) if isinstance(error, str) else f"{type(error).__name__}: {error}"
        # Cut: some errors carry a whole program or tensor as text, and this goes into every listing.
        return text[:_ERROR_MAX]
    except Exception:  # noqa: BLE001 - a broken __str__ of the error must not hide it
        return type(error).__name__


class Blocks:
    """The blocks of one run that were entered and not left; not for several threads at once."""

    def __init__(self) -> None:
        self._open: list[object] = []
        self._opener: object = None  # the block that opened the run, while it is among them
        self.are_to_end_it = False  # for one of them has opened it
        self._verdict = Verdict(RunStatus.COMPLETED)

    def started_by_hand(self) -> None:
        """Note that a run was opened by no block."""
        if not self._open:  # a run that is reopened within a block is that block's
            self.are_to_end_it = False

    def enter(self, *, opens: bool) -> None:
        """Note, in its own context, a block that begins, and whether it has opened the run."""
        block = object()
        if opens:
            self._opener, self.are_to_end_it, self._verdict = block, True, Verdict(RunStatus.COMPLETED)
        self._open.append(block)
        _WITHIN.set((*_WITHIN.get(), block))

    def leave(self, verdict: Verdict) -> None:
        """Note, in its own context, that a block was left."""
        if not self._open:  # `__exit__` called by hand, for a run that was started by hand
            self.are_to_end_it, self._verdict = True, verdict
            return
        within = _WITHIN.get()
        # An asynchronous fixture, for one, may be left in another task's context than it was entered in.
        block = next((each for each in reversed(within) if each in self._open), self._open[-1])
        _WITHIN.set(tuple(each for each in within if each is not block))
        self._open.remove(block)
        if block is self._opener:
            self._opener = None
        if self._opener is None and self._verdict.status is RunStatus.COMPLETED:
            self._verdict = verdict

    @property
    def are_open(self) -> bool:
        """Whether one was entered and not left."""
        return bool(self._open)

    @property
    def verdict(self) -> Verdict | None:
        """How the run is to end now that its last block was left; None where it is to go on."""
        return self._verdict if self.are_to_end_it and not self._open else None

    def forked(self) -> None:
        """Forget, in a forked child, the blocks of other threads: nobody will leave them."""
        within = _WITHIN.get()
        self._open = [block for block in self._open if block in within]
        self._opener = self._opener if self._opener in self._open else None
