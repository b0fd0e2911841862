"""Every tunable and every environment variable, in one place, each with its unit.

==========================  =========  ======================================================================
variable                    default    meaning
==========================  =========  ======================================================================
ML_DASH_LINGER              1 s        how long a row may wait before it is written; 0.05 s without shared memory, and
                                       0.25 s where its values come from a device
ML_DASH_FLUSH_INTERVAL      –          the same, under the name that earlier users know
ML_DASH_SYNC_INTERVAL       1 s        at most this long between two fsyncs while rows arrive
ML_DASH_QUEUE_EVENTS        262144     events that may wait for the journal
ML_DASH_QUEUE_BYTES         33554432   bytes of large events (over 4 KiB each) that may wait
ML_DASH_CRASH_PROOF         true       ``0``: rows wait in the process's own memory, and are lost with it
ML_DASH_QUEUE_DIR           –          where rows wait in shared memory; else ``/dev/shm``, or the temporary directory
ML_DASH_OVERFLOW            block      at capacity: ``block`` the caller, or ``drop`` the event and count it
ML_DASH_SEGMENT_BYTES       67108864   size at which a journal segment is closed and the next one begun
ML_DASH_FRAME_BYTES         67108864   bytes of a row, or of rows written together, 65536 at least; a reader takes
                                       twice as many
ML_DASH_HEARTBEAT           30 s       between two heartbeats of an open run, 0.05 s at least
ML_DASH_STALE_AFTER         90 s       without a heartbeat, after which a running run counts as dead
ML_DASH_EXIT_TIMEOUT        10 s       that the interpreter's exit may wait for the journal and the server
ML_DASH_START_TIMEOUT       5 s        that `run.start()` may wait for the server
ML_DASH_FLUSH_TIMEOUT       10 s       that `flush()` may wait for a server that can be reached
ML_DASH_SIGTERM_TIMEOUT     0.5 s      that SIGTERM may wait for the journal
ML_DASH_BUFFER_ENABLED      true       ``false``: every call returns only when it is on disk
ML_DASH_ECHO                true       ``0``: `exp.log` prints nothing on the console
ML_DASH_QUIET               false      ``1``: nothing is printed when a run starts and ends
ML_DASH_CAPTURE             true       what a run captures by itself: some of `CAPTURED`; ``0``: nothing;
                                       ``console=native``: all, and what native code and child processes print
ML_DASH_SYSTEM_INTERVAL     10 s       between two samples of the machine's load, 0.01 s at least
ML_DASH_PREFIX              –          the prefix of an experiment that is given none
ML_DASH_USER                login      the owner of a prefix that names none
ML_DASH_API_URL             –          the server that ``dash_url=True`` means, see `ml_dash.client.destination`
ML_DASH_TOKEN               –          the token for the server that the user named, see `ml_dash.tokens.current`
ML_DASH_TOKEN_ORIGIN        –          the only server that ``ML_DASH_TOKEN`` is for
ML_DASH_CONFIG_DIR          ~/.dash    where tokens and the outbox lie, see `ml_dash.tokens.directory`
==========================  =========  ======================================================================
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from ml_dash.errors import InvalidArgumentError
from ml_dash.protocol import FRAMES_BYTES_MAX
from ml_dash.records import NamedTuple

FRAME_BYTES = "ML_DASH_FRAME_BYTES"
LINGER, DEVICE_LINGER, EXPOSED_LINGER = 1.0, 0.25, 0.05
"""Seconds that rows wait if nothing else is set: in shared memory; on a device; and in memory that is lost with the
process. Of a device more than that are not worth it: they would be late all the same, and each look costs the loop."""
Overflow = Literal["block", "drop"]

CAPTURED = frozenset({"console", "environment", "git", "packages", "system"})
"""What a run can capture of its surroundings."""
NATIVE = "native"
"""Beside these: that the console is heard at the file descriptors, see `ml_dash.capture.native`."""

_HEARTBEAT_LEAST, _SAMPLES_LEAST = 0.05, 0.01
"""Seconds between two heartbeats, and two samples of the load: with 0 the background thread does nothing else."""
_FRAME_BYTES_LEAST = 64 << 10
"""A start has a path, an error a text, and the console lines: the rows of any run fit into so much."""

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class Settings(NamedTuple):
    """The tunables of one experiment; times in seconds, sizes in bytes."""

    linger: float | None = None
    sync_interval: float = 1.0
    queue_events: int = 262_144
    queue_bytes: int = 32 * 1024 * 1024
    crash_proof: bool = True
    queue_dir: str | None = None
    overflow: Overflow = "block"
    segment_bytes: int = 64 * 1024 * 1024
    frame_bytes: int = FRAMES_BYTES_MAX
    heartbeat: float = 30.0
    stale_after: float = 90.0
    exit_timeout: float = 10.0
    start_timeout: float = 5.0
    flush_timeout: float = 10.0
    sigterm_timeout: float = 0.5
    buffered: bool = True
    echo: bool = True
    quiet: bool = False
    capture: frozenset[str] = CAPTURED
    system_interval: float = 10.0
    rank: int | None = None
    """Of this process among those of its training: never of a variable of our own, see `ml_dash.sdk.starting.ranks`."""

    @property
    def speaks(self) -> bool:
        """Whether a run says where it is, when it starts and ends."""
        return self.echo and not self.quiet

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings; a value that cannot be read raises `InvalidArgumentError` naming it."""
        read = _Environment(environ)
        default = cls()
        return cls(
            linger=read.duration("ML_DASH_LINGER", read.duration("ML_DASH_FLUSH_INTERVAL")),
            sync_interval=read.number("ML_DASH_SYNC_INTERVAL", default.sync_interval),
            queue_events=read.count("ML_DASH_QUEUE_EVENTS", default.queue_events),
            queue_bytes=read.count("ML_DASH_QUEUE_BYTES", default.queue_bytes),
            crash_proof=read.boolean("ML_DASH_CRASH_PROOF", default.crash_proof),
            queue_dir=read.directory("ML_DASH_QUEUE_DIR"),
            overflow=check_overflow(environ.get("ML_DASH_OVERFLOW") or default.overflow, "ML_DASH_OVERFLOW"),
            segment_bytes=read.count("ML_DASH_SEGMENT_BYTES", default.segment_bytes),
            frame_bytes=frame_bytes(environ),
            heartbeat=read.number("ML_DASH_HEARTBEAT", default.heartbeat, least=_HEARTBEAT_LEAST),
            stale_after=read.number("ML_DASH_STALE_AFTER", default.stale_after),
            exit_timeout=read.number("ML_DASH_EXIT_TIMEOUT", default.exit_timeout),
            start_timeout=read.number("ML_DASH_START_TIMEOUT", default.start_timeout),
            flush_timeout=read.number("ML_DASH_FLUSH_TIMEOUT", default.flush_timeout),
            sigterm_timeout=read.number("ML_DASH_SIGTERM_TIMEOUT", default.sigterm_timeout),
            buffered=read.boolean("ML_DASH_BUFFER_ENABLED", default.buffered),
            echo=read.boolean("ML_DASH_ECHO", default.echo),
            quiet=read.boolean("ML_DASH_QUIET", default.quiet),
            capture=check_capture(environ.get("ML_DASH_CAPTURE") or True, "ML_DASH_CAPTURE"),
            system_interval=read.number(
                "ML_DASH_SYSTEM_INTERVAL", default.system_interval, least=_SAMPLES_LEAST
            ),
        )


