"""An experiment with files, and what the command says of them."""

from __future__ import annotations

import json
from pathlib import Path

from ml_dash import Experiment
from tests.support.shell import succeed

PREFIX = "alice/vision/saved"
KEYS = [
    "id",
    "path",
    "filename",
    "description",
    "tags",
    "bindrs",
    "contentType",
    "sizeBytes",
    "checksum",
    "metadata",
    "aliases",
    "uploadedAt",
    "updatedAt",
    "deletedAt",
]


def saving(exp: Experiment) -> None:
    """Two versions of a model, a configuration, and one that is deleted."""
    exp.files("models").save_blob(b"old", to="best.pt")
    exp.files("models").save_blob(b"newer", to="best.pt", tags=["best", "v2"])
    exp.files("configs").save_text('{"lr": 0.1}', to="config.json")
    exp.files.save_blob(b"", to="empty.bin")
    gone = exp.files.save_text("gone", to="gone.txt")
    exp.files(file_id=gone["id"]).delete()


def rows(root: Path, *arguments: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(
        succeed("files", PREFIX, *arguments, "--root", root, "--json")
    )
    return found


def names(root: Path, *arguments: str) -> list[str]:
    return [f"{row['path']}/{row['filename']}".lstrip("/") for row in rows(root, *arguments)]


def content_of(root: Path, name: str) -> Path:
    (row,) = rows(root, name)
    checksum = str(row["checksum"])
    return root / PREFIX / "files" / checksum[:2] / checksum


def below(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }
