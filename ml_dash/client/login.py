"""Logging in and out: the few requests of it, and the device flow of RFC 8628.

The device shows a code, a person approves it in any browser, and the device gets its token. Each request is short,
bounded, and never carried on to another origin.
"""

from __future__ import annotations

import asyncio
import getpass
import math
import socket
import time
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from ml_dash.client import transport
from ml_dash.client.answers import decoded, is_sendable
from ml_dash.errors import InvalidArgumentError, ServerUnavailableError
from ml_dash.origins import origin, parse_address
from ml_dash.protocol import API, JSON
from ml_dash.tokens.token import LoginError, Token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ml_dash.client.certificates import Certificate

CLIENT_ID = "ml-dash"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"

_POLL_SECONDS = 5.0  # RFC 8628, 3.2: what a server means that names no interval
_POLL_SECONDS_MAX = 60.0
_LOGIN_SECONDS_MAX = 3600.0
_ENDS = {
    "access_denied": "the login was denied",
    "expired_token": "nobody approved the login in time: run `ml-dash login` again",
}

SECONDS = 10.0
_REDIRECTS = range(300, 400)
_SHOWN_MAX = 1000
_ANSWER_BYTES_MAX = 1 << 20
"""Of all that is asked here, the longest is what a token was granted."""


class Answer(NamedTuple):
    """What a server answered: the status, and the JSON object in the body."""

    status: int
    body: dict[str, Any]

    @property
    def message(self) -> str:
        """What the server says was wrong."""
        error = self.body.get("error")
        told = error.get("message") if isinstance(error, dict) else self.body.get("error_description", error)
        return str(told)[:_SHOWN_MAX] if told else f"status {self.status}"


async def ask(
    url: str, method: str, path: str, *, token: Token | None = None, form: Mapping[str, str] | None = None
) -> Answer:
    """Send one request, with the token as the bearer's and the form as the body, and return the answer.

    Raises:
        InvalidArgumentError: No token may be sent to this URL.
        ServerUnavailableError: The server is out of reach, or does not answer in time.
        LoginError: What answers is no ML-Dash server, or it redirects.
    """
    from ml_dash.client.http import AiohttpTransport, close_session

    line = AiohttpTransport(url, lambda: token)
    headers = {"Accept": JSON}
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    try:
        body = None if form is None else urlencode(form).encode()
        answer = await line.request(method, path, body=body, headers=headers, timeout=SECONDS)
    finally:
        await close_session()
    if answer.status in _REDIRECTS:
        target = answer.headers.get("location", "").partition("?")[0][:_SHOWN_MAX]  # a query may hold secrets
        raise LoginError(
            f"{line.url} redirects to {target!r}, and a token is not carried on to where the user did not send "
            "it: if that is the server, give its URL"
        )
    return Answer(answer.status, _object(line.url, answer.status, answer.body))


async def unknown_certificate(url: str) -> Certificate | None:
    """Return the certificate of a server that nobody who is trusted vouches for; None where there is no such question.

    Raises:
        InvalidArgumentError: No token may be sent to this URL.
        ServerUnavailableError: The server is out of reach, or its certificate is wrong otherwise: it has run out, is
            another host's, or is not the one that was pinned before.
    """
    from ml_dash.client.http import AiohttpTransport, close_session, is_unknown_authority

    line = AiohttpTransport(url, lambda: None)
    if not line.url.startswith("https:"):
        return None
    try:
        await line.request("GET", f"{API}/health", headers={"Accept": JSON}, timeout=SECONDS)
    except transport.TransportError as error:
        if not is_unknown_authority(error.__cause__):
            raise
        return await line.certificate()
    finally:
        await close_session()
    return None


async def who_am_i(url: str, token: Token) -> dict[str, Any]:
    """Return what a server knows of a token.

    Raises:
        LoginError: The server does not accept the token, or is no ML-Dash server.
        ServerUnavailableError: The server is out of reach.
    """
    answer = await ask(url, "GET", f"{API}/whoami", token=token)
    if answer.status != 200:
        raise LoginError(f"{url} does not accept the token ({token}, {token.source}): {answer.message}")
    return answer.body


class Left(Enum):
    """What becomes of a token at its server when this machine forgets it."""

    REVOKED = "revoked"
    KEPT = "kept"
    INVALID = "invalid"


async def leave(url: str, token: Token, *, revoke: bool = False) -> Left:
    """Revoke a token at its server, unless others may use it: one that was made elsewhere, or an admin's.

    Args:
        url: The server.
        token: The token that this machine is about to forget.
        revoke: Revoke it whoever else uses it.

    Raises:
        LoginError: The server refuses, or is no ML-Dash server.
        ServerUnavailableError: The server is out of reach.
    """
    if not revoke:
        if token.is_shared:
            return Left.KEPT
        # no login makes an admin's token: whatever is known of this one, it is not only this machine's
        who = await ask(url, "GET", f"{API}/whoami", token=token)
        if who.status == 200 and who.body.get("admin"):
            return Left.KEPT
    answer = await ask(url, "DELETE", f"{API}/tokens/self", token=token)
    if answer.status in {200, 401}:
        return Left.REVOKED if answer.status == 200 else Left.INVALID
    raise LoginError(f"{url} did not revoke the token: {answer.message}")


