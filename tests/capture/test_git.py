"""What git says of a repository: whole, cut, late, or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ml_dash.capture import git as module
from ml_dash.capture.git import DIFF_BYTES_MAX, GitError, repository_state

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.setenv(name, "A")
    for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "a@example.org")
    place = tmp_path / "code"
    place.mkdir()
    run(place, "init", "-q", "-b", "main")
    return place


def run(place: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=place, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(place: Path, text: str = "lr = 0.1\n") -> str:
    (place / "train.py").write_text(text)
    run(place, "add", ".")
    run(place, "commit", "-q", "-m", "first")
    return run(place, "rev-parse", "HEAD")


def test_a_clean_tree(repository: Path) -> None:
    first = commit(repository)
    run(repository, "remote", "add", "origin", "https://bob:secret@example.org/code.git")
    assert repository_state(str(repository), 10) == {
        "root": str(repository), "commit": first, "branch": "main", "remote": "https://***@example.org/code.git",
        "dirty": False, "untracked": [], "untrackedCount": 0,
    }  # fmt: skip


def test_a_changed_tree_from_a_directory_below(repository: Path) -> None:
    commit(repository)
    (repository / "train.py").write_text("lr = 0.2\nkey = 'ghp_" + "a1" * 18 + "'\n")
    (repository / "below").mkdir()
    (repository / "below" / "new.txt").write_text("x")
    state = repository_state(str(repository / "below"), 10)
    assert (state["dirty"], state["untracked"], state["untrackedCount"]) == (True, ["below/"], 1)
    assert "-lr = 0.1\n+lr = 0.2\n+key = '***'\n" in state["diff"]
    assert state["diffBytes"] == len(state["diff"].encode())
    assert state["remote"] is None


def test_before_the_first_commit(repository: Path) -> None:
    (repository / "train.py").write_text("x")
    run(repository, "add", ".")
    state = repository_state(str(repository), 10)
    assert (state["commit"], state["branch"], state["dirty"]) == (None, "main", True)
    assert "missing" not in state


def test_a_detached_head(repository: Path) -> None:
    first = commit(repository)
    run(repository, "checkout", "-q", "--detach")
    state = repository_state(str(repository), 10)
    assert (state["commit"], state["branch"]) == (first, None)


def test_a_renamed_file_and_names_of_any_kind(repository: Path) -> None:
    commit(repository)
    run(repository, "mv", "train.py", "?? odd\nname.py")
    (repository / "ünï").write_text("x")
    state = repository_state(str(repository), 10)
    assert state["untracked"] == ["ünï"]
    assert "rename to" in state["diff"]


def test_a_difference_is_cut(repository: Path) -> None:
    commit(repository)
    (repository / "train.py").write_text("ü" * 120 + "\n" + "x = 1\n" * 60_000)
    state = repository_state(str(repository), 10)
    assert len(state["diff"].encode()) <= DIFF_BYTES_MAX < state["diffBytes"]


def test_a_huge_difference_is_not_read_whole(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(repository)
    (repository / "train.py").write_text("x = 1\n" * 60_000)
    monkeypatch.setattr(module, "_OUTPUT_MAX", 50_000)
    state = repository_state(str(repository), 10)
    assert state["diffBytes"] == 50_000
    assert "missing" not in state


def test_a_binary_file_is_named_only(repository: Path) -> None:
    commit(repository)
    (repository / "train.py").write_bytes(bytes(range(256)) * 10)
    assert "Binary files a/train.py and b/train.py differ" in repository_state(str(repository), 10)["diff"]


def test_no_repository_around(tmp_path: Path) -> None:
    assert repository_state(str(tmp_path), 10) == {}


def test_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="no git on the PATH"):
        repository_state(str(tmp_path), 10)


def test_a_directory_that_was_deleted(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="git rev-parse"):
        repository_state(str(tmp_path / "gone"), 10)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell script")
def test_a_git_that_hangs_is_ended(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only `status` hangs here: what was known before it stays."""
    first = commit(repository)
    hanging = tmp_path / "bin"
    hanging.mkdir()
    real = shutil.which("git")
    script = hanging / "git"
    script.write_text(f'#!/bin/sh\ncase "$*" in *status*) exec sleep 60;; esac\nexec {real} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{hanging}{os.pathsep}{os.environ['PATH']}")
    state = repository_state(str(repository), 1)
    assert state["commit"] == first
    assert state["missing"] == ["dirty: git status took too long"]
    assert "dirty" not in state


def test_no_hook_filter_or_monitor_of_the_repository_runs(repository: Path) -> None:
    commit(repository)
    (repository / "train.py").write_text("lr = 0.2\n")
    touched = repository / ".git" / "touched"
    script = repository / ".git" / "evil"
    script.write_text(f"#!/bin/sh\ntouch '{touched}'\n")
    script.chmod(0o755)
    for key in ("core.fsmonitor", "diff.external", "core.pager"):
        run(repository, "config", key, str(script))
    assert "+lr = 0.2" in repository_state(str(repository), 10)["diff"]
    assert not touched.exists()
