"""Importing what was exported from wandb's pages and by its API."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ml_dash import Experiment, InvalidArgumentError
from ml_dash.importers.importing import import_runs
from ml_dash.importers.report import RunReport
from ml_dash.importers.wandb.exports import exports_or_runs
from tests.support.public_trees import metric, problems


@pytest.fixture(autouse=True)
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_USER", "zoe")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "vision").mkdir()
    return tmp_path / "vision"


def bring_in(path: Path) -> list[RunReport]:
    return list(import_runs(exports_or_runs(str(path)), str(path.parents[1] / "root")))


def test_a_history_becomes_rows_at_its_steps(place: Path) -> None:
    """As a data frame writes it, or `scan_history` gives it; more of it is added."""
    csv = place / "run.csv"
    csv.write_text(
        ",_step,_timestamp,_runtime,train/loss,val/acc\n0,0,1700000000.5,1.0,0.5,\n1,1.0,1700000001.5,2,,0.75\n2,x,1,,,1\n"
    )
    (report,) = bring_in(csv)
    root = place.parent / "root"
    assert report.prefix == "zoe/vision/run"
    assert metric(root, "train", "zoe/vision/run") == [{"step": 0, "loss": 0.5, "_ts": 1_700_000_000.5}]
    assert metric(root, "val", "zoe/vision/run") == [{"step": 1, "acc": 0.75, "_ts": 1_700_000_001.5}]
    assert "its '_step' is no number" in problems([report])
    csv.write_text(csv.read_text() + "3,2,1700000003,3,0.25,\n")
    assert bring_in(csv)[0].rows == 1
    rows = [{"_step": step, "_timestamp": 1_700_000_000 + step, "loss": step / 2} for step in range(40)]
    (place / "list.json").write_text(json.dumps([*rows, 7]))
    (place / "lines.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (place / "frame.json").write_text(
        json.dumps({name: {str(i): row[name] for i, row in enumerate(rows)} for name in rows[0]})
    )
    for name in ("list.json", "lines.jsonl", "frame.json"):
        (report,) = bring_in(place / name)
        prefix = f"zoe/vision/{name.partition('.')[0]}"
        assert [row["loss"] for row in metric(root, None, prefix)] == [step / 2 for step in range(40)]
        assert ("it is no object" in problems([report])) == (name == "list.json")
        assert not bring_in(place / name)[0].has_news


def test_a_chart_has_a_run_for_each_line(place: Path) -> None:
    """Without the bounds that the page drew around them."""
    (place / "chart.csv").write_text(
        '"Step","a - train/loss","a - train/loss__MIN","a - train/loss__MAX","b - x - train/loss"\n'
        '"0","0.5","0.4","0.6",""\n"1","0.25","0.2","0.3","0.75"\n'
    )
    first, second = bring_in(place / "chart.csv")
    assert (first.prefix, first.rows, second.prefix, second.rows) == (
        "zoe/vision/a",
        2,
        "zoe/vision/b - x",
        1,
    )
    rows = metric(place.parent / "root", "train", "zoe/vision/a")
    assert [(row["step"], row["loss"]) for row in rows] == [(0, 0.5), (1, 0.25)]


def test_a_table_of_runs_has_parameters_and_how_they_ended(place: Path) -> None:
    """Two runs of one name are two by their ids."""
    (place / "runs.csv").write_text(
        '"Name","State","Notes","User","Tags","Created","ID","lr","loss"\n'
        '"a","finished","fine","zoe","x, y","2026-01-01T00:00:00.000Z","id1","0.1","0.5"\n'
        '"a","crashed","-","zoe","","2026-01-02T00:00:00.000Z","id2","0.2",""\n'
    )
    reports = bring_in(place / "runs.csv")
    assert [report.prefix for report in reports] == ["zoe/vision/a", "zoe/vision/a-id2"]
    first, second = (Experiment(str(report.prefix), dash_root=place.parent / "root") for report in reports)
    assert (first.params.get(), first.tags, first.readme) == ({"lr": 0.1, "loss": 0.5}, ["x", "y"], "fine")
    assert (first.status().status, second.status().status) == ("COMPLETED", "FAILED")
    assert not any(report.has_news for report in bring_in(place / "runs.csv"))


def test_what_is_none_is_told(place: Path) -> None:
    (place / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidArgumentError, match="`ml-dash import csv` takes any table"):
        bring_in(place / "other.csv")
    (place / "other.json").write_text("{")
    assert "it is no JSON" in problems(bring_in(place / "other.json"))
