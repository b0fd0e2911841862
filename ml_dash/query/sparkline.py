"""A course of numbers as a line of characters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
_ASCII_BARS = "_.-~=+*#"


def sparkline(values: Sequence[float], *, ascii_only: bool = False) -> str:
    """Return a character a value, the highest for the largest; a space for NaN; empty where all are NaN."""
    bars = _ASCII_BARS if ascii_only else BARS
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return ""
    lowest, highest = min(known), max(known)
    return "".join(" " if math.isnan(value) else bars[_level(value, lowest, highest)] for value in values)


def can_draw(encoding: str | None) -> bool:
    """Whether a stream of this encoding takes the characters of sparklines."""
    try:
        BARS.encode(encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def height(value: float, lowest: float, highest: float) -> float:
    """Return where a finite value lies between two others, from 0 to 1; 0 where these are the same."""
    if highest == lowest:
        return 0.0
    # halves, for the difference of the largest floats is infinite
    return (value / 2 - lowest / 2) / (highest / 2 - lowest / 2)


def _level(value: float, lowest: float, highest: float) -> int:
    return min(int(height(value, lowest, highest) * len(BARS)), len(BARS) - 1)
