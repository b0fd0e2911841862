"""What is compared: our call, and three things that a training script could do instead.

The baselines are limits rather than rivals: nobody can have less from a Python call than a `deque.append`, and a
caller that writes msgpack to a buffered file pays for no thread, no checksum and no fsync.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["BARE", "BASELINE", "CONTENDERS", "OURS", "PREFIX", "Contender", "Sink"]

BASELINE = "deque"
OURS = "ml-dash"
BARE = "ml-dash-bare"
"""Ours, capturing nothing of its surroundings: whatever it takes less than `OURS` is the price of that."""
PREFIX = "bench/hot-path/run"

_CALL = "log(loss=loss, acc=acc, lr=lr)"
_OUR_CALL = 'experiment.metrics("train").log(loss=loss, acc=acc, lr=lr)'


class Sink(NamedTuple):
    """Where the steps of a loop go.

    Attributes:
        call: source of the statement that logs one step; it uses `loss`, `acc`, `lr`, and the keys of `names`.
        names: what else the statement refers to.
        close: returns when everything logged is where it is meant to end up.
    """

    call: str
    names: dict[str, Any]
    close: Callable[[], object]


class Contender(NamedTuple):
    """Something that a step can be logged with.

    Attributes:
        title: for tables.
        source: imports it, in a fresh interpreter.
        start: makes it ready for the first call.
        open: the same, giving the sink; takes an empty directory.
        stored: counts the rows found in the directory afterwards.
        settles: whether the loop begins after a moment in which threads can come up, as in a run of hours.
    """

    title: str
    source: str
    start: str
    open: Callable[[str], Sink]
    stored: Callable[[str], int]
    settles: bool = True


def _open_nothing(directory: str) -> Sink:
    del directory
    return Sink("pass", {}, _no_close)


def _open_deque(directory: str) -> Sink:
    from collections import deque

    del directory
    rows: deque[tuple[float, dict[str, Any]]] = deque()
    append = rows.append
    now = time.time

    def log(**fields: Any) -> None:
        append((now(), fields))

    return Sink(_CALL, {"log": log}, _no_close)


def _open_simple_queue(directory: str) -> Sink:
    from queue import SimpleQueue

    del directory
    rows: SimpleQueue[tuple[float, dict[str, Any]]] = SimpleQueue()
    put = rows.put
    now = time.time

    def log(**fields: Any) -> None:
        put((now(), fields))

    return Sink(_CALL, {"log": log}, _no_close)


def _open_msgpack(directory: str) -> Sink:
    import msgpack

    file = open(_msgpack_path(directory), "wb")  # noqa: SIM115 - the sink's `close` closes it
    write = file.write
    pack = msgpack.Packer().pack
    now = time.time

    def log(**fields: Any) -> None:
        write(pack((now(), fields)))

    return Sink(_CALL, {"log": log}, file.close)


def _open_ours(directory: str) -> Sink:
    import numpy as np  # a training script has it

    del np
    return _open_ours_cold(directory)


def _open_bare(directory: str) -> Sink:
    import numpy as np

    del np
    return _opened(directory, capture=False)


def _open_ours_cold(directory: str) -> Sink:
    return _opened(directory, capture=True)


def _opened(directory: str, capture: bool) -> Sink:
    from ml_dash import Experiment

    experiment = Experiment(PREFIX, dash_root=directory, echo=False, capture=capture).run.start()
    return Sink(_OUR_CALL, {"experiment": experiment}, experiment.run.complete)


def _no_close() -> None:
    """A container needs none."""


def _msgpack_path(directory: str) -> str:
    return os.path.join(directory, "rows.msgpack")


def _stored_nothing(directory: str) -> int:
    del directory
    return 0


def _stored_by_msgpack(directory: str) -> int:
    import msgpack

    with open(_msgpack_path(directory), "rb") as file:
        return sum(1 for _ in msgpack.Unpacker(file))


def _stored_by_us(directory: str) -> int:
    from ml_dash import Experiment

    total: int = Experiment(PREFIX, dash_root=directory).metrics("train").read(limit=1)["total"]
    return total


_IMPORT_US = "from ml_dash import Experiment"
_START_US = f"Experiment({PREFIX!r}, dash_root=directory, echo=False, capture=True).run.start()"

CONTENDERS = {
    "nothing": Contender("empty loop", "", "", _open_nothing, _stored_nothing),
    BASELINE: Contender(
        "deque.append of (time, kwargs)",
        "from collections import deque",
        "deque()",
        _open_deque,
        _stored_nothing,
    ),
    "simplequeue": Contender(
        "SimpleQueue.put of the same",
        "from queue import SimpleQueue",
        "SimpleQueue()",
        _open_simple_queue,
        _stored_nothing,
    ),
    "msgpack": Contender(
        "msgpack to a buffered file",
        "import msgpack",
        "open(directory + '/rows', 'wb')",
        _open_msgpack,
        _stored_by_msgpack,
    ),
    OURS: Contender("ml-dash", _IMPORT_US, _START_US, _open_ours, _stored_by_us),
    BARE: Contender(
        "ml-dash, capture=False",
        _IMPORT_US,
        _START_US.replace("capture=True", "capture=False"),
        _open_bare,
        _stored_by_us,
    ),
    "ml-dash-cold": Contender(
        "ml-dash, first steps of a script without numpy",
        _IMPORT_US,
        _START_US,
        _open_ours_cold,
        _stored_by_us,
        settles=False,
    ),
}
