"""A bell by which a reader has another process of this machine write what waits in its slabs.

Problem: rows are safe in shared memory, so the worker looks for them once a second only, for each look costs the script
some of its time. But whoever follows a run wants to see them at once. What was thought of and given up: reading the
slabs. A reader would have to show rows that have no frame and no number yet, and to tell them from those of the frame
that they will be in, in every fold and for every follower. So a reader rings, and then finds everything in the journal.
Where nobody reads, that costs nothing.

A bell is a named pipe beside the slabs: one a process, made with its first slab. What still can fail: a process that is
busy in somebody's C code for long hears late. A reader waits for a fraction of a second, and shows what is there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from ml_dash.slabs.place import beside_standard_streams

SUFFIX = ".bell"


class Bell:
    """This process's bell.

    Attributes:
        path: of the pipe.
        fd: to be watched: there is something to read when somebody has rung.
    """

    def __init__(self, place: str) -> None:
        self.path = os.path.join(place, f"{os.getpid():x}-{os.urandom(4).hex()}{SUFFIX}")
        self.pid = os.getpid()
        os.mkfifo(self.path, 0o600)
        # For writing as well: else it would be at its end whenever nobody else has it open.
        with beside_standard_streams():
            self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)

    def hear(self) -> None:
        """Take note of all who have rung so far."""
        with contextlib.suppress(OSError):
            while os.read(self.fd, 4096):
                pass

    def close(self) -> None:
        """Let go of it; the process that has made it removes it."""
        with contextlib.suppress(OSError):
            os.close(self.fd)
        if self.pid == os.getpid():
            with contextlib.suppress(OSError):
                os.unlink(self.path)


_OWN: list[Bell] = []


def own_bell(place: str) -> str:
    """Return the path of this process's bell, which is made where there is none; "" where it cannot be."""
    bell = current_bell()
    if bell is None:
        try:
            bell = Bell(place)
        except OSError:
            return ""
        _OWN.append(bell)
    return bell.path


def current_bell() -> Bell | None:
    """Return this process's bell; None where it has none."""
    return _OWN[-1] if _OWN else None


def forget_bell() -> None:
    """Let go of this process's bell: in a forked child it is the parent's."""
    while _OWN:
        _OWN.pop().close()


def is_deserted(path: str) -> bool:
    """Whether this is a bell that no process has any more."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW))
    except OSError as error:
        return error.errno == errno.ENXIO  # else nobody can tell, as without a free descriptor
    return False


def ring(path: str) -> bool:
    """Ring another process's bell; False where nobody hears it."""
    try:
        if not stat.S_ISFIFO(os.lstat(path).st_mode):
            return False
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        os.write(fd, b"!")
    except BlockingIOError:
        pass  # it is full: it has been rung often, and not been heard yet
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
