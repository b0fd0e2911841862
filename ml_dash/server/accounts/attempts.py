"""Wrong guesses at tokens and codes: counted by address, in a window of time, in bounded memory."""

from __future__ import annotations

import ipaddress
import threading
from typing import TYPE_CHECKING

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.server.forwarding import client_of, parse_client
from ml_dash.server.recent import Recent

if TYPE_CHECKING:
    from aiohttp import web

    from ml_dash.clock import Clock

# beyond, the address that was quiet for longest is forgotten: whoever has that many addresses cannot be stopped by them
_ADDRESSES_MAX = 4096
# a site has at least a network of 64 bits (RFC 6177), and may take another address of it for each guess
_IPV6_BITS_OF_A_SITE = 64


class Attempts:
    """Wrong guesses of each address within the last seconds.

    The same guess counts once, however often it is made: a client that goes on with a token that was revoked is no
    attacker, and must not lock out others behind its address.

    Args:
        most: Different wrong guesses that an address has within the window.
        seconds: The window's length.
        clock: Gives monotonic seconds.
    """

    def __init__(self, most: int, seconds: float, clock: Clock = SYSTEM_CLOCK) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        # address → guess → when it was first made
        self._guesses: Recent[str, dict[str, float]] = Recent(_ADDRESSES_MAX)

    def wait(self, address: str) -> int:
        """Return for how many seconds an address must be refused; 0 if it may try."""
        with self._lock:
            guesses = self._recent(address)
            if len(guesses) < self._most:
                return 0
            # the first key is the oldest one: a guess that is made again keeps its place and its time
            oldest = next(iter(guesses.values()))
            return max(1, round(oldest + self._seconds - self._clock.monotonic()))

    def count(self, address: str, guess: str) -> None:
        """Count a wrong guess, given as a hash of it if it may be close to a secret."""
        with self._lock:
            guesses = self._recent(address)
            # more than `most` change nothing, and would let one address fill the memory
            if guess not in guesses and len(guesses) < self._most:
                guesses[guess] = self._clock.monotonic()
            self._guesses[address] = guesses

    def _recent(self, address: str) -> dict[str, float]:
        since = self._clock.monotonic() - self._seconds
        recent = {guess: at for guess, at in self._guesses.get(address, {}).items() if at > since}
        if not recent:
            self._guesses.pop(address, None)
        return recent


def address_of(request: web.BaseRequest) -> str:
    """Return whom to count guesses for: an IPv4 address, or the network that the site of an IPv6 address has."""
    client = client_of(request)
    address = parse_client(client)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _IPV6_BITS_OF_A_SITE), strict=False))
    return client if address is None else str(address)
