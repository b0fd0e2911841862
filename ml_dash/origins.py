"""Where a server is: its URL, checked once; which part of it a token belongs to, and where none is ever sent.

The one rule, which everything that speaks with a server goes by: https, or plain http to this machine, or plain http to
an origin for which `ml-dash login --insecure-http` has chosen it.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from ml_dash.errors import InvalidArgumentError
from ml_dash.records import NamedTuple
from ml_dash.trust import trust_in

_DEFAULT_PORTS = {"http": 80, "https": 443}
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?)(?::([0-9]{0,5}))?")
_URL_CHARACTERS_MAX = 8192
_SECRET_FIELDS = frozenset({"token", "access_token", "api_key", "apikey", "password", "secret"})


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

    @property
    def is_exposed(self) -> bool:
        """Whether what is sent there crosses the network in the clear, as the user has chosen."""
        return is_exposed(self.origin)


def origin(url: str) -> str:
    """Return the origin of a server's URL: ``scheme://host``, with the port where it is not the scheme's own.

    Two URLs of one origin give the same text: the host is in lower case and ASCII (names beyond ASCII in
    punycode), IPv6 addresses are in their short form. Path and query are left out.

    Raises:
        InvalidArgumentError: It is no http or https URL, has credentials in it, or is plain http to another machine,
            so that a token would cross the network in the clear, which nobody has chosen. The message shows no
            credentials.

    Example:
        >>> origin("HTTPS://Dash.Example.COM:443/api/v1")
        'https://dash.example.com'
    """
    place = any_origin(url)
    if is_refused(place):
        raise InvalidArgumentError(
            f"URL {place!r} would send the token in the clear: use https:// (`ml-dash server --self-signed` speaks it "
            "without an authority). Plain http is for this machine (localhost, 127.0.0.1, [::1]); in a network that "
            f"you trust, `ml-dash login --insecure-http {place}` allows it for this server"
        )
    return place


def any_origin(url: str) -> str:
    """Return the origin of a URL as `origin` does, also where no token may be sent to it."""
    scheme, authority = _split(url)
    host, port = _host_and_port(_ascii(authority.lower()), authority)
    suffix = "" if port in {None, _DEFAULT_PORTS[scheme]} else f":{port}"
    return f"{scheme}://{host}{suffix}"


def is_refused(place: str) -> bool:
    """Say whether nothing may be sent to an origin: it is plain http to another machine, and nobody has chosen that."""
    return is_exposed(place) and not trust_in(place).plain


def is_exposed(place: str) -> bool:
    """Say whether what is sent to an origin may cross a network in the clear: plain http to another machine."""
    return place.startswith("http:") and not is_loopback(urlsplit(place).hostname or "")


def parse_address(url: str) -> ServerAddress:
    """Return the parts of a server's URL; raise InvalidArgumentError as `origin` does."""
    base = origin(url)
    parts = urlsplit(url.strip())
    if parts.query or parts.fragment:
        raise InvalidArgumentError(
            f"the address of the server at {base} has a query or a fragment: give it as {base}, "
            "perhaps with a path"
        )
    path = quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
    return ServerAddress(base + path, base, is_loopback(urlsplit(base).hostname or ""))


def _split(url: Any) -> tuple[str, str]:
    """Return scheme and authority of a URL that has no credentials in it."""
    if not isinstance(url, str):
        raise InvalidArgumentError(f"a server's URL must be a str, not {type(url).__qualname__}")
    url = url.strip()
    if len(url) > _URL_CHARACTERS_MAX or not url.isprintable() or " " in url or "\\" in url:
        raise InvalidArgumentError(
            f"URL {_shown(url)!r} has a space, a backslash or a control character, or is too long: "
            "write it as https://host:port"
        )
    scheme, found, _ = url.partition("://")
    if not found or scheme.lower() not in _DEFAULT_PORTS:
        raise InvalidArgumentError(
            f"URL {_shown(url)!r} does not begin with https:// (or http:// on this machine): "
            "write it as https://host:port"
        )
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError as error:
        raise InvalidArgumentError(f"URL {_shown(url)!r} cannot be read: {error}") from None
    if "@" in parts.netloc:
        raise InvalidArgumentError(
            f"URL {_shown(url)!r} has a user name or a password in it: leave them out, and use `ml-dash login` or "
            "ML_DASH_TOKEN"
        )
    if "mld_" in url or any(name.lower() in _SECRET_FIELDS for name, _ in query):
        raise InvalidArgumentError(
            f"URL {_shown(url)!r} has a token in it, and URLs end up in logs: leave it out, and use `ml-dash login` "
            "or ML_DASH_TOKEN"
        )
    return parts.scheme, parts.netloc


def _shown(url: str) -> str:
    """Return a URL as an error may show it: without what may be credentials, which is all but scheme and host."""
    head, found, rest = url.rpartition("://")
    host = re.split(r"[/?#\\]", rest, maxsplit=1)[0].rpartition("@")[2]
    if not re.search(r":[0-9]+$|\]", host):
        # what looks like a port may be a password with a slash in it
        host = host.partition(":")[0]
    more = "…" if len(host) < len(rest) else ""
    shown = f"{head[:20]}{found}{host[:255]}{more}"
    return "…" if "mld_" in shown else shown


def _ascii(authority: str) -> str:
    if authority.isascii():
        return authority
    host, colon, port = authority.partition(":")
    try:
        return host.encode("idna").decode("ascii") + colon + port
    except UnicodeError:
        raise InvalidArgumentError(f"host {authority!r} is no name that exists in the internet") from None


def _host_and_port(authority: str, given: str) -> tuple[str, int | None]:
    found = _AUTHORITY.fullmatch(authority)
    if found is None or len(found[1]) > 255:
        raise InvalidArgumentError(
            f"host {_shown(given)!r} is not a host name or address, with or without :port"
        )
    host = found[1].rstrip(".")
    port = int(found[2]) if found[2] else None
    if port is not None and not 0 < port < 65_536:
        raise InvalidArgumentError(f"port {port} of host {host!r} does not exist: give 1 to 65535")
    if host.startswith("["):
        try:
            host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            raise InvalidArgumentError(f"host {host!r} is no IPv6 address") from None
    return host, port


def is_loopback(host: str) -> bool:
    """Say whether a host, an address with or without brackets, is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
