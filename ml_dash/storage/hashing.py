"""The checksum of what passes by, computed on a thread of its own beside the reading and the writing."""

from __future__ import annotations

import hashlib
import queue
import threading

__all__ = ["BLOCK_BYTES", "Hasher"]

BLOCK_BYTES = 1 << 20
"""How much is read, written and hashed at a time."""
_WAITING_BLOCKS = 4
"""How many blocks may wait to be hashed: memory stays the same for a content of any size."""


class Hasher:
    """SHA-256 of the blocks that it is given.

    The first block is hashed by the caller: no thread is worth its while for a small file. From the second one on a
    thread takes over; `hashlib` lets go of the interpreter meanwhile. Use it as a context: at its end the thread is
    gone, whatever happened.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._blocks: queue.Queue[bytes | None] = queue.Queue(_WAITING_BLOCKS)
        self._thread: threading.Thread | None = None
        self._begun = False

    def __enter__(self) -> Hasher:  # noqa: PYI034 - typing has no Self before Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._end_thread()

    def update(self, block: bytes) -> None:
        """Take in a block, which must not change afterwards; waits where hashing is slower than what else is done."""
        if self._thread is None and self._begun:
            self._start_thread()
        self._begun = True
        if self._thread is None:
            self._hash.update(block)
        else:
            self._blocks.put(block)

    def digest(self) -> str:
        """Return the checksum of all blocks, in lower-case hexadecimal digits."""
        self._end_thread()
        return self._hash.hexdigest()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name="ml-dash-checksum", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread can be started while the interpreter ends
            return
        self._thread = thread

    def _run(self) -> None:
        while (block := self._blocks.get()) is not None:
            self._hash.update(block)

    def _end_thread(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._blocks.put(None)
            thread.join()
