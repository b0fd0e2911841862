"""Callbacks of XGBoost and LightGBM."""

from __future__ import annotations

from pathlib import Path

import pytest

import ml_dash
from tests.support.frameworks import TIMEOUT, needs, rows, snippet, status, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT)]

VALUES = """
import numpy as np

x = np.random.default_rng(0).normal(size=(64, 3))
y = x[:, 0] * 2 + x[:, 1]
"""
XGBOOST = (
    VALUES
    + """
import xgboost

params = {"eta": 0.3, "max_depth": 2}
data = xgboost.DMatrix(x, y)
"""
)
LIGHTGBM = (
    VALUES
    + """
import lightgbm

params = {"learning_rate": 0.3, "num_leaves": 3, "min_data_in_leaf": 2, "metric": "l2", "verbose": -1}
data = lightgbm.Dataset(x, y, free_raw_data=False)
"""
)


def test_a_training_of_xgboost(tmp_path: Path) -> None:
    """One that goes on with a model supersedes what was logged from there on."""
    needs("xgboost")
    prefix, line = "alice/tables/boosted", snippet("XGBoost")
    train(XGBOOST + line.replace('boosted")', 'boosted", model=True)'), tmp_path)
    losses = rows(tmp_path, prefix, "train")
    assert [row["step"] for row in losses] == [0, 1, 2, 3, 4]
    assert losses[-1]["rmse"] < losses[0]["rmse"]
    run = ml_dash.open(prefix, tmp_path / ".dash")
    params = run.params.get()
    assert (params["max_depth"], params["model.num_rounds"], params["model.num_features"]) == (2, 5, 3)
    assert params["eta"] == pytest.approx(0.3)
    assert rows(tmp_path, prefix, "importance")[0]["f0"] > 0
    assert status(tmp_path, prefix) == "COMPLETED"
    script = "import ml_dash\nml_dash.open('alice/tables/boosted').files('model.ubj').download('model.ubj')\n"
    script += "xgboost.Booster(model_file='model.ubj').__getitem__(slice(0, 3)).save_model('half.ubj')\n"
    train(XGBOOST + script + line.replace("data, 5", "data, 3, xgb_model='half.ubj'"), tmp_path)
    assert [row["step"] for row in rows(tmp_path, prefix, "train")] == [0, 1, 2, 3, 4, 5]
    assert [row["step"] for row in rows(tmp_path, prefix, "train", attempt=2)] == [3, 4, 5]


def test_estimators_cross_validation_and_early_stopping_of_xgboost(tmp_path: Path) -> None:
    needs("xgboost")
    script = (
        XGBOOST
        + """
from ml_dash.integrations.xgboost import DashCallback

xgboost.cv(params, data, 3, nfold=2, callbacks=[DashCallback("alice/tables/cv")])
stop = xgboost.callback.EarlyStopping(1, min_delta=1e9)
xgboost.train(
    params, data, 50, evals=[(data, "train")], verbose_eval=False, callbacks=[stop, DashCallback("alice/tables/early")]
)
"""
    )
    train(script, tmp_path)
    assert rows(tmp_path, "alice/tables/cv", "test")[2].keys() == {"step", "rmse", "rmse-std"}
    early = ml_dash.open("alice/tables/early", tmp_path / ".dash").params.get()
    assert early["model.best_iteration"] == 0
    assert status(tmp_path, "alice/tables/early") == "COMPLETED"


def test_a_training_of_xgboost_that_dies_has_failed(tmp_path: Path) -> None:
    needs("xgboost")
    script = (
        XGBOOST
        + """
class Dies(xgboost.callback.TrainingCallback):
    def after_iteration(self, model, epoch, evals_log):
        if epoch == 2:
            raise RuntimeError("out of memory")
"""
    )
    train(script + snippet("XGBoost").replace('boosted")]', 'boosted"), Dies()]'), tmp_path, status=1)
    assert status(tmp_path, "alice/tables/boosted") == "FAILED"


def test_a_training_of_lightgbm(tmp_path: Path) -> None:
    needs("lightgbm")
    prefix, line = "alice/tables/light", snippet("LightGBM")
    train(LIGHTGBM + line.replace('light")', 'light", model=True)'), tmp_path)
    losses = rows(tmp_path, prefix, "training")
    assert [row["step"] for row in losses] == [0, 1, 2, 3, 4]
    assert losses[-1]["l2"] < losses[0]["l2"]
    run = ml_dash.open(prefix, tmp_path / ".dash")
    assert run.params.get()["num_leaves"] == 3
    assert rows(tmp_path, prefix, "importance")[0]["Column_0"] > 0
    assert status(tmp_path, prefix) == "COMPLETED"
    script = "import ml_dash\nml_dash.open('alice/tables/light').files('model.txt').download('model.txt')\n"
    script += "half = lightgbm.Booster(model_file='model.txt').model_to_string(num_iteration=3)\n"
    again = line.replace("data, 5", "data, 3, init_model=lightgbm.Booster(model_str=half)")
    train(LIGHTGBM + script + again, tmp_path)
    assert [row["step"] for row in rows(tmp_path, prefix, "training", attempt=2)] == [3, 4, 5]
    assert [row["step"] for row in rows(tmp_path, prefix, "training")] == [0, 1, 2, 3, 4, 5]


def test_cross_validation_and_early_stopping_of_lightgbm(tmp_path: Path) -> None:
    needs("lightgbm")
    script = (
        LIGHTGBM
        + """
from ml_dash.integrations.lightgbm import DashCallback

lightgbm.cv(params, data, 3, nfold=2, stratified=False, callbacks=[DashCallback("alice/tables/cv")])
callback = DashCallback("alice/tables/early")
lightgbm.train(
    params, data, 50, valid_sets=[lightgbm.Dataset(x, -y, reference=data)], valid_names=["val"],
    callbacks=[lightgbm.early_stopping(1, verbose=False), callback],
)
callback.complete()
"""
    )
    train(script, tmp_path)
    assert {"step", "l2", "l2-std"} == rows(tmp_path, "alice/tables/cv", "valid")[2].keys()
    assert 2 <= len(rows(tmp_path, "alice/tables/early", "val")) < 50
    assert status(tmp_path, "alice/tables/early") == "COMPLETED"
