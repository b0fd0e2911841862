"""Names, parameters and pictures of frameworks, as they are logged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ml_dash import Experiment, InvalidArgumentError
from ml_dash.integrations.tracked import (
    Tracked,
    image_of,
    log_values,
    save_directory,
    set_params,
)
from ml_dash.sdk.series_port import split_name


@pytest.mark.parametrize(
    ("name", "metric", "field"),
    [
        ("train/loss", "train", "loss"),
        ("loss", None, "loss"),
        ("a/b/c", "a/b", "c"),
        ("step", "step", "value"),
        ("train/step", "train/step", "value"),
        ("train/", "train", "value"),
        ("/loss", None, "loss"),
    ],
)
def test_names_are_taken_apart_at_their_last_slash(name: str, metric: str | None, field: str) -> None:
    assert split_name(name) == (metric, field)


def test_values_of_one_metric_are_one_row(exp: Experiment) -> None:
    log_values(exp, {"train/loss": 0.5, "train/acc": 0.8, "lr": 0.1}, 3, epoch=1)
    (row,) = exp.metrics("train").read()["data"]
    assert {**row["data"], "_ts": 0} == {"step": 3, "epoch": 1, "loss": 0.5, "acc": 0.8, "_ts": 0}
    assert exp.metrics.read()["data"][0]["data"]["lr"] == 0.1


def test_parameters_that_cannot_be_stored_are_texts(exp: Experiment) -> None:
    with pytest.warns(UserWarning, match=r"parameters model\.dtype have values that cannot be stored"):
        set_params(exp, {"lr": 0.1, "model": {"dtype": b"float32", "size": 3}})
    assert exp.params.get() == {"lr": 0.1, "model.dtype": "b'float32'", "model.size": 3}


def test_a_run_of_the_scripts_is_not_ended(exp: Experiment) -> None:
    tracked = Tracked(exp)
    tracked.start()
    for end in (tracked.complete, tracked.cancel, tracked.fail, tracked.renew):
        end()
    assert exp.run.is_open


def test_a_run_of_the_adapters_is(root: str) -> None:
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    tracked = Tracked(exp)
    assert tracked.start() is exp
    tracked.fail("out of memory")
    assert exp.run.status == "FAILED"


def test_the_files_of_a_directory_keep_their_places(exp: Experiment, tmp_path: Any) -> None:
    (tmp_path / "checkpoint" / "deep").mkdir(parents=True)
    for name in ("a.txt", "deep/b.txt"):
        (tmp_path / "checkpoint" / name).write_text(name)
    save_directory(exp, tmp_path / "checkpoint", "checkpoints/1", metadata={"step": 1})
    assert [(row["path"], row["filename"], row["metadata"]) for row in exp.files("checkpoints").list()] == [
        ("/checkpoints/1", "a.txt", {"step": 1}),
        ("/checkpoints/1/deep", "b.txt", {"step": 1}),
    ]


def test_axes_of_images_are_put_in_order() -> None:
    assert image_of(np.zeros((3, 4, 5)), "CHW").shape == (4, 5, 3)
    assert image_of(np.zeros((4, 5)), "HW").shape == (4, 5)
    with pytest.raises(InvalidArgumentError, match="has not the axes 'CHW'"):
        image_of(np.zeros((4, 5)), "CHW")
