"""Marks that say which experiments have changed: made where somebody looks for them, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.storage.marks import BUCKETS, bucket_of, mark_changed, marked, prepare


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "dash/alice/p/a"
    path.mkdir(parents=True)
    return path


def test_nothing_is_written_where_nobody_keeps_summaries(run: Path, tmp_path: Path) -> None:
    mark_changed(str(run))
    assert [path for path in tmp_path.rglob("*") if path.is_file() or path.name.startswith(".")] == []


def test_a_mark_is_that_of_the_experiment_and_of_what_is_above_it(run: Path, tmp_path: Path) -> None:
    root = tmp_path / "dash"
    prepare(str(root))
    mark_changed(str(run))
    assert marked(str(root)).keys() == {bucket_of("alice/p/a"), bucket_of("alice/p"), bucket_of("alice")}


def test_each_root_above_gets_its_own(run: Path, tmp_path: Path) -> None:
    """Somebody may look at a part of a root, and somebody else at more than it."""
    for root, path in ((tmp_path, "dash/alice/p/a"), (tmp_path / "dash", "alice/p/a"), (run.parent, "a")):
        prepare(str(root))
        mark_changed(str(run))
        assert bucket_of(path) in marked(str(root))


def test_marks_are_no_more_than_there_are_buckets(run: Path, tmp_path: Path) -> None:
    prepare(str(tmp_path / "dash"))
    for number in range(2000):
        (run.parent / f"run{number}").mkdir()
        mark_changed(str(run.parent / f"run{number}"))
    assert len(marked(str(tmp_path / "dash"))) == BUCKETS


def test_what_cannot_be_marked_is_no_error(run: Path, tmp_path: Path) -> None:
    """Nor is a link followed, which somebody else may have laid."""
    mark_changed(str(run / "gone"))
    mark_changed("\0")
    outside = tmp_path / "outside"
    (outside / "changed").mkdir(parents=True)
    (tmp_path / "dash/.summaries").symlink_to(outside)
    mark_changed(str(run))
    assert list((outside / "changed").iterdir()) == []
    with pytest.raises(OSError, match="no directory, or a link"):
        prepare(str(tmp_path / "dash"))


def test_a_run_marks_its_start_and_its_end(tmp_path: Path) -> None:
    """Each behind the rows that say so: whoever looks then finds them."""
    root = tmp_path / "dash"
    root.mkdir()
    prepare(str(root))
    mark = root / f".summaries/changed/{bucket_of('alice/p/a'):02x}"
    exp = Experiment("alice/p/a", dash_root=str(root), echo=False)
    exp.run.start()
    exp.flush()
    assert mark.exists()
    os.utime(mark, (0, 0))
    exp.run.complete()
    assert mark.stat().st_mtime > 0
