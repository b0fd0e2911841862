"""`DashCallback` of Ray Tune."""

from __future__ import annotations

from pathlib import Path

import pytest

import ml_dash
from tests.support.frameworks import TIMEOUT, needs, rows, snippet, status, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT)]

PREPARED = """
from ray import tune

def train(config):
    for step in range(3):
        if config["x"] < 0 and step == 1:
            raise RuntimeError("out of memory")
        tune.report({"loss": config["x"] ** 2 + step, "nested": {"a": step}})
"""


def test_each_trial_is_an_experiment_and_one_that_raises_has_failed(tmp_path: Path) -> None:
    needs("ray")
    train(
        PREPARED + snippet("Ray Tune") + "import ray\nray.shutdown()\n",
        tmp_path,
        RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS="0",
    )
    folder = tmp_path / ".dash/alice/vision/tuned"
    trials = {
        ml_dash.open(f"alice/vision/tuned/{each.name}", tmp_path / ".dash").params.get()["x"]: each.name
        for each in folder.iterdir()
    }
    assert trials.keys() == {1.0, -1.0}
    good, bad = (f"alice/vision/tuned/{trials[x]}" for x in (1.0, -1.0))
    assert rows(tmp_path, good, "result") == [{"step": step + 1, "loss": 1.0 + step} for step in range(3)]
    assert rows(tmp_path, good, "result/nested")[2] == {"step": 3, "a": 2}
    assert rows(tmp_path, good, "ray")[0]["training_iteration"] == 1
    assert status(tmp_path, good) == "COMPLETED"
    newest = ml_dash.open(bad, tmp_path / ".dash").view.attempts()[-1]
    assert newest["status"] == "FAILED"
    assert str(newest["error"]).endswith("error.txt says what")
