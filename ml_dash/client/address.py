"""Where a server is: its URL, checked once, and what follows from it."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, urlsplit

from ml_dash.errors import InvalidArgumentError
from ml_dash.origins import is_loopback, origin

__all__ = ["ServerAddress", "parse_address"]


class ServerAddress(NamedTuple):
    """A server's address.

    Attributes:
        url: Scheme, host, port and perhaps a path, with no slash at the end.
        origin: Scheme, host and port: what a token is for.
        is_loopback: Whether it is this machine.
    """

    url: str
    origin: str
    is_loopback: bool


def parse_address(url: str) -> ServerAddress:
    """Return the parts of a server's URL.

    Raises:
        InvalidArgumentError: It is none, or no token could be sent there; see `ml_dash.origins.origin`.
    """
    base = origin(url)
    parts = urlsplit(url.strip())
    if parts.query or parts.fragment:
        raise InvalidArgumentError(
            f"the address of the server at {base} has a query or a fragment: give it as {base}, "
            "perhaps with a path"
        )
    path = quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
    return ServerAddress(base + path, base, is_loopback(urlsplit(base).hostname or ""))
