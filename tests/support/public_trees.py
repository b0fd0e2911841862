"""Trees of the public package, copied for a test, and all that is in a root that was imported."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ml_dash import Experiment
from ml_dash.importers.importing import import_runs
from ml_dash.importers.ml_dash_tree import MLDashTree
from ml_dash.importers.report import RunReport
from ml_dash.journal.disk import REAL_DISK, Disk
from tests.support.project import PROJECT

DATA = PROJECT / "tests" / "importers" / "data"
RUN = "alice/vision/resnet/run-1"


def tree(directory: Path, version: str = "0.11") -> Path:
    """A copy of what that version has written, to be changed as a test likes."""
    root = directory / "theirs"
    shutil.copytree(DATA / f"ml-dash-{version}", root)
    return root


def bring_in(path: Path, root: Path, name: str | None = None, disk: Disk = REAL_DISK) -> list[RunReport]:
    return list(import_runs(MLDashTree(str(path)), str(root), name=name, disk=disk))


def problems(reports: list[RunReport]) -> str:
    return "\n".join(str(problem) for report in reports for problem in report.problems.values())


def metric(root: Path, name: str | None, prefix: str = RUN) -> list[dict[str, Any]]:
    rows = Experiment(prefix, dash_root=root).metrics(name).read(limit=10_000)["data"]
    return [row["data"] for row in rows]


def content(root: Path, prefix: str = RUN) -> dict[str, Any]:
    """Everything that readers find in an experiment."""
    exp = Experiment(prefix, dash_root=root)
    files = exp.files.list()
    return {
        "said": (exp.readme, exp.tags, exp.bindrs, exp.metadata),
        "params": repr(exp.params.get()),
        "logs": exp.logs.read()["data"],
        "metrics": repr({each["name"]: metric(root, each["name"], prefix) for each in exp.metrics.list()}),
        "track": exp.tracks("robot/pose").read(),
        "files": [(each, exp.files(file_id=each["id"]).read_bytes()) for each in files],
    }


def bytes_below(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
