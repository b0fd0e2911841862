"""Times to the nanosecond, as text: a float64 of seconds since 1970 has only a quarter of a microsecond."""

from __future__ import annotations

from ml_dash.query.times import NANOSECONDS, iso_time

__all__ = ["iso_exact", "seconds_exact"]


def seconds_exact(time_ns: int) -> str:
    """Return seconds with nine decimals; read as a float64, it is the same number that the API gives."""
    whole, rest = divmod(abs(time_ns), NANOSECONDS)
    return f"{'-' if time_ns < 0 else ''}{whole}.{rest:09d}"


def iso_exact(time_ns: int) -> str:
    """Return ISO-8601 UTC with nine decimals."""
    return f"{iso_time(time_ns)[:-1]}{time_ns % 1000:03d}Z"
