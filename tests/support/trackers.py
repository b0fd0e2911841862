"""Scripts that log with the real trackers, and what these read back of it.

Each writes below the directory that it is given, and prints what its tracker reads back: runs by their names, with
``params``, and ``metrics`` of ``[step, value]`` by their names. They run in the environments that `make bench-setup`
makes below ``.bench``; what they once wrote lies in ``tests/importers/data``, for machines without these.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from tests.support.project import PROJECT

SECONDS = 110
"""That a script may take: MLflow imports for ten, and makes a database for ten more."""
ENVIRONMENTS = PROJECT / ".bench"
DATA = PROJECT / "tests" / "importers" / "data"

WANDB = """
import json, os, sys
os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_DIR=sys.argv[1],
                  WANDB_DATA_DIR=sys.argv[1] + "/data", WANDB_CACHE_DIR=sys.argv[1] + "/cache",
                  WANDB_CONFIG_DIR=sys.argv[1] + "/config")
import wandb
settings = wandb.Settings(x_disable_stats=True, x_disable_meta=True, disable_git=True, host="node1")
config = {"lr": 0.1, "model": {"layers": [1, 2], "name": "r"}, "none": None}
run = wandb.init(entity="zoe", project="vision", name="first", group="sweep", notes="A *try*", tags=["a", "b"],
                 job_type="train", config=config, settings=settings)
run.config.update({"late": True})
seen = {}
def log(values):
    for name, value in values.items():
        if isinstance(value, (int, float)):
            seen.setdefault(name, []).append([run.step, value])
    run.log(values)
for step in range(60):
    log({"train/loss": 1 / (step + 1), "train/acc": step, "epoch": step // 10, "lr": 1e-3})
    if step % 20 == 0:
        log({"val/loss": 2 / (step + 1), "val/hist": wandb.Histogram(np_histogram=([1, 2, 3], [0.0, 1.0, 2.0, 3.0]))})
    print("step", step)
log({"odd": float("nan"), "inf": float("inf"), "big": 2**60, "flag": True, "words": "hello",
     "nested": {"a": 1, "b": {"c": 2.5}}, "list": [1, 2]})
log({"table": wandb.Table(columns=["p", "q"], data=[["a", 1], ["b", 2.5]]), "page": wandb.Html("<b>x</b>")})
run.summary["best"] = 0.9
run.alert("trouble", "loss is high", level="ERROR")
print("no line end", end="")
run.finish(exit_code=3)
flat = {"lr": 0.1, "model.layers": [1, 2], "model.name": "r", "none": None, "late": True, "summary.best": 0.9}
print()
print(json.dumps({"zoe/vision/sweep/first": {"params": flat, "metrics": seen}}))
"""

TRACKIO = """
import json, os, sys
os.environ.update(TRACKIO_DIR=sys.argv[1], HF_HUB_OFFLINE="1")
import numpy as np, trackio
from trackio.sqlite_storage import SQLiteStorage
import io, contextlib
with contextlib.redirect_stdout(io.StringIO()):
    trackio.init(project="vision", name="first", config={"lr": 0.1, "model": {"l": [1, 2]}, "most": float("inf")},
                 group="g")
    for step in range(60):
        trackio.log({"train/loss": 1 / (step + 1), "acc": step})
    trackio.log({"odd": float("nan"), "words": "hello", "h": trackio.Histogram(np.arange(10.0))})
    trackio.alert("trouble", "loss is high", level=trackio.AlertLevel.ERROR)
    trackio.finish()
    trackio.init(project="vision", name="second")
    trackio.log({"train/loss": 5.0})
    trackio.finish()
found = {}
for run in ("first", "second"):
    config = SQLiteStorage.get_run_config("vision", run) or {}
    metrics = {}
    for row in SQLiteStorage.get_logs("vision", run):
        for name, value in row.items():
            if name not in ("timestamp", "step") and isinstance(value, (int, float)):
                metrics.setdefault(name, []).append([row["step"], value])
    params = {k: v for k, v in config.items() if not k.startswith("_")}
    found["zoe/vision/" + run] = {"params": params, "metrics": metrics}
found["zoe/vision/first"]["params"] = {"lr": 0.1, "model.l": [1, 2], "most": float("inf")}
print(json.dumps(found))
"""

MLFLOW = """
import json, os, sys
os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_ALLOW_FILE_STORE="true", LOGNAME="zoe", USER="zoe")
os.makedirs(sys.argv[1], exist_ok=True)
os.chdir(sys.argv[1])
import mlflow
uri = {"sql": "sqlite:///mlflow.db", "files": "mlruns"}.get(sys.argv[2], sys.argv[2])
mlflow.set_tracking_uri(uri)
mlflow.set_experiment("vision")
with open("note.txt", "w") as file:
    file.write("an artifact")
with mlflow.start_run(run_name="first", description="A *try*") as first:
    mlflow.log_params({"lr": 0.1, "n": 3, "flag": True, "name": "it's: x", "none": None, "zeros": "007"})
    for step in range(40):
        mlflow.log_metrics({"train/loss": 1 / (step + 1), "acc": step}, step=step)
    mlflow.log_metric("odd", float("nan"), step=1)
    mlflow.log_metric("odd", float("inf"), step=2)
    mlflow.log_metric("late", 5.0, step=-3)
    mlflow.set_tag("team", "blue")
    mlflow.log_artifact("note.txt", "notes")
with mlflow.start_run(run_name="second") as second:
    mlflow.log_metric("a", 1.0)
with mlflow.start_run(run_name="gone") as gone:
    mlflow.log_metric("a", 1.0)
mlflow.delete_run(gone.info.run_id)
os.remove("note.txt")
client = mlflow.MlflowClient()
found = {}
for run in (first, second):
    told = client.get_run(run.info.run_id)
    history = {key: client.get_metric_history(run.info.run_id, key) for key in told.data.metrics}
    metrics = {key: [[each.step, each.value] for each in values] for key, values in history.items()}
    found["zoe/vision/" + told.info.run_name] = {"params": dict(told.data.params), "metrics": metrics}
print(json.dumps(found))
"""


def interpreter(name: str) -> Path:
    """The Python of a tracker's environment; the test is skipped where there is none."""
    python = ENVIRONMENTS / name / "bin" / "python"
    if not python.exists():
        pytest.skip(f"there is no environment with {name}: make bench-setup")
    return python


def made(name: str, script: str, directory: Path, *arguments: str) -> dict[str, Any]:
    """Run a script, and return what its tracker reads back."""
    directory.mkdir(parents=True, exist_ok=True)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    finished = subprocess.run(
        [interpreter(name), "-c", script, str(directory), *arguments],
        capture_output=True,
        text=True,
        cwd=directory,
        env={**clean, "HOME": str(directory)},
        timeout=SECONDS,
        check=False,
    )
    assert finished.returncode in (0, 3), finished.stderr
    read: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return read


def same(one: Any, other: Any) -> bool:
    """Whether values are equal, NaN to itself; whole floats and ints are, for a tracker may store one as the other."""
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other)


def points(root: Path, prefix: str, name: str) -> list[list[Any]]:
    """The steps and values of a name, as its tracker calls it, in what was imported."""
    from ml_dash.sdk.series_port import split_name

    metric, field = split_name(name)
    rows = Experiment(prefix, dash_root=root).metrics(metric).read(limit=100_000)["data"]
    return [[row["data"].get("step"), row["data"][field]] for row in rows if field in row["data"]]


def check(root: Path, read: dict[str, Any]) -> None:
    """Compare what was imported with what the tracker reads back, value by value."""
    for prefix, run in read.items():
        for name, values in run["metrics"].items():
            # in one order: a database gives values of one millisecond as it likes
            found = sorted(map(_floats, points(root, prefix, name)), key=repr)
            told = sorted(map(_floats, values), key=repr)
            assert len(found) == len(told), (prefix, name)
            assert [pair for pair in zip(found, told, strict=True) if not all(map(same, *pair))] == []


def _floats(point: list[Any]) -> list[Any]:
    """A step and a value, both as floats where they are numbers."""
    return [float(each) if isinstance(each, (int, float)) else each for each in point]


def kept(name: str, directory: Path) -> tuple[Path, dict[str, Any]]:
    """A copy of what a tracker once wrote, and what it read back of it."""
    place = directory / name
    shutil.copytree(DATA / name, place)
    for packed in place.glob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    read = place / "read.json"
    found: dict[str, Any] = json.loads(read.read_text(encoding="utf-8"))
    read.unlink()
    return place, found
