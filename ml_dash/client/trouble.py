"""What went wrong between client and server, in words for people, and what is done about it; and a voice for that."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from ml_dash.client.api import NotMlDashError, ServerError
from ml_dash.client.transport import TransportError
from ml_dash.logger import logger
from ml_dash.protocol import ErrorCode

if TYPE_CHECKING:
    from ml_dash.clock import Clock

__all__ = ["Patience", "Trouble", "Voice", "trouble_of"]

Patience: TypeAlias = Literal["soon", "token", "rarely", "never"]
"""When to try again: after a back-off; when the token changes, or once a minute; once a minute; not at all."""

_SAID_EVERY = 60.0


class Trouble(NamedTuple):
    """What went wrong.

    Attributes:
        kind: Tells troubles apart.
        reason: What it is and what mends it, in a clause for people.
        patience: When to try again.
        until: For how long rows stay in the journal, if the run goes on.
        retry_after: Seconds after which the server asks to be tried again.
    """

    kind: str
    reason: str
    patience: Patience
    until: str = ""
    retry_after: float | None = None

    @property
    def message(self) -> str:
        """What to say in the log of a run that goes on."""
        return f"{self.reason}. Logging goes on, and all rows stay in the journal{self.until}."


def trouble_of(error: Exception, url: str, prefix: str, directory: str, *, connected: bool) -> Trouble:
    """Say what an error means for an experiment.

    Args:
        error: What was raised by a `Sender`.
        url: The server's.
        prefix: The experiment's.
        directory: The experiment's.
        connected: Whether the server had said that it knows the experiment.
    """
    match error:
        case ServerError(status=404, code=ErrorCode.NOT_FOUND) if connected:
            # it has forgotten the experiment, as one does that was restored from a backup
            return Trouble("forgotten", str(error), "soon", " until it is introduced once more")
        case TransportError():
            return Trouble("network", str(error), "soon", " until the server can be reached")
        case NotMlDashError() | ServerError(code=ErrorCode.NO_ROUTE):
            later = f"; `ml-dash sync {shlex.quote(directory)}` sends them later"
            return Trouble("foreign", f"{error} (is the path in the URL right?)", "rarely", later)
        case ServerError():
            return _refusal(error, url, prefix, directory)
        case OSError():
            return Trouble("disk", f"the journal in {directory} cannot be read ({error})", "soon")
    return Trouble("other", str(error), "soon")


def _refusal(error: ServerError, url: str, prefix: str, directory: str) -> Trouble:
    match error.status:
        case 401:
            reason = (
                f"{url} wants a token that is valid ({error.message}): run `ml-dash login {url}`; a program that runs "
                "need not be started again"
            )
            return Trouble("token", reason, "token", " until then")
        case 403 | 404:
            reason = (
                f"{url} does not let this token write to {prefix} ({error.message}): have it granted, or run "
                f"`ml-dash login {url}`"
            )
            return Trouble("token", reason, "token", " until then")
        case 410:
            reason = (
                f"{prefix} was deleted at {url}, and nothing more of it is sent; `ml-dash sync --recreate "
                f"{shlex.quote(directory)}` brings it back"
            )
            return Trouble("gone", reason, "never")
        case 507:
            reason = f"the disk of {url} is full ({error.message})"
            return Trouble("full", reason, "soon", " until there is room")
        case 400 | 407 | 422 if error.code != ErrorCode.DAMAGED:
            return Trouble("refused", str(error), "rarely")
    kind = "damaged" if error.code == ErrorCode.DAMAGED else "server"
    return Trouble(kind, str(error), "soon", " until it works again", error.retry_after)


class Voice:
    """Tells people of each kind of trouble at most once a minute, and of one that goes on once.

    Args:
        clock: The time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: dict[str, float] = {}
        self._going_on: set[str] = set()

    def say(self, kind: str, message: str, *, goes_on: bool = False) -> None:
        """Warn of something, unless it was said.

        Args:
            kind: What is the same trouble.
            message: For people.
            goes_on: Whether it is the same trouble until `over` is called, however long that takes.
        """
        now = self._clock.monotonic()
        if kind in self._going_on or now - self._said.get(kind, float("-inf")) < _SAID_EVERY:
            return
        self._said[kind] = now
        if goes_on:
            self._going_on.add(kind)
        logger().warning("%s", message)

    def over(self, message: str) -> None:
        """Say that the troubles that went on are over, where any was told."""
        if self._going_on:
            self._going_on.clear()
            logger().warning("%s", message)
