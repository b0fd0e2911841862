"""A root with an experiment of every kind."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.storage.recovery import catch_up
from tests.support.cli_experiments import (
    damage_row,
    dead_pid,
    in_frames,
    killed,
    make,
    make_newer,
    tear,
    training,
    written_by,
)

FAILURE = "ValueError: loss is NaN"


@pytest.fixture(scope="session")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root itself, made once; see `root`."""
    root = tmp_path_factory.mktemp("dash")
    make(root, "alice/vision/first", training, readme="ResNet\non CIFAR", tags=["cifar", "base"])

    def fail(exp: Experiment) -> None:
        exp.log("trouble", level="error")
        raise ValueError("loss is NaN")

    with pytest.raises(ValueError, match="loss is NaN"):
        make(root, "alice/vision/failed", fail)
    make(root, "bob/nlp/cancelled", lambda exp: exp.run.cancel())
    (root / "bob/nlp/empty/journal").mkdir(parents=True)
    # what it has left in shared memory comes to one root alone, and not to each copy of this one
    catch_up(str(killed(root, "bob/nlp/killed")))
    return root


@pytest.fixture
def root(shared_root: Path, tmp_path: Path) -> Path:
    """A root with a finished, a failed, a cancelled, an empty and a killed experiment; a test may change it."""
    return Path(shutil.copytree(shared_root, tmp_path / "dash"))


@pytest.fixture
def damaged(root: Path) -> Path:
    """An experiment of a dead process, with a bad frame between good ones."""
    directory = make(root, "carol/p/damaged", in_frames(1, 2, 3))
    damage_row(directory, 2)
    written_by(directory, dead_pid())
    return directory


@pytest.fixture
def torn(root: Path) -> Path:
    """An experiment of a dead process, whose last frame is incomplete."""
    directory = make(root, "carol/p/torn", in_frames(1, 2, 3))
    tear(directory)
    written_by(directory, dead_pid())
    return directory


@pytest.fixture
def newer(root: Path) -> Path:
    """An experiment that a later version wrote."""
    directory = make(root, "carol/p/newer", in_frames(1))
    make_newer(directory)
    return directory
