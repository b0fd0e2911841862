"""Experiments chosen among those that are known, where neither a database nor a server does it."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING

from ml_dash.query.listing.binding import bind, bind_order, value_of
from ml_dash.query.listing.comparing import sort_key
from ml_dash.query.listing.filters import parse
from ml_dash.query.listing.naming import KnownNames

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ml_dash.query.listing.binding import Order
    from ml_dash.query.listing.listed import ListedExperiment


def chosen(
    experiments: Collection[ListedExperiment], filter: str, order: str | None, limit: int | None
) -> Iterator[ListedExperiment]:
    """Yield those of the experiments that are asked for, see `Place.find`."""
    names = KnownNames(experiments)
    bound = bind(parse(filter), names).checked()
    by = None if order is None else bind_order(order, names)
    now_ns = time.time_ns()
    found = [each for each in experiments if bound.matches(each, now_ns)]
    yield from islice(ordered(found, by, now_ns), limit)


def ordered(
    experiments: Collection[ListedExperiment], by: Order | None, now_ns: int
) -> list[ListedExperiment]:
    """Return experiments in an order; those that are equal by it, the newest first."""
    found = sorted(experiments, key=newest_first)
    if by is not None:
        target, descending = by
        found.sort(
            key=lambda each: sort_key(value_of(target, each, now_ns), descending=descending),
            reverse=descending,
        )
    return found


def newest_first(experiment: ListedExperiment) -> tuple[int, str]:
    """Return what sorts experiments where no order is asked for."""
    return -(experiment.created_ns or 0), experiment.prefix
