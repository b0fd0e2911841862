"""Side files: what a run may replace, and what is somebody else's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment, JournalWriteError
from ml_dash.journal.disk import REAL_DISK
from ml_dash.storage.side_file import strange_side_file

PUBLIC = {
    "experiment.json": {
        "name": "c", "project": "b", "description": "why", "tags": ["x"], "bindrs": [], "prefix": "a/b/c",
        "metadata": None, "created_at": "2026-11-29T18:11:34.732754Z", "write_protected": False,
    },
    "parameters.json": {
        "version": 1, "data": {"lr": 0.1}, "createdAt": "2026-11-29T18:11:34Z", "updatedAt": "2026-11-29T18:11:34Z",
    },
}  # fmt: skip
"""What version 0.11 of the public package of this name leaves in the place of a prefix."""

STRANGE: dict[str, dict[str, Any]] = {
    "a run of the public package": PUBLIC,
    "a file of parameters alone": {"parameters.json": {"lr": 0.1}},
    "a list": {"experiment.json": [1, 2]},
    "no JSON": {"experiment.json": None},
}


def snapshot(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("files", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize("reads_first", [False, True], ids=["at once", "read before"])
def test_a_run_replaces_no_file_that_is_not_ours(
    root: str, files: dict[str, Any], *, reads_first: bool
) -> None:
    """It does not start; what is there stays byte for byte the same, and another prefix beside it works."""
    directory = Path(root, "a", "b", "c")
    (directory / "metrics" / "train").mkdir(parents=True)
    (directory / "metrics" / "train" / "data.jsonl").write_text('{"index": 0, "data": {"loss": 1.0}}\n')
    for name, content in files.items():
        (directory / name).write_text("{torn" if content is None else json.dumps(content))
    before = snapshot(directory)
    experiment = Experiment("a/b/c", dash_root=root, echo=False)
    if reads_first:
        with pytest.warns(UserWarning, match="no experiment 'a/b/c'|was not written by this ML-Dash"):
            assert experiment.metrics("train").read()["total"] == 0
    for start in (experiment.run.start, experiment.run.__enter__):
        with pytest.raises(JournalWriteError, match="this ML-Dash has not written") as raised:
            start()
        assert str(directory / next(iter(files))) in str(raised.value)
    assert snapshot(directory) == before
    assert not (directory / "journal").exists()
    with Experiment("a/b/d", dash_root=root, echo=False).run as other:
        other.params.set(lr=1)
    assert other.status().status == "COMPLETED"


def test_what_lies_beside_a_journal_is_ours_and_so_is_what_we_left_where_it_was_removed(root: str) -> None:
    with Experiment("a/b/c", dash_root=root, echo=False).run as experiment:
        experiment.params.set(lr=1)
    directory = experiment.directory
    assert strange_side_file(directory, REAL_DISK) is None
    shutil.rmtree(Path(directory, "journal"))
    assert strange_side_file(directory, REAL_DISK) is None
    with Experiment("a/b/c", dash_root=root, echo=False).run as again:
        again.params.set(lr=2)
    assert json.loads(Path(directory, "parameters.json").read_text()) == {"lr": 2}


def test_a_strangers_journal_makes_no_file_beside_it_ours(root: str) -> None:
    """Diaries are called so as well."""
    directory = Path(root, "a", "b", "c")
    (directory / "journal").mkdir(parents=True)
    (directory / "journal" / "2026-01.txt").write_text("dear diary")
    (directory / "parameters.json").write_text('{"mine": 1}')
    before = snapshot(directory)
    with pytest.raises(JournalWriteError, match="this ML-Dash has not written"):
        Experiment("a/b/c", dash_root=root, echo=False).run.start()
    assert snapshot(directory) == before
