"""Values, sizes and times as people read them, and names and messages made safe for a terminal."""

from __future__ import annotations

import codecs
import contextlib
import sys
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from ml_dash.query.json_text import json_text
from ml_dash.query.times import DURATIONS, NANOSECONDS
from ml_dash.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

UNNAMED = "(unnamed)"
"""How the metric without a name is shown."""

# Nobody reads what is deeper, and Python's recursion ends at about a thousand.
_DEEPEST = 20
# The keys of what stands for a value that could not be stored (see `ml_dash.values.pack`).
_MARK = frozenset({"__repr__", "__type__"})
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def value_text(value: Any, *, exact: bool = False, depth: int = 0) -> str:  # noqa: PLR0911 - one a kind of value
    """Return a logged value on one line.

    Args:
        value: Anything that a journal holds.
        exact: Whether floats keep all their digits; else they are cut to six.
        depth: How deep in containers the value lies; what lies very deep is left out.
    """
    if isinstance(value, float):
        return repr(value) if exact else f"{value:.6g}"
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict) and value.keys() == _MARK:
        return visible(str(value["__repr__"]))
    if depth > _DEEPEST and isinstance(value, (dict, list)):
        return "…"
    if isinstance(value, dict):
        items = [
            f"{visible(str(key))}: {value_text(item, exact=exact, depth=depth + 1)}"
            for key, item in value.items()
        ]
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(value_text(item, exact=exact, depth=depth + 1) for item in value) + "]"
    return visible(str(value))


def print_json(value: Any) -> None:
    """Write JSON to standard output, for programs."""
    sys.stdout.write(json_text(value, indent=2) + "\n")


def print_json_line(value: Any) -> None:
    """Write one of many values on a line of standard output of its own, for programs that read them as they come."""
    sys.stdout.write(json_text(value) + "\n")


def size_text(size: int) -> str:
    """Return a number of bytes with three digits: ``512 B``, ``1.25 kB``, ``64.0 MB``."""
    if size < 1000:
        return f"{size} B"
    for unit, number in (("kB", size / 1e3), ("MB", size / 1e6), ("GB", size / 1e9)):
        # 999.5 would be rounded to 1000
        if number < 999.5:
            digits = 2 if number < 9.995 else 1 if number < 99.95 else 0
            return f"{number:.{digits}f} {unit}"
    return f"{size / 1e12:.2f} TB"


def count_text(count: int, noun: str) -> str:
    """Return a number of things: ``1 row``, ``5,000 rows``, ``2 entries``."""
    several = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else several}"


def age_text(time_ns: int, now_ns: int) -> str:
    """Return how long ago something was; what is over a month old, or yet to come, is given by its date."""
    seconds = (now_ns - time_ns) // NANOSECONDS
    # A clock that differs, as on a network disk, makes the future possible.
    if not 0 <= seconds < 30 * 86_400:
        return local_time(time_ns)
    if seconds < 2:
        return "just now"
    length, unit = next(each for each in DURATIONS if seconds >= each[0])
    return f"{seconds // length} {unit} ago"


def local_time(time_ns: int, *, milliseconds: bool = False) -> str:
    """Return date and time in this machine's time zone."""
    # Not by `fromtimestamp`: a float rounds microseconds, and Windows refuses times before 1970.
    moment = _EPOCH + timedelta(microseconds=time_ns // 1000)
    # Windows has no local time before 1970: it stays UTC
    with contextlib.suppress(OSError, OverflowError):
        moment = moment.astimezone()
    return moment.isoformat(" ", "milliseconds" if milliseconds else "seconds")[: 23 if milliseconds else 19]


def complain(message: str) -> None:
    """Write a line to standard error."""
    # Where both streams go to one place, a warning comes behind what it is about.
    sys.stdout.flush()
    sys.stderr.write(visible(message) + "\n")
    sys.stderr.flush()


class ByteSink(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> object:
        """Take bytes."""


@contextmanager
def standard_output() -> Iterator[ByteSink]:
    """Give standard output for bytes. A terminal gets them with control characters escaped."""
    # what was written as text must come before what goes around that layer
    sys.stdout.flush()
    if not sys.stdout.isatty():
        yield sys.stdout.buffer
        return
    terminal = _SafeTerminal(sys.stdout.buffer)
    yield terminal
    terminal.end()


class _SafeTerminal:
    """Keeps what was logged or saved from moving the cursor, or worse."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        # a file comes in pieces, which end where they like, and need not be text
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(self, data: bytes, /) -> None:
        self._show(self._decoder.decode(data))

    def end(self) -> None:
        """Write what is left: the beginning of a character whose end never came."""
        self._show(self._decoder.decode(b"", final=True))

    def _show(self, text: str) -> None:
        self._out.write("\n".join(map(visible, text.split("\n"))).encode())
