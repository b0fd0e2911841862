"""Importing files of rows: CSV and JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment, InvalidArgumentError
from ml_dash.importers.importing import import_runs
from ml_dash.importers.report import RunReport
from ml_dash.importers.shape import Shape
from ml_dash.importers.tables import Tables
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
    (report,) = bring_in(path, metric="train", columns={"a": None}, time="t")
    found = metric(path.parents[1] / "imported", "train", PREFIX)
    assert found == [{"a": 1, "_ts": 1_700_000_000.5}, {"a": 3, "_ts": 1_700_000_001.0}]
    assert "record 3: its 't' is no time" in problems([report])
    assert "record 4: it has none of the columns" in problems([report])


def test_columns_of_one_name_are_told(path: Path) -> None:
    path.write_text("step,loss,loss\n0,0.5,0.25\n")
    (report,) = bring_in(path)
    assert rows(path) == [{"step": 0, "loss": 0.25}]
    assert "line 1: several columns are called 'loss': the last one of each is taken" in problems([report])
    assert problems(bring_in(path)), "what was left out is told again, as a number"


def test_columns_of_one_name_in_parquet_are_told(path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = path.with_suffix(".parquet")
    pq.write_table(pa.table([[0], [0.5], [0.25]], names=["step", "loss", "loss"]), file)
    (report,) = bring_in(file, "parquet")
    assert rows(path) == [{"step": 0, "loss": 0.25}]
    assert "several columns are called 'loss': the last one of each is taken" in problems([report])


def test_text_of_another_encoding_is_no_row_of_names_with_zeros(path: Path) -> None:
    path.write_bytes("step,loss\n0,0.5\n1,0.25\n".encode("utf-16"))
    (report,) = bring_in(path)
    assert report.rows == 0
    assert "it cannot be read (its first line is no text in UTF-8: convert it" in problems([report])


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
    assert "imported with other options" in problems(bring_in(path, columns={"loss": None}))
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


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_what_is_not_there_is_told(path: Path, kind: str) -> None:
    for missing, words in ((path, "there is no file"), (path.parent, f"whose name ends with .{kind}")):
        with pytest.raises(InvalidArgumentError, match=words):
            bring_in(missing, kind)


def test_columns_get_names_and_rows_steps(path: Path) -> None:
    """Of one line a row for each metric that its columns are of; many lines as few."""
    path.write_text("epoch,l,a,note\n" + "".join(f"{n},{n / 4},{n},x\n" for n in range(100)) + "soon,1,1,x\n")
    shape = Shape.of("other", "l=train/loss,a=val/acc,note", None, "epoch")
    (report,) = import_runs(Tables("csv", str(path), shape), str(path.parents[1] / "imported"))
    assert report.rows == 300
    assert rows(path, "train") == [{"step": n, "loss": n / 4} for n in range(100)]
    assert rows(path, "val") == [{"step": n, "acc": n} for n in range(100)]
    assert rows(path, "other")[:1] == [{"step": 0, "note": "x"}]
    assert "its 'epoch' is no number" in problems([report])
    for columns in ("a=", "=b", "a=b\n/c"):
        with pytest.raises(InvalidArgumentError):
            Shape.of(None, columns, None, None)


def test_numbers_of_several_types_stay_what_they_are(path: Path) -> None:
    """However many lines there are, and in whichever order their fields come."""
    values = ["1", "0.5", "true", "-3", "nan", str(2**63), str(2**70)] * 20
    path.write_text("x,y\n" + "".join(f"{value},{n}\n" for n, value in enumerate(values)))
    bring_in(path)
    found = [(row.get("x"), row["y"]) for row in rows(path)]
    assert [y for _, y in found] == list(range(len(values)))
    assert repr([x for x, _ in found][:6]) == repr([1, 0.5, True, -3, float("nan"), 2**63])


def test_parquet_keeps_its_types(path: Path) -> None:
    """Nulls are fields that a row lacks; times may be times; what was replaced or broken is named."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    moments = pa.array([1_700_000_000_000_000_000 + n for n in range(50)], pa.timestamp("ns", "UTC"))
    table = pa.table(
        {
            "t": moments,
            "step": pa.array(range(50), pa.int32()),
            "loss": pa.array([None if n % 2 else n / 4 for n in range(50)]),
            "ok": pa.array([n > 3 for n in range(50)]),
            "deep": pa.array([{"a": [n, 1]} for n in range(50)]),
            "word": pa.array(["x"] * 50).dictionary_encode(),
        }
    )
    file = path.with_suffix(".parquet")
    pq.write_table(table, file, row_group_size=20)
    (report,) = bring_in(file, "parquet", time="t")
    assert (report.rows, problems([report])) == (50, "")
    found = rows(file)
    assert found[2] == {"step": 2, "loss": 0.5, "ok": False, "deep": {"a": [2, 1]}, "word": "x"}
    assert "loss" not in found[3]
    times = [row["_ts"] for row in metric(path.parents[1] / "imported", None, PREFIX)]
    assert times == [moment / 1e9 for moment in range(1_700_000_000_000_000_000, 1_700_000_000_000_000_050)]
    assert not bring_in(file, "parquet", time="t")[0].has_news
    assert "other options" in problems(bring_in(file, "parquet"))
    other = path.with_name("other.parquet")
    pq.write_table(table, other)
    assert "has no column 'none'" in str(bring_in(other, "parquet", time="none")[0].refused)
    pq.write_table(table.slice(0, 10), file)
    assert "written anew" in problems(bring_in(file, "parquet", time="t"))
    file.write_bytes(file.read_bytes()[:-9])
    assert "cannot be read as parquet" in problems(bring_in(file, "parquet", time="t"))
