"""Importing files of rows: CSV and JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment, InvalidArgumentError
from ml_dash.importers.importing import import_runs
from ml_dash.importers.report import RunReport
from ml_dash.importers.tables import Shape, Tables
from tests.support.public_trees import metric, problems

PREFIX = "zoe/results/run"


@pytest.fixture(autouse=True)
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_USER", "zoe")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    return tmp_path / "results" / "run.csv"


def bring_in(path: Path, kind: str = "csv", **shape: Any) -> list[RunReport]:
    return list(import_runs(Tables(kind, str(path), Shape(**shape)), str(path.parents[1] / "imported")))


def rows(path: Path, name: str | None = None) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if key != "_ts"}
        for row in metric(path.parents[1] / "imported", name, PREFIX)
    ]


def test_cells_are_numbers_where_they_are_and_texts_else(path: Path) -> None:
    """An empty cell is a field that the row lacks; a number of a file keeps its zeros."""
    path.write_text(
        '﻿step,loss,note,ok\n0,0.5,"a, ""b""\nc",true\n1,nan,,False\n2,1e-3,007,\n3,-inf,1_000,9e999\n',
        "utf-8",
    )
    (report,) = bring_in(path)
    assert (report.prefix, report.rows, problems([report])) == (PREFIX, 4, "")
    first, second, *rest = rows(path)
    assert first == {"step": 0, "loss": 0.5, "note": 'a, "b"\nc', "ok": True}
    assert (second["step"], repr(second["loss"]), second["ok"], "note" in second) == (1, "nan", False, False)
    assert rest == [
        {"step": 2, "loss": 0.001, "note": "007"},
        {"step": 3, "loss": float("-inf"), "note": "1_000", "ok": "9e999"},
    ]


def test_columns_and_times_are_chosen(path: Path) -> None:
    path.write_text("t,a,b\n1700000000.5,1,2\n1700000001,3,4\nsoon,5,6\n1700000002,,7\n")
    (report,) = bring_in(path, metric="train", columns=["a"], time="t")
    found = metric(path.parents[1] / "imported", "train", PREFIX)
    assert found == [{"a": 1, "_ts": 1_700_000_000.5}, {"a": 3, "_ts": 1_700_000_001.0}]
    assert "record 3: its 't' is no time" in problems([report])
    assert "record 4: it has none of the columns" in problems([report])


def test_a_file_that_grows_is_gone_on_with(path: Path) -> None:
    """A last line that has no end may be half a number: it is told, and read when it is whole."""
    path.write_text("step,loss\n0,0.5\n1,0.2")
    assert "the last line has no end" in problems(bring_in(path))
    path.write_text("step,loss\n0,0.5\n1,0.25\n2,3,4\n3,1\n")
    (report,) = bring_in(path)
    assert report.rows == 2
    assert "record 3: it has more cells than there are names (2)" in problems([report])
    assert rows(path) == [{"step": 0, "loss": 0.5}, {"step": 1, "loss": 0.25}, {"step": 3, "loss": 1}]
    assert bring_in(path)[0].rows == 0
    assert "imported with other options" in problems(bring_in(path, columns=["loss"]))
    path.write_text("step,loss\n9,9\n")
    assert "written anew" in problems(bring_in(path))


def test_lines_of_json_keep_their_values(path: Path) -> None:
    """In a directory, each file of the format is a run."""
    (path.parent / "run.jsonl").write_text(
        '{"t": "2026-01-01T00:00:00Z", "a": 1, "b": {"c": [1]}}\n[]\n{"t": null}\n{"t": 5, "a": NaN}\n'
    )
    (path.parent / "other.txt").write_text("")
    (report,) = bring_in(path.parent / "run.jsonl", "jsonl", time="t")
    (first, second) = metric(path.parents[1] / "imported", None, PREFIX)
    assert first == {"a": 1, "b": {"c": [1]}, "_ts": 1_767_225_600.0}
    assert second["_ts"] == 5.0
    assert "line 2: it is not a JSON object" in problems([report])
    assert "line 3: its 't' is no time" in problems([report])
    source = Tables("jsonl", str(path.parent), Shape(time="t"))
    assert [run.prefix for run in source.runs()] == [PREFIX]


def test_without_a_column_of_times_the_file_has_it(path: Path) -> None:
    path.write_text("a\n1\n")
    bring_in(path)
    (row,) = Experiment(PREFIX, dash_root=path.parents[1] / "imported").metrics(None).read()["data"]
    assert abs(row["data"]["_ts"] - path.stat().st_mtime) < 1e-5


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_what_is_not_there_is_told(path: Path, kind: str) -> None:
    for missing, words in ((path, "there is no file"), (path.parent, f"whose name ends with .{kind}")):
        with pytest.raises(InvalidArgumentError, match=words):
            bring_in(missing, kind)
