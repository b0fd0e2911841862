"""The status of a run: who opened it, who ended it, and who cannot be alive any more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_dash.processes import process_alive, process_born, process_space
from ml_dash.query.journal_view import JournalView
from ml_dash.query.runs import RunInfo, WriterRuns, fold_runs, is_process_gone
from ml_dash.series import Kind, Series
from tests.support.view_journals import SECOND, TRAIN, block_of, write

RUNS = Series(Kind.RUN, None)
HERE, ELSEWHERE = "here", "elsewhere"
NOW = 1000 * SECOND


def start(
    at: int, host: str = HERE, pid: int = 1, handle: int = 1, **more: Any
) -> tuple[int, dict[str, Any]]:
    event = {"event": "start", "status": "RUNNING", "host": host, "pid": pid, "handle": handle, "space": host}
    return at * SECOND, event | more


def end(
    at: int, status: str = "COMPLETED", host: str = HERE, pid: int = 1, handle: int = 1, **more: Any
) -> tuple[int, dict[str, Any]]:
    event = {"event": "end", "status": status, "host": host, "pid": pid, "handle": handle}
    return at * SECOND, event | more


def heartbeat(at: int) -> tuple[int, dict[str, Any]]:
    return at * SECOND, {"event": "heartbeat", "status": "RUNNING", "host": HERE, "pid": 1, "handle": 1}


def alive(pid: int, born: str | None) -> bool:
    return True


def dead(pid: int, born: str | None) -> bool:
    return False


def fold(
    *writers: list[tuple[int, dict[str, Any]]], pid_alive: Callable[[int, str | None], bool] = alive
) -> RunInfo:
    """The status of writers whose newest rows are their RUN rows."""
    runs = [WriterRuns(rows, max((time for time, _ in rows), default=None)) for rows in writers]
    return fold_runs(runs, now_ns=NOW, space=HERE, pid_alive=pid_alive)


def test_a_journal_without_runs_has_no_status() -> None:
    assert fold() == RunInfo(
        None, None, None, None, None, None, stale=False, writers=0, error=None, experiment=None
    )
    only_metrics = fold_runs([WriterRuns([], NOW)], now_ns=NOW, space=HERE, pid_alive=alive)
    assert (only_metrics.status, only_metrics.writers, only_metrics.last_activity) == (None, 1, NOW)


def test_an_open_run_is_running() -> None:
    info = fold([start(990, pid=7, experiment={"prefix": "a/b/c"})])
    assert info == RunInfo(
        "RUNNING", 990 * SECOND, None, 990 * SECOND, HERE, 7, stale=False, writers=1, error=None,
        experiment={"prefix": "a/b/c"}, attempts=1,
    )  # fmt: skip


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED"])
def test_an_end_decides_the_status(status: str) -> None:
    info = fold([start(10), end(20, status)], pid_alive=dead)
    assert (info.status, info.stale, info.started_at, info.ended_at) == (
        status,
        False,
        10 * SECOND,
        20 * SECOND,
    )


def test_a_failure_says_why() -> None:
    assert fold([start(10), end(20, "FAILED", error="ValueError: no")]).error == "ValueError: no"


def test_a_run_whose_process_died_on_this_host_is_stale_at_once() -> None:
    info = fold([start(999)], pid_alive=dead)
    assert (info.status, info.stale, info.ended_at) == ("RUNNING", True, None)


def test_processes_of_other_hosts_are_not_looked_for() -> None:
    info = fold([start(999, host=ELSEWHERE)], pid_alive=dead)
    assert (info.status, info.stale, info.host) == ("RUNNING", False, ELSEWHERE)


def test_a_silent_run_is_stale_after_ninety_seconds() -> None:
    assert fold([start(909, host=ELSEWHERE)]).stale
    assert not fold([start(910, host=ELSEWHERE)]).stale
    assert fold([start(909)]).stale, "a process id may have been given to another process"


def test_the_time_of_silence_is_an_argument() -> None:
    writers = [WriterRuns([start(990)], 990 * SECOND)]
    assert fold_runs(writers, stale_after=5, now_ns=NOW, space=HERE, pid_alive=alive).stale
    assert not fold_runs(writers, stale_after=10, now_ns=NOW, space=HERE, pid_alive=alive).stale


def test_heartbeats_and_rows_of_any_kind_are_signs_of_life() -> None:
    assert not fold([start(10), heartbeat(980)]).stale
    logged = fold_runs([WriterRuns([start(10)], 980 * SECOND)], now_ns=NOW, space=HERE, pid_alive=alive)
    assert (logged.stale, logged.last_activity) == (False, 980 * SECOND)


def test_a_row_with_a_time_in_the_future_is_no_sign_of_life() -> None:
    writers = [WriterRuns([start(10)], 5000 * SECOND)]
    assert fold_runs(writers, now_ns=NOW, space=HERE, pid_alive=alive).stale


@pytest.mark.parametrize(
    ("newest", "came", "activity"), [(4e9, None, 1000), (4e9, 990, 990), (970, 990, 970), (970, 4e9, 970)]
)
def test_the_newest_row_is_never_later_than_it_came(newest: float, came: float | None, activity: int) -> None:
    """Its time may be the caller's own, of any year; where nobody says when it came, it is now at the latest."""
    writer = WriterRuns([start(10)], int(newest) * SECOND, None if came is None else int(came) * SECOND)
    info = fold_runs([writer], now_ns=NOW, space=HERE, pid_alive=alive)
    assert info.last_activity == activity * SECOND


