"""Times as readers see them: the journal's integer nanoseconds as float seconds and as ISO-8601 text."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NANOSECONDS = 1_000_000_000
"""In a second."""

# No months and years, which have no fixed length.
DURATIONS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
"""Seconds of the units in which durations are told, and their names."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_SPLIT_FROM = 2**30 * NANOSECONDS


def iso_time(time_ns: int) -> str:
    """Return ISO-8601 UTC with microseconds and ``Z``, made of the integer: no float rounds it."""
    # datetime.fromtimestamp refuses times before 1970 on Windows; adding to the epoch does not.
    time = _EPOCH + timedelta(microseconds=time_ns // 1000)
    return time.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def iso_ns(text: Any) -> int | None:
    """Return the time that `iso_time` has made this of; None for what is no such text."""
    if not isinstance(text, str):
        return None
    try:
        since = datetime.fromisoformat(text.replace("Z", "+00:00")) - _EPOCH
    except (ValueError, TypeError):
        return None
    # in integers: `total_seconds()` is a float, which rounds microseconds of today
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


def duration_text(nanoseconds: int) -> str:
    """Return a duration by its two largest units: ``24 ms``, ``3.2 s``, ``2 min 5 s``, ``3 d 4 h``."""
    seconds = max(nanoseconds, 0) / NANOSECONDS
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    rest = int(seconds)
    parts: list[str] = []
    for length, unit in DURATIONS:
        count, rest = divmod(rest, length)
        if count or parts:
            parts.append(f"{count} {unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0 "))


def iso_times(times: npt.NDArray[np.int64]) -> list[str]:
    """Return `iso_time` of every time; a tenth of its cost, from some dozens on."""
    import numpy as np

    texts: list[str] = np.datetime_as_string((times // 1000).view("M8[us]"), timezone="UTC").tolist()
    return texts


def seconds(time_ns: int) -> float:
    """Return the float64 that is nearest to this many nanoseconds in seconds (about 0.2 µs apart today)."""
    return time_ns / NANOSECONDS


def nearest_ns(seconds: float) -> int:
    """Return a time that int64 holds: what lies beyond is no bound."""
    # some way below the end of int64: who asks for a track adds a microsecond for what floats round
    return int(max(min(seconds * NANOSECONDS, 2**63 - 2048), -(2**63)))


def seconds_array(times: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return `seconds` of every time, bit for bit, without a Python number for each.

    An int64 of today is beyond the 53 bits of a float64, so ``times / 1e9`` would round twice. Whole seconds
    are exact, the rest is off by 2**-54 s at most, and from 2004 on their sum rounds to multiples of 2**-22 s
    or coarser. So a tie lies at a multiple of 2**-23 s, from which a rest that is not on it is at least
    1e-9 * 2**-23 s away: more than it is off, and it never crosses one. Older times, which only a caller's
    own ``_ts`` can have, go one by one.
    """
    import numpy as np

    if not len(times) or times.min() < _SPLIT_FROM:
        values: list[Any] = times.tolist()
        return np.fromiter((seconds(time) for time in values), np.float64, len(values))
    whole = times // NANOSECONDS
    return whole + (times - whole * NANOSECONDS) / NANOSECONDS
