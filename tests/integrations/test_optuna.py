"""`DashCallback` of Optuna."""

from __future__ import annotations

from pathlib import Path

import pytest

import ml_dash
from tests.support.frameworks import TIMEOUT, needs, rows, snippet, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT)]

PREPARED = """
import optuna

study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), direction="minimize")
def objective(trial):
    x = trial.suggest_float("x", -1, 1)
    trial.report(x, 0)
    if trial.number == 1:
        raise optuna.TrialPruned
    if trial.number == 2:
        raise ValueError("no such thing")
    return x**2
"""


@pytest.fixture(autouse=True)
def framework() -> None:
    needs("optuna")


def runs(cwd: Path) -> list[str]:
    return [
        str(ml_dash.open(f"alice/vision/sweep/trial-{number}", cwd / ".dash").view.attempts()[-1]["status"])
        for number in range(len(list((cwd / ".dash/alice/vision/sweep").iterdir())))
    ]


def test_each_trial_is_an_experiment_and_a_pruned_one_has_not_failed(tmp_path: Path) -> None:
    train(PREPARED + snippet("Optuna").replace("n_trials=8", "n_trials=4, catch=(ValueError,)"), tmp_path)
    assert runs(tmp_path) == ["COMPLETED", "CANCELLED", "FAILED", "COMPLETED"]
    first, pruned = (
        ml_dash.open(f"alice/vision/sweep/trial-{number}", tmp_path / ".dash") for number in (0, 1)
    )
    params = first.params.get()
    assert params["optuna.state"] == "COMPLETE"
    assert rows(tmp_path, "alice/vision/sweep/trial-0", "objective") == [{"value": params["x"] ** 2}]
    assert rows(tmp_path, "alice/vision/sweep/trial-0", "intermediate") == [{"step": 0, "value": params["x"]}]
    assert first.metrics("objective").best("value") == (params["x"] ** 2, 0)
    assert pruned.params.get()["optuna.state"] == "PRUNED"
    assert pruned.tags == ["pruned"]


def test_a_tracked_objective_logs_to_its_trials_experiment(tmp_path: Path) -> None:
    """Threads do, too; and an error that ends the study is known."""
    script = (
        PREPARED
        + """
from ml_dash.integrations.optuna import DashCallback

callback = DashCallback("alice/vision/sweep")

@callback.track
def tracked(trial, exp):
    exp.metrics("train").log(step=0, number=trial.number)
    return objective(trial)

study.optimize(tracked, n_trials=8, n_jobs=2, callbacks=[callback], catch=(ZeroDivisionError,))
"""
    )
    train(script, tmp_path, status=1)
    statuses = runs(tmp_path)
    assert statuses[:3] == ["COMPLETED", "CANCELLED", "FAILED"]
    assert "RUNNING" not in statuses
    for number in range(len(statuses)):
        assert rows(tmp_path, f"alice/vision/sweep/trial-{number}", "train") == [
            {"step": 0, "number": number}
        ]
    failed = ml_dash.open("alice/vision/sweep/trial-2", tmp_path / ".dash")
    assert failed.view.attempts()[-1]["error"] == "ValueError: no such thing"
    assert "x" in failed.params.get()
