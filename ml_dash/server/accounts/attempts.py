"""Wrong guesses at tokens and codes: counted by address, in a window of time, in bounded memory."""

from __future__ import annotations

import ipaddress
import threading
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.errors import InvalidArgumentError
from ml_dash.server.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiohttp.typedefs import Handler, Middleware

    from ml_dash.clock import Clock
    from ml_dash.server.settings import Network

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# before aiohttp 3.14, keys were strings
_CLIENT: Any = web.RequestKey("client", str) if hasattr(web, "RequestKey") else "ml_dash_client"

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


def parse_proxies(given: Iterable[str]) -> list[Network]:
    """Return the networks of the proxies whose word on a client's address is taken.

    Raises:
        InvalidArgumentError: One is no address and no network.
    """
    try:
        return [ipaddress.ip_network(each.strip()) for each in given]
    except ValueError as error:
        raise InvalidArgumentError(
            f"--trusted-proxy: {error}: give an address or a network, such as 10.0.0.5 or 10.0.0.0/8"
        ) from None


def forwarded(proxies: Sequence[Network]) -> Middleware:
    """Return the middleware that takes the client's address from ``X-Forwarded-For`` if a proxy of ours sent it."""

    @web.middleware
    async def forwarding(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[_CLIENT] = _client(request, proxies)
        return await handler(request)

    return forwarding


def _client(request: web.BaseRequest, proxies: Sequence[Network]) -> str:
    # From the right: each proxy appends whom it has spoken with, and what is further left may be invented.
    client = request.remote or ""
    for hop in reversed(",".join(request.headers.getall("X-Forwarded-For", [])).split(",")):
        address = _parsed(client)
        if address is None or not any(address in network for network in proxies) or _parsed(hop) is None:
            break
        client = hop.strip()
    return client


def _parsed(text: str) -> Address | None:
    """Return an address as proxies write it: IPv6 in brackets, or with its zone; None where it is invalid."""
    text = text.strip()
    host = text[1:].partition("]")[0] if text.startswith("[") else text
    # of IPv4, some write the port
    host = host.partition(":")[0] if host.count(":") == 1 else host.partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    # a socket for both versions shows IPv4 clients so: all of them would be one network
    return (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address


def client_of(request: web.BaseRequest) -> str:
    """Return the address of who asks; of a proxy, where nothing says for whom it does."""
    return request.get(_CLIENT) or request.remote or "unknown"


def address_of(request: web.BaseRequest) -> str:
    """Return whom to count guesses for: an IPv4 address, or the network that the site of an IPv6 address has."""
    client = client_of(request)
    address = _parsed(client)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _IPV6_BITS_OF_A_SITE), strict=False))
    return client if address is None else str(address)
