"""Which metrics somebody asks for, by name or by pattern."""

from __future__ import annotations

import difflib
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from ml_dash.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_dash.series import Series

__all__ = ["UNNAMED", "MetricChoice"]

UNNAMED = "(unnamed)"
"""How the metric without a name is shown."""

_SHOWN = 5


class MetricChoice:
    """Metrics given by name or by pattern; an empty text is the unnamed one, and nothing at all takes all.

    Args:
        names: Names, or patterns as of `fnmatch`, whose ``*`` takes ``/`` too. A name wins over a pattern.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)

    @property
    def is_one_name(self) -> bool:
        """Whether exactly one metric is asked for, by something that is no pattern."""
        return len(self._names) == 1 and not any(character in self._names[0] for character in "*?[")

    def takes(self, series: Series) -> bool:
        """Say whether a metric is asked for."""
        name = series.name or ""
        return not self._names or any(_matches(name, wanted) for wanted in self._names)

    def pick(self, metrics: Sequence[Series]) -> list[Series]:
        """Return those metrics that are asked for.

        Raises:
            InvalidArgumentError: One of the names is none of these metrics' and no pattern of any.
        """
        for wanted in self._names:
            if not any(_matches(series.name or "", wanted) for series in metrics):
                raise InvalidArgumentError(_unknown(wanted, [series.name or UNNAMED for series in metrics]))
        return [series for series in metrics if self.takes(series)]


def _matches(name: str, wanted: str) -> bool:
    return name == wanted or (wanted != "" and fnmatchcase(name, wanted))


def _unknown(wanted: str, names: list[str]) -> str:
    missing = "there is no unnamed metric" if wanted == "" else f"there is no metric {wanted!r}"
    if not names:
        return f"{missing}, and no other"
    # all of ten thousand names would take seconds to compare
    near = [name for name in names if wanted and wanted in name] or difflib.get_close_matches(
        wanted, names[:1000], _SHOWN
    )
    shown = near or names
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    listed = ", ".join(shown[:_SHOWN]) + more
    return f"{missing}: did you mean {listed}?" if near else f"{missing}; there are {listed}"
