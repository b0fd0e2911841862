"""`DashWriter` of Stable-Baselines3, with a game of one step."""

from __future__ import annotations

from pathlib import Path

import pytest

import ml_dash
from tests.support.frameworks import TIMEOUT, needs, rows, snippet, status, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT)]

PREFIX = "alice/rl/cartpole"
PREPARED = """
import gymnasium
import numpy as np
import torch
from matplotlib.figure import Figure as Drawn
from stable_baselines3 import A2C
from stable_baselines3.common.logger import Figure, HParam, Image, Logger, Video

class Guess(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), float(action), True, False, {}

model = A2C("MlpPolicy", Guess(), n_steps=4, device="cpu", seed=0)
"""


@pytest.fixture(autouse=True)
def framework() -> None:
    needs("stable_baselines3")


def test_a_training_logs_what_the_model_records(tmp_path: Path) -> None:
    recorded = """
model.logger.record("eval/figure", Figure(Drawn(), close=True), exclude="stdout")
model.logger.record("eval/image", Image(np.zeros((3, 4, 4), np.uint8), "CHW"), exclude="stdout")
model.logger.record("eval/video", Video(torch.zeros(1, 4, 3, 16, 16, dtype=torch.uint8), fps=4), exclude="stdout")
model.logger.record("hparams", HParam({"gamma": 0.9}, {"eval/reward": 0}), exclude="stdout")
model.logger.record("secret", 1, exclude=("ml_dash",))
model.logger.dump(50)
"""
    train(PREPARED + snippet("Stable-Baselines3") + "model.learn(40, log_interval=5)\n" + recorded, tmp_path)
    assert [row["step"] for row in rows(tmp_path, PREFIX, "rollout")] == [20, 40]
    assert {"loss", "policy_loss"} & rows(tmp_path, PREFIX, "train")[-1].keys()
    run = ml_dash.open(PREFIX, tmp_path / ".dash")
    (media,) = rows(tmp_path, PREFIX, "eval")
    assert [run.files(media[name]["file"]).exists() for name in ("figure", "image", "video")] == [True] * 3
    assert run.params.get() == {"gamma": 0.9}
    assert rows(tmp_path, PREFIX, None) == []
    assert status(tmp_path, PREFIX) == "COMPLETED"


def test_a_training_that_dies_has_failed_and_goes_on(tmp_path: Path) -> None:
    learn = "model.learn({}, log_interval=1, reset_num_timesteps={})\n"
    dies = learn.format(8, True) + "model.save('model')\nraise RuntimeError\n"
    train(PREPARED + snippet("Stable-Baselines3") + dies, tmp_path, status=1)
    assert status(tmp_path, PREFIX) == "FAILED"
    loaded = PREPARED + "model = A2C.load('model', Guess())\n"
    train(loaded + snippet("Stable-Baselines3") + learn.format(8, False), tmp_path)
    assert [row["step"] for row in rows(tmp_path, PREFIX, "rollout")] == [4, 8, 12, 16]
