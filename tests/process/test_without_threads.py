"""No background thread: whatever keeps it from starting, rows reach the disk and no call waits for ever."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.examples import many
from tests.support.interpreters import VERSIONS, interpreter
from tests.support.processes import LOGS, RUNS, Journal, Scripts, expect_line, finish

NO_STACK = "threading.stack_size(1 << 47)"
"""More than there are addresses: the machine itself refuses each thread, until this is taken back."""
STACKS = "threading.stack_size(0)"

NO_PROCESSES = """
    # Imported while the user may still read the standard library: all that the same script has used without a limit.
    import contextlib, importlib, resource
    for module in os.environ["MODULES"].split():
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    if os.getuid() == 0:  # root is above such limits
        os.chown(os.environ["ROOT"], 12345, 12345)
        os.setuid(12345)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    """

START = """
    import os
    import threading
    from ml_dash import Experiment
    """

NO_LIMIT = """
    import atexit, sys
    atexit.register(lambda: print(*(each for each in list(sys.modules) if not each.startswith("__m")), sep=chr(10)))
    """

LOG = """
    exp = Experiment("alice/vision/resnet", dash_root=os.environ["ROOT"], echo=False).run.start()
    for step in range(300_000):
        exp.metrics("train").log(step=step)
    """

COMPLAINT = "No background thread can be started"


def script(*parts: str) -> str:
    """Join parts that are indented alike."""
    return "".join(part if part.startswith("\n") else f"\n    {part}\n" for part in parts)


@pytest.fixture
def another_users() -> Iterator[Path]:
    """A directory that another user can reach, which pytest's are not."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limits are Linux's")
@pytest.mark.parametrize("limit", [NO_STACK, NO_PROCESSES], ids=["memory", "processes"])
def test_where_the_machine_refuses_threads_the_callers_write(
    scripts: Scripts, another_users: Path, limit: str
) -> None:
    """More rows than the queue takes; most are on disk before anybody flushes, and a line says so once."""
    rest = """
    print(exp.status().durable > 0, exp.metrics("train").stats()["count"], exp.flush().durable)
    exp.files("f").save_blob(b"x" * 3_000_000, to="large.bin")
    exp.params.set(done=True)
    """
    used = ""
    if limit == NO_PROCESSES:
        used = scripts.run(script(START, NO_LIMIT, LOG, rest), env={"ROOT": ".dash"}).stdout.partition("\n")[
            2
        ]
        assert "ml_dash.pipeline.worker" in used
    finished = scripts.run(script(START, limit, LOG, rest), env={"ROOT": str(another_users), "MODULES": used})
    assert (finished.returncode, finished.stdout) == (0, "True 300000 300000\n"), finished.stderr
    assert finished.stderr.count(COMPLAINT) == 1
    journal = Journal(another_users)
    assert journal.values("step") == list(range(300_000))
    assert journal.view.params() == {"done": True}
    assert journal.ends() == ["COMPLETED"]


@pytest.mark.sample(20)
@pytest.mark.parametrize("hook", ["settrace", "setprofile"])
def test_where_every_thread_ends_before_its_first_line_the_callers_write_and_sigterm_ends_them(
    scripts: Scripts, hook: str
) -> None:
    """A debugger, a profiler or a measure of coverage that is broken takes each new thread down with it."""
    process = scripts.start(
        script(
            START,
            f"""
    def broken(frame, event, argument):
        raise RuntimeError("a broken debugger")

    threading.{hook}(broken)
    exp = Experiment("alice/vision/resnet", dash_root=".dash", echo=False).run.start()
    for step in range(1_000):
        exp.metrics("train").log(step=step)
    print(exp.flush().durable, flush=True)
    threading.Event().wait(60)
    """,
        )
    )
    assert expect_line(process) == "1000"
    process.terminate()
    finished = finish(process)
    assert finished.returncode == -signal.SIGTERM, finished.stderr
    assert finished.stderr.count(COMPLAINT) == 1
    assert scripts.journal().values("step") == list(range(1_000))
    assert scripts.journal().ends() == ["CANCELLED"]


@pytest.mark.slow
def test_rows_that_callers_write_survive_a_kill(scripts: Scripts) -> None:
    """All that is older than the linger; heartbeats come as well."""
    process = scripts.start(
        script(
            START,
            NO_STACK,
            """
    exp = Experiment("alice/vision/resnet", dash_root=".dash", echo=False).run.start()
    for step in range(10):
        exp.metrics("train").log(step=step)
        threading.Event().wait(0.1)
    print("logged", flush=True)
    threading.Event().wait(60)
    """,
        ),
        env={"ML_DASH_HEARTBEAT": "0.2"},
    )
    assert expect_line(process) == "logged"
    process.kill()
    finish(process)
    assert scripts.journal().values("step") == list(range(10))
    assert "heartbeat" in scripts.journal().values("event", RUNS)


