"""`DashTracker` of accelerate."""

from __future__ import annotations

from pathlib import Path

import pytest

import ml_dash
from tests.support.frameworks import TIMEOUT, needs, rows, snippet, status, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT)]

LOOP = """
import numpy as np
accelerator.init_trackers("vision", config={"lr": 0.1})
for step in range(3):
    accelerator.log({"train/loss": 0.5 / (step + 1)}, step=step)
accelerator.get_tracker("ml_dash").log_images({"val/sample": [np.zeros((4, 4))]}, step=2)
"""


@pytest.fixture(autouse=True)
def framework() -> None:
    needs("accelerate")


def test_a_loop_logs_to_its_tracker(tmp_path: Path) -> None:
    script = "from accelerate import Accelerator\n" + snippet("accelerate") + LOOP
    script += "print(accelerator.get_tracker('ml_dash', unwrap=True).prefix)\naccelerator.end_training()\n"
    assert train(script, tmp_path).split() == ["alice/vision/first"]
    assert [row["step"] for row in rows(tmp_path, "alice/vision/first", "train")] == [0, 1, 2]
    run = ml_dash.open("alice/vision/first", tmp_path / ".dash")
    assert run.params.get() == {"lr": 0.1}
    (sample,) = rows(tmp_path, "alice/vision/first", "val")
    assert run.files(sample["sample"]["file"]).exists()
    assert status(tmp_path, "alice/vision/first") == "COMPLETED"


def test_a_tracker_may_be_asked_for_by_its_name_and_a_loop_that_dies_has_failed(tmp_path: Path) -> None:
    script = "from accelerate import Accelerator\n" + snippet("accelerate", 1) + LOOP + "raise RuntimeError\n"
    train(script, tmp_path, status=1, ML_DASH_USER="alice")
    assert len(rows(tmp_path, "alice/vision/run-1", "train")) == 3
    assert status(tmp_path, "alice/vision/run-1") == "FAILED"
