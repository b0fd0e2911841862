"""Imports that nobody asked for at that moment, and other long work, which a fork must not cut in half.

A child forked while another thread is in the middle of ``import numpy`` has half a numpy for ever: the module
is there, and whoever imports it in the child gets what had been defined by then, or waits for ever for the import
to end. So the worker and the journal's readers import under a guard, and a fork waits for it: once a process, for
a fraction of a second mostly.
"""

from __future__ import annotations

import os
import threading

from ml_dash.locks import MortalLock

_LONGEST = 10.0
"""Seconds for which a fork waits: an import that hangs must not hang the program. On a busy machine an
import takes seconds, and a child that is forked in its middle has half a module, and hangs when it imports that."""


class _Guard:
    lock = MortalLock()

    def __init__(self) -> None:
        self.lock = threading.RLock()
        # Each thread's own: another one may wait to fork meanwhile, and not for long enough.
        self._forking = threading.local()

    def before_fork(self) -> None:
        self._forking.lock = self.lock if self.lock.acquire(timeout=_LONGEST) else None

    def after_fork_in_parent(self) -> None:
        held: threading.RLock | None = getattr(self._forking, "lock", None)
        if held is not None:
            held.release()
            self._forking.lock = None

    def after_fork_in_child(self) -> None:
        self.lock = threading.RLock()
        self._forking = threading.local()


_GUARD = _Guard()


def guarded_imports() -> threading.RLock:
    """Return what lets, as a context, no fork begin while its block imports, or takes locks that are not Python's."""
    return _GUARD.lock


def importing() -> bool:
    """Say whether another thread is within such a block."""
    lock = _GUARD.lock
    if not lock.acquire(blocking=False):
        return True
    lock.release()
    return False


def hook_forks() -> None:
    """Have forks wait for the blocks of `guarded_imports`; call it once."""
    # These two hook forks as well, with locks that an import of asyncio takes, and hooks run in reverse order: had
    # they come after ours, a fork would hold their locks while it waits for an import that waits for them.
    import logging  # noqa: F401

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_GUARD.before_fork,
            after_in_parent=_GUARD.after_fork_in_parent,
            after_in_child=_GUARD.after_fork_in_child,
        )
