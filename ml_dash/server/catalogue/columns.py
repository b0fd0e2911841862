"""What lists show of experiments beside their records: the columns that are asked for, and what a table has of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.errors import InvalidFilterError
from ml_dash.protocol import ErrorCode
from ml_dash.query.listing.comparing import json_text
from ml_dash.query.listing.filters import Problem, parse
from ml_dash.query.listing.naming import (
    LONG_TEXTS,
    FieldTarget,
    ParamTarget,
    RecordTarget,
    UnclearNameError,
    target_of,
)
from ml_dash.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ml_dash.query.listing.listed import Definitions
    from ml_dash.query.listing.naming import Field, Names, Target
    from ml_dash.query.listing.summary import FieldSummary
    from ml_dash.server.catalogue.records import Search
    from ml_dash.shapes import MetricField

_TEXT_MAX = 1000
"""Characters of a text, or of a list as a text: a cell of a table shows fewer."""
_PARAMS_CHARACTERS = _NAMES_CHARACTERS = 1 << 20
"""Of the parameters of one experiment, and of the names of its metrics and fields: the rest is only counted."""
_ALL_BYTES = 64 << 10
ALL_PARAMS, ALL_METRICS = "params", "metrics"
"""Columns that stand for all of their kind."""


class Columns(NamedTuple):
    """What a list shows of each experiment beside its record.

    Attributes:
        params: Names of parameters; None for all.
        fields: Metrics and their fields; None for all.
        texts: The long ones of the record, which may have a megabyte each: `note` and `readme`.
    """

    params: Collection[str] | None = ()
    fields: Collection[Field] | None = ()
    texts: Collection[str] = ()

    @property
    def is_empty(self) -> bool:
        """Whether neither a parameter nor a metric is asked for."""
        return self.params is not None and self.fields is not None and not (self.params or self.fields)

    @property
    def bytes_expected(self) -> int:
        """About how many bytes they have of one experiment, so that not too many are read at once."""
        return _ALL_BYTES if self.params is None or self.fields is None else 0


def shown(asked: Search, names: Names) -> Columns:
    """Return the columns that are asked for; those that nothing has yet are left out.

    Raises:
        ApiError: 400: one cannot be understood.
    """
    targets = [_target(text, names) for text in asked.columns if text not in {ALL_PARAMS, ALL_METRICS}]
    params = dict.fromkeys(each.name for each in targets if isinstance(each, ParamTarget))
    fields = dict.fromkeys((each.metric, each.field) for each in targets if isinstance(each, FieldTarget))
    texts = {each.key for each in targets if isinstance(each, RecordTarget)}
    return Columns(
        None if ALL_PARAMS in asked.columns else [*params],
        None if ALL_METRICS in asked.columns else [*fields],
        [each for each in LONG_TEXTS if each in texts],
    )


def _target(column: str, names: Names) -> Target | None:
    # the parser knows names, quotes and aggregates: of a comparison with anything the name is what counts
    found = parse(f"{column} != _")
    message = "write one name, such as params.lr or metrics.val/acc; params or metrics for all of them"
    if not found.problems and not found.words and len(found.comparisons) == 1:
        try:
            return target_of(found.comparisons[0].name, found.comparisons[0].aggregate, names)
        except UnclearNameError as error:
            message = str(error)
    raise not_understood(InvalidFilterError.of("columns", column, [Problem(0, len(column), message)]))


def not_understood(error: InvalidFilterError) -> ApiError:
    """Return the answer to a filter, an order or a column that cannot be understood."""
    problems = [{"start": start, "stop": stop, "message": message} for start, stop, message in error.problems]
    return ApiError(400, ErrorCode.INVALID, str(error), problems=problems)


def columns_shown(
    params: Mapping[str, Any],
    metrics: Mapping[str | None, Mapping[str, FieldSummary]],
    definitions: Definitions,
    columns: Columns,
) -> dict[str, Any]:
    """Return the columns of an experiment as answers have them; of `params` and `metrics`, what is asked for alone."""
    return {
        "params": params,
        "metrics": {
            name or "": {field: summary.to_json() for field, summary in fields.items()}
            for name, fields in metrics.items()
        },
        "best": [
            {"metric": metric, "field": field, "value": best}
            for (metric, field), best in definitions.items()
            if columns.fields is None or (metric, field) in columns.fields
        ],
    }


def table_value(
    params: Mapping[str, Any],
    metrics: Mapping[str | None, Mapping[str, FieldSummary]],
    wanted: Sequence[MetricField],
) -> dict[str, Any]:
    """Return what a table shows of an experiment, see `ml_dash.shapes.ExperimentValues`; all but its id."""
    shown: dict[str, Any] = {}
    room = _PARAMS_CHARACTERS
    for name, value in params.items():
        shown[name], length = _shortened(value)
        room -= len(name) + length
        if room < 0:
            del shown[name]
            break
    listed: list[dict[str, Any]] = []
    room = _NAMES_CHARACTERS
    for metric, fields in metrics.items():
        room -= len(metric or "") + sum(map(len, fields))
        if room < 0:
            break
        listed.append({"name": metric, "fields": [*fields]})
    found = [metrics.get(each.name, {}).get(each.field) for each in wanted]
    return {
        "params": shown,
        "paramsTotal": len(params),
        "metrics": listed,
        "metricsTotal": len(metrics),
        "values": [None if each is None else _shortened(each.last)[0] for each in found],
    }


def _shortened(value: Any) -> tuple[Any, int]:
    """Return what is shown of a value, and how many characters that has."""
    if value is None or isinstance(value, (bool, int, float)):
        return value, 8
    text = value if isinstance(value, str) else json_text(value)
    if len(text) <= _TEXT_MAX:
        return value, len(text)
    return f"{text[:_TEXT_MAX]}…", _TEXT_MAX
