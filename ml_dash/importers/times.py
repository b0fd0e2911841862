"""Times of other formats as integer nanoseconds since the epoch, UTC; None for what is no time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from ml_dash.identity import EPOCH

_MOST = 2**63


def from_seconds(value: Any) -> int | None:
    """Take seconds since the epoch, to the last bit of the float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        # Whole seconds apart: their product with 1e9 would lose the last 8 bits of the fraction.
        whole = int(value // 1)
        time_ns = whole * 1_000_000_000 + round((value - whole) * 1e9)
    except (ValueError, OverflowError):  # NaN, an infinity
        return None
    return time_ns if -_MOST <= time_ns < _MOST else None


def from_iso(value: Any) -> int | None:
    """Take ISO 8601; without an offset it is UTC."""
    if not isinstance(value, str):
        return None
    try:
        # before Python 3.11, `fromisoformat` does not know the Z
        moment = datetime.fromisoformat(value[:-1] + "+00:00" if value.endswith("Z") else value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        time_ns = (moment - EPOCH) // timedelta(microseconds=1) * 1000
    except (ValueError, OverflowError):
        return None
    return time_ns if -_MOST <= time_ns < _MOST else None
