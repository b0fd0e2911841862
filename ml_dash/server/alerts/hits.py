"""What in new rows may make a rule fire: found in the rows as they come, before they are stored, outside of any lock.

Nothing is read for it. Whose experiment it is, and whether a filter holds, is asked later: most rows make nothing fire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.journal.blocks import block_rows
from ml_dash.query.columns import columns_named, leaf_columns
from ml_dash.query.listing.filters import parse
from ml_dash.query.listing.naming import title_of
from ml_dash.query.listing.summary import STEP
from ml_dash.query.logs import ALERT_LEVELS
from ml_dash.query.patterns import pattern_matcher
from ml_dash.series import Kind
from ml_dash.server.alerts.rules import ABOVE, ALERT, BELOW, FAILED, NONFINITE, SILENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ml_dash.journal.blocks import Block, Column
    from ml_dash.server.alerts.rules import Rule

TEXT_CHARACTERS = 2000
"""Of an alert's text, or an error, in a message."""


class Hit(NamedTuple):
    """Rows of one request that are what a rule waits for.

    Attributes:
        rule: The rule's id.
        since_ns: Since when it waits for that, see `Rule`: it may be changed before the rows are stored.
        starts: How many starts of runs come before the rows, in the request.
        times: How many rows of alerts these are; 1 for values.
        details: What is told: of a value the `metric`, the `value` and the `step`; of alerts what the last one says.
    """

    rule: str
    since_ns: int
    starts: int
    times: int
    details: dict[str, Any]


class WatchedRules:
    """The rules that there are, sorted by what they wait for. Nothing of it changes."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self.by_id = {rule.id: rule for rule in rules}
        self._globs = {
            rule.id: [pattern_matcher(glob) for glob in parse(rule.filter).globs]
            for rule in self.by_id.values()
        }
        self._bounded = self._waiting_for(ABOVE, BELOW)
        self._nonfinite = self._waiting_for(NONFINITE)
        self._alerts = self._waiting_for(ALERT)
        self.silent = self._waiting_for(SILENT)
        self.failed = self._waiting_for(FAILED)

    def __bool__(self) -> bool:
        return bool(self.by_id)

    def _waiting_for(self, *when: str) -> list[Rule]:
        return [rule for rule in self.by_id.values() if rule.condition.when in when]

    def may_concern(self, rule: Rule, prefix: str) -> bool:
        """Say whether a rule may be about an experiment, as far as its prefix tells."""
        return prefix.startswith(f"{rule.owner}/") and all(fits(prefix) for fits in self._globs[rule.id])

    def hits(self, blocks: Iterable[tuple[int, Block]]) -> list[Hit]:
        """Return what may make rules fire in blocks, each with how many starts of runs come before it."""
        found: list[Hit] = []
        for starts, block in blocks:
            if block.series.kind is Kind.METRIC:
                found += self._of_metric(starts, block)
            elif block.series.kind is Kind.ALERT and self._alerts:
                found += self._of_alerts(starts, block)
        return found

    def _of_metric(self, starts: int, block: Block) -> Iterable[Hit]:
        for rule in self._bounded:
            field = _field_in(rule.condition.metric or "", block)
            if field is None:
                continue
            for column in columns_named(block, {field}):
                at = _beyond(column, rule)
                if at is not None:
                    yield Hit(rule.id, rule.since_ns, starts, 1, _told(block, column, at))
                    break
        for rule in self._nonfinite:
            if (first := _first_nonfinite(rule.condition.metric, block)) is not None:
                yield Hit(rule.id, rule.since_ns, starts, 1, _told(block, *first))

    def _of_alerts(self, starts: int, block: Block) -> Iterable[Hit]:
        rows = list(block_rows(block))
        for rule in self._alerts:
            least = ALERT_LEVELS.index(rule.condition.level or ALERT_LEVELS[0])
            meant = [row for row in rows if _urgency(row) >= least]
            if meant:
                last = {name: str(meant[-1].get(name, ""))[:TEXT_CHARACTERS] for name in ("title", "text")}
                yield Hit(
                    rule.id, rule.since_ns, starts, len(meant), {**last, "level": str(meant[-1].get("level"))}
                )


def _urgency(row: dict[str, Any]) -> int:
    """Return how urgent an alert is; of a level that nobody knows, as if it were the least."""
    level = row.get("level")
    return ALERT_LEVELS.index(level) if level in ALERT_LEVELS else 0


def _field_in(title: str, block: Block) -> str | None:
    """Return which field of a metric is called so, as ``val/loss`` is ``loss`` of ``val``; None where none can be."""
    metric = block.series.name
    if metric is None:
        return title
    field = title.removeprefix(f"{metric}/")
    return None if field == title else field


def _beyond(column: Column, rule: Rule) -> int | None:
    """Return which value of a column is the farthest beyond a rule's bound; None where none is."""
    import numpy as np

    bound = rule.condition.bound
    if column.type not in "fib" or bound is None or not len(column.values):
        return None
    values = np.asarray(column.values)
    is_above = rule.condition.when == ABOVE
    if column.type == "f" and np.isnan(values).all():
        return None
    at = int(np.nanargmax(values) if is_above else np.nanargmin(values))
    return at if (values[at] > bound if is_above else values[at] < bound) else None


def _first_nonfinite(title: str | None, block: Block) -> tuple[Column, int] | None:
    import numpy as np

    if title is None:
        columns = leaf_columns(block)
    elif (field := _field_in(title, block)) is not None:
        columns = columns_named(block, {field})
    else:
        return None
    for column in columns:
        if column.type == "f":
            wrong = np.flatnonzero(~np.isfinite(np.asarray(column.values)))
            if len(wrong):
                return column, int(wrong[0])
    return None


def _told(block: Block, column: Column, at: int) -> dict[str, Any]:
    """Return what is told of one value: which metric's, at which step."""
    row = at if column.rows is None else int(column.rows[at])
    value = column.values[at]
    step = next(
        (found for each in columns_named(block, {STEP}) if (found := _value_at(each, row)) is not None), None
    )
    return {
        "metric": title_of(block.series.name, column.field),
        "value": float(value) if column.type == "f" else int(value),
        "step": step,
    }


def _value_at(column: Column, row: int) -> float | int | None:
    if column.type not in "fi":
        return None
    rows: Sequence[int] = (
        range(len(column.values)) if column.rows is None else [int(each) for each in column.rows]
    )
    if row not in rows:
        return None
    value = column.values[rows.index(row)]
    return float(value) if column.type == "f" else int(value)
