"""Wrong guesses, counted by address."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from ml_dash.server.accounts.attempts import Attempts, address_of
from tests.support.account_serving import Hands


def test_an_address_waits_once_it_has_made_its_guesses() -> None:
    clock = Hands()
    attempts = Attempts(3, 60, clock)
    for guess in "abc":
        assert attempts.wait("here") == 0
        attempts.count("here", guess)
        clock.turn(10)
    assert attempts.wait("here") == 30
    assert attempts.wait("elsewhere") == 0
    clock.turn(30)
    assert attempts.wait("here") == 0, "the first guess is over a minute old"
    attempts.count("here", "d")
    assert attempts.wait("here") > 0


def test_the_same_guess_counts_once() -> None:
    attempts = Attempts(2, 60, Hands())
    for _ in range(10):
        attempts.count("here", "a")
    assert attempts.wait("here") == 0


def test_memory_is_bounded_whatever_comes() -> None:
    attempts = Attempts(3, 60, Hands())
    for number in range(10_000):
        attempts.count(f"address {number}", "a")
        attempts.count("one", f"guess {number}")
    assert len(attempts._guesses) <= 4096
    assert len(attempts._guesses["one"]) == 3
    assert attempts.wait("one") > 0, "who guesses goes on being remembered"


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("/run/socket", "/run/socket"),
    ],
)
def test_an_ipv6_site_counts_as_one_address(remote: str, address: str) -> None:
    """A site has 2**64 addresses to guess from."""
    request = make_mocked_request("GET", "/").clone(remote=remote)
    assert address_of(request) == address
