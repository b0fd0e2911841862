"""What `log()` has returned for survives the death of its process, however that dies and whatever it has forked.

A thousand kills are in `benchmarks/kills.py`; here are some of them, and what a kill alone does not show.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.kills import SHAPES, Shape, kill_many
from ml_dash.slabs.place import QUEUE_DIR
from tests.support.processes import Journal, Scripts, metric
from tests.support.shell import invoke
from tests.support.small_disk import on_a_small_disk, run_on_small_disk

BEGIN = """
    import os, signal, sys, threading, warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, which is what this is about
    from ml_dash import Experiment

    exp = Experiment("alice/vision/resnet", dash_root=".dash", echo=False).run.start()

    def log(name, start, stop):
        for step in range(start, stop):
            exp.metrics(name).log(step=step)

    def die():
        os.kill(os.getpid(), signal.SIGKILL)
    """


def steps(journal: Journal, name: str = "train") -> list[int]:
    return journal.values("step", metric(name))


@pytest.fixture
def queue_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where slabs lie here: for this process, which reads, as for those that it starts."""
    chosen = tmp_path / "queues"
    chosen.mkdir()
    monkeypatch.setenv(QUEUE_DIR, str(chosen))
    return chosen


def left_in(queue_dir: Path, ending: str = "") -> list[str]:
    return sorted(path.name for path in queue_dir.glob(f"*/*{ending}"))


@pytest.mark.crash
@pytest.mark.sample(5)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_kill_loses_no_row_whose_call_had_returned(shape: Shape) -> None:
    """None twice, and those of each thread in order."""
    toll = kill_many(shape, 3, random.Random(shape.name))

    assert (toll.lost, toll.twice, toll.disordered) == (0, 0, 0)
    assert toll.rows


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    "end",
    # who is started by `nohup` ignores that signal, and so do all below
    ["die()", "os._exit(0)", "os.abort()", "signal.signal(1, signal.SIG_DFL); os.kill(os.getpid(), 1)"],
)
def test_no_way_of_ending_loses_rows(end: str, scripts: Scripts, queue_dir: Path) -> None:
    env = {QUEUE_DIR: str(queue_dir), "ML_DASH_LINGER": "3600", "PYTHONFAULTHANDLER": ""}
    scripts.run(f"{BEGIN}\n    log('train', 0, 1000)\n    {end}", env=env)

    assert left_in(queue_dir, ".slab")
    assert steps(scripts.journal()) == list(range(1000))
    assert not left_in(queue_dir, ".slab")


@pytest.mark.sample(2)
@pytest.mark.parametrize("end", ["exp.run.complete()", "", "os.kill(os.getpid(), signal.SIGTERM)"])
def test_who_ends_in_an_orderly_way_leaves_nothing_behind(
    end: str, scripts: Scripts, queue_dir: Path
) -> None:
    env = {QUEUE_DIR: str(queue_dir)}
    scripts.run(f"{BEGIN}\n    log('train', 0, 100)\n    {end}", env=env)

    assert steps(Journal(scripts.home / ".dash")) == list(range(100)), "without anybody who recovers"
    assert left_in(queue_dir) == [] or "SIGTERM" in end


ON_A_DEVICE = f"""{BEGIN}
    from tests.support.fake_torch import FakeTorch

    torch = sys.modules["torch"] = FakeTorch()
    value = torch.tensor(0.0, device=0)

    def log_both(pieces):
        log("train", 0, 5)
        torch.busy(pieces=pieces)
        for step in range(5):
            exp.metrics("device").log(step=value.fill_(step))
        value.fill_(-1)
        log("train", 5, 10)
        assert exp.status().on_devices == 5
    """


@pytest.mark.sample(20)
@pytest.mark.parametrize("end", ["exp.run.complete()", "", "os.kill(os.getpid(), signal.SIGTERM)"])
def test_who_ends_waits_for_what_is_on_its_way_from_a_device(
    end: str, scripts: Scripts, queue_dir: Path
) -> None:
    env = {QUEUE_DIR: str(queue_dir), "ML_DASH_SIGTERM_TIMEOUT": "30"}
    scripts.run(f"{ON_A_DEVICE}\n    log_both(20)\n    {end}", env=env)

    journal = Journal(scripts.home / ".dash")
    assert (steps(journal), steps(journal, "device")) == (list(range(10)), list(range(5)))


