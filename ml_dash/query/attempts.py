"""Attempts: which starts of an experiment's runs belong together, told of RUN rows alone, in whatever order they come.

A start that opens a run is an attempt, numbered from 1 in order of time. Several processes that log at the same time
(ranks, workers of a pool) are one. A start says so by the name of its ``attempt``: who starts beside a run that is
going on in this process, or in another one of this machine, takes over its name. Where nobody could know, as on several
machines, or with clients that give no names, it is told by the times: whoever starts before another has given its last
sign of life goes on beside it.

An attempt that says from which step on it repeats (``resume_from``) begins anew, though the one before it may not have
ended: that is on its way out. It `supersedes` the rows of earlier attempts from that step on.

An end whose start is not there is of the attempt of the start before it, and says nothing of what belongs together.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_dash.journal.objects import to_msgpack
from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_HANDLE_BYTES = 256
"""A handle is part of a key of the server's database; the SDK's have a few bytes."""
_TEXTS = ("event", "status", "host", "error", "space", "born")
_TEXT_MAX = 10_000
"""Texts of errors are read with every list of experiments."""
_NAME_MAX = 64
_LIFE = ("start", "end", "heartbeat", "update")
"""What a process writes that lives: others may append rows for one that has died."""
_BIRTH = re.compile("([0-9a-f]{16})-")
"""How the ids of writers begin, see `ml_dash.journal.latest.new_writer_id`."""


class Turn(NamedTuple):
    """A RUN row: `handle` is what its writer calls the run, as bytes; `row` has None for what has a wrong type."""

    handle: bytes
    time_ns: int
    row: dict[str, Any]
    name: str | None = None
    resume_from: float | None = None
    again: bool = False

    @property
    def event(self) -> str | None:
        """``start``, ``end``, ``heartbeat``, or what a later version may have."""
        event: str | None = self.row["event"]
        return event


def turn_of(time_ns: int, row: Mapping[str, Any]) -> Turn:
    """Return a RUN row as it is understood: what clients send may be anything, and no key of a dict."""
    name = text_of(row.get("attempt"))
    return Turn(
        to_msgpack(row.get("handle"))[:_HANDLE_BYTES],
        time_ns,
        _cleaned(row),
        name and name[:_NAME_MAX],
        _step(row.get("resume_from")),
        row.get("again") is True,
    )


def _cleaned(row: Mapping[str, Any]) -> dict[str, Any]:
    pid = row.get("pid")
    is_id = isinstance(pid, int) and not isinstance(pid, bool) and 0 <= pid < 2**63
    return {**{name: text_of(row.get(name)) for name in _TEXTS}, "pid": pid if is_id else None}


def text_of(value: Any) -> str | None:
    """Return a text, cut where it is longer than any that is meant; None for what is none."""
    return value[:_TEXT_MAX] if isinstance(value, str) else None


def _step(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and -(2**63) <= value < 2**63 and not math.isnan(value) else None


@dataclass(slots=True)
class Opening:
    """A start that opened a run, and what has become of it.

    Attributes:
        writer: Whose.
        handle: What the writer calls the run.
        at: Which of the writer's RUN rows it is, or where a store has it.
        start_ns: When it started.
        order_ns: The time that says which attempt it is: later, where the start was put again behind those of others.
        time_ns: When it started or ended last.
        last_ns: Its last sign of life among RUN rows.
        row: Its newest start or end.
        name: That of its attempt; None of older clients.
        resume_from: From which step on it repeats what was logged before.
        is_replaced: Whether another run of the same handle has begun, without an end of this one.
        is_end_only: Whether it is an end whose start is not there: it was lost, or is another writer's.
    """

    writer: str
    handle: bytes
    at: int
    start_ns: int
    order_ns: int
    time_ns: int
    last_ns: int
    row: dict[str, Any]
    name: str | None = None
    resume_from: float | None = None
    is_replaced: bool = False
    is_end_only: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it was not ended, as far as rows tell."""
        return self.row["event"] == "start" and not self.is_replaced

    def place(self) -> tuple[int, str, int]:
        """Return where it is among all openings of an experiment, by which these can be sorted."""
        return self.order_ns, self.writer, self.at

    def take(self, turn: Turn) -> None:
        """Take in a later RUN row of this run."""
        if turn.event in ("start", "end"):
            self.row, self.time_ns = turn.row, turn.time_ns
        if turn.event == "start":
            self.order_ns = max(self.order_ns, turn.time_ns)
            self.name = turn.name or self.name
        self.last_ns = max(self.last_ns, turn.time_ns)


def open_run(writer: str, at: int, turn: Turn) -> Opening:
    """Return the opening that a start row is."""
    time_ns = turn.time_ns
    return Opening(
        writer, turn.handle, at, time_ns, time_ns, time_ns, time_ns, turn.row, turn.name, turn.resume_from
    )


