"""`kill -9` at random moments, a thousand times: what a journal holds then.

It always opens. It holds everything for which `flush()` had returned, each row exact and once, in order, without
a gap; and of what was not flushed at most the last linger is missing.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.examples import many
from tests.support.killing import ENV, KillingGround, check, exact_rows, moments
from tests.support.processes import LOGS, Journal
from tests.support.victims import EXPERIMENTS, THREADS, mixed_row

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

KILLS = many(120)
"""Of each kind. There are eight, and `test_sync_mode` has one of its own: a thousand and some in all."""


def exact_mixed_rows(journal: Journal) -> int:
    """The same for the rows of `mixed_row`, and for the messages and parameters that came before each."""
    rows = journal.rows()
    assert rows == [mixed_row(step) for step in range(len(rows))]
    messages = journal.rows(LOGS)
    assert messages == [
        {"level": "warn" if step % 2 else "info", "message": f"step {step}", "metadata": {"step": step}}
        for step in range(len(messages))
    ]
    assert len(rows) <= len(messages) <= len(rows) + 1
    params = journal.view.params()
    if params:
        assert params["nested.half"] == params["step"] / 2
        assert len(messages) <= params["step"] + 1 <= len(messages) + 1
    return len(rows)


def stale_at_most(journal: Journal) -> None:
    """Assert that the run is told as dead, or was never begun, and that side files are whole."""
    info = journal.view.run()
    assert (info.status, info.stale) in {("RUNNING", True), (None, False)}
    snapshot = journal.directory / "experiment.json"
    if snapshot.exists():
        assert json.loads(snapshot.read_text())["status"] == "RUNNING"


@pytest.mark.sample(2)
@pytest.mark.parametrize("shape", ["tight", "paced"])
def test_one_thread_that_is_killed_leaves_all_but_the_last_linger(
    shape: str, ground: KillingGround, tmp_path: Path
) -> None:
    """At full speed, and with a pause after each row."""
    vouched = 0
    for turn, seconds in moments(shape, KILLS, 0.15):
        report = ground.kill(shape, tmp_path / str(turn), seconds, ENV)
        journal = Journal(tmp_path / str(turn))
        vouched += check(report, {"train": exact_rows(journal, "train")})
        stale_at_most(journal)
    assert vouched, "no flush had ever returned: this has tested nothing"


@pytest.mark.slow
def test_rows_that_nobody_flushed_wait_no_longer_than_the_linger(
    ground: KillingGround, tmp_path: Path
) -> None:
    """No flush wakes the worker here, so that only its own pace brings rows to the disk."""
    written = 0
    for turn, seconds in moments("unflushed", KILLS, 0.25, 0.1):
        report = ground.kill("unflushed", tmp_path / str(turn), seconds, ENV)
        written += (count := exact_rows(Journal(tmp_path / str(turn)), "train"))
        check(report, {"train": count})
    assert written


@pytest.mark.slow
def test_threads_that_are_killed_each_leave_their_rows_in_order(
    ground: KillingGround, tmp_path: Path
) -> None:
    """Four threads log and flush at once."""
    vouched = 0
    for turn, seconds in moments("threads", KILLS, 0.15):
        report = ground.kill("threads", tmp_path / str(turn), seconds, ENV)
        journal = Journal(tmp_path / str(turn))
        counts = {name: exact_rows(journal, name) for name in (f"thread{n}" for n in range(THREADS))}
        vouched += check(report, counts)
        stale_at_most(journal)
    assert vouched


@pytest.mark.slow
def test_messages_parameters_and_rows_of_any_shape_survive_a_kill_together(
    ground: KillingGround, tmp_path: Path
) -> None:
    """One step sets parameters, logs a message and then a row: no later thing is there without the earlier."""
    vouched = 0
    for turn, seconds in moments("mixed", KILLS, 0.15):
        report = ground.kill("mixed", tmp_path / str(turn), seconds, ENV)
        journal = Journal(tmp_path / str(turn))
        vouched += check(report, {"train": exact_mixed_rows(journal)})
        stale_at_most(journal)
    assert vouched


@pytest.mark.slow
def test_several_experiments_of_one_process_survive_its_kill(ground: KillingGround, tmp_path: Path) -> None:
    """Each has a journal of its own, and all share the one worker."""
    vouched = 0
    for turn, seconds in moments("several", KILLS, 0.15):
        root = tmp_path / str(turn)
        report = ground.kill("several", root, seconds, ENV)
        journals = {
            name: Journal(root, f"alice/vision/{name}") for name in (f"run{n}" for n in range(EXPERIMENTS))
        }
        counts = {name: exact_rows(journal, name) for name, journal in journals.items()}
        vouched += check(report, counts)
    assert vouched


@pytest.mark.slow
def test_a_kill_between_two_segments_loses_nothing(ground: KillingGround, tmp_path: Path) -> None:
    """Segments of a few frames, so that many a kill falls into the change from one to the next."""
    vouched = segments = 0
    for turn, seconds in moments("segments", KILLS, 0.15):
        root = tmp_path / str(turn)
        env = {**ENV, "ML_DASH_SEGMENT_BYTES": "2000", "ML_DASH_LINGER": "0.001"}
        report = ground.kill("paced", root, seconds, env)
        journal = Journal(root)
        vouched += check(report, {"train": exact_rows(journal, "train")})
        segments = max(segments, *(writer.segments for writer in journal.view.index.writers), 0)
    assert vouched
    assert segments > 3


@pytest.mark.slow
def test_an_experiment_that_is_killed_and_resumed_again_and_again_keeps_all_it_had(
    ground: KillingGround, tmp_path: Path
) -> None:
    """Each life is another writer of the same journal, and what an earlier one left never changes."""
    lives: list[int] = []
    for turn, seconds in moments("resumed", KILLS, 0.1):
        if turn % 25 == 0:
            root, lives = tmp_path / str(turn), []
        report = ground.kill("paced", root, seconds, ENV)
        steps = Journal(root).values("step")
        before = sum(lives)
        assert steps[:before] == [step for life in lives for step in range(life)]
        assert steps[before:] == list(range(len(steps) - before))
        lives.append(len(steps) - before)
        check(report, {"train": lives[-1]})
    assert sum(lives)
