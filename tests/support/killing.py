"""Killing processes, and holding what they had been told against what they left."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.processes import Journal, end_session, metric
from tests.support.project import PROJECT
from tests.support.victims import LINGER

PATIENCE = 10
"""Ticks of the yardstick after which a row must be on disk; the worker's own pace is one."""
ENV = {"ML_DASH_LINGER": str(LINGER), "ML_DASH_SYNC_INTERVAL": "0.03"}
"""So that a short life sees many lingers and fsyncs."""
LATE = 1.5


def moments(name: str, count: int, most: float, least: float = 0.0) -> Iterator[tuple[int, float]]:
    """Number `count` kills, and say after how many seconds each comes: at random, and the last one late.

    By then a flush has returned on the slowest disk, so that the tests have something to hold against what is there.
    """
    chance = random.Random(name)
    for number in range(count - 1):
        yield number, chance.uniform(least, most)
    yield count - 1, LATE


class KillingGround:
    """Has children of a warm process killed."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.victims"],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def close(self) -> None:
        """End the warm process."""
        self._process.communicate()
        end_session(self._process)

    def kill(self, shape: str, root: Path, seconds: float, env: dict[str, str]) -> dict[str, Any]:
        """Kill one child of this shape after a while, and return what it had reported."""
        root.mkdir(exist_ok=True)
        request = {"shape": shape, "root": str(root), "seconds": seconds, "env": env}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        report: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert report["signal"] == signal.SIGKILL
        return report


def check(report: dict[str, Any], counts: Mapping[str, int]) -> int:
    """Hold a child's reports against the rows in its journals; return for how many rows `flush` had returned."""
    for name, flushed in report["flushed"].items():
        assert counts[name] >= flushed, f"{name}: flush() had returned for {flushed} rows"
    if len(report["ticks"]) > PATIENCE:
        for name, logged in report["ticks"][-1 - PATIENCE].items():
            assert counts[name] >= logged, f"{name}: {logged} rows were older than {PATIENCE} ticks"
    return sum(report["flushed"].values())


def exact_rows(journal: Journal, name: str) -> int:
    """Assert that a metric's rows are those of `row`, from the first on, and return how many there are."""
    columns = journal.view.to_numpy(metric(name))
    assert journal.view.index.damage == []
    count = len(columns["index"])
    if count:
        steps = np.arange(count)
        assert np.array_equal(columns["step"], steps)
        assert np.array_equal(columns["loss"], steps * 0.5)
        assert np.array_equal(columns["accuracy"], 1 / (steps + 1))
        assert np.all(np.diff(columns["_ts"]) >= 0)
    return count
