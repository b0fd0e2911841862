"""Which servers the user has chosen to trust: what is in the file counts at once, and nothing is guessed at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ml_dash.errors import InvalidArgumentError
from ml_dash.origins import origin
from ml_dash.trust import NONE, Trust, all_trusted, parse_fingerprint, show_fingerprint, trust_in, trusting

SERVER = "https://lab.test:7007"
PLAIN = "http://lab.test:7007"
DIGITS = "ab" + "0" * 62


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path))
    return tmp_path / "servers.json"


def test_what_the_file_says_counts_from_the_next_question_on(file: Path) -> None:
    assert trust_in(SERVER) == NONE
    file.write_text(f'{{"{SERVER}": {{"fingerprint": "{show_fingerprint(DIGITS)}"}}}}')
    assert trust_in(SERVER) == Trust(DIGITS)
    file.write_text(f'{{"{PLAIN}": {{"plain": true}}}}')
    assert (trust_in(SERVER), trust_in(PLAIN)) == (NONE, Trust(plain=True))
    file.unlink()
    assert all_trusted() == {}


def test_plain_http_is_let_through_for_the_very_origin_that_was_chosen(file: Path) -> None:
    file.write_text(f'{{"{PLAIN}": {{"plain": true}}}}')
    assert origin(f"{PLAIN}/below") == PLAIN
    for other in ("http://lab.test", "http://lab.test:7008", "http://other.test:7007"):
        with pytest.raises(InvalidArgumentError, match="in the clear"):
            origin(other)


@pytest.mark.parametrize("value", ["1", '"yes"', "null", "{}"])
def test_only_true_is_yes(file: Path, value: str) -> None:
    file.write_text(f'{{"{PLAIN}": {{"plain": {value}}}}}')
    with pytest.raises(InvalidArgumentError, match="in the clear"):
        origin(PLAIN)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b'{"https://x": 7}',
        b'{"https://x": {"fingerprint": "AB"}}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_a_file_that_makes_no_sense_is_named_and_nothing_is_guessed(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match="ml-dash login") as caught:
        trust_in(SERVER)
    assert repr(str(file)) in str(caught.value)


def test_a_file_that_is_a_directory_is_named(file: Path) -> None:
    file.mkdir()
    with pytest.raises(InvalidArgumentError, match="cannot be read"):
        trust_in(SERVER)


def test_what_is_trusted_for_now_is_forgotten_at_the_end_of_the_block(file: Path) -> None:
    with trusting(PLAIN, Trust(plain=True)):
        assert origin(PLAIN) == PLAIN
        with trusting(PLAIN, Trust(DIGITS)):
            assert trust_in(PLAIN) == Trust(DIGITS)
        assert trust_in(PLAIN).plain
    assert trust_in(PLAIN) == NONE
    assert not os.path.exists(file)


@pytest.mark.parametrize(
    "shown",
    [
        DIGITS,
        DIGITS.upper(),
        show_fingerprint(DIGITS),
        f"sha256 Fingerprint={show_fingerprint(DIGITS)}",
        f"SHA256:{DIGITS}",
        f"  {show_fingerprint(DIGITS)}\n",
    ],
)
def test_a_fingerprint_is_read_in_whatever_way_a_tool_shows_it(shown: str) -> None:
    assert parse_fingerprint(shown) == DIGITS


@pytest.mark.parametrize("shown", ["", "AB:CD", DIGITS + "0", DIGITS[1:], "z" * 64, "SHA1:" + "0" * 40])
def test_what_is_no_fingerprint_is_refused(shown: str) -> None:
    with pytest.raises(InvalidArgumentError, match="64 hexadecimal digits"):
        parse_fingerprint(shown)