class Authorization(NamedTuple):
    """A login under way. `device_code` is a secret that the token is collected with; the rest is for who approves.

    It is valid for `seconds`, and `interval` is the time between two questions.
    """

    device_code: str
    user_code: str
    where: str
    where_with_code: str
    seconds: float
    interval: float

    def __repr__(self) -> str:
        return f"Authorization({self.user_code!r}, {self.where!r})"


async def begin(url: str) -> Authorization:
    """Begin a login at a server.

    Raises:
        LoginError: The server does not know the device flow.
        ServerUnavailableError: It is out of reach.
    """
    form = {"client_id": CLIENT_ID, "client_name": client_name(), "scope": "write"}
    answer = await ask(url, "POST", f"{API}/device/authorize", form=form)
    if answer.status != 200:
        raise LoginError(f"{url} does not begin a login: {answer.message}")
    body = answer.body
    try:
        where = str(body["verification_uri"])
        return Authorization(
            device_code=_code(body["device_code"]),
            user_code=str(body["user_code"]),
            where=_trusted(url, where),
            where_with_code=_trusted(url, str(body.get("verification_uri_complete", where))),
            seconds=min(_seconds(body["expires_in"]), _LOGIN_SECONDS_MAX),
            interval=min(max(_seconds(body.get("interval", _POLL_SECONDS)), 1.0), _POLL_SECONDS_MAX),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise LoginError(f"{url} begins the login with an invalid answer: {error!r}") from None


async def finish(
    url: str,
    authorization: Authorization,
    *,
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Token:
    """Wait until somebody approves what `begin` returned, and return the token.

    Raises:
        LoginError: Somebody denied it, nobody approved it in time, or the server refuses.
    """
    form = {"client_id": CLIENT_ID, "grant_type": GRANT_TYPE, "device_code": authorization.device_code}
    interval = authorization.interval
    deadline = monotonic() + authorization.seconds
    while monotonic() < deadline:
        await sleep(interval)
        try:
            answer = await ask(url, "POST", f"{API}/device/token", form=form)
        except ServerUnavailableError:
            # RFC 8628, 3.5: back off, and go on while the code is valid
            interval = min(interval * 2, _POLL_SECONDS_MAX)
            continue
        if answer.status == 200:
            try:
                return Token(str(answer.body["access_token"]), "from this login")
            except (KeyError, InvalidArgumentError):
                raise LoginError(f"{url} approved the login, and gave no token that can be used") from None
        error = answer.body.get("error")
        if error == "slow_down":  # RFC 8628, 3.5: five seconds more from now on
            interval += _POLL_SECONDS
        elif answer.status >= 500:
            interval = min(interval * 2, _POLL_SECONDS_MAX)
        elif error != "authorization_pending":
            raise LoginError(f"{url}: {_ENDS.get(str(error), answer.message)}")
    raise LoginError(f"{url}: {_ENDS['expired_token']}")


def client_name() -> str:
    """Return what a person recognises this login by: ``alice@gpu-7``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):
        user = "somebody"
    name = f"{user}@{socket.gethostname()}"
    return "".join(character for character in name if character.isprintable())[:255]


def _code(value: Any) -> str:
    code = str(value)
    if not is_sendable(code):
        raise ValueError("a device_code with half a surrogate pair")
    return code


def _seconds(value: Any) -> float:
    # JSON knows no NaN, and Python's does: to sleep for so long never ends, or fails
    if not math.isfinite(seconds := float(value)):
        raise ValueError(f"{seconds} seconds")
    return seconds


def _trusted(url: str, where: str) -> str:
    """Return the address of the page to approve on: below the server's URL as the user knows it, if it is that host.

    Behind a proxy, a server may not know that it is reached by https, or below a path.
    """
    server = parse_address(url)
    try:
        parts = urlsplit(where)
        if parts.hostname == urlsplit(server.origin).hostname:
            query = f"?{parts.query}" if parts.query else ""
            below = server.origin if parts.path.startswith(urlsplit(server.url).path) else server.url
            where = f"{below}{parts.path}{query}"
        origin(where)
    except ValueError as error:
        raise LoginError(f"{server.url} names a page to approve on that cannot be trusted: {error}") from None
    return where


def _object(url: str, status: int, content: bytes) -> dict[str, Any]:
    body = None
    if len(content) <= _ANSWER_BYTES_MAX:
        body = decoded(transport.Answer(status, {"content-type": JSON}, content))
    if not isinstance(body, dict):
        raise LoginError(
            f"{url} answers (status {status}) with something else than a JSON object: it is no ML-Dash server, "
            "or a proxy stands before it; check the URL"
        )
    return body
