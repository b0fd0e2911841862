"""The one way in for the network: a request goes out, an answer comes back, or a `TransportError`.

Tests and the simulation put their own transport here. What an answer means is for `ml_dash.client.api`.

The errors of both, below those that everybody may catch (`ml_dash.errors`)::

    ServerUnavailableError            (ml_dash.errors)
    └── TransportError                no answer: refused, cut, timed out…
    RemoteError                       (ml_dash.errors)
    ├── ServerError                   the server's own answer is an error
    └── NotMlDashError                the answer is not one of an ML-Dash server: a proxy, a redirect, another version
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

from ml_dash.errors import RemoteError, ServerUnavailableError
from ml_dash.visible import visible

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager

FailureKind: TypeAlias = Literal["refused", "dns", "tls", "proxy", "timeout", "cut", "too_large", "other"]
"""Why there is no answer."""


class Answer(NamedTuple):
    """An answer with its whole body. The names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Stream(NamedTuple):
    """An answer whose body comes piece by piece."""

    status: int
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]


class Body(Protocol):
    """A request's body that is read while it is sent; from its beginning, each time that it has to be sent."""

    @property
    def size(self) -> int:
        """Its bytes."""

    def pieces(self) -> AsyncIterator[bytes]:
        """Yield it piece by piece."""


class TransportError(ServerUnavailableError):
    """No answer, or half of one. Whether the server did what it was asked for is not known.

    `kind` says why, for programs. The message is for people, and has no secrets in it.
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class ServerError(RemoteError):
    """An answer that is an error, in the server's own words.

    `code` is one of `ErrorCode`, or what a later server says, or empty where the answer is not of the API;
    `retry_after` the seconds after which it asks to be tried again.
    """

    def __init__(
        self,
        url: str,
        status: int,
        code: str,
        message: str,
        *,
        retry_after: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{url} answers {status}{f' ({code})' if code else ''}: {message}")
        self.status = status
        self.code = code
        self.message = visible(message)
        self.retry_after = retry_after
        self.details = details or {}

    def number(self, name: str) -> int | None:
        """Return a whole number from the details; None where there is none of this name."""
        value = self.details.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


class NotMlDashError(RemoteError):
    """The answer does not come from a server of ML-Dash with this version of the API."""


class Transport(Protocol):
    """Sends requests to one server, with the token that is for it."""

    @property
    def url(self) -> str:
        """The server's URL, as it is shown to people."""

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine."""

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
        """Send a request and return the whole answer.

        `path` goes from the server's URL on, begins with a slash and is quoted; `query` is not. `timeout` is in
        seconds, for all of it.

        Raises:
            TransportError: There is no answer.
        """

    def stream(
        self, path: str, *, query: Mapping[str, str] | None, headers: Mapping[str, str], timeout: float
    ) -> AbstractAsyncContextManager[Stream]:
        """Send a GET request and return the answer as it comes; both may raise `TransportError`."""