class Openings:
    """The openings of one writer, of its RUN rows in the order in which it wrote them.

    Attributes:
        found: Those that it was given, and those that were added.
        news: Those of them that rows have changed or added.
    """

    def __init__(self, writer: str, found: Iterable[Opening] = ()) -> None:
        self.found = list(found)
        self.news: dict[int, Opening] = {}
        self._writer = writer
        self._latest = {opening.handle: opening for opening in self.found}

    def know(self, found: Iterable[Opening]) -> None:
        """Take in openings that are known of further handles."""
        for opening in found:
            self.found.append(opening)
            self._latest[opening.handle] = opening

    def add(self, at: int, turn: Turn) -> Opening | None:
        """Take in the next row; return the opening that it is, if it is one. `at` is the number of that then."""
        latest = self._latest.get(turn.handle)
        opens = turn.event == "start" and not (turn.again and latest is not None)
        is_end_only = turn.event == "end" and latest is None
        if is_end_only:
            latest = self._latest[turn.handle] = open_run(self._writer, at, turn)
            latest.is_end_only = True
            self.found.append(latest)
        elif opens:
            if latest is not None and latest.is_open:
                latest.is_replaced = True
                self.news[latest.at] = latest
            latest = self._latest[turn.handle] = open_run(self._writer, at, turn)
            self.found.append(latest)
        elif latest is not None and turn.event in ("start", "end", "heartbeat"):
            latest.take(turn)
        if turn.event in _LIFE:
            self._see_life(turn.time_ns)
        if latest is not None:
            self.news[latest.at] = latest
        return latest if opens or is_end_only else None

    def _see_life(self, time_ns: int) -> None:
        """Note that the process lives, and with it its runs that are open."""
        for opening in self._latest.values():
            if opening.is_open and opening.last_ns < time_ns:
                opening.last_ns = time_ns
                self.news[opening.at] = opening


def openings_of(writer: str, rows: Iterable[tuple[int, Mapping[str, Any]]]) -> list[Opening]:
    """Return the openings of one writer, of all of its RUN rows in the order in which it wrote them."""
    openings = Openings(writer)
    for at, (time_ns, row) in enumerate(rows):
        openings.add(at, turn_of(time_ns, row))
    return openings.found


@dataclass(slots=True)
class Attempt:
    """Openings that belong together.

    Attributes:
        number: From 1, in order of time.
        openings: In order of time.
    """

    number: int
    openings: list[Opening] = field(default_factory=list)

    @property
    def order_ns(self) -> int:
        """When it began, among the others."""
        return min(opening.order_ns for opening in self.openings)

    @property
    def start_ns(self) -> int:
        """When it started; of one whose starts are lost, when it ended."""
        starts = [opening.start_ns for opening in self.openings if not opening.is_end_only]
        return min(starts, default=self.order_ns)

    @property
    def root(self) -> int:
        """What a store numbers it by: its start that came first, see `Opening.at`; of ends alone the first of them."""
        starts = [opening.at for opening in self.openings if not opening.is_end_only]
        return min(starts or (opening.at for opening in self.openings))

    @property
    def last_ns(self) -> int:
        """The last sign of life of any of its runs."""
        return max(opening.last_ns for opening in self.openings)

    @property
    def resume_from(self) -> float | None:
        """From which step on it repeats what was logged before; None where it does not."""
        given = (opening.resume_from for opening in self.openings)
        return min((step for step in given if step is not None), default=None)

    @property
    def name(self) -> str | None:
        """What its starts call it; None of older clients."""
        return next((opening.name for opening in self.openings if opening.name is not None), None)

    def covers(self, time_ns: int) -> bool:
        """Whether it went on at this time, as its rows tell."""
        return self.order_ns <= time_ns < self.last_ns


def attempts_of(openings: Iterable[Opening]) -> list[Attempt]:
    """Return the attempts that these openings are, in order of time; the answer does not depend on their order.

    Without names and `resume_from`, more of them, and later signs of life, join attempts and never part them.
    """
    found: list[Attempt] = []
    named: dict[str, Attempt] = {}
    latest: Attempt | None = None  # the one that goes on the longest
    before = early = Attempt(0)  # of ends that are before all starts
    ends: list[tuple[Attempt, Opening]] = []
    for opening in sorted(openings, key=Opening.place):
        if opening.is_end_only:
            # it joins nothing: a start that comes late, and is between the two, would have to undo that
            ends.append((before, opening))
            continue
        attempt = None if opening.name is None else named.get(opening.name)
        if attempt is None and latest is not None and _goes_on_beside(opening, latest):
            attempt = latest
        if attempt is None:
            attempt = Attempt(0)
            found.append(attempt)
        attempt.openings.append(opening)
        if opening.name is not None:
            named[opening.name] = attempt
        if latest is None or attempt.last_ns >= latest.last_ns or opening.resume_from is not None:
            latest = attempt
        before = attempt
    for attempt, opening in ends:
        attempt.openings.append(opening)
    if early.openings:
        found.insert(0, early)
    for number, attempt in enumerate(found, 1):
        attempt.number = number
        attempt.openings.sort(key=Opening.place)
    return found


def _goes_on_beside(opening: Opening, attempt: Attempt) -> bool:
    if opening.resume_from is not None and opening.resume_from != attempt.resume_from:
        return False
    return attempt.last_ns > opening.order_ns


def attempt_at(attempts: Sequence[Attempt], writer: str) -> Attempt | None:
    """Return the attempt of a writer that opened no run, as that of a forked child: the one in which it was born."""
    born = born_ns(writer)
    # the attempt whose newest start was before that: one that goes on has more than one of them
    before = max(
        (
            (opening.order_ns, each.number, each)
            for each in attempts
            for opening in each.openings
            if born is not None and opening.order_ns <= born
        ),
        default=None,
        key=lambda found: found[:2],
    )
    if before is not None:
        return before[2]
    return attempts[0] if attempts else None


def born_ns(writer: str) -> int | None:
    """Return when a writer began, as its id says; None where that is of a client that does not."""
    match = _BIRTH.match(writer)
    return None if match is None else int(match[1], 16)


def superseded_from(attempts: Sequence[Attempt]) -> dict[int, float]:
    """Return, by the number of an attempt, from which step on its rows are superseded by a later one."""
    found: dict[int, float] = {}
    least = math.inf
    for attempt in reversed(attempts):
        if least < math.inf:
            found[attempt.number] = least
        if attempt.resume_from is not None:
            least = min(least, attempt.resume_from)
    return found
