"""A training under limits of the system, which stays within them: it goes on, and its rows are in the journal.

Without the care of `ml_dash.limits`, OpenBLAS ended some of these: numpy was imported for them.
"""

from __future__ import annotations

import os
import sys

import pytest

from ml_dash.limits.sparing import SPARED
from tests.support.processes import Finished, Journal, Scripts, finish

pytestmark = [
    pytest.mark.crash,
    pytest.mark.skipif(sys.platform != "linux", reason="the limits are Linux's"),
]

ROWS = 3000
"""More than are ever encoded without a look for numpy."""

BEGIN = f"""
    import os, sys
    from ml_dash import Experiment, Histogram, LimitError

    exp = Experiment("alice/vision/resnet", dash_root=".dash", echo=False).run.start()
    for step in range({ROWS}):
        exp.metrics("train").log(step=step, loss=1 / (step + 1))
    """
END = """
    exp.flush()
    status = exp.status()
    assert status.logged == status.acknowledged + status.pending + sum(status.dropped.values()), status
    print(status.logged, status.acknowledged, status.queue, "numpy" in sys.modules)
    exp.run.complete()
    print("went on")
    """


def run(scripts: Scripts, limit: str, text: str) -> Finished:
    """Run a script below a shell's `ulimit`; the limits are in KiB, but for those of numbers."""
    # No bytecode is written: where a file may not be long, Python leaves half of it, and cannot read that later.
    environ = {"PYTHONDONTWRITEBYTECODE": "1"}
    launcher = ["sh", "-c", f'ulimit {limit} && exec "$@"', "sh"]
    return finish(scripts.start(text, env=environ, launcher=launcher))


def check(scripts: Scripts, finished: Finished, *, numpy: bool | None = None) -> None:
    assert finished.returncode == 0, finished.stderr
    first, second = finished.stdout.splitlines()
    assert second == "went on"
    assert first.startswith(f"{ROWS} {ROWS} "), finished.stdout
    if numpy is not None:
        assert first.endswith(str(numpy)), finished.stderr
    journal = Journal(scripts.home / ".dash")
    assert journal.values("step") == list(range(ROWS))
    assert journal.ends() == ["COMPLETED"]


@pytest.mark.sample(4)
@pytest.mark.parametrize("size", [250, 60, 100, 150, 200, 300, 350, 400, 500])
def test_where_the_address_space_is_small_rows_are_written_without_threads_and_numpy(
    size: int, scripts: Scripts
) -> None:
    finished = run(scripts, f"-v {size << 10}", BEGIN + END)
    check(scripts, finished, numpy=False)
    assert finished.stderr.count("No background thread can be started: a thread takes") == 1
    assert finished.stderr.count("Rows are written without numpy") == 1
    assert f"`ulimit -v {size << 10}`" in finished.stderr


@pytest.mark.slow
@pytest.mark.parametrize("size", [600, 800, 1000, 1500])
def test_where_it_is_larger_the_script_keeps_its_part(size: int, scripts: Scripts) -> None:
    """Between what takes nothing and what takes all there are limits under which some threads can be had."""
    check(scripts, run(scripts, f"-v {size << 10}", BEGIN + END))


@pytest.mark.slow
@pytest.mark.parametrize(
    "limit", ["-d 100000", "-d 300000", "-l 0", "-s 256", "-s 1000000", "-n 12", "-n 20"]
)
def test_so_it_is_under_other_limits(limit: str, scripts: Scripts) -> None:
    check(scripts, run(scripts, limit, BEGIN + END), numpy=False if limit.startswith("-d") else None)


@pytest.mark.sample(2)
@pytest.mark.parametrize("size", [16, 100])
def test_files_that_may_not_be_long_are_more_of_them(size: int, scripts: Scripts) -> None:
    """The system would send a signal at the limit, which ends a process that does not ignore it as Python does."""
    limit = f"""
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, ({size << 10}, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    """
    finished = run(scripts, "-c 0", limit + BEGIN + END)
    check(scripts, finished)
    assert finished.stdout.split()[2] == "memory"  # a slab is longer than that
    assert finished.stderr == ""
    files = list((scripts.home / ".dash").rglob("*.mldj"))
    assert len(files) >= (3 if size == 16 else 1)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="with one processor numpy starts no thread")
def test_where_few_threads_may_be_numpy_starts_none(scripts: Scripts) -> None:
    """It would send the process a SIGINT where it gets none. Of root the system does not ask for the limit; we do."""
    limit = """
    import resource
    resource.setrlimit(resource.RLIMIT_NPROC, (15, resource.getrlimit(resource.RLIMIT_NPROC)[1]))
    """
    finished = run(scripts, "-c 0", limit + BEGIN + END)
    check(scripts, finished, numpy=False)
    assert "`ulimit -u 15`" in finished.stderr


def test_what_needs_numpy_says_so_and_the_training_goes_on(scripts: Scripts) -> None:
    calls = """
    train = exp.metrics("train")
    for call in (
        train.read,
        train.stats,
        train.to_numpy,
        lambda: train.best("loss"),
        lambda: train.read(x="time"),
        lambda: exp.metrics("rollout").log_columns(step=[1, 2, 3]),
        lambda: Histogram([1, 2, 3]),
    ):
        try:
            call()
        except LimitError as error:
            assert "ulimit -v" in str(error), error
        else:
            raise AssertionError("no error")
        assert "numpy" not in sys.modules
    """
    check(scripts, run(scripts, "-v 300000", BEGIN + calls + END), numpy=False)


def test_a_run_for_which_there_is_no_room_at_all_is_refused_at_its_start(scripts: Scripts) -> None:
    """And not in the middle of something that it imports."""
    limit = """
    import resource
    import ml_dash
    taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + (10 << 20), resource.getrlimit(resource.RLIMIT_AS)[1]))
    """
    finished = run(scripts, "-c 0", limit + BEGIN + END)
    assert finished.returncode == 1
    assert "ml_dash.errors.LimitError: the run of 'alice/vision/resnet'" in finished.stderr
    assert not (scripts.home / ".dash").exists()


def test_a_script_that_has_numpy_itself_has_its_rows_written_with_it(scripts: Scripts) -> None:
    """Under a limit with room for it, and for what it takes, but not for us."""
    size = 300 + 50 * len(os.sched_getaffinity(0))
    assert size << 20 < SPARED or len(os.sched_getaffinity(0)) > 4
    finished = run(scripts, f"-v {size << 10}", f"\n    import numpy{BEGIN}{END}")
    check(scripts, finished, numpy=True)
    assert "without numpy" not in finished.stderr