def test_a_run_that_is_opened_again_runs_and_keeps_its_first_start() -> None:
    info = fold([start(10), end(20, "FAILED", error="x"), start(990, handle=2)])
    assert (info.status, info.stale, info.ended_at, info.error) == ("RUNNING", False, None, None)
    assert info.started_at == 10 * SECOND


def test_the_experiment_runs_while_any_writer_does() -> None:
    info = fold([start(10, pid=1), end(999, pid=1)], [start(11, pid=2), heartbeat(990)])
    assert (info.status, info.stale, info.pid, info.writers) == ("RUNNING", False, 2, 2)


def test_two_runs_of_one_process_end_one_by_one() -> None:
    both = [start(990, handle=1), start(991, handle=2), end(995, handle=2)]
    assert fold(both).status == "RUNNING"
    assert fold([*both, end(996, "CANCELLED", handle=1)]).status == "CANCELLED"


def test_a_killed_run_that_was_resumed_and_completed_is_completed() -> None:
    info = fold([start(10, pid=1)], [start(50, pid=2), end(60, pid=2)], pid_alive=dead)
    assert (info.status, info.stale, info.ended_at, info.pid) == ("COMPLETED", False, 60 * SECOND, 2)


def test_a_run_that_was_resumed_and_killed_is_stale() -> None:
    info = fold([start(10, pid=1), end(20, pid=1)], [start(50, pid=2)], pid_alive=dead)
    assert (info.status, info.stale, info.pid) == ("RUNNING", True, 2)


def test_the_newest_end_decides_among_writers() -> None:
    info = fold([start(10), end(30, "FAILED")], [start(11, pid=2), end(20, pid=2)])
    assert (info.status, info.ended_at) == ("FAILED", 30 * SECOND)


def test_the_newest_start_describes_the_experiment() -> None:
    first, second = {"tags": ["new"]}, {"tags": ["resumed"]}
    info = fold([start(50, experiment=second), end(60)], [start(10, experiment=first), start(70, handle=3)])
    assert info.experiment == second


def test_rows_that_say_nothing_known_are_ignored() -> None:
    info = fold([start(990), (995 * SECOND, {"event": "pause"}), (996 * SECOND, {})])
    assert info.status == "RUNNING"


@pytest.mark.parametrize(
    ("came", "is_stale"),
    [(NOW - 89 * SECOND, False), (NOW - 91 * SECOND, True), (NOW + 80 * SECOND, False)],
)
@pytest.mark.parametrize("ahead", [-300, 0, 3600], ids="its clock is {} s ahead".format)
def test_silence_is_measured_by_the_clock_of_who_keeps_the_rows(
    ahead: int, came: int, is_stale: bool
) -> None:
    """That of the process that wrote them may be any."""
    rows = [start(500 + ahead), heartbeat(900 + ahead)]
    info = fold_runs([WriterRuns(rows, rows[-1][0], came)], now_ns=NOW, space=ELSEWHERE, pid_alive=dead)
    assert (info.status, info.stale) == ("RUNNING", is_stale)


def test_a_file_system_whose_clock_is_far_ahead_is_not_believed() -> None:
    """It would let the dead live for as long."""
    for row, is_stale in ((start(990), False), (start(900), True)):
        writer = WriterRuns([row], row[0], NOW + 3600 * SECOND)
        assert fold_runs([writer], now_ns=NOW, space=ELSEWHERE, pid_alive=dead).stale is is_stale


@pytest.mark.parametrize("space", ["another container", None], ids=["elsewhere", "by an older version"])
def test_numbers_of_processes_are_looked_up_only_where_they_mean_something(space: str | None) -> None:
    """A container has its host's name, and numbers of its own."""
    info = fold([start(999, space=space)], pid_alive=dead)
    assert (info.status, info.stale, info.host) == ("RUNNING", False, HERE)


@pytest.mark.skipif(sys.platform != "linux", reason="process numbers have no namespaces there")
def test_processes_share_their_numbers_unless_they_are_in_another_namespace() -> None:
    code = "from ml_dash.processes import process_space; print(process_space())"
    ask = [sys.executable, "-c", code]
    here = process_space()
    assert here is not None
    assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout == f"{here}\n"
    apart = subprocess.run(
        ["unshare", "--user", "--pid", "--fork", *ask], capture_output=True, text=True, check=False
    )
    if apart.returncode:
        pytest.skip(f"no namespace can be made here: {apart.stderr.strip()}")
    assert apart.stdout.strip() not in {here, "None"}


