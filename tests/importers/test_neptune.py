"""Importing what neptune-exporter writes, by the schema that its README documents."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_dash import Experiment, InvalidArgumentError
from ml_dash.importers.importing import import_runs
from ml_dash.importers.neptune import Neptune
from ml_dash.importers.report import RunReport
from tests.support.public_trees import bytes_below, metric, problems

MOMENT = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
SCHEMA = pa.schema(
    [
        ("project_id", pa.string()), ("run_id", pa.string()), ("attribute_path", pa.string()),
        ("attribute_type", pa.string()), ("step", pa.decimal128(18, 6)), ("timestamp", pa.timestamp("ms", "UTC")),
        ("int_value", pa.int64()), ("float_value", pa.float64()), ("string_value", pa.string()),
        ("bool_value", pa.bool_()), ("datetime_value", pa.timestamp("ms", "UTC")),
        ("string_set_value", pa.list_(pa.string())), ("file_value", pa.struct([("path", pa.string())])),
        ("histogram_value", pa.struct([("type", pa.string()), ("edges", pa.list_(pa.float64())),
                                       ("values", pa.list_(pa.float64()))])),
    ]
)  # fmt: skip
RUN = "team/vision/RUN-1"


def row(path: str, kind: str, value: Any, step: str | None = None, run: str = "RUN-1") -> dict[str, Any]:
    column = {"float_series": "float_value", "string_series": "string_value", "file_series": "file_value",
              "histogram_series": "histogram_value"}.get(kind, f"{kind}_value")  # fmt: skip
    return {
        "project_id": "team/vision",
        "run_id": run,
        "attribute_path": path,
        "attribute_type": kind,
        "step": None if step is None else Decimal(step),
        "timestamp": None if step is None else MOMENT,
        column: value,
    }


@pytest.fixture
def place(tmp_path: Path) -> Path:
    data = tmp_path / "exports" / "data" / "team_vision_1a2b"
    files = tmp_path / "exports" / "files" / "team_vision_1a2b" / "RUN-1"
    data.mkdir(parents=True)
    files.mkdir(parents=True)
    (files / "model.bin").write_bytes(b"weights")
    (files / "img_1.png").write_bytes(b"\x89PNG")
    first = [
        row("sys/creation_time", "datetime", MOMENT),
        row("sys/tags", "string_set", ["b", "a"]),
        row("sys/description", "string", "A *try*"),
        row("sys/failed", "bool", True),
        row("params/lr", "float", 0.1),
        row("params/n", "int", 3),
        row("params/on", "bool", False),
        row("model", "file", {"path": "RUN-1/model.bin"}),
        *(row("train/loss", "float_series", 1 / (step + 1), f"{step}") for step in range(40)),
        *(row("loss", "float_series", float("nan"), f"{step}.5") for step in range(3)),
    ]
    second = [
        row("notes", "string_series", "hello", "1"),
        row("monitoring/1/stdout", "string_series", "epoch 1\n", "1"),
        row("val/hist", "histogram_series", {"type": "COUNTING", "edges": [0, 1, 2], "values": [3, 4]}, "1"),
        row("val/img", "file_series", {"path": "RUN-1/img_1.png"}, "1"),
        row("val/gone", "file_series", {"path": "RUN-1/img_2.png"}, "1"),
        row("strange", "tensor_series", None, "1"),
        row("train/loss", "float_series", None, "41"),
        row("train/loss", "float_series", 7.0, "0", "RUN-2"),
    ]
    for part, rows in enumerate((first, second)):
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), data / f"RUN-1_part_{part}.parquet")
    return tmp_path / "exports"


def bring_in(path: Path, root: Path) -> list[RunReport]:
    return list(import_runs(Neptune(str(path)), str(root)))


def test_all_that_was_exported_is_here(place: Path, tmp_path: Path) -> None:
    """Value by value, with steps that are no whole numbers; a second time adds nothing."""
    before, root = bytes_below(place), tmp_path / "root"
    first, second = bring_in(place, root)
    assert (first.prefix, second.prefix, second.rows) == (RUN, "team/vision/RUN-2", 1)
    exp = Experiment(RUN, dash_root=root)
    assert exp.params.get() == {"params.lr": 0.1, "params.n": 3, "params.on": False}
    assert (exp.readme, exp.tags, exp.status().status) == ("A *try*", ["a", "b"], "FAILED")
    train = metric(root, "train", RUN)
    assert [(each["step"], each["loss"]) for each in train] == [(step, 1 / (step + 1)) for step in range(40)]
    assert train[0]["_ts"] == MOMENT.timestamp()
    assert [each["step"] for each in metric(root, None, RUN) if "loss" in each] == [0.5, 1.5, 2.5]
    (val,) = [each for each in metric(root, "val", RUN) if "hist" in each]
    assert json.loads(exp.files(val["hist"]["file"]).read_bytes())["counts"] == [3, 4]
    assert exp.files("model").read_bytes() == b"weights"
    assert exp.logs.console()["data"][0]["text"] == "epoch 1"
    assert [each["notes"] for each in metric(root, None, RUN) if "notes" in each] == ["hello"]
    told = problems([first])
    for words in (
        "there is no file 'RUN-1/img_2.png'",
        "of the type 'tensor_series'",
        "have no step, time, number",
    ):
        assert words in told
    assert not any(report.has_news for report in bring_in(place / "data", root))
    assert bytes_below(place) == before


def test_a_file_that_is_broken_or_replaced_is_named(place: Path, tmp_path: Path) -> None:
    """And the others are imported."""
    root = tmp_path / "root"
    bring_in(place, root)
    part = next(place.rglob("*part_1.parquet"))
    part.write_bytes(part.read_bytes()[:-100])
    reports = bring_in(place, root)
    assert "cannot be read as parquet" in str(reports[-1].refused)
    pq.write_table(pa.Table.from_pylist([row("a", "float_series", 1.0, "0")], schema=SCHEMA), part)
    assert "written anew" in problems(bring_in(place, root))
    with pytest.raises(InvalidArgumentError, match="that neptune-exporter has written"):
        bring_in(tmp_path / "nothing", root)
