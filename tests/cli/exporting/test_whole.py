"""`ml-dash export` of whole experiments: tables of parquet, and event files of TensorBoard."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.importers.importing import import_runs
from ml_dash.importers.tensorboard.runs import TensorBoard
from ml_dash.sdk.series_port import split_name
from tests.support.cli_experiments import damage_row, in_frames, make
from tests.support.frameworks import needs, train
from tests.support.shell import invoke


def log(exp: Experiment) -> None:
    exp.params.set(lr=0.1, model={"layers": [1, 2]}, name="a", big=2**60)
    for step in range(300):
        exp.metrics("train").log(step=step, loss=1 / (step + 1), ok=step > 5)
    exp.metrics(None).log(step=7, odd=math.nan, big=2**60, note="hello", nested={"a": {"b": 1}}, list=[1, 2])
    exp.metrics("val").log(
        step=7,
        img=ml_dash.Image(np.zeros((4, 6, 3), np.uint8)),
        hist=ml_dash.Histogram(counts=[1, 2], edges=[0, 1, 3]),
        sound=ml_dash.Audio(np.zeros(100), sample_rate=1000),
    )
    exp.log("begins", level="warn", epoch=3)
    exp.tracks("pose").append(_ts=5.5, x=1, q=[1.0])
    exp.files("notes").save_text("text", to="a.txt", tags=["x"])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "dash"
    make(root, "zoe/vision/first", log, readme="A try", tags=["sweep"], metadata={"k": 1})
    make(root, "zoe/vision/second", lambda exp: exp.metrics("train").log(step=0, loss=2.0))
    make(root, "zoe/nlp/third", lambda exp: exp.log("hello"))
    return root


def tables(directory: Path) -> dict[str, list[dict[str, Any]]]:
    return {path.stem: pq.read_table(path).to_pylist() for path in sorted(directory.glob("*.parquet"))}


def test_a_project_becomes_six_tables(root: Path, tmp_path: Path) -> None:
    """With every value, its step and its time; experiments of a pattern or a filter alone."""
    out = tmp_path / "out"
    done = invoke("export", "zoe/vision/*", "--format", "parquet", "-o", out, "--root", root)
    assert (done.code, "2 experiments written to" in done.err) == (0, True)
    found = tables(out)
    assert list(found) == ["experiments", "files", "logs", "params", "points", "tracks"]
    first, second = found["experiments"]
    assert (first["prefix"], first["status"], first["readme"]) == ("zoe/vision/first", "COMPLETED", "A try")
    assert (first["tags"], json.loads(first["metadata"]), second["name"]) == (["sweep"], {"k": 1}, "second")
    exp = Experiment("zoe/vision/first", dash_root=root)
    rows = exp.metrics("train").read(limit=1_000)["data"]
    points = [each for each in found["points"] if each["prefix"] == "zoe/vision/first"]
    loss = [each for each in points if (each["metric"], each["field"]) == ("train", "loss")]
    assert [(each["index"], each["step"], each["value"]) for each in loss] == [
        (row["index"], row["data"]["step"], row["data"]["loss"]) for row in rows
    ]
    assert abs(loss[0]["time"].value / 1e9 - rows[0]["data"]["_ts"]) < 1e-6
    told = {each["field"]: (each["value"], each["text"]) for each in points if each["metric"] is None}
    assert repr(told["odd"]) == "(nan, None)"
    assert (told["big"], told["note"], told["nested.a.b"]) == (
        (2.0**60, str(2**60)),
        (None, "hello"),
        (1.0, None),
    )
    assert told["list"] == (None, "[1, 2]")
    params = {each["name"]: (each["value"], each["text"]) for each in found["params"]}
    assert params == {
        "lr": (0.1, None),
        "model.layers": (None, "[1, 2]"),
        "name": (None, "a"),
        "big": (2.0**60, str(2**60)),
    }
    (message,) = found["logs"]
    assert (message["level"], message["message"], json.loads(message["metadata"])) == (
        "warn",
        "begins",
        {"epoch": 3},
    )
    assert [(each["topic"], each["field"], each["value"]) for each in found["tracks"]] == [
        ("pose", "x", 1.0),
        ("pose", "q", None),
    ]
    assert "notes/a.txt" in [each["name"] for each in found["files"]]
    invoke("export", "--filter", "tag:sweep", "--format", "parquet", "-o", out, "--root", root)
    assert [each["prefix"] for each in tables(out)["experiments"]] == ["zoe/vision/first"]
    assert pq.read_schema(out / "points.parquet").metadata[b"ml_dash_schema"] == b"1"


def test_what_cannot_be_read_is_named_and_the_rest_exported(root: Path, tmp_path: Path) -> None:
    """And wrong command lines are told before anything is written."""
    out = tmp_path / "out"
    damage_row(make(root, "zoe/vision/damaged", in_frames(1, 2, 3)), 2)
    done = invoke("export", "zoe/**", "--format", "parquet", "-o", out, "--root", root)
    assert done.code == 1
    assert len(tables(out)["experiments"]) == 4
    (tmp_path / "file").write_text("")
    for words, *options in (
        ("by -o DIR", "zoe/**", "--format", "parquet"),
        ("by -o DIR", "zoe/**", "--format", "parquet", "-o", tmp_path / "file"),
        ("no experiment is named", "--format", "parquet", "-o", out),
        ("no experiment is named", "--filter", " ", "--format", "parquet", "-o", out),
        ("are exported with --format parquet", "zoe/**", "-o", out),
        ("choose among rows of one", "zoe/**", "--logs", "--format", "parquet", "-o", out),
        ("is meant by that", "nobody/**", "--format", "parquet", "-o", out),
    ):
        done = invoke("export", *options, "--root", root)
        assert (done.code, words in done.err) == (2, True), done.err


def test_event_files_come_back_as_they_were(root: Path, tmp_path: Path) -> None:
    """Scalars to 32 bits, with texts, media, parameters and the end."""
    out = tmp_path / "runs"
    done = invoke("export", "zoe/vision/*", "--format", "tensorboard", "-o", out, "--root", root)
    assert (done.code, "1 values have no place there" in done.out) == (0, True), done
    back = tmp_path / "back"
    reports = list(import_runs(TensorBoard(str(out), "zoe/back"), str(back)))
    first = next(str(each.prefix) for each in reports if str(each.prefix).endswith("first"))
    exp, was = Experiment(first, dash_root=back), Experiment("zoe/vision/first", dash_root=root)
    loss = [row["data"] for row in exp.metrics("train").read(limit=1_000)["data"] if "loss" in row["data"]]
    rows = [row["data"] for row in was.metrics("train").read(limit=1_000)["data"]]
    assert [(row["step"], row["loss"]) for row in loss] == [
        (row["step"], float(np.float32(row["loss"]))) for row in rows
    ]
    assert exp.params.get()["lr"] == 0.1
    assert exp.status().status == "COMPLETED"
    assert {row["message"] for row in exp.logs.read()["data"]} == {"hello", "begins"}
    val = {name: value for row in exp.metrics("val").read()["data"] for name, value in row["data"].items()}
    assert exp.files(val["img"]["file"]).read_bytes()[:4] == b"\x89PNG"
    assert json.loads(exp.files(val["hist"]["file"]).read_bytes())["counts"] == [1.0, 2.0]
    assert val["sound"]["sampleRate"] == 1000


def in_32_bits(exp: Experiment) -> list[tuple[int, float]]:
    rows = [row["data"] for row in exp.metrics("train").read(limit=1_000)["data"]]
    return [(row["step"], float(np.float32(row["loss"]))) for row in rows]


WRITE = """
import sys
from tensorboardX import SummaryWriter
import numpy as np
with SummaryWriter(sys.argv[1]) as writer:
    for step in range(500):
        for tag in ("train/loss", "train/accuracy", "lr"):
            writer.add_scalar(tag, np.sin(step) * len(tag), step, 1_700_000_000.25 + step)
    writer.add_image("val/img", np.zeros((3, 4, 6)), 7)
    writer.add_histogram("val/hist", np.arange(100.0), 7)
    writer.add_text("notes", "hello", 7)
