"""Waits grow to a bound, are drawn at random, and are never shorter than the server asks for."""

from __future__ import annotations

import random

import pytest

from ml_dash.client.retry import (
    RETRY_AFTER_MAX,
    Attempts,
    Backoff,
    Patience,
    patience_of,
    retry_after_seconds,
    trouble_of,
)
from ml_dash.client.transport import ServerError
from ml_dash.protocol import ErrorCode

NOON = 1_700_000_000 * 1_000_000_000  # Tue, 14 Nov 2023 22:13:20 GMT


class Highest:
    """Draws the upper bound, always."""

    def uniform(self, _a: float, b: float, /) -> float:
        return b


def test_the_bound_doubles_up_to_a_minute_and_begins_anew_after_success() -> None:
    backoff = Backoff(rng=Highest())

    assert [backoff.next() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    backoff.reset()
    assert backoff.next() == 0.5


def test_it_goes_on_for_ever() -> None:
    backoff = Backoff(rng=Highest())
    for _ in range(5000):
        last = backoff.next()
    assert last == 60


def test_jitter_is_drawn_from_nothing_to_the_bound() -> None:
    waits = [Backoff(rng=random.Random(seed)).next() for seed in range(500)]

    assert min(waits) < 0.05
    assert max(waits) > 0.45


@pytest.mark.parametrize("asked", [0.0, 3.0, 120.0, 10_000.0])
def test_a_server_that_asks_for_time_gets_it_but_no_more_than_ten_minutes(asked: float) -> None:
    for seed in range(50):
        wait = Backoff(rng=random.Random(seed)).next(asked)
        assert min(asked, RETRY_AFTER_MAX) <= wait <= RETRY_AFTER_MAX + 60


class Watch:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return round(self.now * 1e9)


def test_tries_in_a_row_are_counted_and_begin_anew_after_success() -> None:
    attempts = Attempts(tries=3)
    assert [attempts.failed("soon") is None for _ in range(3)] == [False, False, True]
    attempts.succeeded()
    assert attempts.failed("soon") is not None


def test_failures_are_put_up_with_for_some_seconds_whatever_their_number() -> None:
    watch = Watch()
    attempts = Attempts(seconds=30, clock=watch)
    for _ in range(100):
        assert attempts.failed("soon", 1.0) is not None
    watch.now = 29.5
    assert attempts.failed("soon", 1.0) is None
    attempts.succeeded()
    assert attempts.failed("soon", 1.0) is not None


@pytest.mark.parametrize("patience", ["token", "rarely", "never"])
def test_what_does_not_pass_soon_is_not_waited_for(patience: Patience) -> None:
    assert Attempts().failed(patience) is None


def test_an_answer_is_as_lasting_as_its_status_but_for_what_its_code_says() -> None:
    def patience(status: int, code: str = "") -> Patience:
        return patience_of(ServerError("http://x", status, code, "no"))

    assert [patience(status) for status in (401, 403, 404)] == ["token"] * 3
    assert [patience(status) for status in (400, 407, 422)] == ["rarely"] * 3
    assert [patience(status) for status in (408, 429, 500, 503, 507, 520, 418)] == ["soon"] * 7
    assert patience(410) == "never"
    assert patience(422, ErrorCode.DAMAGED) == "soon"
    assert patience(404, ErrorCode.NO_ROUTE) == "rarely"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("999999999999999999999999", RETRY_AFTER_MAX),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("Tue, 14 Nov 2073 22:00:00 GMT", RETRY_AFTER_MAX),
        ("Tue, 99 Nov 2023 22:13:50 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, lambda: NOON) == seconds


@pytest.mark.parametrize(
    ("answered", "seconds"),
    [
        ("Tue, 14 Nov 2023 23:13:00 GMT", 50.0),
        ("Tue, 14 Nov 2023 23:14:00 GMT", 0.0),
        ("nonsense", RETRY_AFTER_MAX),
        ("", RETRY_AFTER_MAX),
    ],
)
def test_a_date_to_come_back_at_is_by_the_clock_of_who_names_it(answered: str, seconds: float) -> None:
    """Here the server's is an hour ahead; only where it does not say so, ours is asked."""
    assert retry_after_seconds("Tue, 14 Nov 2023 23:13:50 GMT", lambda: NOON, answered) == seconds


@pytest.mark.parametrize("status", [401, 403, 413])
def test_what_a_proxy_refuses_is_not_told_as_the_servers_word(status: int) -> None:
    """No token and no grant would help."""
    url = "https://dash.example.org"
    own = ServerError(url, status, "forbidden", "not allowed")
    elsewhere = ServerError(url, status, "", "not an answer of ML-Dash", details={"bytes": 7})
    told = [trouble_of(each, url, "a/b/c", "dir", connected=True).reason for each in (own, elsewhere)]
    assert "something between here and" not in told[0]
    assert "something between here and https://dash.example.org" in told[1]
    assert "ml-dash login" not in told[1]
