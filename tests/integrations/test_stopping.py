"""Trainings of the real frameworks that end where their run is asked to stop, long before they would."""

from __future__ import annotations

from pathlib import Path

import pytest

import ml_dash
from tests.support.frameworks import TIMEOUT, needs, rows, status, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT)]

PREFIX = "alice/p/stopped"
ASKING = """
import threading, time
import ml_dash

def ask(prefix="alice/p/stopped"):
    '''Ask as another process would, as soon as there is a run.'''
    while True:
        try:
            ml_dash.open(prefix, ".dash").stop("enough")
            return
        except (ml_dash.ExperimentMissingError, ml_dash.StopError):
            time.sleep(0.05)

threading.Thread(target=ask, daemon=True).start()
"""
VALUES = """
import numpy as np

x = np.random.default_rng(0).normal(size=(64, 3))
y = x[:, 0] * 2 + x[:, 1]
"""
TORCH = """
import torch

data = [torch.ones(4, 2) * number for number in range(3)]
"""
SCRIPTS = {
    "xgboost": VALUES
    + """
import xgboost
from ml_dash.integrations.xgboost import DashCallback

made = xgboost.DMatrix(x, y)
model = xgboost.train({"max_depth": 1}, made, 10**6, evals=[(made, "train")], verbose_eval=False,
    callbacks=[DashCallback("alice/p/stopped")])
print(model.num_boosted_rounds())
""",
    "lightgbm": VALUES
    + """
import lightgbm
from ml_dash.integrations.lightgbm import DashCallback

made = lightgbm.Dataset(x, y, free_raw_data=False)
params = {"num_leaves": 2, "min_data_in_leaf": 2, "metric": "l2", "verbose": -1}
model = lightgbm.train(params, made, 10**6, valid_sets=[made], callbacks=[DashCallback("alice/p/stopped")])
print(model.current_iteration())
""",
    "keras": VALUES
    + """
import keras
from ml_dash.integrations.keras import DashCallback

model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
model.compile(loss="mse")
callback = DashCallback("alice/p/stopped")
history = model.fit(x, y, epochs=10**6, verbose=0, callbacks=[callback])
callback.complete()
print(len(history.epoch))
""",
    "lightning": TORCH
    + """
from lightning import LightningModule, Trainer
from ml_dash.integrations.lightning import DashLogger

class Model(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch, index):
        loss = self.layer(batch).pow(2).mean()
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)

trainer = Trainer(accelerator="cpu", max_epochs=-1, log_every_n_steps=1, enable_progress_bar=False,
    enable_model_summary=False, enable_checkpointing=False, logger=DashLogger("alice/p/stopped"))
trainer.fit(Model(), torch.utils.data.DataLoader(data, batch_size=None))
print(trainer.global_step)
""",
    "transformers": TORCH
    + """
from transformers import Trainer, TrainingArguments
from ml_dash.integrations.transformers import DashCallback

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, x=None, labels=None):
        return {"loss": self.layer(x).pow(2).mean()}

arguments = TrainingArguments("out", max_steps=10**6, logging_steps=1, report_to=[], use_cpu=True,
    disable_tqdm=True, save_strategy="no")
made = [{"x": torch.ones(2), "labels": torch.zeros(1)}] * 8
trainer = Trainer(Model(), arguments, train_dataset=made, callbacks=[DashCallback("alice/p/stopped")])
trainer.train()
print(trainer.state.global_step)
""",
    "stable_baselines3": """
import gymnasium
import numpy as np
from stable_baselines3 import A2C
from stable_baselines3.common.logger import Logger
from ml_dash.integrations.stable_baselines3 import DashWriter, StopCallback

class Guess(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), float(action), True, False, {}

model = A2C("MlpPolicy", Guess(), n_steps=4, device="cpu", seed=0)
writer = DashWriter("alice/p/stopped")
model.set_logger(Logger(None, [writer]))
model.learn(10**7, log_interval=1, callback=StopCallback(writer))
writer.close()
print(model.num_timesteps)
""",
}

