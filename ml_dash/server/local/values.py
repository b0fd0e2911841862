"""What a table shows of the experiments of a local root: read when it is asked for, and kept in memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_dash.series import Kind, Series
from ml_dash.server.errors import ApiError
from ml_dash.server.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml_dash.server.rows.library import Library, ServedView
    from ml_dash.shapes import MetricField

# of one experiment: a config of thousands of values would make an answer for 200 experiments of many MiB
_PARAMS_MAX = 500
_METRICS_MAX = 100
_TEXTS_BYTES = 512 << 10
"""Texts of one experiment: beyond, further metrics are left out, and further parameters from half of it on."""
_TEXT_MAX = 1000
"""Characters of a text: a cell of a table shows fewer."""
_KEPT_BYTES = 64 << 10
"""What is larger is read each time: what is kept must stay small, whatever was logged."""
_LOOK_BACK = 16
"""Rows from the end in which a field is looked for: not every row has every field."""
# of as many experiments as a long table shows; of each, no more fields than a person could choose as columns
_KEPT_EXPERIMENTS, _KEPT_VALUES = 4096, 256
_PLAIN = (bool, int, float, str, type(None))


@dataclass(slots=True)
class _Known:
    """What was read of an experiment when it had this many rows."""

    rows: int
    params: dict[str, Any]
    params_total: int
    metrics: list[dict[str, Any]]
    metrics_total: int
    values: dict[MetricField, Any] = field(default_factory=dict)
    size: int = 0

    def has_room(self, most: int, *texts: Any) -> bool:
        """Say whether there is room for what may be texts, and take it."""
        # four bytes a character are what any of them has in memory
        size = sum(4 * len(each) for each in texts if isinstance(each, str))
        if self.size + size > most:
            return False
        self.size += size
        return True


class LocalValues:
    """Reads values, and keeps them for as long as an experiment has no more rows. Any thread may ask."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._known: Recent[str, _Known] = Recent(_KEPT_EXPERIMENTS)

    def of(
        self, ids: Sequence[str], wanted: Sequence[MetricField], owners: frozenset[str] | None
    ) -> Iterator[dict[str, Any]]:
        """See `Library.values`."""
        for id_ in ids:
            try:
                record = self._library.brief(id_)
                if owners is None or record["owner"] in owners:
                    yield {"id": id_, **self._values(id_, record["rows"], wanted)}
            except ApiError:
                continue  # gone, or damaged: the table has the others all the same

    def _values(self, id_: str, rows: int, wanted: Sequence[MetricField]) -> dict[str, Any]:
        view = self._library.view(id_)
        # the lock is not held while rows are read: two threads may read the same, and the later one is kept
        with self._lock:
            known = self._known.get(id_)
        if known is None or known.rows != rows:
            known = _look(view, rows)
        values = []
        for each in wanted:
            if each in known.values:
                values.append(known.values[each])
                continue
            values.append(_last(view, each))
            if len(known.values) < _KEPT_VALUES and known.has_room(_KEPT_BYTES, values[-1]):
                known.values[each] = values[-1]
        if known.size <= _KEPT_BYTES:
            with self._lock:
                self._known[id_] = known
        return {
            "params": known.params,
            "paramsTotal": known.params_total,
            "metrics": known.metrics,
            "metricsTotal": known.metrics_total,
            "values": values,
        }


def _look(view: ServedView, rows: int) -> _Known:
    known = _Known(rows, {}, 0, [], 0)
    params = view.params()
    known.params_total = len(params)
    for name, value in params.items():
        if isinstance(value, _PLAIN):
            shown = _shortened(value)
            if len(known.params) == _PARAMS_MAX or not known.has_room(_TEXTS_BYTES // 2, name, shown):
                break
            known.params[name] = shown

    def take(metric: dict[str, Any]) -> bool:
        has_room = known.has_room(_TEXTS_BYTES, metric["name"], *metric["fields"])
        if has_room:
            known.metrics.append({"name": metric["name"], "fields": metric["fields"]})
        return has_room

    known.metrics_total = view.metrics_into(take, 0, _METRICS_MAX)
    return known


def _shortened(value: Any) -> Any:
    return f"{value[:_TEXT_MAX]}…" if isinstance(value, str) and len(value) > _TEXT_MAX else value


def _last(view: ServedView, wanted: MetricField) -> Any:
    """Return the field's last value; None if the last rows have none that a table can show."""
    series = Series(Kind.METRIC, wanted.name)
    count = view.count(series)
    for row in reversed(view.read(series, max(0, count - _LOOK_BACK), _LOOK_BACK)["data"]):
        value = _field(row["data"], wanted.field)
        if value is not None and isinstance(value, _PLAIN):
            return _shortened(value)
    return None


def _field(data: dict[str, Any], name: str) -> Any:
    """Return a field, or an item of a dict by its dotted path."""
    if name in data:
        return data[name]
    first, _, rest = name.partition(".")
    inside = data.get(first)
    return _field(inside, rest) if rest and isinstance(inside, dict) else None
