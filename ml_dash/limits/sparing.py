"""What limits of the system (``ulimit``, a container's) leave to this process, and how much of that is the script's.

Problem: a limit is the script's. A training that stays within it must not be ended by what we take beside it, and that
is much of the address space: each thread takes its stack, and 64 MiB more that the C library keeps for what it
allocates; numpy takes as much, and again a stack and 32 MiB for each processor. And a library that gets no more may end
the process rather than raise anything: OpenBLAS, which comes with numpy, calls ``exit`` where it gets no memory for its
threads, and sends the process a SIGINT, which is a Ctrl-C to the script, where it gets no thread.

What was tried and does not work: to look what is left when something has failed. Then the process has ended, or it is
the script's next allocation that fails. To tell OpenBLAS to do with one thread, by its environment variable: it would
be the script's numpy that is slow. To ask `threading.stack_size`: that sets it.

What holds: under a limit, we take nothing large that would leave the script less than `SPARED`. What a thread would do
is then done by the callers, and rows are encoded without numpy. A script that has imported numpy has what it needs.

What still can fail: a script that needs more than that, later. And a limit that nothing tells of, as the pids limit of
a container around this one.
"""

from __future__ import annotations

import os
import sys

from ml_dash.errors import LimitError
from ml_dash.limits.system import soft_limit
from ml_dash.records import NamedTuple

_MIB = 1 << 20
SPARED = 512 * _MIB
"""Bytes of address space that are left to the script."""
_ARENA = 64 * _MIB
"""What glibc sets aside for a thread that allocates something."""
_STACK = 8 * _MIB
_NUMPY = 128 * _MIB
"""What numpy takes with one thread: its libraries, and the first buffer of OpenBLAS."""
_BLAS_BUFFER = 32 * _MIB
_PAGES_OF_ALL, _PAGES_OF_DATA = 0, 5
"""Which number of ``/proc/self/statm`` a limit is on."""


class _Room(NamedTuple):
    """How many bytes may still be taken, of how many, and what a shell calls the limit."""

    left: int
    limit: int
    name: str

    def told(self, what: str, needed: int) -> str:
        return (
            f"{what} takes {needed // _MIB} MiB of address space, of the {self.limit // _MIB} MiB that this process "
            f"may have (`{self.name} {self.limit >> 10}`) {max(0, self.left) // _MIB} are left, and {SPARED // _MIB} "
            "are kept for the script. Raise that limit"
        )


def lack_for_thread() -> str:
    """Return what keeps us from taking another thread, for users; "" where nothing does."""
    return _lack_of_memory("a thread", _stack_bytes() + _ARENA)


def lack_for_numpy() -> str:
    """Return what keeps us from importing numpy, for users; "" where nothing does, or it is there."""
    if "numpy" in sys.modules:
        return ""
    from ml_dash.limits.threads import blas_threads, lack_of_threads

    threads = blas_threads()
    needed = _NUMPY + threads * _BLAS_BUFFER + (threads - 1) * _stack_bytes()
    return _lack_of_memory("numpy", needed) or lack_of_threads("numpy", threads - 1)


def check_numpy() -> None:
    """Raise `LimitError` where numpy is not to be imported; before each import of it that may be the first."""
    if lack := lack_for_numpy():
        raise LimitError(f"numpy is not imported, since that might end the process: {lack}")


def check_room(what: str, needed: int) -> None:
    """Raise `LimitError` where so many bytes of address space are not left for something."""
    room = _room()
    if room is not None and room.left < needed:
        raise LimitError(
            f"{what} takes {needed // _MIB} MiB of address space, and of the {room.limit // _MIB} MiB that this "
            f"process may have (`{room.name} {room.limit >> 10}`) {max(0, room.left) // _MIB} are left: raise that "
            "limit"
        )


# --- memory


def _lack_of_memory(what: str, needed: int) -> str:
    room = _room()
    return "" if room is None or room.left - needed >= SPARED else room.told(what, needed)


def _room() -> _Room | None:
    """Return the least room under the limits on address space; None where there is no limit."""
    rooms = []
    for which, name, pages in (
        ("RLIMIT_AS", "ulimit -v", _PAGES_OF_ALL),
        ("RLIMIT_DATA", "ulimit -d", _PAGES_OF_DATA),
    ):
        limit = soft_limit(which)
        if limit is not None:
            taken = _taken(pages)
            # where nothing says how much that is, half of it
            rooms.append(_Room(limit // 2 if taken is None else limit - taken, limit, name))
    return min(rooms, default=None)


def _taken(pages: int) -> int | None:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[pages]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
    except MemoryError:
        return sys.maxsize


def _stack_bytes() -> int:
    """Return what a thread's stack takes, of ours and of C libraries."""
    by_default = soft_limit("RLIMIT_STACK")
    return _STACK if by_default is None else by_default
