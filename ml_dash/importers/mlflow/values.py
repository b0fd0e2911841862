"""Values of metrics, thousands at a time: key, value, time in milliseconds and step of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.importers.mlflow.runs import MILLISECOND
from ml_dash.importers.named import Named, Points, blocks_of, named
from ml_dash.importers.source import Item

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_dash.importers.report import RunReport
    from ml_dash.importers.source import Position

MILLISECONDS_MOST = 2**63 // MILLISECOND
Value = tuple[Any, Any, Any, Any]
"""Key, value, milliseconds since the epoch, step."""


def values_item(values: Sequence[Value], position: Position, place: str, report: RunReport) -> Item:
    """Return values as an item; what is none is noted and left out."""
    import numpy as np

    names: dict[Any, Named | None] = {}
    for key in dict.fromkeys(value[0] for value in values):
        names[key] = _named(key, place, report)
    kept = [value for value in values if _is_sound(value) and names[value[0]] is not None]
    if unsound := sum(not _is_sound(value) for value in values):
        report.note(place, f"{unsound:,} values have no number, time or step")
    if not kept:
        return Item((), position, left_out=len(values))
    numbers = {key: at for at, key in enumerate(key for key, meant in names.items() if meant is not None)}
    keys, floats, times, steps = zip(*kept, strict=True)
    points = Points(
        np.array(times, np.int64) * MILLISECOND,
        np.array(steps, np.int64),
        np.array(floats, np.float64),
        np.array([numbers[key] for key in keys], np.int64),
    )
    blocks = blocks_of(points, [meant for meant in names.values() if meant is not None])
    return Item((), position, left_out=len(values) - len(kept), blocks=blocks)


def _is_sound(value: Value) -> bool:
    _, number, time, step = value
    return (
        type(number) is float
        and type(time) is int
        and type(step) is int
        and -MILLISECONDS_MOST < time < MILLISECONDS_MOST
    )


def _named(key: Any, place: str, report: RunReport) -> Named | None:
    try:
        return named(str(key))
    except InvalidArgumentError as error:
        report.note(place, str(error))
        return None