@pytest.mark.slow
def test_a_thread_is_started_when_there_can_be_one_again(scripts: Scripts) -> None:
    """It is tried every second; then rows reach the disk by themselves."""
    finished = scripts.run(
        script(
            START,
            NO_STACK,
            """
    exp = Experiment("alice/vision/resnet", dash_root=".dash", echo=False).run.start()
    exp.metrics("train").log(step=0)
    """,
            STACKS,
            """
    step = 0
    while "ml-dash" not in [thread.name for thread in threading.enumerate()]:
        exp.metrics("train").log(step=(step := step + 1))
        threading.Event().wait(0.01)
    while exp.status().durable <= step:
        threading.Event().wait(0.01)
    print(step)
    """,
        )
    )
    assert finished.returncode == 0, finished
    assert finished.stderr.count(COMPLAINT) == finished.stderr.count("could be started") == 1
    assert scripts.journal().values("step") == list(range(int(finished.stdout) + 1))


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals are sent to threads here")
def test_sigterm_without_threads_loses_nothing(scripts: Scripts) -> None:
    """The main thread itself is in the middle of writing, or of anything else."""
    for turn in range(1, many(10) + 1):
        process = scripts.start(
            script(
                START,
                NO_STACK,
                f"""
    exp = Experiment("alice/vision/turn{turn}", dash_root=".dash", echo=False).run.start()
    step = 0
    with open("count", "wb", buffering=0) as count:
        print("started", flush=True)
        while True:
            exp.metrics("train").log(step=step)
            step += 1
            os.pwrite(count.fileno(), step.to_bytes(8, "little"), 0)
    """,
            )
        )
        assert expect_line(process) == "started"
        process.terminate()
        assert finish(process).returncode == -signal.SIGTERM
        logged = int.from_bytes((scripts.home / "count").read_bytes(), "little")
        journal = scripts.journal(f"alice/vision/turn{turn}")
        steps = journal.values("step")
        assert steps == list(range(len(steps)))
        assert len(steps) >= logged
        assert journal.ends() == ["CANCELLED"]


@pytest.mark.sample(2)
@pytest.mark.parametrize("root", ["'.dash'", "None"], ids=["hybrid", "remote-only"])
def test_without_threads_nobody_waits_for_a_server(scripts: Scripts, root: str) -> None:
    """Neither at the start, nor in a flush, nor at the end, nor at exit; the rows are where `sync` finds them."""
    finished = scripts.run(
        script(
            START,
            NO_STACK,
            f"""
    from ml_dash import ServerUnavailableError

    exp = Experiment("alice/vision/resnet", dash_root={root}, dash_url="http://127.0.0.1:9").run.start()
    exp.metrics("train").log(step=1)
    result = exp.flush(timeout=3600)
    print(result.durable, result.pending, result.online)
    try:
        Experiment("alice/vision/other", dash_root=None, dash_url="http://127.0.0.1:9").metrics("train").read()
    except ServerUnavailableError as error:
        print("cannot be asked" in str(error))
    exp.run.complete()
    """,
        ),
        env={
            "ML_DASH_START_TIMEOUT": "3600",
            "ML_DASH_EXIT_TIMEOUT": "3600",
            "ML_DASH_FLUSH_TIMEOUT": "3600",
        },
    )
    assert (finished.returncode, finished.stdout) == (0, "1 1 False\nTrue\n"), finished.stderr
    assert "ml-dash sync" in finished.stderr


@pytest.mark.slow
@pytest.mark.interpreters
@pytest.mark.parametrize("version", VERSIONS)
def test_every_python_that_refuses_threads_logs_all_the_same(
    version: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    scripts = Scripts(tmp_path, *interpreter(version, request))
    ending = """
    def child():
        exp.log("child")
        exp.flush()
        os._exit(0)

    if (pid := os.fork()) == 0:
        child()
    os.waitpid(pid, 0)
    """
    finished = scripts.run(script(START, NO_STACK, LOG, ending), env={"ROOT": ".dash"})
    assert finished.returncode == 0, finished
    assert scripts.journal().values("step") == list(range(300_000))
    assert scripts.journal().values("message", LOGS) == ["child"]
    assert scripts.journal().ends() == ["COMPLETED"]
