"""The few requests that logging in and out needs: short, bounded, and never carried on to another origin."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from ml_dash.protocol import API, JSON
from ml_dash.tokens.errors import LoginError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_dash.tokens.token import Token

__all__ = ["Answer", "ask", "revoke_self", "who_am_i"]

SECONDS = 10.0
_REDIRECTS = range(300, 400)
_SHOWN_MAX = 1000


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
    """Send one request and return the answer.

    Args:
        url: The server's.
        method: The HTTP method.
        path: The path on the server.
        token: Sent as the bearer's, if given.
        form: Sent as the body, if given.

    Raises:
        InvalidArgumentError: The URL is none that a token may be sent to.
        ServerUnavailableError: The server is out of reach, or does not answer in time.
        LoginError: What answers is no ML-Dash server, or it redirects.
    """
    from ml_dash.client.http import AiohttpTransport, close_session

    transport = AiohttpTransport(url, lambda: token)
    headers = {"Accept": JSON}
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    try:
        answer = await transport.request(
            method,
            path,
            body=None if form is None else urlencode(form).encode(),
            headers=headers,
            timeout=SECONDS,
        )
    finally:
        await close_session()
    if answer.status in _REDIRECTS:
        raise LoginError(_redirected(transport.url, answer.headers.get("location", "")))
    return Answer(answer.status, _object(transport.url, answer.status, answer.body))


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


async def revoke_self(url: str, token: Token) -> bool:
    """Revoke a token at its server; returns whether it was valid until then.

    Raises:
        LoginError: The server refuses, or is no ML-Dash server.
        ServerUnavailableError: The server is out of reach.
    """
    answer = await ask(url, "DELETE", f"{API}/tokens/self", token=token)
    if answer.status in {200, 401}:
        return answer.status == 200
    raise LoginError(f"{url} did not revoke the token: {answer.message}")


def _redirected(url: str, location: str) -> str:
    target = location.partition("?")[0][:_SHOWN_MAX]
    return (
        f"{url} redirects to {target!r}, and a token is not carried on to where the user did not send it: "
        "if that is the server, give its URL"
    )


def _object(url: str, status: int, content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise LoginError(
            f"{url} answers (status {status}) with something else than a JSON object: it is no ML-Dash server, "
            "or a proxy stands before it; check the URL"
        )
    return body
