"""The members of a band: hundreds of runs at once, most of which have logged at the same steps.

One by one a short line takes a tenth of a millisecond to draw, nearly all of it for calls of numpy on a few numbers.
Runs that have the same x have the same cells. So their numbers are laid side by side, a column a run, and each call
does all runs. That is for rows that all have a number, over an x that grows from each to the next; whatever is not like
that (a NaN, a repeated step, buckets of a long run, smoothing) is drawn as a line of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml_dash.server.charts.bands import Member, member_of
from ml_dash.server.charts.lines import cells, line_of, starts_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_dash.server.charts.lines import Read

_TOGETHER = 64
"""Runs side by side: of two thousand rows they are a megabyte, which stays near the processor."""


def members_of(found: Mapping[str, Read]) -> dict[str, Member]:
    """Return the members of a band that was asked of all for the same, by what was read of each."""
    members: dict[str, Member] = {}
    alike: list[list[str]] = []
    latest: dict[
        int, list[str]
    ] = {}  # by the number of rows, for those that follow are mostly like the one before
    for id_, some in found.items():
        if not _is_plain(some):
            members[id_] = member_of(line_of(some))
            continue
        group = latest.get(len(some.parts.row))
        if group is None or len(group) == _TOGETHER or not _has_x_of(some, found[group[0]]):
            group = latest[len(some.parts.row)] = []
            alike.append(group)
        group.append(id_)
    for group in alike:
        members |= zip(group, _side_by_side([found[id_] for id_ in group]), strict=True)
    return members


def _is_plain(some: Read) -> bool:
    parts = some.parts
    x = parts.x_min
    return (
        len(x) > 0
        and x is parts.x_max
        and parts.min is parts.max
        and parts.count.dtype == bool
        and bool(parts.count.all())
        and bool((x[1:] > x[:-1]).all())
    )


def _has_x_of(some: Read, other: Read) -> bool:
    return (
        some.request == other.request
        and some.origin == other.origin
        and np.array_equal(some.parts.x_min, other.parts.x_min)
    )


def _side_by_side(group: Sequence[Read]) -> list[Member]:
    """Return the members of runs that have the same x."""
    first = group[0]
    _, numbers = cells(first.parts, first.request)
    starts, centre = starts_of(numbers)
    x = first.parts.x_min[centre] - first.origin
    if len(starts) == len(numbers):
        return [Member(x, y, y, y) for y in (some.parts.min for some in group)]
    table = np.empty((len(numbers), len(group)))
    for at, some in enumerate(group):
        table[:, at] = some.parts.min
    low, high = np.minimum.reduceat(table, starts), np.maximum.reduceat(table, starts)
    counts = np.diff(starts, append=len(numbers))[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.add.reduceat(table, starts) / counts
        if not np.isfinite(mean).all():
            # a sum was beyond the largest float, which a mean is not
            mean = np.add.reduceat(table / np.repeat(counts, counts[:, 0], axis=0), starts)
    # rounding must not put a mean outside
    mean = np.minimum(np.maximum(mean, low), high)
    # arrays of their own: each is kept for as long as its run does not change
    return [Member(x, *(each[:, at].copy() for each in (mean, low, high))) for at in range(len(group))]