"""
READ = """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
found = EventAccumulator(sys.argv[1], size_guidance=dict.fromkeys(["scalars", "images", "histograms", "tensors"], 0))
found.Reload()
tags = found.Tags()
print(json.dumps({
    "scalars": {tag: [[each.wall_time, each.step, each.value] for each in found.Scalars(tag)]
                for tag in tags["scalars"]},
    "images": {tag: [[each.step, each.width, each.height] for each in found.Images(tag)] for tag in tags["images"]},
    "histograms": {tag: [[each.step, each.histogram_value.num, each.histogram_value.min]
                         for each in found.Histograms(tag)] for tag in tags["histograms"]},
    "tensors": {tag: len(found.Tensors(tag)) for tag in tags["tensors"]},
}))
"""


def read_by_tensorboard(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        train(f"import sys\nsys.argv[1:] = [{str(directory)!r}]\n{READ}", directory)
    )
    return found


@pytest.mark.slow
def test_tensorboard_reads_what_is_exported(root: Path, tmp_path: Path) -> None:
    needs("tensorboard", "tensorboardX")
    out = tmp_path / "runs"
    invoke("export", "zoe/vision/first", "--format", "tensorboard", "-o", out, "--root", root)
    found = read_by_tensorboard(out / "zoe/vision/first")
    loss = [(step, value) for _, step, value in found["scalars"]["train/loss"]]
    assert loss == in_32_bits(Experiment("zoe/vision/first", dash_root=root))
    assert found["images"]["val/img"] == [[7, 6, 4]]
    assert found["histograms"]["val/hist"] == [[7, 3.0, 0.0]]
    assert found["tensors"]["note"] == 1


@pytest.mark.slow
def test_what_tensorboardx_writes_is_imported_as_tensorboard_reads_it(tmp_path: Path) -> None:
    """Times and values to the last bit."""
    needs("tensorboard", "tensorboardX")
    logs = tmp_path / "logs"
    logs.mkdir()
    train(f"import sys\nsys.argv[1:] = [{str(logs)!r}]\n{WRITE}", tmp_path)
    found = read_by_tensorboard(logs)
    (report,) = import_runs(TensorBoard(str(logs), "zoe/p"), str(tmp_path / "root"))
    exp = Experiment(str(report.prefix), dash_root=tmp_path / "root")
    for tag, told in found["scalars"].items():
        metric, field = split_name(tag)
        rows = [row["data"] for row in exp.metrics(metric).read(limit=5_000)["data"]]
        mine = [[row["_ts"], row["step"], row[field]] for row in rows if field in row]
        assert mine == told, tag
    val = {name: value for row in exp.metrics("val").read()["data"] for name, value in row["data"].items()}
    assert [[7, val["img"]["width"], val["img"]["height"]]] == found["images"]["val/img"]
    assert [[7, val["hist"]["num"], val["hist"]["min"]]] == found["histograms"]["val/hist"]
    assert [row["message"] for row in exp.logs.read()["data"]] == ["hello"]
