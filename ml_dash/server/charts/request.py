"""The arguments of a chart, checked."""

from __future__ import annotations

import contextlib
import math
from typing import Any, NamedTuple

from ml_dash.protocol import WIDTH_MAX, ErrorCode
from ml_dash.server.errors import ApiError

INDEX = "index"
"""As x: the index of the row in its series."""
TIME = "time"
"""As x: the time of the row, in seconds since the epoch."""


class ChartRequest(NamedTuple):
    """Valid arguments; `start` and `stop` are infinite if they were not given."""

    field: str
    x: str
    start: float
    stop: float
    width: int

    @property
    def fields(self) -> list[str]:
        """The fields whose numbers are needed."""
        return [self.field] if self.x in (INDEX, TIME) else [self.field, self.x]


def checked_request(field: Any, x: Any, start: Any, stop: Any, width: Any) -> ChartRequest:
    """Return the request.

    Raises:
        ApiError: 400 `invalid`: it names the argument, its value and what is allowed.
    """
    for name, value in (("field", field), ("x", x)):
        if not isinstance(value, str) or not value:
            raise _invalid(name, value, "give the name of a field, as metrics lists them")
    # a bool is an int to Python, and a mistake here
    if isinstance(width, bool) or not isinstance(width, int) or not 1 <= width <= WIDTH_MAX:
        raise _invalid("width", width, f"give the number of pixels, a whole number from 1 to {WIDTH_MAX}")
    low, high = _bound("start", start, -math.inf), _bound("stop", stop, math.inf)
    if low > high:
        raise _invalid("start", start, f"it is beyond stop={stop!r}; exchange the two")
    return ChartRequest(field, x, low, high, width)


def _bound(name: str, value: Any, default: float) -> float:
    if value is None:
        return default
    number = math.nan
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # an int beyond the largest float: refused below, like NaN
        with contextlib.suppress(OverflowError):
            number = float(value)
    if math.isnan(number):
        raise _invalid(name, value, "give a number that a float can hold, in the unit of x, or leave it out")
    return number


def _invalid(name: str, value: Any, remedy: str) -> ApiError:
    # Python refuses to write out an int of thousands of digits
    is_huge = isinstance(value, int) and value.bit_length() > 1000
    shown = f"an int of {value.bit_length()} bits" if is_huge else repr(value)
    shown = shown if len(shown) <= 100 else f"{shown[:100]}…"
    return ApiError(400, ErrorCode.INVALID, f"{name}={shown} is not possible for a chart: {remedy}")
