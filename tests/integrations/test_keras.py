"""`DashCallback` of Keras, on torch."""

from __future__ import annotations

from pathlib import Path

import pytest

import ml_dash
from tests.support.frameworks import TIMEOUT, needs, rows, snippet, status, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT)]

PREFIX = "alice/vision/mnist"
PREPARED = """
import keras
import numpy as np

keras.utils.set_random_seed(0)
x, y = np.random.rand(32, 4), np.random.rand(32, 1)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile(optimizer="adam", loss="mse", metrics=["mae"])
class Dies(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise RuntimeError("out of memory")
"""


@pytest.fixture(autouse=True)
def framework() -> None:
    needs("keras")


def test_a_training_logs_its_epochs(tmp_path: Path) -> None:
    script = (
        PREPARED + snippet("Keras").replace('mnist")', 'mnist", every_batches=2)') + "model.evaluate(x, y)\n"
    )
    train(
        script.replace("callbacks=[Dash", "callbacks=[callback := Dash").replace(
            "(x, y)", "(x, y, callbacks=[callback])"
        ),
        tmp_path,
    )
    epochs = rows(tmp_path, PREFIX, "train")
    assert [row["step"] for row in epochs] == [0, 1, 2]
    assert epochs[0].keys() == {"step", "loss", "mae", "learning_rate"}
    assert [row.keys() for row in rows(tmp_path, PREFIX, "val")] == [{"step", "loss", "mae"}] * 3
    assert [row["step"] for row in rows(tmp_path, PREFIX, "test")] == [2]
    assert len(rows(tmp_path, PREFIX, "batch")) == 1
    run = ml_dash.open(PREFIX, tmp_path / ".dash")
    params = run.params.get()
    assert params["optimizer.name"] == "adam"
    assert params["model.num_parameters"] == 5
    assert run.files("model.json").exists()
    assert status(tmp_path, PREFIX) == "COMPLETED"


def test_a_training_that_dies_is_failed_and_goes_on_by_its_epoch(tmp_path: Path) -> None:
    line = snippet("Keras")
    train(PREPARED + line.replace('mnist")]', 'mnist"), Dies()]'), tmp_path, status=1)
    assert status(tmp_path, PREFIX) == "FAILED"
    train(PREPARED + line.replace("epochs=3", "epochs=3, initial_epoch=1"), tmp_path)
    assert [row["step"] for row in rows(tmp_path, PREFIX, "train")] == [0, 1, 2]
    assert [row["step"] for row in rows(tmp_path, PREFIX, "train", attempt=1)] == [0, 1]
    assert status(tmp_path, PREFIX) == "COMPLETED"
