"""What a disk is like at the moment."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["WEATHERS", "Weather"]


@dataclass(slots=True)
class Weather:
    """How likely each operation is to go wrong, from 0 to 1, and what else is the matter.

    Attributes:
        write, sync, create, remove, size, read, close, replace: the operations.
        free: bytes that still fit on the disk; None for plenty.
        seconds: how long a write or a sync takes.
        interrupt: how likely Ctrl-C comes in the middle, where `SimulatedDisk.interruptible`.
    """

    write: float = 0.0
    sync: float = 0.0
    create: float = 0.0
    remove: float = 0.0
    size: float = 0.0
    read: float = 0.0
    close: float = 0.0
    replace: float = 0.0
    free: int | None = None
    seconds: float = 0.0
    interrupt: float = 0.0


WEATHERS: tuple[Callable[[random.Random], Weather], ...] = (
    lambda _: Weather(),
    lambda _: Weather(),
    lambda rng: Weather(free=rng.choice((0, 50, 500, 2_000))),
    lambda rng: Weather(write=0.3, create=0.2, remove=0.3, size=0.3, close=0.2),
    lambda rng: Weather(sync=0.5),
    lambda rng: Weather(sync=1.0, replace=0.5),
    lambda rng: Weather(create=1.0, replace=1.0),
    lambda rng: Weather(write=1.0, sync=1.0, create=0.5, remove=0.5, size=0.5, close=0.5, replace=1.0),
    lambda rng: Weather(seconds=rng.choice((0.01, 0.4, 3.0))),
    lambda rng: Weather(interrupt=0.5, write=rng.choice((0.0, 0.3)), sync=rng.choice((0.0, 0.3))),
    lambda rng: Weather(read=0.5, size=0.3),
)
"""What the weather may turn into; two of them are fair."""
