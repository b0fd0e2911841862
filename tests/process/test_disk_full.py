"""A disk that is full, read-only, or refuses: training goes on, says so once, counts what is lost, and recovers.

Where this process may mount file systems (as root, in a mount namespace of its own) the disk is a real one of
half a megabyte. A limit on the size of files is the next best thing, and works for everybody.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.processes import PREFIX, Finished, Journal, Scripts
from tests.support.small_disk import on_a_small_disk, run_on_small_disk

BEGIN = """
    import errno, os, shutil, subprocess, sys, time
    from ml_dash import Experiment

    exp = Experiment("alice/vision/resnet", dash_root="disk", echo=False).run.start()
    logged = 0

    def log(count):
        global logged
        for _ in range(count):
            exp.metrics("train").log(step=logged, loss=logged * 0.5, note="x" * 20)
            logged += 1

    def fill():
        with open("disk/ballast", "ab", buffering=0) as file:
            for size in (65536, 4096, 512, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError as error:
                    assert error.errno == errno.ENOSPC, error

    def law():
        status = exp.status()
        assert status.logged == logged
        assert status.logged == status.acknowledged + status.pending + sum(status.dropped.values()), status
        return status

    def recovered(deadline=30):
        # Writing is tried again every second.
        end = time.monotonic() + deadline
        while exp.flush().pending:
            assert time.monotonic() < end, exp.status()
            time.sleep(0.05)
    """
FINISH = """
    shutil.copytree("disk", "after")
    status = law()
    print(logged, status.durable, status.dropped.get("disk", 0))
    """
"""What these scripts end with: the disk is gone with its namespace, so its content is saved for the test."""


def check_rows(home: Path, finished: Finished) -> Journal:
    """Assert that the journal holds just the rows that the script counted as durable, each exact, in order."""
    assert finished.returncode == 0, finished.stderr
    logged, durable, dropped = map(int, finished.stdout.split())
    assert durable + dropped == logged
    journal = Journal(home / "after", PREFIX)
    rows = journal.rows()
    assert len(rows) == durable
    steps = [row["step"] for row in rows]
    assert steps == sorted(set(steps))
    assert all(row == {"step": row["step"], "loss": row["step"] * 0.5, "note": "x" * 20} for row in rows)
    return journal


@on_a_small_disk
def test_a_full_disk_costs_rows_that_are_counted_and_never_the_training(scripts: Scripts) -> None:
    """Rows from before are safe, those that wait are written when space returns, and so are all later ones."""
    finished = run_on_small_disk(
        scripts,
        f"""{BEGIN}
    log(500)
    assert exp.flush().durable == 500
    fill()
    log(5000)
    result = exp.flush()
    assert result.pending > 0 and result.dropped > 0, result
    assert "No space left on device" in result.reason, result
    assert law().dropped["disk"] == result.dropped
    assert law().last_error is not None
    os.remove("disk/ballast")
    recovered()
    log(500)
    exp.run.complete()
    assert law().durable == logged - law().dropped["disk"]
    {FINISH}""",
        env={"ML_DASH_QUEUE_EVENTS": "1000", "ML_DASH_CRASH_PROOF": "0"},
    )
    journal = check_rows(scripts.home, finished)
    assert journal.values("step")[:500] == list(range(500))
    assert journal.values("step")[-500:] == list(range(5000 + 500, 5000 + 1000))
    assert journal.ends() == ["COMPLETED"]
    assert finished.stderr.count("cannot be written") == 1
    assert finished.stderr.count("can be written again") == 1
    assert "Traceback" not in finished.stderr


@pytest.mark.slow
@on_a_small_disk
def test_a_disk_that_fills_up_and_is_freed_again_and_again_recovers_each_time(scripts: Scripts) -> None:
    """Each time half a frame may be left behind; no row is doubled by the next attempt."""
    finished = run_on_small_disk(
        scripts,
        f"""{BEGIN}
    for turn in range(4):
        log(200)
        fill()
        log(300)
        exp.flush()
        os.remove("disk/ballast")
        recovered()
        log(100)
        exp.flush()
    exp.run.complete()
    {FINISH}""",
    )
    journal = check_rows(scripts.home, finished)
    assert journal.values("step") == list(range(4 * 600))
    assert journal.ends() == ["COMPLETED"]


@on_a_small_disk
def test_the_journal_itself_may_fill_the_disk(scripts: Scripts) -> None:
    """Nobody frees anything: what fitted is there, the rest is counted, and exit does not wait for a miracle."""
    finished = run_on_small_disk(
        scripts,
        f"""{BEGIN}
    log(50_000)
    exp.flush()
    exp.run.complete()
    status = law()
    assert status.pending + status.dropped.get("disk", 0) > 0
    shutil.copytree("disk", "after")
    print(logged, status.durable, logged - status.durable)
    """,
        env={"ML_DASH_QUEUE_EVENTS": "1000", "ML_DASH_CRASH_PROOF": "0", "ML_DASH_EXIT_TIMEOUT": "3600"},
    )
    journal = check_rows(scripts.home, finished)
    assert 0 < len(journal.rows()) < 50_000
    assert "events not known to be on disk" in finished.stderr


@on_a_small_disk
def test_a_run_that_starts_on_a_full_disk_trains_and_records_when_there_is_space(scripts: Scripts) -> None:
    """The start does not fail for it."""
    finished = run_on_small_disk(
        scripts,
        f"""{BEGIN.replace(".run.start()", "")}
    fill()
    exp.run.start()
    log(300)
    assert exp.flush().pending == 300
    os.remove("disk/ballast")
    recovered()
    exp.run.complete()
    {FINISH}""",
    )
    journal = check_rows(scripts.home, finished)
    assert journal.values("step") == list(range(300))
    assert journal.ends() == ["COMPLETED"]


@pytest.mark.slow
@on_a_small_disk
def test_parameters_and_messages_wait_for_space_too(scripts: Scripts) -> None:
    """They are rows like any other, and the readable files beside the journal follow."""
    finished = run_on_small_disk(
        scripts,
        f"""{BEGIN}
    exp.flush()
    fill()
    exp.params.set(lr=0.1)
    exp.log("hello")
    exp.flush()
    os.remove("disk/ballast")
    log(1)
    logged += 2
    recovered()
    exp.run.complete()
    {FINISH}""",
    )
    assert finished.returncode == 0, finished.stderr
    journal = Journal(scripts.home / "after", PREFIX)
    assert journal.view.params() == {"lr": 0.1}
    assert journal.messages() == ["hello"]
    assert '"lr": 0.1' in (journal.directory / "parameters.json").read_text()
    assert '"COMPLETED"' in (journal.directory / "experiment.json").read_text()


@pytest.mark.slow
@on_a_small_disk
def test_a_disk_that_turns_read_only_is_written_again_when_it_can_be(scripts: Scripts) -> None:
    """As after an error of the file system, and a remount."""
    finished = run_on_small_disk(
        scripts,
        f"""{BEGIN}
    def remount(mode):
        # A file that is open for writing would stand in the way: the run is closed for that moment.
        exp.run.complete()
        subprocess.run(["mount", "-o", f"remount,{{mode}}", "disk"], check=True)

    log(100)
    remount("ro")
    try:
        exp.run.start()
    except OSError as error:
        assert "cannot write the journal" in str(error), error
    else:
        log(100)
        assert exp.flush().pending == 100
    subprocess.run(["mount", "-o", "remount,rw", "disk"], check=True)
    exp.run.start()
    log(100)
    recovered()
    exp.run.complete()
    {FINISH}""",
    )
    check_rows(scripts.home, finished)


@pytest.mark.slow
def test_a_limit_on_the_size_of_files_costs_nothing(scripts: Scripts) -> None:
    """A write that fails in the middle of a frame, again and again: each time a new segment takes its place."""
    finished = scripts.run(
        f"""
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    {BEGIN}
    for _ in range(40):
        log(100)
        recovered()
    exp.run.complete()
    {FINISH}"""
    )
    journal = check_rows(scripts.home, finished)
    assert journal.values("step") == list(range(4000))
    assert journal.ends() == ["COMPLETED"]
    assert len(list((journal.directory / "journal").iterdir())) > 5


@pytest.mark.slow
def test_an_fsync_that_fails_is_believed(scripts: Scripts) -> None:
    """After EIO nothing that was not durable before counts as such: it is written again, to a new segment."""
    finished = scripts.run(
        f"""{BEGIN}
    log(100)
    exp.flush()
    fsync = os.fsync
    def fail(fd):
        raise OSError(errno.EIO, "Input/output error")
    os.fsync = fail
    log(100)
    result = exp.flush()
    assert (result.durable, result.pending) == (100, 100), result
    assert "Input/output error" in result.reason
    os.fsync = fsync
    recovered()
    exp.run.complete()
    {FINISH}"""
    )
    journal = check_rows(scripts.home, finished)
    assert journal.values("step") == list(range(200))
    assert finished.stderr.count("cannot be written") == 1


@pytest.mark.slow
def test_what_is_wrong_for_many_experiments_is_told_once(scripts: Scripts) -> None:
    """Too few descriptors for all of them: what the first one tells would be the same of a hundred others."""
    finished = scripts.run(
        """
    import resource, time
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
    from ml_dash import Experiment

    exps = [Experiment(f"alice/p/e{n}", dash_root="dash", echo=False).run.start() for n in range(80)]
    for step in range(3):
        for exp in exps:
            exp.metrics("m").log(step=step)
    for exp in exps:
        exp.flush(0)
    some = [exp.status() for exp in exps]
    assert any(status.last_error for status in some), "all of them found room"
    for exp in exps:
        exp.run.complete()  # which gives its descriptor back
    statuses = [exp.status() for exp in exps]
    for status in statuses:
        assert status.logged == status.acknowledged + status.pending + sum(status.dropped.values()) == 3, status
    print(sum(status.acknowledged for status in statuses))
    """
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "240\n"
    told = [line for line in finished.stderr.splitlines() if "journal" in line.lower()]
    assert 1 <= len(told) <= 4, finished.stderr
    assert "ulimit -n" in told[0]


@on_a_small_disk
def test_a_disk_that_is_full_is_told_once_for_all_experiments_on_it(scripts: Scripts) -> None:
    finished = run_on_small_disk(
        scripts,
        f"""{BEGIN}
    others = [Experiment(f"alice/p/e{{n}}", dash_root="disk", echo=False).run.start() for n in range(12)]
    fill()
    for step in range(100):
        for other in others:
            other.metrics("m").log(step=step, note="x" * 100)
    for other in others:
        assert other.flush().pending
    os.remove("disk/ballast")
    for other in others:
        other.run.complete()
        assert other.status().acknowledged == 100
    exp.run.complete()
    """,
    )
    assert finished.returncode == 0, finished.stderr
    told = [line for line in finished.stderr.splitlines() if "journal" in line.lower()]
    assert 2 <= len(told) <= 4, finished.stderr
