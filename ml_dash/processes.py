"""Whether a process lives, of those whose numbers mean something here."""

from __future__ import annotations

import contextlib
import os
import sys

if sys.platform == "win32":

    def _has(pid: int) -> bool:
        # Not os.kill(pid, 0): there, that is no question but a Ctrl-C.
        import ctypes

        query_limited_information, access_denied, still_active = 0x1000, 5, 259
        kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel32.OpenProcess.restype = ctypes.c_void_p
        process = ctypes.c_void_p(kernel32.OpenProcess(query_limited_information, 0, pid))
        if process.value is None:
            return ctypes.get_last_error() == access_denied
        try:
            code = ctypes.c_ulong()
            return not kernel32.GetExitCodeProcess(process, ctypes.byref(code)) or code.value == still_active
        finally:
            kernel32.CloseHandle(process)

else:

    def _has(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except (OSError, OverflowError):
            return True
        return True


def process_alive(pid: int, born: str | None = None) -> bool:
    """Say whether there is a process with this id on this machine; True where that cannot be told.

    Numbers are given to other processes once these have ended: one that was not `born` as this one is another. None
    stands for what is not known.
    """
    if not _has(pid):
        return False
    lives = None if born is None else process_born(pid)
    # elsewhere than in its own namespace of times, the same moment has another number
    return lives is None or born is None or lives == born or lives.split()[1:] != born.split()[1:]


def process_born(pid: int) -> str | None:
    """Tell apart those that have a number one after the other, in one `process_space`; None where that cannot be told.

    On Linux that is the tick of the machine's clock in which the process began, and the namespace that counts it: field
    22 of proc(5)'s ``stat``.
    """
    if sys.platform != "linux":
        return None
    try:
        # its second field is a name in parentheses, which may have such in it, and blanks
        ticks = int(_read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
    with contextlib.suppress(OSError):  # kernels before 5.6 have but one
        return f"{ticks} {os.readlink('/proc/self/ns/time')}"
    return str(ticks)


def _read(path: str) -> bytes:
    """Return what a small file of the kernel's holds: without `open`, which finalizers of globals do not have."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, 4096)
    finally:
        os.close(file)


def process_space() -> str | None:
    """Name the processes among which numbers are told apart as in this one; None where it cannot be told.

    On Linux that is this boot of this machine, and in it the namespace of process numbers: a container has numbers of
    its own, and often the name of the host that it runs on. Elsewhere it is the machine.
    """
    if sys.platform != "linux":
        return host_name() or None
    try:
        return (
            f"{_read('/proc/sys/kernel/random/boot_id').decode().strip()} {os.readlink('/proc/self/ns/pid')}"
        )
    except (OSError, ValueError):
        return None


def host_name() -> str:
    """Return this machine's name; "" where it has none."""
    if hasattr(os, "uname"):  # what `platform` looks up there, without its import
        return os.uname().nodename
    import platform

    return platform.node()
