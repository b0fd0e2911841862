"""What is compared of experiments: parameters, surroundings, and the last and best values of metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ml_dash.cli.one_view import Viewed
from ml_dash.errors import InvalidArgumentError
from ml_dash.query.environments import newest
from ml_dash.query.highlights import direction
from ml_dash.query.listing.definitions import BestValue, best_of
from ml_dash.query.listing.listed import Best, ListedExperiment
from ml_dash.query.listing.naming import title_of
from ml_dash.query.listing.summary import STEP, FieldSummary
from ml_dash.series import Kind, Series

ABSENT = "-"
_NOT_COMPARED = frozenset({"variables", "traceback"})
"""Parts of the environment that are other ones in each run: of these nobody asks what is different."""


class Side(NamedTuple):
    """What is compared of an experiment."""

    prefix: str
    params: dict[str, Any]
    environment: dict[str, Any]
    metrics: dict[str, dict[str, Any]]


def side_of(viewed: Viewed) -> Side:
    """Return what is compared of an experiment."""
    surroundings = newest(viewed.view.environments())
    defined = viewed.view.definitions()
    metrics: dict[str, dict[str, Any]] = {}
    for name, fields in summaries_of(viewed).items():
        for field, summary in fields.items():
            if field == STEP:
                continue
            values: dict[str, Any] = {"last": summary.last}
            if (mode := defined.get((name, field)) or direction(name, field)) is not None:
                found = best_of(name, field, summary, mode, None)
                values |= {} if found is None else {"best": found.value}
            metrics[title_of(name, field)] = values
    flat = {name: value for name, value in _flat(surroundings) if name.partition(".")[0] not in _NOT_COMPARED}
    return Side(viewed.prefix, viewed.view.params(), flat, metrics)


def pairs_of(a: Mapping[str, Any], b: Mapping[str, Any], *, everything: bool) -> dict[str, tuple[Any, Any]]:
    """Return both sides of each name that is in either, where they differ; what is not there is `ABSENT`."""
    found = {
        name: (a.get(name, ABSENT), b.get(name, ABSENT))
        for name in (*a, *(name for name in b if name not in a))
    }
    return {name: pair for name, pair in found.items() if everything or not _is_same(*pair)}


def json_of(pairs: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    """Return pairs as objects with ``a`` and ``b``, without the one that is not there."""
    return {
        name: {side: value for side, value in (("a", a), ("b", b)) if value is not ABSENT}
        for name, (a, b) in pairs.items()
    }


def ranked_of(
    listed: Sequence[ListedExperiment], title: str, wanted: Best | None
) -> list[tuple[str, BestValue]]:
    """Return the experiments that have numbers of a field, each with its best one, the best of all first."""
    found: list[tuple[str, BestValue]] = []
    modes = set()
    for each in listed:
        for name, fields in each.metrics.items():
            for field, summary in fields.items():
                if title_of(name, field) == title:
                    defined = each.best.get((name, field))
                    modes.add(wanted or defined)
                    value = best_value(name, field, summary, wanted, defined)
                    if value is not None:
                        found.append((each.prefix, value))
    least = _is_least_best(title, modes)
    return sorted(found, key=lambda item: item[1].value if least else -item[1].value)


def summaries_of(viewed: Viewed) -> dict[str | None, Mapping[str, FieldSummary]]:
    """Return what is kept of the fields of each metric."""
    names = [each["name"] for each in viewed.view.metrics()]
    return {name: viewed.view.summaries(Series(Kind.METRIC, name)) for name in names}


def best_value(
    name: str | None, field: str, summary: FieldSummary, wanted: Best | None, defined: Best | None
) -> BestValue | None:
    """Return the best value of a field, as it is wanted, or was defined, or its name tells; None without numbers.

    Raises:
        InvalidArgumentError: Nobody has said which value is the best.
    """
    if (mode := wanted or defined or direction(name, field)) is None:
        raise InvalidArgumentError(
            f"nobody has said which value of {title_of(name, field)!r} is the best: give --mode max, or --mode min"
        )
    return best_of(name, field, summary, mode, None)


def _is_least_best(title: str, modes: set[Best | None]) -> bool:
    """Say whether less is better; of what was defined otherwise in each, what the name tells."""
    if modes <= {"min"}:
        return True
    if modes <= {"max", "last"}:
        return False
    metric, slash, field = title.rpartition("/")
    return direction(metric if slash else None, field) == "min"


def _flat(value: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield above, value
        return
    for name, item in value.items():
        yield from _flat(item, f"{above}.{name}" if above else str(name))


def _is_same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b):
        return True
    # True is no 1, and 1 is 1.0 only for who compares numbers
    return type(a) is type(b) and bool(a == b)
