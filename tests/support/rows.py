"""Rows of every kind and shape that a script may log, and events that no pipeline should ever meet."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from ml_dash.events.items import Event
from ml_dash.series import Kind, Series
from ml_dash.values.pack import PACK_ERRORS, pack, pack_event
from tests.support.fake_tensors import FakeTensor
from tests.support.simulated_clock import SimulatedClock

__all__ = ["SERIES", "Row", "as_text", "malformed_event", "random_row"]

SERIES = (
    Series(Kind.METRIC, "train"),
    Series(Kind.METRIC, None),
    Series(Kind.METRIC, "eval"),
    Series(Kind.TRACK, "pose"),
    Series(Kind.LOG, None),
    Series(Kind.PARAMS, None),
)
"""What the simulated processes log to; a series' number in this tuple is its id, too."""

_TRAIN = SERIES[0]
_VALUES: tuple[Any, ...] = (
    *(0.0, -0.0, 0.1, 1e308, 5e-324, float("nan"), float("inf"), float("-inf")),
    *(0, 1, 127, 128, 65_536, 2**32, 2**63 - 1, 2**63, 2**64 - 1, -1, -32, -33, -129, -(2**31) - 1, -(2**63)),
    *(True, False, None, "", "a", "ünï©ødé", "lone \ud800", "x" * 300, b"", b"\xf1mD\x9a", b"MLDJ\x01\x00"),
    *([], [1, [2.5, None]], {}, {"a": {"b": [True]}}, {"1": 2**63}),
)
_FIELDS = ("a", "b", "c", "d", "e", "long name " * 4)


class Row(NamedTuple):
    """A row that was logged. No two have the same time, so that it names the row."""

    series: Series
    time: int
    text: str

    @property
    def series_id(self) -> int:
        return SERIES.index(self.series)


def as_text(fields: dict[str, Any]) -> str:
    """Write fields so that equal texts mean equal values, types and signs, whatever the order of the fields."""
    return repr(sorted(fields.items())) if len(fields) > 1 else repr([*fields.items()])


def random_row(
    rng: random.Random, clock: SimulatedClock, serial: int, next_ns: Callable[[], int] | None = None
) -> tuple[Row, Event]:
    """Return a row and the event that it becomes.

    Args:
        rng: what to log.
        clock: when.
        serial: a number that no other row has.
        next_ns: gives the times of rows of which the later one wins; those of the clock where it is None.
    """
    number = rng.random()
    series = _TRAIN if number < 0.5 else SERIES[int(number * 12) - 6]
    fields = _FIELDS_OF[series](rng, serial)
    deferred = {"device": FakeTensor(rng.random())} if rng.random() < 0.03 else {}
    now_ns = clock.time_ns if next_ns is None or series.kind is not Kind.PARAMS else next_ns
    time = now_ns() if number < 0.4 or number > 0.6 else (serial if serial & 1 else -serial)
    row = Row(series, time, as_text({**fields, **{name: tensor.item() for name, tensor in deferred.items()}}))
    return row, _event(SERIES.index(series), time, {**fields, **deferred})


def _event(series_id: int, time: int, fields: dict[str, Any]) -> Event:
    """Pack a row as the managers do."""
    try:
        return pack([series_id, time, fields])
    except PACK_ERRORS:
        return pack_event(series_id, time, fields)[0]


def malformed_event(rng: random.Random, *, is_packed: bool = False) -> bytes:
    """Return something that is no event, or one that cannot be stored; the latter where it must be packed like one."""
    event = pack([0, 1, {"step": 1, "loss": 0.5}])
    unpacked = b"\xc1", b"\xc0", event[:-1], event + b"\x00"
    packed = (
        pack([len(SERIES) + 90, 1, {"a": 1.0}]),
        pack([-len(SERIES) - 90, 1, {"a": 1.0}]),
        pack([0, 1, 2.0]),
        pack([0, None, {"a": 1.0}]),
        pack([0, 2**63, {"a": 1.0}]),
        pack([0, 1, {7: 1.0}]),
        pack([0, 1, {None: 1.0}]),
    )
    return rng.choice(packed if is_packed else (*unpacked, *packed))


def _train(rng: random.Random, serial: int) -> dict[str, Any]:
    fields: dict[str, Any] = {"step": serial, "loss": rng.random()}
    if serial % 5 == 0:
        fields["accuracy"] = rng.choice(_VALUES)
    return fields


def _anything(rng: random.Random, serial: int) -> dict[str, Any]:
    return {name: rng.choice(_VALUES) for name in _FIELDS[rng.randrange(6) : rng.randrange(7)]}


def _log(rng: random.Random, serial: int) -> dict[str, Any]:
    message = rng.choice(("epoch %d", "ünï©ødé %d", "lone \udfff %d", "%d " * 3)).replace("%d", str(serial))
    if rng.random() < 0.15:
        message *= rng.randrange(200, 1500)  # some of these are large events
    return {
        "level": rng.choice(("info", "warn")),
        "message": message,
        "metadata": _anything(rng, serial) or None,
    }


def _params(rng: random.Random, serial: int) -> dict[str, Any]:
    return {"set": _anything(rng, serial)}


def _pose(rng: random.Random, serial: int) -> dict[str, Any]:
    return {"x": rng.random(), "y": serial, "grip": serial % 3 == 0}


_FIELDS_OF = dict(zip(SERIES, (_train, _anything, _anything, _pose, _log, _params), strict=True))
