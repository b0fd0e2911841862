"""Which value of a metric's field is its best: what `metrics.define` has said, by rows among those of the parameters.

Such a row is ``{"set": {}, "define": [[metric, field, best], …]}``: who knows parameters alone sees that it sets none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ml_dash.errors import InvalidArgumentError
from ml_dash.query.highlights import direction
from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ml_dash.query.listing.listed import Best
    from ml_dash.query.listing.naming import Field
    from ml_dash.query.listing.summary import FieldSummary, Number

BESTS: tuple[Best, ...] = ("min", "max", "last")


class BestValue(NamedTuple):
    """The best value of a metric's field, and at which step it was logged."""

    value: Number
    step: Number | None


def definition_row(metric: str | None, field: str, best: Best) -> dict[str, Any]:
    """Return the row that says what a field's best value is."""
    return {"set": {}, "define": [[metric, field, best]]}


def fold_definitions(rows: Iterable[Mapping[str, Any]]) -> dict[Field, Best]:
    """Return what rows of the PARAMS series, in the order of their times, define: the later one wins.

    What is not understood, as of a later version, is passed over.
    """
    found: dict[Field, Best] = {}
    for row in rows:
        if row.get("clear") is True:
            found.clear()
        defined = row.get("define")
        for each in defined if isinstance(defined, list) else ():
            match each:
                case [str() | None as metric, str() as field, ("min" | "max" | "last") as best]:
                    found[metric, field] = cast("Best", best)
    return found


def checked_best(value: Any, argument: str) -> Best:
    """Return `value` if it says which value is the best, else raise `InvalidArgumentError`."""
    for known in BESTS:
        if value == known:
            return known
    raise InvalidArgumentError(f"{argument}={value!r:.100} is not known: use 'min', 'max' or 'last'")


def best_of(
    metric: str | None, field: str, summary: FieldSummary, mode: Best | None, defined: Best | None
) -> BestValue | None:
    """Return the best value of a field; None where it has no numbers.

    Args:
        metric: The metric's name.
        field: The field's name.
        summary: What is kept of it.
        mode: Which value is asked for; None for the one that was defined, or that the names tell: a loss is best
            where it is least.
        defined: What was defined.

    Raises:
        InvalidArgumentError: Nobody says which value is the best.
    """
    wanted = mode or defined or direction(metric, field)
    if wanted is None:
        raise InvalidArgumentError(
            f"nobody has said which value of {field!r} is the best: write best({field!r}, mode='max'), or 'min', or "
            f"define it when it is logged, by exp.metrics({metric!r}).define({field!r}, best='max')"
        )
    value = summary.value(wanted)
    return None if value is None or isinstance(value, str) else BestValue(value, summary.step_of(wanted))
