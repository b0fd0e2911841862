"""What went wrong between client and server, what is done about it, and a voice that tells of it.

When to try again: exponential back-off with full jitter, and what a server asks for by ``Retry-After``.

Full jitter (a uniform draw from 0 to the bound) spreads the clients of a server that comes back best of all simple
rules: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import math
import random
import shlex
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

from ml_dash.client.transport import NotMlDashError, ServerError, TransportError
from ml_dash.clock import SYSTEM_CLOCK, Clock
from ml_dash.notices import logger
from ml_dash.protocol import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

RETRY_AFTER_MAX = 600.0
"""Seconds: no server is obeyed for longer, lest a wrong clock silences a client for a year."""

_NANOSECONDS = 1_000_000_000

Patience: TypeAlias = Literal["soon", "token", "rarely", "never"]
"""When to try again: after a back-off; when the token changes, or once a minute; once a minute; not at all."""

_STATUSES: dict[int, tuple[Patience, bool]] = {
    400: ("rarely", False),
    401: ("token", True),
    403: ("token", True),
    404: ("token", False),
    407: ("rarely", True),
    410: ("never", False),
    413: ("rarely", True),
    416: ("rarely", False),
    422: ("rarely", False),
    **dict.fromkeys((408, 421, 425, 429, 500, 502, 503, 504, 507, 509), ("soon", True)),
    **dict.fromkeys(range(520, 525), ("soon", True)),  # what Cloudflare says of a server behind it
}
"""When to try again after each status, and whether it means the same where a proxy says it. Others are tried soon."""

_SAID_EVERY = 60.0


class Randomness(Protocol):
    """What is asked of a source of random numbers."""

    def uniform(self, a: float, b: float, /) -> float:
        """Return a number between these two."""


class Backoff:
    """How long to wait before the next try.

    The first wait has `first` seconds at most, and any has `most`.
    """

    def __init__(
        self,
        first: float = 0.5,
        most: float = 60.0,
        rng: Randomness = random,  # the module itself: its source is seeded anew in every forked child
    ) -> None:
        self._first = first
        self._most = most
        self._rng = rng
        self._failures = 0

    def next(self, retry_after: float | None = None) -> float:
        """Return the seconds to wait after one more failure: not less than the server asks for."""
        # the exponent is bounded, too: after weeks of an outage, 2.0 ** failures would overflow
        bound = min(self._most, self._first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        jitter = self._rng.uniform(0.0, bound)
        if retry_after is None:
            return jitter
        # All whom a server has sent away must not come back at the same moment.
        return min(retry_after, RETRY_AFTER_MAX) + min(jitter, max(1.0, retry_after / 10))

    def reset(self) -> None:
        """Begin anew: it worked."""
        self._failures = 0


class Attempts:
    """Decides, after each failure of what somebody waits for, whether to try again, and how long to wait first.

    It ends after `tries` failures in a row, or failures for `seconds`; a wait has `longest_wait` seconds at most.
    """

    def __init__(
        self,
        *,
        tries: float = math.inf,
        seconds: float = math.inf,
        longest_wait: float = 60.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._tries = tries
        self._seconds = seconds
        self._clock = clock
        self._backoff = Backoff(most=longest_wait)
        self._failures = 0
        self._failing_since = 0.0

    def succeeded(self) -> None:
        """Begin anew: something got through."""
        self._failures = 0
        self._backoff.reset()

    @property
    def left(self) -> float:
        """The seconds that the next try may take: as many as it wants where the last one was a success."""
        if self._failures == 0:
            return math.inf
        return max(0.0, self._failing_since + self._seconds - self._clock.monotonic())

    def failed(
        self, patience: Patience, retry_after: float | None = None, *, began: float | None = None
    ) -> float | None:
        """Return the seconds to wait before the next try; None where there is to be none.

        `began` is the time at which this one did, where nothing at all has got through since.
        """
        now = self._clock.monotonic()
        if self._failures == 0:
            self._failing_since = now if began is None else began
        self._failures += 1
        wait = self._backoff.next(retry_after)
        too_long = now + wait - self._failing_since > self._seconds
        return None if patience != "soon" or too_long or self._failures >= self._tries else wait


def means_the_same_from_a_proxy(status: int) -> bool:
    """Say whether an answer with this status is believed that has no words of an ML-Dash server in it."""
    return _STATUSES.get(status, ("soon", False))[1]


def patience_of(error: ServerError) -> Patience:
    """Return when to try again after an answer that is an error."""
    if error.code == ErrorCode.NO_ROUTE:
        return "rarely"
    if error.code == ErrorCode.DAMAGED:
        return "soon"  # damaged on its way
    return _STATUSES.get(error.status, ("soon", False))[0]


def retry_after_seconds(
    value: str | None, time_ns: Callable[[], int], answered: str | None = None
) -> float | None:
    """Return the seconds that a ``Retry-After`` header, a number or a date, asks for; None where it makes no sense.

    A date is by the server's clock: `answered` is the answer's ``Date``, and only without one this machine's clock is
    asked.
    """
    if value is None:
        return None
    try:
        if value.strip().replace(".", "", 1).isdigit():
            seconds = float(value)  # RFC 9110 has whole seconds only, and some servers send fractions
        else:
            seconds = parsedate_to_datetime(value).timestamp() - _now(time_ns, answered)
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_MAX)


def _now(time_ns: Callable[[], int], answered: str | None) -> float:
    try:
        return parsedate_to_datetime(answered or "").timestamp()
    except (ValueError, TypeError, OverflowError):
        return time_ns() / _NANOSECONDS


class Trouble(NamedTuple):
    """What went wrong, and what mends it, in a clause for people.

    `until` says for how long rows stay in the journal, if the run goes on; `retry_after`, in seconds, when the server
    asks to be tried again.
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
    """Say what a `Sender`'s error means for an experiment, which the server had said it knows if `connected`."""
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
    patience = patience_of(error)
    match error.status:
        case 401 | 403 if not error.code:
            kind, until = "token", " until then"
            reason = (
                f"something between here and {url}, a proxy or a firewall, refuses in the server's place ({error}): "
                "have it let requests to that server pass"
            )
        case 401:
            kind, until = "token", " until then"
            reason = (
                f"{url} wants a token that is valid ({error.message}): run `ml-dash login {url}`; a program that runs "
                "need not be started again"
            )
        case 403 | 404:
            kind, until = "token", " until then"
            reason = (
                f"{url} does not let this token write to {prefix} ({error.message}): have it granted, or run "
                f"`ml-dash login {url}`"
            )
        case 410:
            kind, until = "gone", ""
            reason = (
                f"{prefix} was deleted at {url}, and nothing more of it is sent; `ml-dash sync --recreate "
                f"{shlex.quote(directory)}` brings it back"
            )
        case 413 if not error.code:
            kind, until = "too_large", " until then"
            reason = (
                f"something between here and {url} takes no request of {error.number('bytes')} bytes, and the server "
                f"none in pieces ({error.message}): raise the limit of the proxy there (nginx: client_max_body_size), "
                "or update the server"
            )
        case 507:
            kind, until = "full", " until there is room"
            reason = f"the disk of {url} is full ({error.message})"
        case _ if patience == "rarely":
            kind, until, reason = "refused", "", str(error)
        case _:
            kind, until, reason = "server", " until it works again", str(error)
            if error.code == ErrorCode.DAMAGED:
                kind = "damaged"
            return Trouble(kind, reason, patience, until, error.retry_after)
    return Trouble(kind, reason, patience, until)


class Voice:
    """Tells people of each kind of trouble at most once a minute, and of one that goes on once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: dict[str, float] = {}
        self._going_on: set[str] = set()

    def say(self, kind: str, message: str, *, goes_on: bool = False) -> None:
        """Warn of a kind of trouble, unless it was said.

        What goes on is the same trouble until `over` is called, however long that takes.
        """
        now = self._clock.monotonic()
        # an outage of days is told of once, and not once a minute
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
