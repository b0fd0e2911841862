"""A request to a run to stop, and the file ``stop.json`` that has one in an experiment's directory.

Whoever may write there makes it, `ml-dash stop` or a relay; the run looks at it about once a second, and notes in it
that it has seen it. It names the attempt that it is for, so that it stops no other one.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from ml_dash.protocol import STOP_REASON_MAX
from ml_dash.query.times import iso_time
from ml_dash.storage.side_file import STOP_FILE

if TYPE_CHECKING:
    from ml_dash.journal.disk import Disk

_BYTES_MAX = 4 << 20
_Time = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Text = Annotated[str, msgspec.Meta(max_length=10_000)]


class StopRequest(msgspec.Struct, frozen=True, rename="camel"):
    """A request to stop. Times are nanoseconds since the epoch.

    Attributes:
        at_ns: When it was made.
        attempts: What start rows call the attempt that is meant.
        by: By whom.
        reason: Why.
        seen_ns: When a process of the run has seen it; None as long as none has.
        via: The server that a relay had it from, which may take it away again.
    """

    at_ns: _Time
    attempts: tuple[str, ...] = ()
    by: _Text | None = None
    reason: Annotated[str, msgspec.Meta(max_length=STOP_REASON_MAX)] | None = None
    seen_ns: _Time | None = None
    via: _Text | None = None

    def shown(self) -> dict[str, Any]:
        """Return it as records of experiments have it."""
        seen = None if self.seen_ns is None else iso_time(self.seen_ns)
        return {"at": iso_time(self.at_ns), "by": self.by, "reason": self.reason, "seenAt": seen}


def understood(data: Any) -> StopRequest | None:
    """Return the request that a server or a file tells; None where it tells none, or nothing that makes sense."""
    try:
        return msgspec.convert(data, StopRequest)
    except (msgspec.ValidationError, UnicodeError):
        return None


def read_stop(directory: str, disk: Disk) -> StopRequest | None:
    """Return the request in an experiment's directory; None where there is none, or it cannot be read."""
    path = os.path.join(directory, STOP_FILE)
    try:
        size = disk.size(path)
        return understood(msgspec.json.decode(disk.read_at(path, 0, size))) if size <= _BYTES_MAX else None
    except (OSError, msgspec.DecodeError, UnicodeError):
        return None


def stop_bytes(request: StopRequest) -> bytes:
    """Return the bytes of the file that has a request."""
    return msgspec.json.format(msgspec.json.encode(request), indent=2)


def write_stop(directory: str, request: StopRequest, disk: Disk) -> None:
    """Have a request in an experiment's directory, in the place of any other; OSError where that cannot be."""
    disk.replace(os.path.join(directory, STOP_FILE), stop_bytes(request))


class StopFile:
    """One experiment's ``stop.json``, looked at again and again: it is read only when it is another one.

    Args:
        directory: The experiment's.
        disk: Its file system.
    """

    def __init__(self, directory: str, disk: Disk) -> None:
        self._directory = directory
        self._path = os.path.join(directory, STOP_FILE)
        self._disk = disk
        self._stamp: tuple[int, int, int] | None = None
        self._found: StopRequest | None = None

    def look(self) -> StopRequest | None:
        """Return the request that is there now."""
        with contextlib.suppress(OSError):  # Windows opens no directories
            # clients of a network file system look anew at what is in a directory when it is opened
            os.close(os.open(self._directory, os.O_RDONLY))
        try:
            status = os.stat(self._path, follow_symlinks=False)
        except OSError:
            self._stamp = self._found = None
            return None
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._stamp:
            self._found = read_stop(self._directory, self._disk)
            self._stamp = stamp
        return self._found
