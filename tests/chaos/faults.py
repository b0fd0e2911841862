"""What a network, and what stands in it, can do to a request: the vocabulary of the proxy's schedules.

Places in bodies and answers are fractions from 0 to 1, so that a schedule does not depend on what is sent. Times are
seconds.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

__all__ = [
    "PASS",
    "Answer",
    "CloseDoor",
    "CutAnswer",
    "CutRequest",
    "Delay",
    "Drip",
    "Fault",
    "FlipAnswer",
    "FlipRequest",
    "LoseAnswer",
    "Pass",
    "Postpone",
    "Redirect",
    "Refuse",
    "Replay",
    "Silence",
    "busy",
    "html_page",
    "random_fault",
    "random_faults",
]


@dataclass(frozen=True, slots=True)
class Pass:
    """Nothing: the request goes to the server, and its answer back."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The connection is reset: as soon as it is made, or before its next request reaches the server."""


@dataclass(frozen=True, slots=True)
class CloseDoor:
    """The connection is reset, and nobody listens at the port for a while."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Silence:
    """The request is taken and never answered; the server does not see it. After a while the connection ends."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Delay:
    """The request waits before it goes to the server."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Drip:
    """The answer comes byte by byte, with this pause between two; the connection ends when the time is over."""

    pause: float
    seconds: float


@dataclass(frozen=True, slots=True)
class CutRequest:
    """The server gets the head and this part of the body, then both connections are reset."""

    at: float


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """The server has done what it was asked and has answered; the client sees the connection end."""


@dataclass(frozen=True, slots=True)
class CutAnswer:
    """The client gets this part of the answer, head included, then the connection is reset."""

    at: float


@dataclass(frozen=True, slots=True)
class FlipRequest:
    """One bit of the request's body arrives wrong, where its media type is that of frames."""

    at: float


@dataclass(frozen=True, slots=True)
class FlipAnswer:
    """One bit of the answer's body arrives wrong."""

    at: float


@dataclass(frozen=True, slots=True)
class Replay:
    """An earlier request, at this part of those seen, reaches the server once more before this one does."""

    at: float


@dataclass(frozen=True, slots=True)
class Postpone:
    """The client sees the connection end, and the request reaches the server after later ones, out of order."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Somebody else answers, and the server sees nothing."""

    status: int
    body: str = ""
    content_type: str = "text/html; charset=utf-8"
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    """The client is sent to another origin, to the same path there."""

    origin: str
    status: int = 307


Fault = (
    Pass
    | Refuse
    | CloseDoor
    | Silence
    | Delay
    | Drip
    | CutRequest
    | LoseAnswer
    | CutAnswer
    | FlipRequest
    | FlipAnswer
    | Replay
    | Postpone
    | Answer
    | Redirect
)

PASS = Pass()


def html_page(status: int) -> Answer:
    """Return what a captive portal or a gateway in between answers."""
    return Answer(
        status, f"<!doctype html><title>{status}</title><h1>Please log in to the guest network</h1>"
    )


def busy(status: int, retry_after: int) -> Answer:
    """Return the answer of somebody who asks to come again later, in so many seconds."""
    return Answer(status, "come again later", "text/plain", retry_after)


def random_fault(rng: random.Random, *, patience: float, origin: str) -> Fault:
    """Return a fault: every kind is as likely as any other.

    Args:
        rng: chance.
        patience: seconds after which the client under test gives a request up; silence lasts longer than that.
        origin: where to redirect to.
    """
    kinds: tuple[Callable[[], Fault], ...] = (
        Refuse,
        lambda: CloseDoor(rng.choice((0.01, 0.05, 0.2))),
        lambda: Silence(2 * patience),
        lambda: Delay(rng.uniform(0.001, 0.05)),
        lambda: Drip(rng.choice((0.0, 0.001, 0.05)), 2 * patience),
        lambda: CutRequest(rng.random()),
        LoseAnswer,
        lambda: CutAnswer(rng.random()),
        lambda: FlipRequest(rng.random()),
        lambda: FlipAnswer(rng.random()),
        lambda: Replay(rng.random()),
        Postpone,
        lambda: html_page(rng.choice((200, 404, 502))),
        lambda: Answer(rng.choice((500, 502, 504)), "", "text/plain"),
        lambda: busy(rng.choice((429, 503)), 0),
        lambda: Redirect(origin, rng.choice((301, 302, 307, 308))),
    )
    return rng.choice(kinds)()


def random_faults(
    rng: random.Random, count: int, *, patience: float, origin: str, calm: float = 0.5
) -> list[Fault]:
    """Return a schedule: what happens to each of the next requests. `calm` of them, from 0 to 1, pass."""
    return [
        PASS if rng.random() < calm else random_fault(rng, patience=patience, origin=origin)
        for _ in range(count)
    ]
