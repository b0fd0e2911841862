"""Where messages may be sent: to addresses of the internet, and to what the operator has allowed.

Whoever may make rules says where a server sends requests; it must reach nothing that only the server can reach: this
machine, its networks, the addresses at which clouds tell secrets. A name is looked up once for each request, and the
addresses that were checked are those that are connected to: a name that leads elsewhere a moment later leads nowhere.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp.abc import AbstractResolver
from yarl import URL

from ml_dash.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from aiohttp.abc import ResolveResult

    from ml_dash.server.threads import Threads

    Address = IPv4Address | IPv6Address
    Network = IPv4Network | IPv6Network
    LookUp = Callable[[str, int], Sequence[str]]

URL_CHARACTERS_MAX = 2000
_LOOK_UP_SECONDS = 5.0
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,253}[a-z0-9])?")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class RefusedAddressError(Exception):
    """A message must not be sent there."""


class Allowed(NamedTuple):
    """What the operator allows besides the internet: names of hosts, and networks."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()


def parse_allowed(given: Sequence[str]) -> Allowed:
    """Return what is allowed by names of hosts, addresses and networks.

    Raises:
        InvalidArgumentError: One of them is none of these.
    """
    hosts: set[str] = set()
    networks: list[Network] = []
    for each in given:
        text = each.strip().lower().rstrip(".")
        try:
            networks.append(ipaddress.ip_network(text.strip("[]"), strict=False))
        except ValueError:
            # a network that is mistyped must not pass as a name
            if not _HOST.fullmatch(text) or text.replace(".", "").isdigit():
                raise InvalidArgumentError(
                    f"--allow-alerts-to {each!r:.100} is no host, address or network: give hooks.example, 10.1.2.3 or "
                    "10.0.0.0/8"
                ) from None
            hosts.add(text)
    return Allowed(frozenset(hosts), tuple(networks))


class Guard:
    """Says where messages may go.

    Args:
        allowed: What is allowed besides the internet.
        threads: On which names are looked up, which may hang.
        look_up: Returns the addresses of a host.
    """

    def __init__(self, allowed: Allowed, threads: Threads, look_up: LookUp | None = None) -> None:
        self._allowed = allowed
        self._threads = threads
        self._look_up = look_up or _look_up

    def checked_url(self, text: str) -> URL:
        """Return a URL that a message may be sent to, as far as it tells by itself.

        Raises:
            RefusedAddressError: It may not be; the message says why.
        """
        if len(text) > URL_CHARACTERS_MAX:
            raise RefusedAddressError(f"it has more than {URL_CHARACTERS_MAX} characters")
        try:
            url = URL(text)
            host, port = _host_of(url), url.port
        except (ValueError, UnicodeError):
            raise RefusedAddressError("it is not a URL") from None
        if url.scheme not in {"http", "https"} or not host or not port:
            raise RefusedAddressError("give https://host/path")
        if url.user is not None or url.password is not None:
            raise RefusedAddressError(
                "leave out user and password: whoever gets messages checks their signature"
            )
        address = _as_address(host)
        if address is not None:
            self._check(host, address)
        if url.scheme == "http" and not self._is_allowed(host, address):
            raise RefusedAddressError("it is not https, and the operator has not allowed plain http to it")
        return url

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host, all of which may be connected to.

        Raises:
            RefusedAddressError: One of them may not.
            OSError: The host has none, or cannot be looked up.
        """
        found = list(dict.fromkeys(await self._threads.run(self._look_up, host, port)))
        if not found:
            raise OSError(f"{host} has no address")
        for each in found:
            self._check(host, ipaddress.ip_address(each.partition("%")[0]))
        return found

    async def addresses_in_time(self, url: URL) -> list[str]:
        """Do as `addresses`, for the host of a URL that was checked; a name that takes too long has none."""
        try:
            return await asyncio.wait_for(self.addresses(_host_of(url), url.port or 0), _LOOK_UP_SECONDS)
        except asyncio.TimeoutError:
            raise OSError(f"it took more than {_LOOK_UP_SECONDS:g} s") from None

    def _check(self, host: str, address: Address) -> None:
        if self._is_allowed(host, address) or all(map(_is_of_internet, _meanings(address))):
            return
        raise RefusedAddressError(
            f"{host} is {address}, which is no address of the internet: the operator may allow it, by `ml-dash server "
            f"--allow-alerts-to {host}`"
        )

    def _is_allowed(self, host: str, address: Address | None) -> bool:
        if host.lower().rstrip(".") in self._allowed.hosts:
            return True
        if address is None:
            return False
        return any(address in network for network in self._allowed.networks)


class GuardedResolver(AbstractResolver):
    """Looks names up for aiohttp, which connects to what this returns, and to nothing else."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host; raise what `Guard.addresses` raises."""
        del family
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in await self._guard.addresses(host, port)
        ]

    async def close(self) -> None:
        """Do nothing."""


def _look_up(host: str, port: int) -> list[str]:
    return [str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _host_of(url: URL) -> str:
    return (url.host or "").lower()


def _as_address(host: str) -> Any:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _meanings(address: Address) -> list[Address]:
    """Return an address, and those that are reached by it: of IPv4 in IPv6."""
    found: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64 or int(address) >> 32 == 0:  # translated, or of the form ::1.2.3.4
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        found += [each for each in inner if each is not None]
        if address.ipv4_mapped is not None or address in _NAT64:
            found.remove(address)  # what counts is the address in it
    return found


def _is_of_internet(address: Address) -> bool:
    # `is_global` leaves out what is private, shared by carriers, of links, of this host, or reserved
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    )
