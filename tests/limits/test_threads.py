"""How many threads there may be: numpy starts some, and where it gets none, the process gets a SIGINT."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_dash.limits import threads
from ml_dash.limits.threads import SPARED_THREADS, blas_threads, lack_of_threads

resource = pytest.importorskip("resource", reason="Windows has no such limits")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits are Linux's")


@pytest.fixture(autouse=True)
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the only control group, of either version, in which there are no limits yet."""
    monkeypatch.setattr(threads, "_CGROUPS", str(tmp_path))
    (tmp_path / "pids").symlink_to(tmp_path)
    return tmp_path


@pytest.fixture
def processes() -> Iterator[None]:
    """The limit on processes is put back."""
    before = resource.getrlimit(resource.RLIMIT_NPROC)
    yield
    resource.setrlimit(resource.RLIMIT_NPROC, before)


def test_numpy_computes_with_all_processors_unless_the_environment_says_fewer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    assert blas_threads() == len(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert blas_threads() == 8
    for value, count in (("3", 3), ("0", 8), ("", 8), ("many", 8), ("99", 8)):
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert blas_threads() == count
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    assert blas_threads() == 2


@pytest.mark.usefixtures("processes")
def test_a_limit_on_processes_leaves_some_to_the_script() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    mine = threads._threads_of_user()
    assert mine >= 1
    resource.setrlimit(resource.RLIMIT_NPROC, (mine + SPARED_THREADS - 2, hard))
    lack = lack_of_threads("numpy", 3)
    assert f"`ulimit -u {mine + SPARED_THREADS - 2}`" in lack
    assert "OPENBLAS_NUM_THREADS=1" in lack
    assert lack_of_threads("numpy", 0) == ""
    resource.setrlimit(resource.RLIMIT_NPROC, (mine + 10_000, hard))
    assert lack_of_threads("numpy", 3) == ""


@pytest.mark.parametrize(
    ("most", "current", "is_lacking"),
    [("max", "90", False), ("100", "90", True), ("100", "81", False), ("100", "82", True), ("", "", False)],
)
def test_so_does_that_of_a_container(most: str, current: str, *, is_lacking: bool, groups: Path) -> None:
    (groups / "pids.max").write_text(f"{most}\n")
    (groups / "pids.current").write_text(f"{current}\n")
    assert bool(lack_of_threads("numpy", 3)) == is_lacking
    if is_lacking:
        assert f"{groups}" in lack_of_threads("numpy", 3)