@pytest.mark.slow
def test_a_kill_takes_what_is_on_its_way_from_a_device_and_nothing_else(
    scripts: Scripts, queue_dir: Path
) -> None:
    """Neither what was logged before, nor what has waited behind it."""
    scripts.run(f"{ON_A_DEVICE}\n    log_both(10**6)\n    die()", env={QUEUE_DIR: str(queue_dir)})

    journal = scripts.journal()
    assert (steps(journal), steps(journal, "device")) == (list(range(10)), [])


def test_a_family_of_which_all_are_killed_leaves_all_rows(scripts: Scripts, queue_dir: Path) -> None:
    """Children of children too, each with a slab of its own, and hooks of the script's that log in a fork."""
    scripts.run(
        f"""
    import os
    def hook(moment):
        return lambda: exp and exp.metrics("hooks").log(step=0, moment=moment, pid=os.getpid())
    exp = None
    os.register_at_fork(
        before=hook("early before"), after_in_parent=hook("early parent"), after_in_child=hook("early child")
    )
    {BEGIN}
    os.register_at_fork(
        before=hook("late before"), after_in_parent=hook("late parent"), after_in_child=hook("late child")
    )
    def descend(depth):
        log(f"depth {{depth}}", 0, 300)
        if depth < 3:
            child = os.fork()
            if child == 0:
                descend(depth + 1)
            os.waitpid(child, 0)
        exp.flush()  # what hooks log in the middle of a fork waits in memory
        log(f"depth {{depth}}", 300, 600)
        die()
    descend(0)
    """,
        env={QUEUE_DIR: str(queue_dir), "ML_DASH_LINGER": "3600"},
    )
    assert len(left_in(queue_dir, ".slab")) == 4
    journal = scripts.journal()
    for depth in range(4):
        assert steps(journal, f"depth {depth}") == list(range(600))
    moments = journal.rows(metric("hooks"))
    found = sorted(row["moment"] for row in moments)
    kinds = ("before", "child", "parent")
    assert found == sorted(f"{when} {kind}" for when in ("early", "late") for kind in kinds for _ in range(3))
    assert left_in(queue_dir, ".slab") == []


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_multiprocessing_that_are_killed_leave_their_rows(
    method: str, scripts: Scripts, queue_dir: Path
) -> None:
    scripts.run(
        f"""
    import multiprocessing, os, signal
    from ml_dash import Experiment

    def work(number):
        exp = Experiment("alice/vision/resnet", dash_root=".dash", echo=False).run.start()
        for step in range(500):
            exp.metrics(f"worker {{number}}").log(step=step)
        os.kill(os.getpid(), signal.SIGKILL)

    if __name__ == "__main__":
        context = multiprocessing.get_context("{method}")
        workers = [context.Process(target=work, args=(number,)) for number in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
            assert worker.exitcode == -signal.SIGKILL
    """,
        env={QUEUE_DIR: str(queue_dir), "ML_DASH_LINGER": "3600"},
    )
    journal = scripts.journal()
    for number in range(3):
        assert steps(journal, f"worker {number}") == list(range(500))


@pytest.mark.slow
@pytest.mark.timeout(660)
@pytest.mark.parametrize("count", [30, 1000])
def test_experiments_one_after_another_leave_no_slab_and_no_descriptor(
    count: int, scripts: Scripts, queue_dir: Path
) -> None:
    finished = scripts.run(
        f"""
    import os
    from ml_dash import Experiment

    def run(number):
        with Experiment(f"alice/vision/run{{number}}", dash_root=".dash", echo=False).run as exp:
            exp.metrics("train").log(step=number)
            assert exp.status().queue == "shared memory"

    run(-1)
    before = len(os.listdir("/proc/self/fd"))
    for number in range({count}):
        run(number)
    after = len(os.listdir("/proc/self/fd"))
    assert after < before + 20, (before, after)  # the background thread may only just have begun
    print([name for _, _, names in os.walk(os.environ["{QUEUE_DIR}"]) for name in names if "slab" in name])
    """,
        env={QUEUE_DIR: str(queue_dir)},
        deadline=600,  # each waits for the disk, which others may write to
    )
    assert finished.stdout == "[]\n", finished.stderr
    assert left_in(queue_dir) == []


