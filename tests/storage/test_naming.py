"""A directory that was moved has the name of its place, as far as that tells one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ml_dash.storage.naming import name_by_place

SAID = "alice/vision/lr01"


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (".dash/alice/vision/lr01", SAID),
        (".dash/alice/vision/baseline", "alice/vision/baseline"),
        (".dash/alice/vision/old/lr01", "alice/vision/old/lr01"),
        (".dash/bob/speech/lr01", "bob/speech/lr01"),
        # the root as a whole is elsewhere, or has another name
        ("backup/.dash/alice/vision/baseline", "alice/vision/baseline"),
        ("runs/alice/vision/lr01", SAID),
        ("runs/alice/vision/baseline", "alice/vision/baseline"),
        # no name: too short, or in no root
        (".dash/archive/lr01", SAID),
        ("backup/lr01", SAID),
        ("alice/copies/lr01", SAID),
        (".dash/alice/vision/.lr01", SAID),
    ],
)
def test_the_place_below_the_root_is_the_name(tmp_path: Path, place: str, name: str) -> None:
    assert name_by_place(str(tmp_path / place), SAID) == name
    assert name_by_place(str(tmp_path / place), SAID, str(tmp_path / ".dash")) == name


def test_a_root_of_any_name_is_known_by_what_the_experiment_says(tmp_path: Path) -> None:
    root = str(tmp_path / "runs")
    assert name_by_place(str(tmp_path / "runs/bob/speech/new"), SAID, root) == "bob/speech/new"
    assert name_by_place(str(tmp_path / "elsewhere/runs/bob/speech/new"), SAID, root) == "bob/speech/new"
    assert name_by_place(str(tmp_path / "elsewhere/bob/speech/new"), SAID, root) == SAID


def test_links_move_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a link to the root nor one to the experiment; a relative path is as good as a whole one."""
    directory = tmp_path / ".dash" / SAID
    directory.mkdir(parents=True)
    (tmp_path / "link").symlink_to(directory)
    (tmp_path / "root").symlink_to(tmp_path / ".dash")
    assert name_by_place(str(tmp_path / "link"), SAID) == SAID
    assert name_by_place(str(tmp_path / "root" / SAID), SAID) == SAID
    monkeypatch.chdir(directory)
    assert name_by_place(os.curdir, SAID) == SAID
