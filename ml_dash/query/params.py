"""The parameters that a sequence of PARAMS rows amounts to."""

from __future__ import annotations

from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from ml_dash.query.pages import rows_by_writer
from ml_dash.series import Kind, Series

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ml_dash.journal.index import JournalIndex

__all__ = ["fold_params", "read_params"]

_PARAMS = Series(Kind.PARAMS, None)


class _Level(dict[str, Any]):
    """A level of the tree. Not a plain dict: that may be a value, an empty one for instance."""


def read_params(index: JournalIndex) -> dict[str, Any]:
    """Return the flat parameters that all writers' settings amount to, in order of their times.

    A writer's own settings keep their order, though its clock may have been set back between two.
    """
    timed: list[tuple[int, dict[str, Any]]] = []
    for rows in rows_by_writer(index, _PARAMS):
        times = accumulate((time_ns for time_ns, _ in rows), max)
        timed += zip(times, (fields for _, fields in rows), strict=True)
    timed.sort(key=itemgetter(0))
    return fold_params(fields["set"] for _, fields in timed if isinstance(fields.get("set"), dict))


def fold_params(sets: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the flat parameters after these flat dicts of dotted keys, oldest first.

    Setting ``model`` removes every older ``model.…``, and setting ``model.a`` an older value of ``model``.
    """
    root = _Level()
    for values in sets:
        for key, value in values.items():
            *levels, leaf = str(key).split(".")
            level = root
            for name in levels:
                if not isinstance(level.get(name), _Level):
                    level[name] = _Level()
                level = level[name]
            level[leaf] = value
    return _flat(root)


def _flat(level: _Level, prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in level.items():
        if isinstance(value, _Level):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