@on_a_small_disk
def test_rows_that_a_full_disk_refuses_survive_a_kill_and_come_when_there_is_room(scripts: Scripts) -> None:
    finished = run_on_small_disk(
        scripts,
        f"""
    import shutil, subprocess, threading, time
    {BEGIN.replace('".dash"', '"disk"')}
    log("train", 0, 100)
    exp.flush()
    while any(thread.name == "ml-dash-apart" for thread in threading.enumerate()):
        time.sleep(0.01)  # it looks for what dead processes have left, and would find the child's
    child = os.fork()
    if child == 0:
        log("train", 100, 200)
        exp.flush()
        ballast = os.open("disk/ballast", os.O_CREAT | os.O_WRONLY)
        try:
            while True:
                os.write(ballast, bytes(4096))
        except OSError:
            pass
        log("train", 200, 1200)
        assert exp.flush().pending
        assert exp.status().queue == "shared memory"
        die()
    os.waitpid(child, 0)
    from ml_dash.storage.recovery import catch_up
    assert catch_up("disk/alice/vision/resnet") == []
    os.remove("disk/ballast")
    print(sum(found.rows for found in catch_up("disk/alice/vision/resnet")))
    exp.run.complete()
    shutil.copytree("disk", "after")
    """,
    )
    assert finished.stdout == "1000\n", finished.stderr
    assert sorted(steps(Journal(scripts.home / "after"))) == list(range(1200))


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("limit", "where"),
    [("-n 64", "memory"), ("-n 300", "shared memory"), ("-v 4000000", "shared memory")],
)
def test_where_little_is_to_be_had_rows_are_logged_all_the_same(
    limit: str, where: str, scripts: Scripts, queue_dir: Path
) -> None:
    process = scripts.start(
        f"{BEGIN}\n    log('train', 0, 20_000)\n    print(exp.status().queue)\n    exp.run.complete()",
        env={QUEUE_DIR: str(queue_dir)},
        launcher=["sh", "-c", f'ulimit {limit} && exec "$@"', "sh"],
    )
    output, errors = process.communicate()
    assert output.decode() == f"{where}\n", errors.decode()
    assert steps(Journal(scripts.home / ".dash")) == list(range(20_000))


@pytest.mark.sample(2)
@pytest.mark.parametrize("wanted", ["0", "1"])
def test_shared_memory_can_be_done_without(wanted: str, scripts: Scripts, queue_dir: Path) -> None:
    finished = scripts.run(
        f"{BEGIN}\n    log('train', 0, 10)\n    print(exp.status().queue)",
        env={QUEUE_DIR: str(queue_dir), "ML_DASH_CRASH_PROOF": wanted},
    )
    assert finished.stdout == ("shared memory\n" if wanted == "1" else "memory\n")
    assert bool(left_in(queue_dir.parent, "ml-dash-*")) == (wanted == "1")


