"""Where and by whom a server is asked, as a browser or a client sees it: itself, or the proxies before it.

What a proxy says in ``X-Forwarded-For``, ``-Proto`` and ``-Prefix`` is believed only if the proxy is one that the
server was told of (``--trusted-proxy``): anybody can write these headers.

Below a path of a host, as ``https://lab.example/ml-dash``, requests come with that path or without it, as the proxy has
it. Routes are answered both ways, and whatever leads back (pages, addresses, the OpenAPI document) begins with it.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import web

from ml_dash.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiohttp.typedefs import Handler, Middleware

    from ml_dash.server.settings import Network

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# It gets into pages, addresses and routes: nothing that means something there, and no way up.
_BASE = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+")
_BASE_CHARACTERS_MAX = 200


class Asked(NamedTuple):
    """How a request was made: the client's address, ``http`` or ``https``, and the path below which the server is."""

    client: str
    scheme: str
    base: str


# before aiohttp 3.14, keys were strings
_ASKED: Any = web.RequestKey("asked", Asked) if hasattr(web, "RequestKey") else "ml_dash_asked"


def parse_proxies(given: Iterable[str]) -> list[Network]:
    """Return the networks of the proxies whose word is taken.

    Raises:
        InvalidArgumentError: One is no address and no network.
    """
    try:
        return [ipaddress.ip_network(each.strip()) for each in given]
    except ValueError as error:
        raise InvalidArgumentError(
            f"--trusted-proxy: {error}: give an address or a network, such as 10.0.0.5 or 10.0.0.0/8"
        ) from None


def parse_base(given: str) -> str:
    """Return the path below which a server is reached, without a slash at its end; empty for the whole host.

    Raises:
        InvalidArgumentError: It is no plain path.
    """
    base = given.strip().rstrip("/")
    if base and not _is_base(base):
        raise InvalidArgumentError(
            f"--base-path {given!r:.100} is no path such as /ml-dash: it begins with a slash, and has letters, "
            "digits and . _ ~ - between slashes"
        )
    return base


def _is_base(text: str) -> bool:
    return len(text) <= _BASE_CHARACTERS_MAX and _BASE.fullmatch(text) is not None


def forwarded(proxies: Sequence[Network], base: str = "") -> Middleware:
    """Return the middleware that finds out how a request was made.

    Args:
        proxies: Those whose word is taken.
        base: The path below which the server is, whatever a proxy says; empty: what a proxy says.
    """

    @web.middleware
    async def forwarding(request: web.Request, handler: Handler) -> web.StreamResponse:
        client, hops = _client(request, proxies)
        scheme, prefix = request.scheme, ""
        if _is_ours(request.remote or "", proxies):
            told = _said(request, "X-Forwarded-Proto", hops).lower()
            scheme = told if told in {"http", "https"} else scheme
            prefix = _said(request, "X-Forwarded-Prefix", hops).rstrip("/")
        request[_ASKED] = Asked(client, scheme, base or (prefix if _is_base(prefix) else ""))
        return await handler(request)

    return forwarding


def _said(request: web.BaseRequest, name: str, hops: int) -> str:
    """Return what the farthest of our proxies has said: what stands before may be the client's own invention."""
    values = ",".join(request.headers.getall(name, [])).split(",")
    return values[-min(max(hops, 1), len(values))].strip()


def _is_ours(address: str, proxies: Sequence[Network]) -> bool:
    parsed = parse_client(address)
    return parsed is not None and any(parsed in network for network in proxies)


def _client(request: web.BaseRequest, proxies: Sequence[Network]) -> tuple[str, int]:
    """Return the client's address, and how many proxies of ours have said so."""
    # From the right: each proxy appends whom it has spoken with, and what is further left may be invented.
    client, hops = request.remote or "", 0
    for hop in reversed(",".join(request.headers.getall("X-Forwarded-For", [])).split(",")):
        if not _is_ours(client, proxies) or parse_client(hop) is None:
            break
        client, hops = hop.strip(), hops + 1
    return client, hops


def parse_client(text: str) -> Address | None:
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
    asked = request.get(_ASKED)
    return (asked.client if asked else request.remote) or "unknown"


def is_https(request: web.BaseRequest) -> bool:
    """Say whether the browser speaks https, as a proxy before this server may do where it does not."""
    asked = request.get(_ASKED)
    return bool(asked.scheme == "https" if asked else request.secure)


def base_of(request: web.BaseRequest) -> str:
    """Return the path below which the server is for who asks; empty for the whole host."""
    asked = request.get(_ASKED)
    return asked.base if asked else ""


def address_of_server(request: web.BaseRequest) -> str:
    """Return the server's address for who asks: scheme, host, and the path below which it is."""
    return f"{'https' if is_https(request) else 'http'}://{request.host}{base_of(request)}"


def below(base: str, routes: Iterable[web.RouteDef]) -> list[web.RouteDef]:
    """Return routes, and the same once more below a path, the start page also by the path alone."""
    routes = list(routes)
    if not base:
        return routes
    more = [web.RouteDef(each.method, base + each.path, each.handler, dict(each.kwargs)) for each in routes]
    start = [
        web.RouteDef(each.method, base, each.handler, dict(each.kwargs))
        for each in routes
        if each.path == "/"
    ]
    return [*routes, *more, *start]
