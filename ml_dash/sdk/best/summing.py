"""The summary of an experiment: a value for each field of its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.sdk.guidance.read_only import read_only

if TYPE_CHECKING:
    from ml_dash.query.listing.summary import Number

_REMEDY = "exp.summary is made of what was logged: log the value, by exp.metrics('val').log(acc=0.9)"


def experiment_summary(experiment: Any) -> dict[str, Number | str | None]:
    """A value for each field of the metrics, as ``{"train/loss": 0.1, "val/acc": 0.93}``: a copy.

    It is the best one where that was defined (``exp.metrics.define("val/acc", best="max")``), else the last one. Of an
    experiment from `ml_dash.experiments`, it is as the list has found it.
    """
    from ml_dash.query.listing.naming import title_of
    from ml_dash.query.listing.summary import STEP

    listed = experiment._listed  # noqa: SLF001 - no name of it: completion on `exp.` shows what users call
    known = experiment.view.kept() if listed is None else listed
    metrics, best = known.metrics, known.best
    found: dict[str, Number | str | None] = read_only(
        {
            title_of(metric, field): summary.value(best.get((metric, field), "last"))
            for metric, fields in metrics.items()
            for field, summary in fields.items()
            if field != STEP  # where the others are, and no result
        },
        _REMEDY,
    )
    return found
