"""Courses as characters."""

from __future__ import annotations

import math

import pytest

from ml_dash.query.sparkline import can_draw, sparkline


@pytest.mark.parametrize(
    ("values", "drawn", "in_ascii"),
    [
        ([], "", ""),
        ([math.nan], "", ""),
        ([5.0, 5.0], "▁▁", "__"),
        ([0.0, 1.0, math.nan, 0.5], "▁█ ▅", "_# ="),
        ([-1.7e308, 1.7e308], "▁█", "_#"),
    ],
)
def test_a_course_has_a_character_a_value(values: list[float], drawn: str, in_ascii: str) -> None:
    assert sparkline(values) == drawn
    assert sparkline(values, ascii_only=True) == in_ascii


def test_what_cannot_be_encoded_is_not_drawn() -> None:
    drawable = {
        name: can_draw(name) for name in ("utf-8", "cp437", "ascii", "latin-1", "no-such-encoding", None)
    }
    assert [name for name, can in drawable.items() if can] == ["utf-8"]
