"""A process that ends in order leaves nothing in shared memory, whose users are many on a cluster's node."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.processes import Scripts, metric

LOG = """
import multiprocessing
import os
import pathlib
import signal
import sys
import time
from ml_dash import Experiment

exp = Experiment("alice/vision/resnet", dash_root=".dash", echo=False).run.start()

def log(*_):
    for step in range(100):
        exp.metrics("train").log(step=step)

log()
assert exp.status().queue == "shared memory"
"""
ENDINGS = {
    "the run ends, and the process goes on": (
        "exp.run.complete(); assert not list(pathlib.Path(os.environ['ML_DASH_QUEUE_DIR']).glob('*/*.slab'))",
        1,
    ),
    "the script ends with an open run": ("", 1),
    "an exception": ("raise ValueError", 1),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", 1),
    "a forked child that exits": ("if not os.fork(): log(); sys.exit()\nos.wait()", 2),
    "processes of a pool": (
        "with multiprocessing.get_context('fork').Pool(2) as pool: pool.map(log, range(2)); pool.close(); pool.join()",
        3,
    ),
}


@pytest.mark.sample(3)
@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_is_left_in_shared_memory(scripts: Scripts, tmp_path: Path, ending: str) -> None:
    """Neither a slab nor a bell; and all rows are in the journal without anybody who recovers them."""
    place = tmp_path / "memory"
    place.mkdir()
    text, times = ENDINGS[ending]
    finished = scripts.run(f"{LOG}\n{text}\n", env={"ML_DASH_QUEUE_DIR": str(place)})

    assert "AssertionError" not in finished.stderr
    assert [path.name for path in place.glob("*/*")] == []
    assert sorted(scripts.journal().values("step", metric("train"))) == sorted(list(range(100)) * times)
