"""Importing projects of trackio: `tests/importers/data/trackio` was written by trackio 0.43."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from ml_dash import Experiment, InvalidArgumentError
from ml_dash.importers.importing import import_runs
from ml_dash.importers.report import RunReport
from ml_dash.importers.trackio import Trackio
from tests.support.public_trees import bytes_below, metric, problems
from tests.support.trackers import TRACKIO, check, kept, made

FIRST = "zoe/vision/first"


@pytest.fixture(autouse=True)
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_USER", "zoe")


def bring_in(path: Path, root: Path) -> list[RunReport]:
    return list(import_runs(Trackio(str(path)), str(root)))


def test_all_that_was_logged_is_here(tmp_path: Path) -> None:
    """Value by value; nothing is written beside the database, and a second time adds nothing."""
    place, read = kept("trackio", tmp_path)
    before = bytes_below(place)
    root = tmp_path / "root"
    reports = bring_in(place, root)
    assert problems(reports) == ""
    check(root, read)
    exp = Experiment(FIRST, dash_root=root)
    assert exp.params.get() == read[FIRST]["params"]
    assert exp.metadata["group"] == "g"
    assert [row["message"] for row in exp.logs.read()["data"]] == ["trouble: loss is high"]
    rows = metric(root, None, FIRST)
    assert [row["step"] for row in rows] == list(range(61)), "in their order, that with a medium too"
    assert (rows[60]["words"], rows[60]["h"]["_type"]) == ("hello", "histogram")
    assert not any(report.has_news for report in bring_in(place, root))
    assert bytes_below(place) == before


def test_what_comes_later_is_added_and_what_was_replaced_is_told(tmp_path: Path) -> None:
    """Two runs of one name are two; what is broken is named, and the rest imported."""
    place, _ = kept("trackio", tmp_path)
    root = tmp_path / "root"
    bring_in(place, root)
    with sqlite3.connect(place / "vision.db") as database:
        (run,) = database.execute("SELECT run_id FROM configs WHERE run_name = 'first'").fetchone()
        row = "INSERT INTO metrics (run_id, run_name, timestamp, step, metrics) VALUES (?, 'first', ?, ?, ?)"
        moment = "2030-01-01T00:00:00+00:00"
        database.execute(row, (run, moment, 70, '{"acc": 7, "odd": "NaN", "": 1}'))
        database.execute(row, (run, moment, 71, "no JSON"))
        database.execute(row, (run, "never", 72, '{"acc": 8}'))
        database.execute(row, ("other", moment, 0, '{"acc": 9}'))
    database.close()
    (place / "broken.db").write_bytes(b"SQLite format 3\0" + bytes(5_000))
    reports = bring_in(place, root)
    assert [(report.prefix, report.rows) for report in reports] == [
        (None, 0),
        (FIRST, 1),
        ("zoe/vision/second", 0),
        (f"{FIRST}-other", 1),
    ]
    assert "cannot be read as a database" in str(reports[0].refused)
    assert "a row is no JSON" in problems(reports)
    assert "a row has no time" in problems(reports)
    assert not any(report.has_news for report in bring_in(place, root))
    with sqlite3.connect(place / "vision.db") as database:
        database.execute("UPDATE metrics SET timestamp = '1999-01-01T00:00:00+00:00'")
    database.close()
    assert "written anew" in problems(bring_in(place, root))
    assert len(metric(root, None, FIRST)) == 62


def test_what_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "nothing", tmp_path / "empty"):
        with pytest.raises(InvalidArgumentError, match="there is no run of trackio in"):
            bring_in(path, tmp_path / "root")


@pytest.mark.slow
def test_what_trackio_writes_now_is_read(tmp_path: Path) -> None:
    read = made("trackio", TRACKIO, tmp_path / "new")
    bring_in(tmp_path / "new", tmp_path / "root")
    check(tmp_path / "root", read)
