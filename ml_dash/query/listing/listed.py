"""An experiment as lists, filters and tables have it, whichever place it is in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ml_dash.query.times import NANOSECONDS
from ml_dash.records import NamedTuple
from ml_dash.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_dash.query.listing.summary import FieldSummary, Number

Best: TypeAlias = Literal["min", "max", "last"]
"""What the best value of a field is."""
Definitions: TypeAlias = "Mapping[tuple[str | None, str], Best]"
"""What the best value is of a metric's field, where it was defined."""

STALE = "stale"
UNKNOWN = "unknown"
"""The standing of what never started, or of which nobody knows how it ended."""
STANDINGS = (*(status.value.lower() for status in RunStatus), STALE, UNKNOWN)


class Kept(NamedTuple):
    """What lists keep of an experiment's metrics: the summaries of their fields, and which have a best value."""

    metrics: Mapping[str | None, Mapping[str, FieldSummary]]
    best: Definitions


@dataclass(frozen=True, slots=True)
class ListedExperiment:
    """What is known of an experiment without reading its rows.

    Attributes:
        prefix: ``owner/project/path…/name``.
        place: The root or the server's URL that it is in, as it was given.
        id: The server's id; None of a local root.
        readme: The run's own text; None where there is none, or where a list was asked for without it.
        note: The text of whoever looks at it.
        status: The newest attempt's; None before the first.
        stale: Whether it is marked as running, and gives no sign of life.
        created_ns: Times are nanoseconds since the epoch, UTC; None where there is none yet.
        active_ns: When the last row came.
        attempts: How often a run of it was started.
        rows: Of its metrics.
        params: Flat, by dotted names.
        metrics: The summaries of the fields of each metric; the name of the unnamed one is None.
        best: Which fields have a best value, as `metrics.define` has said.
        problem: What is wrong with what is stored of it; None for nothing.
    """

    prefix: str
    owner: str
    project: str
    folder: str
    name: str
    place: str = ""
    id: str | None = None
    tags: tuple[str, ...] = ()
    bindrs: tuple[str, ...] = ()
    readme: str | None = None
    note: str | None = None
    metadata: Mapping[str, Any] | None = None
    status: str | None = None
    stale: bool = False
    created_ns: int | None = None
    started_ns: int | None = None
    ended_ns: int | None = None
    active_ns: int | None = None
    host: str | None = None
    error: str | None = None
    attempts: int = 0
    rows: int = 0
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str | None, Mapping[str, FieldSummary]] = field(default_factory=dict)
    best: Definitions = field(default_factory=dict)
    archived: bool = False
    problem: str | None = None

    @property
    def standing(self) -> str:
        """How its run stands, one of `STANDINGS`."""
        if self.stale:
            return STALE
        return UNKNOWN if self.status is None else self.status.lower()

    def seconds(self, now_ns: int) -> float | None:
        """Return how long the run took, or takes so far; None where it never started, or nobody knows."""
        if self.started_ns is None:
            return None
        end = self.ended_ns
        if end is None:
            if self.status != RunStatus.RUNNING:
                return None
            end = self.active_ns if self.stale else now_ns
        return None if end is None else (end - self.started_ns) / NANOSECONDS

    def value_of(self, metric: str | None, name: str, aggregate: str) -> Number | str | None:
        """Return an aggregate of a metric's field, ``best`` included; None where it has none: no text is the best."""
        summary = self.metrics.get(metric, {}).get(name)
        if summary is None:
            return None
        if aggregate == "best":
            best: Number | str | None = getattr(summary, self.best.get((metric, name), "last"))
            return None if isinstance(best, str) else best
        value: Number | str | None = getattr(summary, aggregate)
        return value
