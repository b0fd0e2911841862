"""Locks that are not waited for where nobody is left who would release them.

Problem: an interpreter that frees its modules has stopped all threads but one, wherever they were. A daemon thread of
the script's that logs into the exit may have been stopped in the middle of a call, with our locks in its hands; a
`__del__` that flushes then would wait for ever.

What was tried and does not work: a class around the lock. Ctrl-C may come in its `__enter__`, when the lock is taken
and the block not yet entered, so that nobody releases it. So the attribute looks, before the lock is touched.
"""

from __future__ import annotations

import sys
import threading
from typing import Any, overload


class MortalLock:
    """An attribute that holds a lock, and another one once the thread that had it is gone.

    It is kept in an attribute of the same name with ``_own`` before it. Whoever has a lock that is not reentrant must
    not look it up again: it could not be told from one of a thread that is gone.

    Args:
        mend: the owner's method that sees to what that thread has left half done.
    """

    def __init__(self, mend: str = "") -> None:
        self._mend = mend
        self._place = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._place = f"_own{name}"

    @overload
    def __get__(self, owner: None, kind: type) -> MortalLock: ...
    @overload
    def __get__(self, owner: object, kind: type) -> threading.RLock: ...
    def __get__(self, owner: object, kind: type) -> Any:
        if owner is None:
            return self
        lock = getattr(owner, self._place)
        return self._inherited(owner, lock) if sys.is_finalizing() else lock

    def __set__(self, owner: object, lock: threading.Lock | threading.RLock) -> None:
        setattr(owner, self._place, lock)

    def _inherited(self, owner: object, lock: threading.RLock) -> threading.RLock:
        if lock.acquire(blocking=False):  # nobody has it, or the caller
            lock.release()
            return lock
        lock = threading.RLock()
        setattr(owner, self._place, lock)
        if self._mend:
            getattr(owner, self._mend)()
        return lock


def owns(lock: threading.RLock) -> bool:
    """Whether the calling thread holds a reentrant lock."""
    # what `threading.Condition` asks
    is_owned: bool = lock._is_owned()  # type: ignore[attr-defined]  # noqa: SLF001
    return is_owned
