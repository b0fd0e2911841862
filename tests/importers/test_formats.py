"""What holds for each format: an import that is cut off goes on, and no bytes of a source end it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from ml_dash.errors import InvalidArgumentError
from ml_dash.importers import logged, target
from ml_dash.importers.importing import import_runs
from ml_dash.importers.mlflow.source import Mlflow
from ml_dash.importers.source import Source
from ml_dash.importers.tensorboard.runs import TensorBoard
from ml_dash.importers.trackio import Trackio
from ml_dash.importers.wandb.offline import Wandb
from ml_dash.journal.disk import REAL_DISK, Disk
from ml_dash.storage.survey import survey
from tests.support.flaky_disk import FlakyDisk, PowerCutError
from tests.support.public_trees import DATA
from tests.support.trackers import kept

FORMATS: dict[str, Callable[[str], Source]] = {
    "wandb": Wandb,
    "trackio": Trackio,
    "mlflow-sql": Mlflow,
    "mlflow-files": Mlflow,
    "tensorboard": lambda path: TensorBoard(path, "zoe/tb"),
}


def place_of(kind: str, tmp_path: Path) -> Path:
    if kind == "tensorboard":
        return Path(shutil.copytree(DATA / "tensorboard", tmp_path / "logs"))
    return kept(kind, tmp_path)[0]


def bring_in(kind: str, place: Path, root: Path, disk: Disk = REAL_DISK) -> list[str]:
    return [str(report.refused) for report in import_runs(FORMATS[kind](str(place)), str(root), disk=disk)]


def content(root: Path) -> dict[str, Any]:
    """All that readers find in a root, fields and files in one order."""
    found = {}
    for each in survey(str(root)).experiments:
        prefix = str(Path(each.directory).relative_to(root))
        exp = Experiment(prefix, dash_root=root)
        metrics = {}
        for metric in exp.metrics.list():
            rows = exp.metrics(metric["name"]).read(limit=10_000)["data"]
            metrics[metric["name"]] = [repr(sorted(row["data"].items())) for row in rows]
        files = sorted((row["path"], row["filename"], row["checksum"]) for row in exp.files.list())
        console = [row["text"] for row in exp.logs.console()["data"]]
        messages = [row["message"] for row in exp.logs.read()["data"]]
        found[prefix] = (
            metrics,
            files,
            console,
            messages,
            repr(sorted(exp.params.get().items())),
            exp.status().status,
        )
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_an_import_that_is_cut_off_goes_on(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In frames of a few rows, at each third operation of the disk; then all is there once."""
    monkeypatch.setenv("ML_DASH_USER", "zoe")
    monkeypatch.setenv("ML_DASH_STALE_AFTER", "0.001")  # who was cut off is dead at once
    monkeypatch.setattr(target, "_BATCH_ROWS", 16)
    monkeypatch.setattr(logged, "_ROWS", 40)
    place = place_of(kind, tmp_path)
    bring_in(kind, place, tmp_path / "whole")
    whole = content(tmp_path / "whole")
    assert any(metrics for metrics, *_ in whole.values())
    for cut in range(0, 1_000, 3):
        root = tmp_path / f"cut-{cut}"
        try:
            bring_in(kind, place, root, FlakyDisk(cut))
            break
        except PowerCutError:
            bring_in(kind, place, root)
        assert content(root) == whole, cut
        shutil.rmtree(root)
    assert cut > 10


@pytest.mark.sample(4)
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", FORMATS)
def test_no_bytes_of_a_source_end_the_import(
    kind: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes of its files changed, cut out and cut off: runs are imported, or refused with a reason."""
    monkeypatch.setenv("ML_DASH_USER", "zoe")
    drawn = random.Random(seed)
    place = place_of(kind, tmp_path)
    for path in sorted(place.rglob("*")):
        if path.is_file() and drawn.random() < 0.7:
            data = bytearray(path.read_bytes())
            for _ in range(drawn.choice([1, 3, 30])):
                if data:
                    data[drawn.randrange(len(data))] = drawn.randrange(256)
            if drawn.random() < 0.3:
                data = data[: drawn.randrange(len(data) + 1)]
            path.write_bytes(data)
    with suppress(InvalidArgumentError):  # there is nothing left that could be a run
        bring_in(kind, place, tmp_path / "root")
        found = content(tmp_path / "root")
        bring_in(kind, place, tmp_path / "root")
        assert content(tmp_path / "root") == found
