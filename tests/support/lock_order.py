"""Locks that fail where a thread waits for one out of order: the order in the docstring of `ml_dash.pipeline`.

A deadlock needs two threads at the wrong moment, and a wrong order shows at the first try. Production code knows
nothing of this: `install` replaces `threading.Lock` and `threading.RLock`, for callers in the packages below.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NoReturn

from ml_dash.locks import MortalLock

__all__ = ["VIOLATIONS", "LockOrderError", "OrderedLock", "another_thread", "install", "uninstall"]

_CHECKED = (
    "ml_dash.pipeline.",
    "ml_dash.upload.",
    "ml_dash.sdk.",
    "ml_dash.journal.writer",
    "ml_dash.query.journal_view",
)
_REAL = threading.Lock, threading.RLock
VIOLATIONS: list[str] = []
"""What was found; a worker's thread may have swallowed the error."""


class _Held(threading.local):
    def __init__(self) -> None:
        self.locks: list[OrderedLock] = []


_HELD = _Held()


class LockOrderError(AssertionError):
    """A thread that holds one lock waits for another one that must be taken before it."""


class OrderedLock:
    """A lock that knows its place.

    Args:
        lock: The real one.
        owner: The object that it is an attribute of; None where `name` says it.
        name: ``Class.attribute``.
        fatal: Whether a violation ends the process: its tests look at nothing else.
    """

    def __init__(self, lock: Any, owner: object, name: str | None = None, *, fatal: bool = False) -> None:
        self._lock = lock
        self._owner: object = owner
        self._name = name
        self._fatal = fatal

    @property
    def name(self) -> str:
        """The lock's name, looked up when it is needed: while it is made, it is no attribute yet."""
        owner = self._owner
        if self._name is None and owner is not None:
            members = [member for kind in type(owner).__mro__ for member in vars(kind).items()]
            mortal = [name for name, value in members if isinstance(value, MortalLock)]
            names = [*mortal, *getattr(owner, "__dict__", ()), *getattr(type(owner), "__slots__", ())]
            attribute = next((name for name in names if getattr(owner, name, None) is self), "?")
            layer = "sdk." if type(owner).__module__.startswith("ml_dash.sdk.") else ""
            # In this order: a thread that finds no owner finds the name that another one has just put there.
            self._name = f"{layer}{type(owner).__name__}.{attribute}"
            self._owner = None
        return self._name or "?"

    def _is_owned(self) -> bool:
        return bool(self._lock._is_owned())

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """See `threading.Lock`."""
        if blocking:  # one that is only tried blocks nobody
            self._check()
        had = self.is_owned
        try:
            got = bool(self._lock.acquire(blocking, timeout))
            if got:
                _HELD.locks.append(self)
        except BaseException:  # Ctrl-C between the two
            if self.is_owned and not had:
                self._lock.release()
            raise
        return got

    def release(self) -> None:
        """See `threading.Lock`."""
        held = _HELD.locks
        for place in range(len(held) - 1, -1, -1):
            if held[place] is self:
                del held[place]
                break
        self._lock.release()

    __enter__ = acquire

    def __exit__(self, *error: object) -> None:
        self.release()

    @property
    def is_owned(self) -> bool:
        """Whether this thread holds it; a plain lock does not know."""
        is_owned = getattr(self._lock, "_is_owned", None)
        return bool(is_owned()) if is_owned is not None else False

    def _check(self) -> None:
        # Ctrl-C may have left one in the list that is not held any more.
        held = [lock for lock in _HELD.locks if lock.is_owned or not hasattr(lock._lock, "_is_owned")]
        if any(lock is self for lock in held):
            return
        mine = self._rank()
        for lock in held:
            if mine < (theirs := lock._rank()) or (mine == theirs > 0):
                self._refuse(f"{self.name} is waited for by a thread that holds {lock.name}")

    def _rank(self) -> int:
        """Return its place in the order; the SDK's come first, in whatever order among themselves."""
        if self.name.startswith("sdk."):
            return 0
        if self.name not in _order():
            self._refuse(f"{self.name} has no place in the order: see the docstring of ml_dash.pipeline")
        return 1 + _order().index(self.name)

    def _refuse(self, message: str) -> NoReturn:
        VIOLATIONS.append(message)
        if self._fatal:
            traceback.print_stack()
            sys.stderr.write(f"{message}\n")
            sys.stderr.flush()
            os._exit(86)
        raise LockOrderError(message)


@cache
def _order() -> list[str]:
    return re.findall(r"^\d+\. `(\w+\.\w+)`", sys.modules["ml_dash.pipeline"].__doc__ or "", re.MULTILINE)


@contextmanager
def another_thread() -> Iterator[None]:
    """Count what the block does as done by another thread, for a simulation that has but one."""
    held, _HELD.locks = _HELD.locks, []
    try:
        yield
    finally:
        _HELD.locks = held


def install(*, fatal: bool = False) -> None:
    """Have locks checked that are made from now on."""

    def replacing(make: Any) -> Any:
        def lock() -> Any:
            frame = sys._getframe(1)
            if not str(frame.f_globals.get("__name__")).startswith(_CHECKED):
                return make()
            return OrderedLock(make(), frame.f_locals.get("self"), fatal=fatal)

        return lock

    threading.Lock, threading.RLock = replacing(_REAL[0]), replacing(_REAL[1])


def uninstall() -> None:
    """Have no more locks checked."""
    threading.Lock, threading.RLock = _REAL
