"""A root that somebody else has made, with something odd in the place of one of its files or directories."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment

ROOT = Path("root")
OUTSIDE = Path("outside")
WORDS = "the words of a file that nobody has saved"


def make(prefix: str = "alice/p/exp", root: Path = ROOT, **options: Any) -> Path:
    """An experiment with rows, parameters and a file."""
    exp = Experiment(prefix, dash_root=str(root), echo=False, readme="what it says", **options)
    with exp.run:
        exp.params.set(lr=0.1)
        exp.metrics("train").log(loss=0.5)
        exp.files.save_text(WORDS, to="words.txt")
    return root / prefix


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ML_DASH_API_URL", raising=False)
        directory = make(root=root)
    (directory / f"{next(directory.glob('journal/*.mldj')).name.rpartition('-')[0]}.cursor").write_text("{}")
    (directory / "rejected").mkdir()
    return root


@pytest.fixture
def experiment(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that is whole, in a directory of the test's own."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, ROOT)
    OUTSIDE.mkdir()
    return ROOT / "alice/p/exp"


def blob(directory: Path) -> Path:
    return next(path for path in directory.glob("files/??/*") if len(path.name) == 64)


PLACES: dict[str, Callable[[Path], Path]] = {
    "segment": lambda directory: next(directory.glob("journal/*.mldj")),
    "side file": lambda directory: directory / "experiment.json",
    "parameters": lambda directory: directory / "parameters.json",
    "cursor": lambda directory: next(directory.glob("*.cursor")),
    "blob": blob,
    "blobs of two digits": lambda directory: blob(directory).parent,
    "blobs": lambda directory: directory / "files",
    "journal": lambda directory: directory / "journal",
    "refused frames": lambda directory: directory / "rejected",
}


def lead_out(path: Path) -> None:
    """Put a link in its place, to where what was there lies now: whoever follows it finds all that is looked for."""
    os.rename(path, OUTSIDE / path.name)
    path.symlink_to((OUTSIDE / path.name).absolute())


def make_pipe(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    os.mknod(path, stat.S_IFSOCK | 0o600)


KINDS = {"link": lead_out, "pipe": make_pipe, "socket": make_socket}


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
