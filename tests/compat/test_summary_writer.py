"""`SummaryWriter`, by the calls that scripts written for torch's and tensorboardX's make."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ml_dash
from ml_dash.compat import SummaryWriter, tensorboard

PREFIX = "alice/runs/first"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ML_DASH_ECHO", "0")
    monkeypatch.setenv("ML_DASH_USER", "alice")
    monkeypatch.setattr(tensorboard, "_SAID", set())


def rows(metric: str | None, **which: Any) -> list[dict[str, Any]]:
    read = ml_dash.open(PREFIX).metrics(metric).read(**which)
    return [{name: value for name, value in row["data"].items() if name != "_ts"} for row in read["data"]]


def status() -> str:
    return str(ml_dash.open(PREFIX).view.attempts()[-1]["status"])


def test_a_script_written_for_tensorboard_logs_an_experiment() -> None:
    with SummaryWriter("runs/first") as writer:
        writer.add_scalar("train/loss", np.float32(0.5), 1)
        writer.add_scalar("lr", 0.1, global_step=1, walltime=1e9)
        writer.add_scalars("acc", {"train": 0.5, "val": 0.25}, 1)
        writer.add_text("note", "a text", 1)
        writer.add_hparams({"lr": 0.1}, {"hparam/acc": 0.9})
        writer.add_histogram("weights", np.array([0.0, 1.0]), 1, bins=2)
        writer.add_histogram_raw("raw", 0, 2, 3, 3, 5, [1, 2], [1, 2], 1)
        writer.flush()
    assert rows("train") == [{"step": 1, "loss": 0.5}]
    assert rows("acc") == [{"step": 1, "train": 0.5, "val": 0.25}]
    assert rows("hparam") == [{"acc": 0.9}]
    rate, note, weights, raw = ml_dash.open(PREFIX).metrics(None).read()["data"]
    files = ml_dash.open(PREFIX).files
    assert (rate["data"]["lr"], rate["data"]["_ts"]) == (0.1, 1e9)
    assert note["data"]["note"] == "a text"
    assert json.loads(files(weights["data"]["weights"]["file"]).read_text())["counts"] == [1, 1]
    assert json.loads(files(raw["data"]["raw"]["file"]).read_text())["edges"] == [0, 1, 2]
    read = ml_dash.open(PREFIX)
    assert read.params.get() == {"lr": 0.1}
    assert status() == "COMPLETED"


def test_pictures_and_sounds_are_values_of_rows() -> None:
    from matplotlib.figure import Figure

    with SummaryWriter("runs/first") as writer:
        writer.add_image("a", np.zeros((3, 4, 5)), 1)
        writer.add_image("b", np.zeros((4, 5)), 1, dataformats="HW")
        writer.add_images("c", np.zeros((2, 3, 4, 5)), 1)
        writer.add_image_with_boxes("d", np.zeros((3, 4, 5)), np.array([[0, 0, 1, 1]]), 1, labels=["x"])
        writer.add_figure("e", Figure(), 1)
        writer.add_audio("f", np.zeros((1, 100)), 1, sample_rate=100)
        writer.add_video("g", np.zeros((1, 4, 3, 16, 16), np.uint8), 1)
    found = {name: value for row in rows(None) for name, value in row.items() if name != "step"}
    assert list(found) == ["a", "b", "c.0", "c.1", "d", "e", "f", "g"]
    files = ml_dash.open(PREFIX).files
    assert [name for name, value in found.items() if not files(value["file"]).exists()] == []
    assert (found["a"]["width"], found["a"]["height"]) == (5, 4)
    assert found["d"]["boxes"] == [{"box": [0, 0, 1, 1], "label": "x"}]
    assert found["f"]["seconds"] == 1


def test_a_writer_with_a_purge_step_goes_on_there() -> None:
    for purge_step in (None, 2):
        with SummaryWriter("runs/first", purge_step=purge_step) as writer:
            for step in range(purge_step or 0, 4):
                writer.add_scalar("loss", step, step)
    assert [row["step"] for row in rows(None)] == [0, 1, 2, 3]
    assert [row["step"] for row in rows(None, attempt=1)] == [0, 1, 2, 3]


def test_a_block_that_dies_has_failed() -> None:
    with pytest.raises(ZeroDivisionError), SummaryWriter("runs/first"):
        raise ZeroDivisionError
    assert status() == "FAILED"


@pytest.mark.parametrize(
    ("log_dir", "prefix"),
    [
        ("runs/first", "alice/runs/first"),
        ("first", "alice/runs/first"),
        ("./a/b/c", "alice/a/b/c"),
        ("/tmp/long/way/out", "alice/way/out"),
        ("../up", "alice/runs/up"),
        ("odd/{n}", "alice/odd/(n)"),
    ],
)
def test_an_experiment_is_called_after_the_directory(log_dir: str, prefix: str) -> None:
    with SummaryWriter(log_dir) as writer:
        assert writer.experiment.prefix == prefix
        assert writer.get_logdir() == log_dir


def test_a_writer_may_log_to_an_experiment_of_the_scripts(exp: ml_dash.Experiment) -> None:
    with SummaryWriter(experiment=exp) as writer:
        writer.add_scalar("loss", 0.5, 1)
    assert exp.run.is_open
    assert exp.metrics.read()["total"] == 1


@pytest.mark.parametrize("name", ["add_embedding", "add_pr_curve", "add_mesh", "add_custom_scalars"])
def test_what_has_no_place_is_told_once(name: str) -> None:
    with SummaryWriter("runs/first") as writer:
        call = getattr(writer, name)
        with pytest.warns(UserWarning, match=rf"{name}\(\)"):
            call(1, 2, 3)
        call(1, 2, 3)


def test_it_takes_what_tensorboardx_takes() -> None:
    """The names of arguments that scripts give by name."""
    parameters = inspect.signature(SummaryWriter).parameters
    assert list(parameters)[:6] == [
        "log_dir",
        "comment",
        "purge_step",
        "max_queue",
        "flush_secs",
        "filename_suffix",
    ]
    with SummaryWriter(logdir="runs/first", write_to_disk=True) as writer:
        assert writer.experiment.prefix == PREFIX
