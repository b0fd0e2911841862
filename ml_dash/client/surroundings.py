"""What this machine's environment puts between it and servers: a proxy, and the authorities that are trusted.

Where one of these is what fails, the server is not to blame: errors name the variable, its value, and the remedy.
"""

from __future__ import annotations

import os
import ssl
from typing import NamedTuple
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from ml_dash.client.transport import TransportError
from ml_dash.forks import guarded_imports

_TRUST = ("ML_DASH_CA", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that may name certificates of authorities, trusted besides the usual ones: the first that is set counts."""
_read: tuple[object, ssl.SSLContext] | None = None
"""The certificates that were read last, and of which file."""
_SPOKEN = frozenset({"http", "https"})


class Proxy(NamedTuple):
    """A proxy: its URL, which may hold a password; the URL as it may be shown; and what names it."""

    url: str
    shown: str
    named_by: str

    @property
    def is_spoken(self) -> bool:
        """Whether it is one that can be spoken with, which those of SOCKS are not."""
        try:
            url = URL(self.url)
        except ValueError:
            return False
        return url.scheme in _SPOKEN and bool(url.host)

    def failure(self, server: str, reason: str) -> str:
        """Return what to say where the proxy does not do its part."""
        host = URL(server).host
        return (
            f"the proxy {self.shown} ({self.named_by}) does not connect to {server}: {reason}. Correct or unset "
            f"{self.named_by}, or have this server asked without a proxy: NO_PROXY={host}"
        )


def proxy_for(url: URL) -> Proxy | None:
    """Return the proxy by which a server is to be asked; None for none."""
    found = getproxies()
    proxy = found.get(url.scheme) or found.get("all")
    if not proxy or url.host is None or proxy_bypass(f"{url.host}:{url.port}") or proxy_bypass(url.host):
        return None
    names = [name for each in (url.scheme, "all") for name in (f"{each}_proxy", f"{each}_proxy".upper())]
    named_by = next((name for name in names if os.environ.get(name) == proxy), "the system's settings")
    # "proxy:3128" is common, and means http, as for curl
    full = proxy if "://" in proxy else f"http://{proxy}"
    return Proxy(full, _without_password(full), named_by)


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def trusted() -> ssl.SSLContext | bool:
    """Return whom to trust; True for those whom this machine trusts anyway.

    Raises:
        TransportError: A variable names certificates that cannot be read.
    """
    global _read  # noqa: PLW0603 - of the one choice that a process has
    named = _named()
    if named is None:
        return True
    variable, path = named
    # read again where the variable, or the file, is another one: a notebook sets it when the first try has failed
    stamp = _stamp(path)
    if _read is not None and _read[0] == (named, stamp):
        return _read[1]
    try:
        # It takes a while, and locks of OpenSSL's: a child that is forked meanwhile would wait for them for ever.
        with guarded_imports():
            context = ssl.create_default_context()
            is_directory = os.path.isdir(path)
            context.load_verify_locations(
                cafile=None if is_directory else path, capath=path if is_directory else None
            )
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise TransportError(
            "tls",
            f"{variable}={path!r} cannot be read as certificates of authorities ({_reason(error)}): name a file in PEM "
            "format, or unset it",
        ) from error
    _read = (named, stamp), context
    return context


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size


def trust_remedy(url: str) -> str:
    """Return what may be wrong where a server's certificate is not trusted, and what mends it."""
    file = os.environ.get("SSL_CERT_FILE")
    if file and not os.access(file, os.R_OK):
        return f"SSL_CERT_FILE={file!r} cannot be read, so no server is trusted: correct or unset it"
    named = _named()
    own = f"if the server has made it itself, `ml-dash login {url}` shows it and asks whether to trust it"
    if named is not None:
        return f"trusted are the usual authorities, and those that {named[0]}={named[1]!r} holds; {own}"
    return (
        f"{own}; if its authority is one of your own, name the file of that one's certificate in ML_DASH_CA"
    )


def _named() -> tuple[str, str] | None:
    return next(((name, path) for name in _TRUST if (path := os.environ.get(name))), None)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return "it holds no certificate in PEM format"
    return getattr(error, "strerror", None) or str(error)
