"""How values, sizes and times are shown, and that nothing logged can command a terminal."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from ml_dash.cli.text import (
    age_text,
    count_text,
    local_time,
    size_text,
    standard_output,
    value_text,
)
from ml_dash.visible import visible

SECOND = 1_000_000_000


@pytest.fixture
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@given(st.text(st.characters()))
def test_visible_text_has_nothing_that_a_terminal_obeys(text: str) -> None:
    """Neither control characters nor those that turn the direction, and it can always be encoded."""
    shown = visible(text)
    shown.encode()
    assert not any(ord(each) < 32 or 127 <= ord(each) < 160 for each in shown)
    assert not set(shown) & set(
        "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2069"
    )


def test_what_is_harmless_is_shown_as_it_is() -> None:
    """Accents, emoji made of several characters, and backslashes."""
    text = "Größe 损失 👩‍🔬 C:\\runs [red]"
    assert visible(text) == text
    assert visible("\x1b[2J\r\n\x00\x9b\u202e\ud800") == r"\x1b[2J\r\n\x00\x9b\u202e\ud800"


def test_values_are_shown_on_one_line() -> None:
    """In six digits, or exactly."""
    values = {"a\n": [1, 2.5, None, True], "b": {"__repr__": "<Model\x1b>", "__type__": "m.Model"}}
    assert value_text(values) == r"{a\n: [1, 2.5, None, True], b: <Model\x1b>}"
    assert value_text(1 / 3) == "0.333333"
    assert value_text(1 / 3, exact=True) == "0.3333333333333333"
    assert value_text(2**64 - 1) == "18446744073709551615"
    assert value_text(b"\x1b") == r"b'\x1b'"
    assert [value_text(value) for value in (math.nan, math.inf, -math.inf)] == ["nan", "inf", "-inf"]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (67_108_864, "67.1 MB"),
        (12_345_678_901, "12.3 GB"),
        (5 * 10**12, "5.00 TB"),
    ],
)
def test_sizes_have_three_digits(size: int, text: str) -> None:
    """And the unit in which that is so."""
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "just now"),
        (2, "2 s ago"),
        (59, "59 s ago"),
        (61, "1 min ago"),
        (7300, "2 h ago"),
        (86_400, "1 d ago"),
    ],
)
def test_ages_have_one_unit(seconds: int, text: str) -> None:
    """It is the largest."""
    assert age_text(0, seconds * SECOND) == text


def test_what_is_old_or_yet_to_come_has_a_date(in_utc: None) -> None:
    """A row's time may be any that the script gives."""
    assert age_text(0, 31 * 86_400 * SECOND) == "1970-01-01 00:00:00"
    assert age_text(2 * SECOND, 0) == "1970-01-01 00:00:02"


@pytest.mark.parametrize("time_ns", [-(2**63), -1, 0, 2**63 - 1])
def test_every_time_that_can_be_logged_has_a_date(time_ns: int) -> None:
    """Int64 nanoseconds are the years 1677 to 2262."""
    assert len(local_time(time_ns)) == 19
    assert len(local_time(time_ns, milliseconds=True)) == 23


def test_counts_agree_with_their_nouns() -> None:
    """One row, but two rows."""
    assert [count_text(count, "row") for count in (0, 1, 1000)] == ["0 rows", "1 row", "1,000 rows"]


def test_a_deeply_nested_value_can_be_shown() -> None:
    """It is cut at some depth; a row that cannot be printed would hide all others."""
    value: object = 1
    for _ in range(5000):
        value = [value]
    assert value_text(value).startswith("[[[[")
    assert "…" in value_text(value)


class Terminal(io.TextIOWrapper):
    """Standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_all_bytes_of_what_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces that end anywhere, half a character at the end included; and nothing that it would obey."""
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", Terminal(raw))
    with standard_output() as out:
        for piece in (b"a\xc3", b"\xbc\n\x1b[2J", b"\xff", b"end \xe2\x82"):
            out.write(piece)
    assert raw.getvalue().decode() == "aü\n\\x1b[2J\\xffend \\xe2\\x82"