def frame_bytes(environ: Mapping[str, str]) -> int:
    """Return how many bytes may be written, or read, at once: this one is asked for by readers, too."""
    return _Environment(environ).count(FRAME_BYTES, FRAMES_BYTES_MAX, least=_FRAME_BYTES_LEAST)


def check_overflow(value: Any, name: str = "overflow") -> Overflow:
    """Return `value` if it is a way to overflow, else raise `InvalidArgumentError` naming the argument."""
    if value == "block":
        return "block"
    if value == "drop":
        return "drop"
    msg = f"{name}={value!r} is not known: use 'block' (wait for the disk) or 'drop' (count what is left out)"
    raise InvalidArgumentError(msg)


def check_capture(value: Any, name: str = "capture") -> frozenset[str]:
    """Return which parts are to be captured; True is all, False none, else they are named, in a list or a text.

    A dict changes what is captured by default: ``{"git": False, "console": "native"}``; in a text
    ``git=0,console=native``.

    Raises:
        InvalidArgumentError: `value` is nothing of these, or names another part.
    """
    if isinstance(value, str):
        text = value.strip().lower()
        if "=" in text:
            pairs = [part.partition("=") for part in re.split(r"[\s,]+", text.strip(","))]
            value = {part: how if sign else True for part, sign, how in pairs}
        else:
            value = (
                True if text in _TRUE else False if text in _FALSE else re.split(r"[\s,]+", text.strip(","))
            )
    if isinstance(value, Mapping):
        return _changed_capture(value, name)
    if isinstance(value, bool):
        return CAPTURED if value else frozenset()
    parts = tuple(value) if isinstance(value, Iterable) else (value,)
    if unknown := ", ".join(repr(part) for part in parts if part not in tuple(CAPTURED)):
        msg = (
            f"{name}={unknown} cannot be captured: use True, False, or some of {', '.join(sorted(CAPTURED))}"
        )
        raise InvalidArgumentError(msg)
    return frozenset(parts)


