"""Ranks of one training: with `resume="never"` they begin one new experiment, in whatever order they come and end."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment, ResumeError
from ml_dash.sdk.starting.ranks import RANKS, Start, is_one_training, is_recent, own_rank
from ml_dash.series import Kind, Series
from tests.support.view_journals import block_of, write

PREFIX = "alice/vision/ddp"
FORK: Any = multiprocessing.get_context("fork")
HOUR = 3_600_000_000_000


@pytest.fixture(autouse=True)
def no_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in RANKS:
        monkeypatch.delenv(name, raising=False)


def train(root: Path, rank: str, begin: Callable[[], object] = lambda: None) -> None:
    os.environ["RANK"] = rank
    begin()
    try:
        with Experiment(PREFIX, dash_root=root, echo=False, resume="never").run as exp:
            exp.metrics(f"rank-{rank}").log(step=0)
    except ResumeError:
        os._exit(3)


def launch(root: Path, *ranks: str, together: bool = False) -> list[int | None]:
    """As a launcher does: each rank is a process of its own, one after the other or all at once."""
    barrier = FORK.Barrier(len(ranks))
    begin = barrier.wait if together else lambda: None
    processes = [FORK.Process(target=train, args=(root, rank, begin)) for rank in ranks]
    for process in processes:
        process.start()
        if not together:
            process.join()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


@pytest.mark.sample(3)
@pytest.mark.parametrize("ranks", ["01", "10", "120"])
def test_ranks_are_one_attempt_though_one_ends_before_the_other_begins(tmp_path: Path, ranks: str) -> None:
    assert launch(tmp_path, *ranks) == [0] * len(ranks)
    exp = Experiment(PREFIX, dash_root=tmp_path)
    assert (exp.view.run().attempts, exp.view.run().status) == (1, "COMPLETED")
    assert sorted(each["name"] for each in exp.metrics.list()) == sorted(f"rank-{rank}" for rank in ranks)
    # the next training under this prefix is another one
    assert launch(tmp_path, ranks[0]) == [3]


@pytest.mark.slow
def test_ranks_that_begin_at_once_are_one_attempt(tmp_path: Path) -> None:
    """Whoever takes the name may not have written its start when the others look."""
    assert launch(tmp_path, *"0123", together=True) == [0] * 4
    exp = Experiment(PREFIX, dash_root=tmp_path)
    assert (exp.view.run().attempts, len(exp.metrics.list())) == (1, 4)


def earlier(root: Path, age_ns: int, **more: object) -> None:
    """A run of so long ago that has ended."""
    began = time.time_ns() - age_ns
    start = {
        "event": "start",
        "status": "RUNNING",
        "handle": "h",
        "host": "h",
        "pid": 1,
        "attempt": "a",
        **more,
    }
    end = {"event": "end", "status": "COMPLETED", "handle": "h"}
    block = block_of(Series(Kind.RUN, None), [(began, start), (began + 1, end)])
    write(root / PREFIX / "journal", [[block]], f"{began:016x}-1-00000000")


@pytest.mark.parametrize(
    ("age_ns", "more"),
    [(100 * 24 * HOUR, {"rank": "0"}), (0, {}), (0, {"rank": "1"}), (0, {"rank": 0})],
    ids=["a training of long ago", "a run by itself", "this rank", "a rank that is none"],
)
def test_what_is_not_of_this_training_refuses_all_its_ranks(
    tmp_path: Path, age_ns: int, more: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier(tmp_path, age_ns, **more)
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(ResumeError, match="1 earlier attempt"):
        Experiment(PREFIX, dash_root=tmp_path, resume="never").run.start()


def test_a_name_that_was_taken_long_ago_is_waited_for_by_no_rank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever took it never began."""
    journal = tmp_path / PREFIX / "journal"
    journal.mkdir(parents=True)
    os.utime(journal, ns=(0, 0))
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr("ml_dash.sdk.starting.resuming.time.sleep", lambda _: pytest.fail("it waits"))
    with pytest.raises(ResumeError, match="it is taken"):
        Experiment(PREFIX, dash_root=tmp_path, resume="never").run.start()


@pytest.mark.parametrize(
    ("environ", "rank"),
    [
        ({}, None),
        ({"RANK": ""}, None),
        ({"RANK": "x"}, None),
        ({"RANK": "0"}, "0"),
        ({"SLURM_PROCID": "12"}, "12"),
        ({"LOCAL_RANK": "1", "RANK": "9"}, "9"),
        ({"LOCAL_RANK": "1"}, "1"),
        ({"SLURM_PROCID": "1", "RANK": "9"}, "9"),
    ],
)
def test_the_number_is_that_among_all_machines(environ: dict[str, str], rank: str | None) -> None:
    assert own_rank(environ) == rank


def test_a_training_is_told_by_its_launcher_where_processes_have_no_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then ranks come within a minute."""
    monkeypatch.setattr("ml_dash.sdk.starting.ranks.process_born", lambda _: None)
    now = time.time_ns()
    assert is_recent(now)
    assert not is_recent(now - HOUR)
    assert is_one_training("1", [Start(now, "0")])
    assert not is_one_training("1", [Start(now - HOUR, "0"), Start(now, "2")])
    assert not is_one_training("1", [])
