"""Where an export goes: a file that is there when it is complete, or standard output."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
from typing import TYPE_CHECKING, BinaryIO

from ml_dash.cli.text import visible
from ml_dash.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.cli.exporting.text_formats import ByteSink

__all__ = ["file_target", "standard_output"]


@contextlib.contextmanager
def file_target(path: str) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`, which gets that name when the block ends without an error.

    A device or a pipe is written as it is: it must not be replaced by a file.

    Raises:
        InvalidArgumentError: There is no directory for it, or it is one itself.
    """
    path = os.path.realpath(path)
    directory = os.path.dirname(path)
    if os.path.isdir(path):
        raise InvalidArgumentError(f"cannot write to {path!r}: it is a directory; name a file in it")
    if not os.path.isdir(directory):
        raise InvalidArgumentError(f"cannot write to {path!r}: there is no directory {directory!r}")
    if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
        with open(path, "wb") as out:
            yield out
        return
    temporary = f"{path}.{os.urandom(4).hex()}.tmp"
    try:
        with open(temporary, "xb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        if os.path.exists(path):
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise


def standard_output() -> ByteSink:
    """Return standard output for bytes. A terminal gets them with control characters escaped."""
    sys.stdout.flush()
    return _SafeTerminal(sys.stdout.buffer) if sys.stdout.isatty() else sys.stdout.buffer


class _SafeTerminal:
    """Keeps what was logged from moving the cursor, or worse."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def write(self, data: bytes, /) -> None:
        """Write lines of UTF-8."""
        lines = data.decode().split("\n")
        self._out.write("\n".join(map(visible, lines)).encode())
