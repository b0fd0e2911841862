"""Experiments in groups, by what lists tell of them: parameters, tags, folder and the like, all parameters but some.

Only what groups are told apart by, and what is summed up, is kept of each experiment.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from ml_dash.journal.objects import to_msgpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

RECORD_KEYS = ("folder", "tags", "status", "host", "project", "owner", "name")
"""What every experiment has, by which it can be grouped."""
VALUES = ("last", "min", "max", "mean")
"""Of a metric's field, what is summed up over the members of a group."""
MEMBERS_TOLD = 2000
"""Members of a group that are named."""
_VALUES_MAX = 1_000_000
"""Values of parameters that are kept: of 10,000 experiments, a hundred each."""
_PLAIN_BYTES = 64


@dataclass(slots=True)
class _Sum:
    """Numbers, summed up as they come."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    least: float = math.inf
    most: float = -math.inf

    def add(self, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return
        # as of Welford: numbers that lie close together keep their digits
        self.count += 1
        off = value - self.mean
        self.mean += off / self.count
        self.squares += off * (value - self.mean)
        self.least, self.most = min(self.least, value), max(self.most, value)

    def told(self) -> dict[str, Any]:
        if not self.count:
            return {"count": 0, "mean": None, "std": None, "min": None, "max": None}
        std = math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else None
        return {"count": self.count, "mean": self.mean, "std": std, "min": self.least, "max": self.most}


@dataclass(slots=True)
class _Member:
    id: str
    key: dict[str, bytes]
    metrics: Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(slots=True)
class Grouping:
    """Takes experiments, and tells the groups.

    Attributes:
        by: Keys of records, and names of parameters with ``params.`` before them.
        but: Names of parameters: groups are told apart by all others, if this is no None.
    """

    by: Sequence[str]
    but: frozenset[str] | None = None
    is_full: bool = False
    _members: list[_Member] = field(default_factory=list)
    _values: dict[bytes, Any] = field(default_factory=dict)
    _kept: int = 0

    @property
    def columns(self) -> list[str]:
        """The columns that lists have to tell of each."""
        if self.but is not None:
            return ["params"]
        return [quoted(each) for each in self.by if each not in RECORD_KEYS]

    def take(self, record: dict[str, Any]) -> bool:
        """Take an experiment; say whether there is room for more."""
        params = record.get("params", {})
        key = {each: self._known(record.get(each)) for each in self.by if each in RECORD_KEYS}
        for name in self.by:
            if name not in RECORD_KEYS:
                key[name] = self._known(params.get(name.removeprefix("params.")))
        if self.but is not None:
            key |= {
                f"params.{name}": self._known(value) for name, value in params.items() if name not in self.but
            }
        self._members.append(_Member(record["id"], key, record.get("metrics", {})))
        self._kept += len(key) + 1
        self.is_full = self._kept > _VALUES_MAX
        return not self.is_full

    def groups(self) -> list[dict[str, Any]]:
        """Return the groups, in the order of their keys, the first key first."""
        names = self._names()
        found: dict[tuple[bytes, ...], list[_Member]] = {}
        nothing = self._known(None)
        for member in self._members:
            found.setdefault(tuple(member.key.get(name, nothing) for name in names), []).append(member)
        ordered = sorted(found.items(), key=lambda item: [_order(self._values[each]) for each in item[0]])
        return [
            {
                "key": {name: self._values[each] for name, each in zip(names, key, strict=True)},
                "count": len(members),
                "members": [each.id for each in members[:MEMBERS_TOLD]],
                "columns": _summed_up(members),
            }
            for key, members in ordered
        ]

    def _names(self) -> list[str]:
        """Return what groups are told apart by: of all parameters but some, those that differ."""
        if self.but is None:
            return list(dict.fromkeys(self.by))
        seen: dict[str, set[bytes]] = {}
        counts: dict[str, int] = {}
        for member in self._members:
            for name, value in member.key.items():
                seen.setdefault(name, set()).add(value)
                counts[name] = counts.get(name, 0) + 1
        return [
            name
            for name, values in seen.items()
            if name in self.by or len(values) > 1 or counts[name] < len(self._members)
        ]

    def _known(self, value: Any) -> bytes:
        """Return what is kept of a value: the same for those that are equal."""
        key = to_msgpack(_comparable(value))
        if len(key) > _PLAIN_BYTES:
            key = blake2b(key, digest_size=16).digest()
        self._values.setdefault(key, value)
        return key


def quoted(column: str) -> str:
    """Return a column as the language of filters has it, whatever its name."""
    return '"' + column.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _comparable(value: Any) -> Any:
    # 1 and 1.0 are one value, and so are the same tags in another order
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def _order(value: Any) -> tuple[int, float, str]:
    if value is None:
        return 2, 0.0, ""
    if isinstance(value, (int, float)) and value == value:  # noqa: PLR0124 - NaN alone differs
        return 0, float(value) if abs(value) < 1e308 else math.copysign(math.inf, value), ""
    # tags, and other lists, by their items
    return 1, 0.0, "\0".join(map(str, value)) if isinstance(value, list) else str(value)


def _summed_up(members: Iterable[_Member]) -> list[dict[str, Any]]:
    sums: dict[tuple[str, str], dict[str, _Sum]] = {}
    for member in members:
        for metric, fields in member.metrics.items():
            for name, summary in fields.items():
                own = sums.setdefault((metric, name), {each: _Sum() for each in VALUES})
                for each in VALUES:
                    own[each].add(summary.get(each))
    return [
        {"metric": metric or None, "field": name, **{each: found.told() for each, found in own.items()}}
        for (metric, name), own in sums.items()
    ]
