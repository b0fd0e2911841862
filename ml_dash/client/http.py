"""The transport over real sockets, by aiohttp.

All experiments of a process share one session, and so its connections, as long as they are on one event loop. Names are
looked up on a thread that the caller provides: event loops use an executor for it, and those take no work any more
once the interpreter has begun to shut down.

Proxies and trusted authorities are those of the environment, see `ml_dash.client.surroundings`; servers on this machine
are asked without a proxy. ``.netrc`` is not read: it could put other
credentials in place of the token.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import socket
import ssl
import weakref
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.abc import AbstractResolver, AbstractStreamWriter, ResolveResult
from yarl import URL

from ml_dash.client.certificates import Certificate, CertificateRefusedError, Pin, pin
from ml_dash.client.surroundings import proxy_for, trust_remedy, trusted
from ml_dash.client.transport import Answer, Body, FailureKind, Stream, TransportError
from ml_dash.errors import InvalidArgumentError
from ml_dash.origins import is_refused, parse_address
from ml_dash.trust import trust_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from ml_dash.client.bridge import RunBlocking
    from ml_dash.tokens.token import Token

ANSWER_BYTES_MAX = 64 << 20
"""Bytes of an answer that is kept whole: nothing that is asked for is longer."""
_ERROR_BYTES_MAX = 1 << 20
_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 30.0
"""Seconds without a byte after which an answer is given up."""
_PIECE_BYTES = 256 << 10

# By event loop, and weakly: a connection belongs to the loop that made it, and goes away with it.
_SESSIONS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = (
    weakref.WeakKeyDictionary()
)


class AiohttpTransport:
    """Sends requests to one server; see `ml_dash.client.transport.Transport`.

    Redirects are never followed: an answer that is one is handed out as it is, and the token stays here.

    `token` is asked at each request; None sends none. It goes to `url`'s origin only. `look_up` runs the look-up of a
    name on a thread, that of the loop's first transport for all; None leaves it to the event loop.

    Raises:
        InvalidArgumentError: The URL is invalid, or no token may be sent there.
    """

    def __init__(
        self, url: str, token: Callable[[], Token | None], look_up: RunBlocking | None = None
    ) -> None:
        self._address = parse_address(url)
        self._base = URL(self._address.url, encoded=True)
        self._token = token
        self._look_up = look_up
        self._proxy = None if self._address.is_loopback else proxy_for(self._base)

    @property
    def url(self) -> str:
        """See `Transport.url`."""
        return self._address.url

    @property
    def is_loopback(self) -> bool:
        """See `Transport.is_loopback`."""
        return self._address.is_loopback

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float,
    ) -> Answer:
        """See `Transport.request`."""
        async with self._open(method, path, query, body, headers or {}, timeout) as response:
            # counted as it comes: a Content-Length may be absent, or that of the compressed bytes
            limit = ANSWER_BYTES_MAX if response.status < 400 else _ERROR_BYTES_MAX
            pieces, size = [], 0
            async for piece in response.content.iter_chunked(_PIECE_BYTES):
                size += len(piece)
                if size > limit:
                    raise TransportError("too_large", f"{self.url} answers with more than {limit} bytes")
                pieces.append(piece)
            return Answer(response.status, _lower(response.headers), b"".join(pieces))

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str] | None, headers: Mapping[str, str], timeout: float
    ) -> AsyncIterator[Stream]:
        """See `Transport.stream`."""
        async with self._open("GET", path, query, None, headers, timeout) as response:
            pieces = response.content.iter_chunked(_PIECE_BYTES)
            yield Stream(response.status, _lower(response.headers), aiter(pieces))

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | Body | None,
        headers: Mapping[str, str],
        timeout: float,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = URL(self._address.url + path, encoded=True)
        if query:
            url = url.update_query(query)
        # behind a bare host, a path such as "@elsewhere/" would send the token there
        if url.origin() != self._base.origin():
            raise ValueError(f"path {path!r} leads to another server")
        if self._proxy is not None and not self._proxy.is_spoken:
            reason = "it is not the URL of an http proxy (SOCKS is not spoken)"
            raise TransportError("proxy", self._proxy.failure(self.url, reason))
        secured = self._secured()
        try:
            # A server that trickles bytes is bounded by `total`, one that is silent by `sock_read`.
            async with self._session().request(
                method,
                url,
                data=_sent(body),
                headers={**headers, **self._authorization()},
                allow_redirects=False,
                proxy=None if self._proxy is None else self._proxy.url,
                ssl=secured,
                timeout=aiohttp.ClientTimeout(
                    total=timeout,
                    connect=min(_CONNECT_SECONDS, timeout),
                    sock_connect=min(_CONNECT_SECONDS, timeout),
                    sock_read=min(_SILENCE_SECONDS, timeout),
                ),
            ) as response:
                yield response
        except TransportError:
            raise
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            failure = self._failure(error)
            if _has_run_out(error):
                raise await self._run_out(failure) from error
            raise failure from error

    def _secured(self) -> Pin | ssl.SSLContext | bool:
        """Return what a connection has to show: the certificate that is pinned, or one that is vouched for.

        Asked at each request: a login or a logout meanwhile counts, and so does another choice of authorities.

        Raises:
            TransportError: Nothing may be sent there any more, or nobody can tell.
        """
        if self.is_loopback and not self._address.url.startswith("https"):
            return True
        try:
            if is_refused(self._address.origin):
                raise TransportError(
                    "tls",
                    f"{self.url} is plain http to another machine, which is not chosen any more: run "
                    f"`ml-dash login --insecure-http {self._address.origin}`, or use https://",
                )
            fingerprint = trust_in(self._address.origin).fingerprint
        except InvalidArgumentError as error:
            raise TransportError("tls", str(error)) from error
        return trusted() if fingerprint is None else pin(fingerprint)

    async def certificate(self) -> Certificate:
        """Return what the server shows as its certificate, whoever has signed it. No request is sent.

        Raises:
            TransportError: It cannot be reached, or speaks no TLS.
        """
        timeout = aiohttp.ClientTimeout(total=_CONNECT_SECONDS)
        proxy = None if self._proxy is None else self._proxy.url
        try:
            async with self._session().get(self._base, ssl=pin(None), proxy=proxy, timeout=timeout):
                raise TransportError("tls", f"{self.url} shows no certificate")
        except CertificateRefusedError as error:
            return error.found
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            raise self._failure(error) from error

    async def _run_out(self, failure: TransportError) -> TransportError:
        try:
            found = await self.certificate()
        except TransportError:
            return failure
        return TransportError(
            "tls",
            f"no secure connection to {self.url}: its certificate ran out on {found.end}. Whoever runs the server has "
            "to renew it; if that day is still to come, set this machine's clock",
        )

    def _failure(self, error: BaseException) -> TransportError:
        if self._proxy is not None and isinstance(error, _OF_PROXY):
            return TransportError("proxy", self._proxy.failure(self.url, _reason_of_proxy(error)))
        kind, text = _classify(error)
        message = text.format(at=self.url, error=_reason(error))
        if kind == "tls" and isinstance(error, aiohttp.ClientConnectorCertificateError):
            message = f"{message} ({trust_remedy(self.url)})"
        if self._proxy is not None:
            message = f"{message} (through the proxy {self._proxy.shown} of {self._proxy.named_by})"
        return TransportError(kind, message)

    def _authorization(self) -> dict[str, str]:
        """Return the header with the token: the one place where it leaves its hiding."""
        token = self._token()
        return {"Authorization": f"Bearer {token.reveal()}"} if token is not None else {}

    def _session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        session = _SESSIONS.get(loop)
        if session is None or session.closed:
            from ml_dash.version import __version__

            # Each experiment has a request or two under way, and none waits for the others': there is no limit.
            resolver = _ThreadResolver(self._look_up) if self._look_up else None
            session = _SESSIONS[loop] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, resolver=resolver, keepalive_timeout=30.0, ssl=trusted()
                ),
                # a cookie that some proxy sets is not sent back: requests are alike, whoever answered the last one
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"ml-dash/{__version__}"},
                auto_decompress=True,
                trust_env=False,
            )
        return session


def _sent(body: bytes | Body | None) -> bytes | io.BytesIO | aiohttp.Payload | None:
    """Return what aiohttp is to send: what is large in pieces, between which the event loop does other things."""
    if isinstance(body, bytes):
        return io.BytesIO(body) if len(body) > _PIECE_BYTES else body
    return None if body is None else _Pieces(body)


class _Pieces(aiohttp.Payload):
    """A body for aiohttp that is read while it is sent."""

    _value: Body

    def __init__(self, body: Body) -> None:
        super().__init__(body)
        self._size = body.size

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """See `aiohttp.Payload`: for messages only."""
        del encoding, errors
        return f"{self._value.size} bytes"

    async def write(self, writer: AbstractStreamWriter) -> None:
        async for piece in self._value.pieces():
            await writer.write(piece)


# Only the proxy's name is looked up here: the server's is looked up there.
_OF_PROXY = aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError, aiohttp.ClientConnectorDNSError

# The first that fits counts, so that the special ones precede those that they derive from: aiohttp's DNS and TLS errors
# are ClientConnectorErrors, and a TimeoutError is an OSError.
_FAILURES: tuple[tuple[tuple[type[BaseException], ...], FailureKind, str], ...] = (
    (
        (aiohttp.ClientConnectorDNSError, socket.gaierror),
        "dns",
        "the name in {at} cannot be looked up: {error}",
    ),
    (
        (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch, ssl.SSLError, ssl.CertificateError),
        "tls",
        "no secure connection to {at}: {error}",
    ),
    ((asyncio.TimeoutError, TimeoutError), "timeout", "{at} does not answer in time"),
    ((aiohttp.ClientConnectorError,), "refused", "{at} refuses the connection"),
    (
        (
            aiohttp.ServerDisconnectedError,
            aiohttp.ClientPayloadError,
            aiohttp.ClientOSError,
            ConnectionError,
        ),
        "cut",
        "the connection to {at} was cut: {error}",
    ),
)


def _disown_sessions() -> None:
    """Take its parent's connections from a forked child, so that it touches none, not even when its interpreter ends.

    The child's copies would be closed by their finalisers, and those take the sockets out of the epoll instance
    that parent and child share: the parent would never hear from the server again.
    """
    for session in tuple(_SESSIONS.values()):
        connector = session.connector
        session.detach()
        if connector is not None:
            connector._closed = True  # noqa: SLF001 - there is no public way not to close one


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_sessions)


async def close_session() -> None:
    """Close the session of the running event loop, if it has one."""
    session = _SESSIONS.pop(asyncio.get_running_loop(), None)
    if session is not None:
        await session.close()


class _ThreadResolver(AbstractResolver):
    def __init__(self, run: RunBlocking) -> None:
        self._run = run

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._run(lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
        return list(_results(host, found))

    async def close(self) -> None:
        pass


def _results(host: str, found: list[Any]) -> Iterator[ResolveResult]:
    # they are numbers already: aiohttp need not look them up again
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    for family, _, proto, _, address in found:
        number = str(address[0])
        # a link-local IPv6 address is of no use without its scope (RFC 4007, section 11)
        if family == socket.AF_INET6 and len(address) > 3 and address[3] and "%" not in number:
            number = f"{number}%{address[3]}"
        yield ResolveResult(
            hostname=host, host=number, port=int(address[1]), family=family, proto=proto, flags=flags
        )


def _has_run_out(error: BaseException) -> bool:
    cause = getattr(error, "certificate_error", None)
    # X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL
    return isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_code == 10


def is_unknown_authority(error: BaseException | None) -> bool:
    """Say whether a connection failed because nobody who is trusted vouches for the server's certificate."""
    cause = getattr(error, "certificate_error", None)
    # of OpenSSL: no issuer found (2, 20, 21), signed by itself (18), or by an authority that is not known (19)
    return isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_code in {2, 18, 19, 20, 21}


def _classify(error: BaseException) -> tuple[FailureKind, str]:
    for kinds, kind, text in _FAILURES:
        if isinstance(error, kinds) and (kind != "refused" or _is_refused(error)):
            return kind, text
    return "other", "{at} cannot be reached: {error}"


def _is_refused(error: BaseException) -> bool:
    cause = getattr(error, "os_error", error)
    # where several addresses were tried, what each of them said is in the text only
    return isinstance(cause, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in str(cause)


def _reason_of_proxy(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        wants = " (it wants a name and a password: http://name:password@host)" if error.status == 407 else ""
        return f"it answers {error.status} {error.message}{wants}"
    cause = getattr(error, "os_error", error)
    unknown = aiohttp.ClientConnectorDNSError, socket.gaierror
    if isinstance(error, unknown) or isinstance(cause, unknown):
        return f"its name cannot be looked up: {_reason(cause)}"
    return "it refuses the connection" if _is_refused(cause) else f"it cannot be reached: {_reason(cause)}"


def _reason(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{error.status} {error.message}"  # its own text shows the URL of a proxy, and what is in that
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    text = getattr(cause, "strerror", None) or str(cause)
    return str(text) or type(cause).__name__


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
