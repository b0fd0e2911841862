"""A root whose summaries are looked at, by a clock for which everything on the disk lies long back."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ml_dash.query.listing.binding import bind
from ml_dash.query.listing.filters import parse
from ml_dash.query.listing.listed import ListedExperiment
from ml_dash.storage.summaries.asking import selected
from ml_dash.storage.summaries.root import RootIndex

OPEN: list[RootIndex] = []
"""Those that a test has opened, and that are closed behind it."""


class LaterClock:
    """The machine's clock, an hour ahead: no time of a file is that of the moment."""

    def time_ns(self) -> int:
        return time.time_ns() + 3_600_000_000_000

    monotonic = staticmethod(time.monotonic)


def opened(root: Path, **options: Any) -> RootIndex:
    """The summaries of a root; its file is in the root."""
    index = RootIndex(str(root), options.pop("stale_after", 90.0), **options)
    OPEN.append(index)
    return index


def shown(index: RootIndex, text: str = "") -> dict[str, ListedExperiment]:
    """What the tables say of the experiments that a filter asks for, by prefix."""

    def ask(store: Any) -> list[ListedExperiment]:
        return selected(index, bind(parse(text), store.names).checked(), None)

    return {each.prefix: each for each in index.ask(ask)}


def let_time_pass(directory: Path) -> None:
    """Return when what changes now in a directory gives it another time than it has: a file system counts in ticks."""
    before = directory.stat().st_ctime_ns
    probe = directory.parents[2] / ".tick"
    while True:
        probe.touch()
        if probe.stat().st_ctime_ns > before:
            break
    os.remove(probe)
