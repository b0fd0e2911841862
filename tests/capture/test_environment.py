"""What a process says of itself and its machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ml_dash.capture import environment as module
from ml_dash.capture.environment import environment, graphics_cards, packages, variables


def test_what_every_machine_has() -> None:
    found = environment("train.py", ["train.py"])
    assert found["script"] == "train.py"
    assert found["directory"] == os.getcwd()
    assert found["python"]["executable"] == sys.executable
    assert found["cpu"]["count"] >= 1
    assert all(isinstance(each, str) for each in found["command"])


def test_variables_are_taken_by_name_and_masked() -> None:
    given = {
        "RANK": "3", "SLURM_JOB_ID": "17", "SLURM_SPANK_SECRET": "x", "AWS_SECRET_ACCESS_KEY": "x",
        "XLA_FLAGS": "--url=https://a:b@host", "OMP_NUM_THREADS": "1" * 10_000,
    }  # fmt: skip
    found = variables(given)
    assert set(found) == {"RANK", "SLURM_JOB_ID", "XLA_FLAGS", "OMP_NUM_THREADS"}
    assert found["XLA_FLAGS"] == "--url=https://***@host"
    assert len(found["OMP_NUM_THREADS"]) == 4096


def test_packages_by_the_names_of_directories(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for place, name in (
        (first, "Some_Thing-1.2.dist-info"), (first, "old-0.1-py3.11.egg-info"), (first, "code"),
        (second, "some_thing-9.dist-info"), (second, "torch-2.1.0+cu118.dist-info"),
    ):  # fmt: skip
        (place / name).mkdir(parents=True)
    path = [str(first), str(tmp_path / "absent"), str(second), "\0"]
    assert packages(path) == {"old": "0.1", "some-thing": "1.2", "torch": "2.1.0+cu118"}


def test_those_of_this_interpreter() -> None:
    assert packages(sys.path)["msgpack"]


def test_a_directory_that_was_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert environment(None, [])["directory"] is None


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", refuse)
    assert environment(None, [])["user"] is None


def test_cards_by_the_files_of_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = tmp_path / "0000:01:00.0"
    card.mkdir()
    (card / "information").write_text("Model: \t\t NVIDIA X1\nIRQ: 3\n")
    (tmp_path / "0000:02:00.0").mkdir()
    found = module._cards_by_kernel(str(tmp_path))
    assert [each["name"] for each in found] == ["NVIDIA X1", None]
    monkeypatch.setitem(sys.modules, "pynvml", None)  # as where it is not installed
    assert isinstance(graphics_cards(), list)
