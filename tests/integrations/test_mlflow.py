"""MLflow's own client, with the store and the artifacts of `mldash://`."""

from __future__ import annotations

from pathlib import Path

import pytest

import ml_dash
from ml_dash.server.runner import EmbeddedServer
from tests.support.frameworks import TIMEOUT, needs, rows, snippet, status, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT)]


@pytest.fixture(autouse=True)
def framework(monkeypatch: pytest.MonkeyPatch) -> None:
    needs("mlflow")
    monkeypatch.setenv("ML_DASH_USER", "alice")


def test_a_script_written_for_mlflow_logs_experiments_and_reads_them_back(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.bin").write_bytes(b"123")
    script = (
        snippet("MLflow")
        + """
import mlflow
from mlflow import MlflowClient

mlflow.set_experiment("vision")
with mlflow.start_run(run_name="first", description="the first", tags={"data": "cifar10"}) as run:
    mlflow.log_params({"lr": 0.1, "size": 3, "deep": True, "name": "resnet", "version": "1.10"})
    for step in range(3):
        mlflow.log_metrics({"train/loss": 1 / (step + 1), "train/acc": 0.5}, step=step)
    mlflow.log_artifacts("model", "models")
    mlflow.log_dict({"a": 1}, "config.json")
    mlflow.set_tag("stage", "late")
client = MlflowClient()
found = client.get_run(run.info.run_id)
assert found.data.params["lr"] == "0.1" and found.data.tags["stage"] == "late", found.data
assert found.data.metrics["train/loss"] == 1 / 3 and found.info.status == "FINISHED", found
assert found.info.run_name == "first" and found.info.end_time >= found.info.start_time > 0
history = client.get_metric_history(run.info.run_id, "train/loss")
assert [(each.step, each.value) for each in history] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
assert [(each.path, each.is_dir) for each in client.list_artifacts(run.info.run_id)] == [
    ("config.json", False), ("models", True)
]
(only,) = client.list_artifacts(run.info.run_id, "models")
assert (only.path, only.file_size) == ("models/a.bin", 3)
path = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="models", dst_path="out")
assert open(path + "/a.bin", "rb").read() == b"123"
assert mlflow.artifacts.load_dict(run.info.artifact_uri.replace("/?", "/config.json?")) == {"a": 1}
with mlflow.start_run(run_name="first"):
    mlflow.log_metric("train/loss", 0.9, synchronous=False).wait()
(best,) = mlflow.search_runs(filter_string="metrics.`train/loss` < 0.5", output_format="list")
assert best.info.run_id == run.info.run_id
assert [each.name for each in client.search_experiments()] == ["vision"]
with mlflow.start_run(run_id=run.info.run_id):
    mlflow.log_metric("train/loss", 0.25, step=3)
try:
    client.delete_run(run.info.run_id)
except mlflow.exceptions.MlflowException as error:
    assert "use the command" in str(error)
"""
    )
    train(script, tmp_path)
    run = ml_dash.open("alice/vision/first", tmp_path / ".dash")
    expected = {"lr": 0.1, "size": 3, "deep": True, "name": "resnet", "version": "1.10"}
    assert run.params.get() == expected
    assert [row["step"] for row in rows(tmp_path, "alice/vision/first", "train")] == [0, 1, 2, 3]
    assert run.readme == "the first"
    assert run.metadata["mlflow"]["data"] == "cifar10"
    assert [row["filename"] for row in run.files("models").list()] == ["a.bin"]
    assert status(tmp_path, "alice/vision/first") == "COMPLETED"
    assert status(tmp_path, "alice/vision/first-1") == "COMPLETED"


def test_a_run_that_dies_has_failed(tmp_path: Path) -> None:
    """Under a name of an experiment that is none of ours, and the one that MLflow begins with."""
    script = (
        snippet("MLflow")
        + """
import mlflow

with mlflow.start_run(run_name="quick"):
    mlflow.log_metric("loss", 1)
mlflow.set_experiment("/Users/me/My Experiment")
with mlflow.start_run(run_name="a/b"):
    mlflow.log_metric("loss", 1)
    raise RuntimeError("out of memory")
"""
    )
    train(script, tmp_path, status=1)
    assert status(tmp_path, "alice/Default/quick") == "COMPLETED"
    assert status(tmp_path, "Users/me/My Experiment/a-b") == "FAILED"


def test_frameworks_that_speak_mlflow_log_to_experiments(tmp_path: Path) -> None:
    """transformers, by the environment alone."""
    needs("transformers", "accelerate")
    script = """
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

sizes = dict(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
model = BertForSequenceClassification(BertConfig(**sizes))
data = [{"input_ids": torch.randint(0, 50, (8,)), "labels": index % 2} for index in range(16)]
arguments = TrainingArguments(
    "out", max_steps=4, per_device_train_batch_size=4, logging_steps=1, disable_tqdm=True,
    report_to="mlflow", run_name="bert",
)
Trainer(model, arguments, train_dataset=data).train()
"""
    train(script, tmp_path, MLFLOW_TRACKING_URI="mldash://", MLFLOW_EXPERIMENT_NAME="nlp")
    losses = [row for row in rows(tmp_path, "alice/nlp/bert", None) if "loss" in row]
    assert [row["step"] for row in losses] == [1, 2, 3, 4]
    assert ml_dash.open("alice/nlp/bert", tmp_path / ".dash").params.get()["hidden_size"] == 16
    assert status(tmp_path, "alice/nlp/bert") == "COMPLETED"


def test_runs_at_a_server_are_read_from_there(tmp_path: Path) -> None:
    """By another process, on another machine: nothing of it is on its disk."""
    with EmbeddedServer(data=tmp_path / "server") as server:
        uri = f"mldash://{server.url.partition('//')[2]}"
        here, there = tmp_path / "here", tmp_path / "there"
        here.mkdir()
        there.mkdir()
        script = """
import mlflow

mlflow.set_experiment("vision")
with mlflow.start_run(run_name="first"):
    mlflow.log_param("lr", 0.1)
    mlflow.log_metric("train/loss", 0.5, step=3)
    mlflow.log_text("hello", "notes/note.txt")
"""
        train(script, here, MLFLOW_TRACKING_URI=uri, ML_DASH_TOKEN=server.admin_token)
        script = """
import mlflow

(run,) = mlflow.search_runs(experiment_names=["vision"], output_format="list")
print(run.info.run_name, run.info.status, run.data.params["lr"], run.data.metrics["train/loss"])
path = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="notes", dst_path="out")
print(open(path + "/note.txt").read())
"""
        printed = train(script, there, MLFLOW_TRACKING_URI=uri, ML_DASH_TOKEN=server.admin_token)
        assert printed.split() == ["first", "FINISHED", "0.1", "0.5", "hello"]
        assert not (there / ".dash").exists()
