"""A token that shows itself to nobody by accident."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback

import pytest

from ml_dash.errors import InvalidArgumentError
from ml_dash.tokens import Token

SECRET = "mld_0123456789012345678901234567890123456789abc"


def test_no_way_to_print_it_shows_more_than_its_end(caplog: pytest.LogCaptureFixture) -> None:
    token = Token(SECRET)
    logging.getLogger("x").warning("%s %r %s", token, token, {"token": [token]})
    shown = [str(token), repr(token), f"{token}", f"{token!s:>60}", "%s" % token, repr([token]), caplog.text]  # noqa: UP031
    for text in shown:
        assert SECRET not in text
        assert "9abc" in text
        assert SECRET[4:-4] not in text
    assert repr(token) == "Token(mld_…9abc)"


def test_of_a_short_token_nothing_is_shown() -> None:
    assert str(Token("hunter2")) == "…"
    assert str(Token("mld_hunter2")) == "mld_…"


def test_it_is_revealed_on_demand_only() -> None:
    token = Token(f" {SECRET}\n", "ML_DASH_TOKEN")
    assert token.reveal() == SECRET
    assert token.source == "ML_DASH_TOKEN"


def test_it_cannot_be_pickled_copied_or_written_as_json() -> None:
    token = Token(SECRET)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError):
            leak(token)
    assert not hasattr(token, "__dict__")


def test_tokens_compare_by_their_secret() -> None:
    assert Token(SECRET) == Token(SECRET, "elsewhere")
    assert Token(SECRET) != Token(SECRET[:-1])
    assert Token(SECRET) != SECRET
    assert len({Token(SECRET), Token(SECRET)}) == 1


@pytest.mark.parametrize(
    "inside", ["\n", "\r\n", "\0", "\t", " ", "\x7f", "é", "…", "€", "\ud800", "\r\nX-Evil: 1"]
)
def test_what_no_header_can_carry_is_refused_without_showing_it(inside: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"U\+[0-9A-F]{4} at position 8.*paste it again") as caught:
        Token(f"mld_abcd{inside}secret", "ML_DASH_TOKEN")
    text = "".join(traceback.format_exception_only(caught.value))
    assert "ML_DASH_TOKEN" in text
    assert "abcd" not in text
    assert "secret" not in text


@pytest.mark.parametrize("secret", ["", " \n", "x" * 513, None, b"mld_x", 7])
def test_what_is_no_token_is_refused(secret: object) -> None:
    with pytest.raises(InvalidArgumentError):
        Token(secret)  # type: ignore[arg-type]