def _changed_capture(changes: Mapping[Any, Any], name: str) -> frozenset[str]:
    """Return what is captured by default, with these changes."""
    found = set(check_capture(list(changes), name) | CAPTURED)
    for part, how in changes.items():
        if how is False or how in _FALSE:
            found.discard(part)
        elif how == NATIVE and part == "console":
            found.add(NATIVE)
        elif how is not True and how not in _TRUE:
            can = "True, False or 'native'" if part == "console" else "True or False"
            raise InvalidArgumentError(f"{name}={{{part!r}: {how!r:.200}}} is not known: use {can}")
    return frozenset(found)


class _Environment:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def number(self, name: str, default: float, least: float = 0) -> float:
        text = self._environ.get(name)
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if least and not least <= value < float("inf"):
            msg = f"{name}={text!r} is no number of seconds from {least} on: set it to {least} or more, or unset it"
            raise InvalidArgumentError(msg)
        if not 0 <= value < float("inf"):
            msg = f"{name}={text!r} is not a number of seconds: set it to 0 or more, or unset it"
            raise InvalidArgumentError(msg)
        return value

    def duration(self, name: str, default: float | None = None) -> float | None:
        return self.number(name, 0.0) if self._environ.get(name) else default

    def directory(self, name: str) -> str | None:
        path = os.path.expanduser(self._environ.get(name) or "")
        if path and not os.path.isdir(path):
            msg = f"{name}={path!r} is no directory: make it, or unset it"
            raise InvalidArgumentError(msg)
        return os.path.abspath(path) if path else None

    def count(self, name: str, default: int, least: int = 1) -> int:
        text = self._environ.get(name)
        if not text:
            return default
        if not text.isdecimal() or int(text) == 0:
            msg = f"{name}={text!r} is not a positive whole number: mend it, or unset it"
            raise InvalidArgumentError(msg)
        if int(text) < least:
            msg = f"{name}={text!r} is too little for what a run says of itself: set it to {least} or more, or unset it"
            raise InvalidArgumentError(msg)
        return int(text)

    def boolean(self, name: str, default: bool) -> bool:
        text = self._environ.get(name)
        if not text:
            return default
        if text.lower() in _TRUE:
            return True
        if text.lower() in _FALSE:
            return False
        msg = f"{name}={text!r} is neither true nor false: use 1/true/yes/on or 0/false/no/off"
        raise InvalidArgumentError(msg)