ULTRALYTICS = """
import os
from PIL import Image
from ultralytics import YOLO
from ml_dash.integrations.ultralytics import log_to

for part in ("train", "val"):
    for colour in ("red", "blue"):
        os.makedirs(f"data/{part}/{colour}", exist_ok=True)
        for number in range(4):
            Image.new("RGB", (32, 32), colour).save(f"data/{part}/{colour}/{number}.png")
settings = dict(data="data", epochs=10**6, imgsz=32, batch=4, workers=0, device="cpu", project="out", amp=False)
model = YOLO("yolo11n-cls.yaml")
log_to(model, "alice/p/stopped", checkpoints=False)
epochs = []
model.add_callback("on_train_epoch_end", lambda trainer: epochs.append(trainer.epoch))
model.train(patience=10**6, plots=False, val=False, **settings)
print(len(epochs))
"""
RAY = """
import os
from ray import tune
from ml_dash.integrations.ray import DashCallback

def train(config):
    for step in range(100_000 if config["x"] else 30):
        time.sleep(0.02)
        tune.report({"loss": config["x"] + step})

def ask_one():
    while True:
        if os.path.exists(".dash"):
            for exp in ml_dash.experiments(".dash"):
                if exp.params.get().get("x") == 1.0:
                    return ask(exp.prefix)
        time.sleep(0.05)

threading.Thread(target=ask_one, daemon=True).start()
config = tune.RunConfig(callbacks=[DashCallback("alice/p/tuned")], stop={"training_iteration": 200_000})
tune.Tuner(train, param_space={"x": tune.grid_search([1.0, 0.0])}, run_config=config).fit()
"""


@pytest.mark.parametrize("framework", SCRIPTS)
def test_a_training_ends_where_its_run_is_asked_to_stop(tmp_path: Path, framework: str) -> None:
    needs(framework)
    steps = int(train(ASKING + SCRIPTS[framework], tmp_path).split()[-1])
    assert 0 < steps < 10**6
    assert status(tmp_path, PREFIX) == "CANCELLED"
    # what was logged before is there, up to the last step
    if framework != "stable_baselines3":  # which logs one row for several steps
        found = rows(tmp_path, PREFIX, "training" if framework == "lightgbm" else "train")
        assert min(10_000, steps) - 1 <= len(found) <= steps + 1


def test_the_trial_whose_run_is_asked_to_stop_is_the_last_of_its_study(tmp_path: Path) -> None:
    needs("optuna")
    script = """
import optuna
from ml_dash.integrations.optuna import DashCallback

optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study()
callback = DashCallback("alice/p/sweep")

@callback.track
def objective(trial, exp):
    if trial.number == 2:
        ask(exp.prefix)
        while not exp.should_stop:
            time.sleep(0.05)
    return trial.suggest_float("x", -1, 1) ** 2

study.optimize(objective, n_trials=100, callbacks=[callback])
print(len(study.trials))
"""
    told = train(ASKING.replace("threading.Thread(target=ask, daemon=True).start()\n", "") + script, tmp_path)
    assert told.split()[-1] == "3"
    assert [status(tmp_path, f"alice/p/sweep/trial-{number}") for number in range(3)] == [
        "COMPLETED",
        "COMPLETED",
        "CANCELLED",
    ]
    assert (
        ml_dash.open("alice/p/sweep/trial-2", tmp_path / ".dash").params.get()["optuna.state"] == "COMPLETE"
    )


def test_a_training_of_ultralytics_ends_behind_the_batch(tmp_path: Path) -> None:
    needs("ultralytics", "torchvision")
    epochs = int(train(ASKING + ULTRALYTICS, tmp_path, YOLO_CONFIG_DIR=str(tmp_path)).split()[-1])
    assert 0 < epochs < 10**6
    assert status(tmp_path, PREFIX) == "CANCELLED"
    assert len(rows(tmp_path, PREFIX, "train")) == min(10_000, epochs)


def test_a_trial_of_ray_ends_with_its_next_result_and_the_others_go_on(tmp_path: Path) -> None:
    needs("ray")
    script = ASKING.replace("threading.Thread(target=ask, daemon=True).start()\n", "") + RAY
    train(script, tmp_path, RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS="0")
    ended = {}
    for each in (tmp_path / ".dash/alice/p/tuned").iterdir():
        prefix = f"alice/p/tuned/{each.name}"
        x = ml_dash.open(prefix, tmp_path / ".dash").params.get()["x"]
        ended[x] = (status(tmp_path, prefix), len(rows(tmp_path, prefix, "result")))
    assert ended[0.0] == ("COMPLETED", 30)
    assert ended[1.0][0] == "CANCELLED"
    assert 0 < ended[1.0][1] < 10_000