def test_the_machine_is_asked_where_nothing_else_is_said() -> None:
    row = start(10, space=process_space(), pid=os.getpid())
    ours = fold_runs([WriterRuns([row], 10 * SECOND)])
    assert ours.stale, "its only row is from 1970"
    assert not fold_runs([WriterRuns([row], 10 * SECOND)], now_ns=20 * SECOND).stale


def test_a_process_is_alive_until_it_is_reaped() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert process_alive(process.pid)
    process.communicate(b"\n")
    assert not process_alive(process.pid)
    assert process_alive(os.getpid())
    assert process_alive(2**80), "what cannot be told is not dead"


BORN = process_born(os.getpid())


@pytest.mark.skipif(sys.platform != "linux", reason="only there a process tells when it began")
@pytest.mark.parametrize(
    ("born", "is_gone"),
    [
        (BORN, False),
        (None, False),  # by an older version
        (f"0 {str(BORN).partition(' ')[2]}", True),
        ("0 of another namespace", False),  # whose clock nobody here knows
        (str(BORN).partition(" ")[0], False),  # of a kernel that had but one
    ],
    ids=["the same", "older version", "another", "another namespace", "one clock"],
)
def test_a_number_that_was_given_to_another_process_does_not_keep_a_run_alive(
    born: str | None, is_gone: bool
) -> None:
    row = start(999, space=process_space(), pid=os.getpid(), born=born)
    writer = WriterRuns([row], 999 * SECOND)
    assert fold_runs([writer], now_ns=NOW).stale is is_gone
    assert is_process_gone(writer) is is_gone
    ended = WriterRuns([row, end(1000, pid=os.getpid())], NOW)
    assert is_process_gone(ended) is is_gone, "its process may go on"


@pytest.mark.skipif(sys.platform != "linux", reason="only there a process tells when it began")
def test_processes_that_have_a_number_one_after_the_other_are_told_apart() -> None:
    """By when they began, whatever they are called."""
    name = "a) b (c 1 2 3"
    text = f"open('/proc/self/comm', 'w').write({name!r}); print(flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"\n"
    born = process_born(process.pid)
    assert born is not None
    assert process_born(os.getpid()) == BORN != born
    assert process_alive(process.pid, born)
    assert not process_alive(process.pid, BORN)
    process.communicate(b"\n")
    assert not process_alive(process.pid, born)
    assert process_born(process.pid) is None


def test_runs_are_read_writer_by_writer(tmp_path: Path) -> None:
    """The first writer is silent and its process unknown; that the second one logs must not keep it alive."""
    metrics = block_of(TRAIN, [(980 * SECOND, {"loss": 1.0})])
    write(tmp_path, [[block_of(RUNS, [start(10, host=ELSEWHERE)])]], "writer-a")
    view = JournalView(str(tmp_path))
    assert view.run(now_ns=NOW, space=HERE, pid_alive=alive).stale
    write(tmp_path, [[block_of(RUNS, [start(20), end(30)])], [metrics]], "writer-b")
    info = view.run(now_ns=NOW, space=HERE, pid_alive=alive)
    assert (info.status, info.stale, info.writers) == ("COMPLETED", False, 2)
    assert info.last_activity == 980 * SECOND
    write(tmp_path, [[block_of(RUNS, [start(985, pid=3)])]], "writer-c")
    assert view.run(now_ns=NOW, space=HERE, pid_alive=alive).status == "RUNNING"


def test_an_empty_directory_has_no_run(tmp_path: Path) -> None:
    assert JournalView(str(tmp_path / "missing")).run().status is None


ANYTHING: list[Any] = [None, True, 7, -(2**63), 2**64 - 1, 0.5, "x", b"x", [1], {"a": [1]}, [[], {}]]


@pytest.mark.parametrize(
    "field", ["event", "status", "host", "pid", "handle", "space", "born", "error", "experiment"]
)
@pytest.mark.parametrize("value", ANYTHING, ids=repr)
def test_a_row_that_is_not_as_it_should_be_is_folded_all_the_same(field: str, value: Any) -> None:
    """Nobody knows who wrote a journal: what has another type than it should says nothing."""
    rows = [
        start(1),
        (2 * SECOND, {**start(2, handle=2)[1], field: value}),
        (3 * SECOND, {**end(3)[1], field: value}),
    ]
    found = fold(rows)
    for told in (found.status, found.host, found.error):
        assert told is None or isinstance(told, str)
    assert found.pid is None or isinstance(found.pid, int)
    assert found.experiment is None or isinstance(found.experiment, dict)
