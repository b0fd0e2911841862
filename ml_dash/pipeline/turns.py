"""Whose turn it is to write: a thread that is in the middle of writing must not begin to write once more.

Problem: a finalizer of the script, or where its own thread writes, a signal handler, may run between any two
instructions of ours. When it flushes in the middle of an append, the journal's writer is half way through a frame, and
its lock is held by this very thread: it would be waited for ever. So such a thread is told that it is at it already.
What the inner call wanted to be written is written with the next slice; what must come after that is put off.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Turns:
    """Which threads are in the middle of writing to one journal."""

    def __init__(self) -> None:
        self._threads: set[int] = set()
        self._syncing: set[int] = set()
        self._put_off: dict[int, Callable[[], None]] = {}

    @property
    def is_mine(self) -> bool:
        """Whether the calling thread is in the middle of writing."""
        return threading.get_ident() in self._threads

    @property
    def is_syncing(self) -> bool:
        """Whether some thread is at an fsync."""
        return bool(self._syncing)

    @contextmanager
    def begin(self, *, sync: bool = False) -> Iterator[bool]:
        """Let the calling thread write in the block, or sync; the value is False where it is in the middle of that."""
        thread = threading.get_ident()
        if thread in self._threads:
            yield False
            return
        try:
            self._threads.add(thread)  # in the block: Ctrl-C may come just behind it
            if sync:
                self._syncing.add(thread)
            yield True
        finally:
            self._syncing.discard(thread)
            self._threads.discard(thread)
            work = self._put_off.pop(thread, None)
            if work is not None:
                work()

    def put_off(self, work: Callable[[], None]) -> bool:
        """Have this done when the calling thread is through with writing; False where it is not in the middle of it."""
        if not self.is_mine:
            return False
        self._put_off[threading.get_ident()] = work
        return True