def test_a_reader_has_a_live_process_write_what_waits(scripts: Scripts, queue_dir: Path) -> None:
    """By its bell: by itself it would write in an hour."""
    env = {QUEUE_DIR: str(queue_dir), "ML_DASH_LINGER": "3600"}
    process = scripts.start(
        f"""{BEGIN}
    exp.flush()
    log("train", 0, 10)
    print("logged", flush=True)
    sys.stdin.readline()
    log("train", 10, 20)
    print("logged", flush=True)
    sys.stdin.readline()
    die()
    """,
        env=env,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for count in (10, 20):
        assert process.stdout.readline() == b"logged\n"
        shown: list[int] = []
        # a process that is slow to hear is asked again, as `tail -f` does
        while len(shown) < count:
            shown = steps(scripts.journal())
        assert shown == list(range(count))
        process.stdin.write(b"\n")
        process.stdin.flush()
    assert process.wait() == -signal.SIGKILL
    process.communicate()


@pytest.mark.slow
def test_tail_shows_rows_of_a_live_process_that_would_write_them_in_an_hour(
    scripts: Scripts, queue_dir: Path
) -> None:
    """It rings at each look; `docs/cli.md` says how soon a row is seen."""
    env = {QUEUE_DIR: str(queue_dir), "ML_DASH_LINGER": "3600"}
    process = scripts.start(
        f"""{BEGIN}
    exp.flush()
    print("begun", flush=True)
    for step in map(int, sys.stdin):
        exp.metrics("train").log(step=step)
    """,
        env=env,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    line = [
        sys.executable,
        "-m",
        "ml_dash",
        "tail",
        "-f",
        "alice/vision/resnet",
        "--root",
        str(scripts.home / ".dash"),
    ]
    with subprocess.Popen(line, stdout=subprocess.PIPE, env={**os.environ, **env}, text=True) as follower:
        assert follower.stdout is not None
        for step in range(5):
            process.stdin.write(b"%d\n" % step)
            process.stdin.flush()
            assert f"step={step}" in follower.stdout.readline()
        process.communicate()
        assert process.returncode == 0
        assert follower.wait() == 0


@pytest.mark.slow
def test_a_disk_that_hangs_keeps_no_row_from_its_journal_for_ever(scripts: Scripts, queue_dir: Path) -> None:
    """SIGTERM ends a process whose disk does not answer; its rows are in shared memory."""
    env = {QUEUE_DIR: str(queue_dir), "ML_DASH_LINGER": "3600"}
    finished = scripts.run(
        f"""{BEGIN}
    import time
    exp.flush()
    write = os.write
    def stall(fd, data):
        return write(fd, data) if fd < 3 else time.sleep(3600)
    os.write = stall
    log("train", 0, 1000)
    signal.raise_signal(signal.SIGTERM)
    """,
        env=env,
    )
    assert finished.returncode == -signal.SIGTERM
    assert steps(scripts.journal()) == list(range(1000))


def test_a_journal_that_was_copied_elsewhere_says_what_may_be_missing(
    scripts: Scripts, queue_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To whoever looks at it on another machine, where the shared memory is not to be found, at once."""
    scripts.run(
        f"{BEGIN}\n    exp.flush()\n    log('train', 0, 10)\n    die()",
        env={QUEUE_DIR: str(queue_dir), "ML_DASH_LINGER": "3600"},
    )
    copy = scripts.home / "copy"
    shutil.copytree(scripts.home / ".dash", copy)
    monkeypatch.setattr("ml_dash.query.runs.process_space", lambda: "another machine")
    monkeypatch.delenv(QUEUE_DIR)

    shown = invoke("show", "alice/vision/resnet", "--root", copy).out

    assert "may wait in shared memory of" in " ".join(shown.split())


@pytest.mark.crash
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers here")
def test_a_handler_that_logs_into_a_full_queue_waits_for_nobody(scripts: Scripts) -> None:
    """It comes in the middle of calls that hold what the worker needs, and whoever waits then waits for ever."""
    finished = scripts.run(
        f"""{BEGIN}
    main, other, steps = exp.metrics("train"), exp.metrics("handler"), [0, 0]
    is_inside = False

    def handle(number, frame):
        global is_inside
        if not is_inside:
            is_inside = True
            other.log(step=steps[1])
            steps[1] += 1
            is_inside = False

    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    import time
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        main.log(step=steps[0])
        steps[0] += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    exp.flush()
    print(*steps, flush=True)
    die()
    """
    )
    assert finished.returncode == -signal.SIGKILL
    logged, handled = map(int, finished.stdout.split())
    journal = scripts.journal()
    assert steps(journal) == list(range(logged))
    assert steps(journal, "handler") == list(range(handled))
    assert handled > 10
