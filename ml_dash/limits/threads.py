"""How many threads there may be, by limits of the system, and how many numpy would start."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING

from ml_dash.limits.system import soft_limit

if TYPE_CHECKING:
    from collections.abc import Iterator

SPARED_THREADS = 16
"""Threads and processes that are left to the script, and to others of its user."""
_CGROUPS = "/sys/fs/cgroup"


def blas_threads() -> int:
    """Return how many threads numpy computes with: one for each processor, unless the environment says fewer."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for name in ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"):
        with contextlib.suppress(ValueError):
            chosen = int(os.environ.get(name, ""))
            if chosen > 0:
                return min(chosen, processors)
    return processors


def lack_of_threads(what: str, needed: int) -> str:
    """Return what keeps us from having so many threads more, for users; "" where nothing does."""
    if not needed or os.name != "posix":
        return ""
    for limit, taken, name in _thread_limits():
        if limit - taken - needed < SPARED_THREADS:
            return (
                f"{what} starts {needed} threads, {taken} of the {limit} that there may be ({name}) are taken, and "
                f"{SPARED_THREADS} are kept for the script. Raise that limit, or set OPENBLAS_NUM_THREADS=1"
            )
    return ""


def _thread_limits() -> Iterator[tuple[int, int, str]]:
    """Yield each limit on threads that is near, with how many there are and what it is called."""
    limit = soft_limit("RLIMIT_NPROC")
    # All of the machine are more than this user's, and told at once.
    if limit is not None and limit - _threads_of_machine() < 2 * SPARED_THREADS + (os.cpu_count() or 1):
        yield limit, _threads_of_user(), f"`ulimit -u {limit}`"
    for directory in _cgroups("pids"):
        most, taken = _number_in(directory, "pids.max"), _number_in(directory, "pids.current")
        if most is not None and taken is not None:
            yield most, taken, f"the pids limit {directory}/pids.max"


def _threads_of_machine() -> int:
    try:
        with open("/proc/loadavg", "rb") as file:
            return int(file.read().split()[3].split(b"/")[1])
    except (OSError, ValueError, IndexError):
        return sys.maxsize


def _threads_of_user() -> int:
    """Return how many threads of this user can be seen: a process's list of them has a link for each."""
    count, user = 0, os.getuid()
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError):
                    found = os.stat(f"/proc/{name}/task")
                    count += found.st_nlink - 2 if found.st_uid == user else 0
    return max(count, threading.active_count())


def _cgroups(controller: str) -> Iterator[str]:
    """Yield the directories of the groups that limit this process: its own, and those around it as far as one sees."""
    with contextlib.suppress(OSError, UnicodeError, ValueError):
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            lines = file.read().splitlines()
        for line in lines:
            number, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                top = os.path.join(_CGROUPS, controller)
            elif number == "0" and not controllers:
                top = _CGROUPS
            else:
                continue
            while path.strip("/"):
                yield top + path
                path = os.path.dirname(path)
            yield top


def _number_in(directory: str, name: str) -> int | None:
    with contextlib.suppress(OSError, ValueError), open(os.path.join(directory, name), "rb") as file:
        return int(file.read())
    return None  # there is none, or it says "max"
