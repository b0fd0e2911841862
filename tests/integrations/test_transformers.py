"""`DashCallback` of Hugging Face's `Trainer`, with a BERT of one layer."""

from __future__ import annotations

from pathlib import Path

import pytest

import ml_dash
from tests.support.frameworks import TIMEOUT, needs, rows, snippet, status, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT)]

PREFIX = "alice/nlp/bert"
PREPARED = """
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

torch.manual_seed(0)
sizes = dict(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
model = BertForSequenceClassification(BertConfig(**sizes))
data = [{"input_ids": torch.randint(0, 50, (8,)), "labels": index % 2} for index in range(16)]
arguments = TrainingArguments(
    "out", num_train_epochs=2, per_device_train_batch_size=4, logging_steps=1, save_steps=3, eval_strategy="epoch",
    metric_for_best_model="loss", greater_is_better=False, report_to="none", disable_tqdm=True, learning_rate=0.01,
)
class Dies(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 6:
            raise RuntimeError("out of memory")
"""


@pytest.fixture(autouse=True)
def framework() -> None:
    needs("transformers", "accelerate")


def test_a_training_logs_what_the_trainer_says(tmp_path: Path) -> None:
    train(
        PREPARED + snippet("Hugging Face") + "trainer.train()\ntrainer.evaluate(metric_key_prefix='test')\n",
        tmp_path,
    )
    losses = rows(tmp_path, PREFIX, "train")
    assert [row["step"] for row in losses] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert {"loss", "grad_norm", "learning_rate", "epoch"} <= losses[0].keys()
    assert [row["step"] for row in rows(tmp_path, PREFIX, "eval")] == [4, 8]
    assert rows(tmp_path, PREFIX, "test")[0]["loss"] > 0
    assert rows(tmp_path, PREFIX, "summary")[0]["runtime"] > 0
    params = ml_dash.open(PREFIX, tmp_path / ".dash").params.get()
    assert params["learning_rate"] == 0.01
    assert params["model.hidden_size"] == 16
    assert params["model.num_parameters"] > 1000
    assert params["best.metric"] > 0
    assert status(tmp_path, PREFIX) == "COMPLETED"


def test_a_training_that_dies_is_failed_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """Of steps 1 to 6 the checkpoint has 3: what was logged behind it is superseded, and no step is there twice."""
    line = (
        snippet("Hugging Face")
        .replace("callbacks=[", "callbacks=[Dies(), ")
        .replace('bert")', 'bert", checkpoints=True)')
    )
    train(PREPARED + line + "trainer.train()\n", tmp_path, status=1)
    assert status(tmp_path, PREFIX) == "FAILED"
    train(PREPARED + snippet("Hugging Face") + "trainer.train(resume_from_checkpoint=True)\n", tmp_path)
    assert [row["step"] for row in rows(tmp_path, PREFIX, "train")] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [row["step"] for row in rows(tmp_path, PREFIX, "train", attempt=2)] == [4, 5, 6, 7, 8]
    assert status(tmp_path, PREFIX) == "COMPLETED"
    saved = ml_dash.open(PREFIX, tmp_path / ".dash").files("checkpoints").list()
    assert "model.safetensors" in [
        row["filename"] for row in saved if row["path"] == "/checkpoints/checkpoint-3"
    ]
