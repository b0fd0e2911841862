"""Times and durations as people read them."""

from __future__ import annotations

import pytest

from ml_dash.query.times import NANOSECONDS, duration_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 ms"),
        (0.0241, "24 ms"),
        (3.21, "3.2 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (4320, "1 h 12 min"),
        (3 * 86_400 + 4 * 3600 + 59, "3 d 4 h"),
    ],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    """The third says nothing any more."""
    assert duration_text(int(seconds * NANOSECONDS)) == text
