"""What knows a closed list of trackers finds ours by the name of another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ml_dash
from tests.support.frameworks import TIMEOUT, needs, rows, snippet, status, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT)]

TRAINER = """
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

torch.manual_seed(0)
sizes = dict(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
model = BertForSequenceClassification(BertConfig(**sizes))
data = [{"input_ids": torch.randint(0, 50, (8,)), "labels": index % 2} for index in range(16)]
arguments = TrainingArguments(
    "out", max_steps=4, per_device_train_batch_size=4, logging_steps=1, eval_strategy="steps", eval_steps=2,
    disable_tqdm=True, report_to=["wandb", "tensorboard"], run_name="bert",
)
Trainer(model, arguments, train_dataset=data, eval_dataset=data).train()
"""


def test_the_reporters_of_transformers_log_to_experiments(tmp_path: Path) -> None:
    """Its own, for both trackers: their rows, parameters, watched gradients and models are all there."""
    needs("transformers", "accelerate")
    doors = snippet("Doors for closed lists") + "ml_dash.compat.install('tensorboard')\n"
    train(
        doors + TRAINER,
        tmp_path,
        ML_DASH_USER="alice",
        TENSORBOARD_LOGGING_DIR="runs/bert",
        WANDB_ENTITY="alice",
        WANDB_PROJECT="nlp",
        WANDB_WATCH="all",
        WANDB_LOG_MODEL="end",
    )
    # of an evaluation that callback says the epoch under `train`
    losses = [row for row in rows(tmp_path, "alice/nlp/bert", "train") if "loss" in row]
    assert [row["step"] for row in losses] == [1, 2, 3, 4]
    assert {"loss", "grad_norm", "learning_rate", "epoch"} <= losses[0].keys()
    assert [row["step"] for row in rows(tmp_path, "alice/nlp/bert", "eval")] == [2, 4]
    run = ml_dash.open("alice/nlp/bert", tmp_path / ".dash")
    params = run.params.get()
    assert params["hidden_size"] == 16
    assert params["model/num_parameters"] > 1000
    assert params["summary.train_loss"] > 0
    for kind in ("gradients", "parameters"):
        watched = rows(tmp_path, "alice/nlp/bert", kind)[0]["classifier.weight"]
        assert sum(json.loads(run.files(watched["file"]).read_text())["counts"]) == 32
    assert run.files("artifacts/model-bert/model.safetensors", alias="v1").exists()
    assert status(tmp_path, "alice/nlp/bert") == "COMPLETED"
    assert rows(tmp_path, "alice/runs/bert", "train")[0].keys() == {"step", "loss"}
    assert len(rows(tmp_path, "alice/runs/bert", "eval")) > 2


def test_lightnings_logger_of_wandb_logs_to_an_experiment(tmp_path: Path) -> None:
    needs("lightning")
    script = """
from lightning.pytorch.loggers import WandbLogger
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

class Model(BoringModel):
    def training_step(self, batch, index):
        loss = super().training_step(batch, index)["loss"]
        self.log("train/loss", loss)
        return loss

logger = WandbLogger(name="first", project="vision", log_model=True)
logger.log_image("val/sample", [torch.zeros(3, 4, 4)], caption=["black"])
Trainer(
    max_epochs=1, limit_train_batches=3, limit_val_batches=1, log_every_n_steps=1, accelerator="cpu",
    logger=logger, enable_progress_bar=False, enable_model_summary=False,
).fit(Model())
"""
    train(snippet("Doors for closed lists") + script, tmp_path, WANDB_ENTITY="alice")
    assert [row["step"] for row in rows(tmp_path, "alice/vision/first", "train")] == [0, 1, 2]
    run = ml_dash.open("alice/vision/first", tmp_path / ".dash")
    (sample,) = rows(tmp_path, "alice/vision/first", "val")
    assert sample["sample"]["caption"] == "black"
    assert run.files(sample["sample"]["file"]).exists()
    assert run.files("artifacts/model-first/model.ckpt", alias="v0").exists()


def test_accelerates_tracker_of_wandb_logs_to_an_experiment(tmp_path: Path) -> None:
    needs("accelerate")
    script = """
from accelerate import Accelerator

accelerator = Accelerator(log_with="wandb", cpu=True)
accelerator.init_trackers("vision", config={"lr": 0.1}, init_kwargs={"wandb": {"name": "first"}})
for step in range(3):
    accelerator.log({"train/loss": 0.5}, step=step)
accelerator.end_training()
"""
    train(snippet("Doors for closed lists") + script, tmp_path, WANDB_ENTITY="alice")
    assert [row["step"] for row in rows(tmp_path, "alice/vision/first", "train")] == [0, 1, 2]
    assert ml_dash.open("alice/vision/first", tmp_path / ".dash").params.get() == {"lr": 0.1}


def test_workers_of_a_data_loader_with_capture_on(tmp_path: Path) -> None:
    """They are forked while the run's surroundings are read, print, and end without a word of ours."""
    needs("torch")
    script = """
import torch
from ml_dash import Experiment

class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 32

    def __getitem__(self, index):
        print("loaded", index, flush=True)
        return torch.ones(2) * index

for console in (True, "native"):
    with Experiment("alice/vision/loaded", capture={"console": console}, echo=False).run as exp:
        for batch in torch.utils.data.DataLoader(Data(), batch_size=4, num_workers=2):
            exp.metrics("train").log(mean=batch.mean())
"""
    train(script, tmp_path, ML_DASH_CAPTURE="1")
    assert [row["mean"] for row in rows(tmp_path, "alice/vision/loaded", "train")] == [
        1.5 + 4 * batch for batch in range(8)
    ] * 2
    run = ml_dash.open("alice/vision/loaded", tmp_path / ".dash")
    assert [attempt["status"] for attempt in run.view.attempts()] == ["COMPLETED"] * 2
    assert len([row for row in run.logs.console()["data"] if row["text"].startswith("loaded")]) == 32
    assert run.environment["packages"]["torch"]
