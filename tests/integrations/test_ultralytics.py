"""`log_to` of Ultralytics, with a classifier of the smallest size and pictures of two colours."""

from __future__ import annotations

from pathlib import Path

import pytest

import ml_dash
from tests.support.frameworks import TIMEOUT, needs, rows, snippet, status, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT)]

PREFIX = "alice/vision/yolo"
PREPARED = """
import os
from PIL import Image
from ultralytics import YOLO

for part in ("train", "val"):
    for colour in ("red", "blue"):
        os.makedirs(f"data/{part}/{colour}", exist_ok=True)
        for number in range(4):
            Image.new("RGB", (32, 32), colour).save(f"data/{part}/{colour}/{number}.png")
model = YOLO("yolo11n-cls.yaml")
settings = dict(data="data", epochs=2, imgsz=32, batch=4, workers=0, device="cpu", project="out", amp=False)
"""


@pytest.fixture(autouse=True)
def framework() -> None:
    needs("ultralytics", "torchvision")


def test_a_training_logs_its_epochs_and_weights(tmp_path: Path) -> None:
    train(
        PREPARED + snippet("Ultralytics") + "model.train(**settings)\n",
        tmp_path,
        YOLO_CONFIG_DIR=str(tmp_path),
    )
    assert [row["step"] for row in rows(tmp_path, PREFIX, "train")] == [0, 1]
    assert "accuracy_top1" in rows(tmp_path, PREFIX, "metrics")[0]
    assert len(rows(tmp_path, PREFIX, "lr")) == 2
    run = ml_dash.open(PREFIX, tmp_path / ".dash")
    assert run.params.get()["epochs"] == 2
    assert run.files("checkpoints/best.pt").exists()
    assert status(tmp_path, PREFIX) == "COMPLETED"


def test_a_training_that_dies_has_failed(tmp_path: Path) -> None:
    dies = "def dies(trainer):\n    raise RuntimeError('out of memory')\nmodel.add_callback('on_fit_epoch_end', dies)\n"
    script = PREPARED + snippet("Ultralytics") + dies + "model.train(**settings)\n"
    train(script, tmp_path, status=1, YOLO_CONFIG_DIR=str(tmp_path))
    assert status(tmp_path, PREFIX) == "FAILED"
