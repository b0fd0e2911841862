"""SIGTERM and SIGINT: the journal is completed, and the process dies as it would have without us."""

from __future__ import annotations

import random
import re
import signal
import sys
import time

import pytest

from tests.support.examples import many
from tests.support.processes import Journal, Scripts, expect_line, finish, metric

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")

BEGIN = """
    import os, signal, sys, threading, time
    from ml_dash import Experiment

    exp = Experiment("alice/vision/resnet", dash_root=".dash").run.start()

    def ready():
        os.write(1, b"ready\\n")

    def wait():
        ready()
        # In short naps: a signal that comes between the interpreter's last look for one and a sleep is seen after it.
        while True:
            time.sleep(0.05)
    """
"""What the scripts of this file begin with. They say `ready` when the signal may come."""
PATIENT = {"ML_DASH_SIGTERM_TIMEOUT": "200"}
"""So that nothing here depends on the speed of the machine. Where all is well nobody waits for so long."""
LAZY = {**PATIENT, "ML_DASH_LINGER": "3600"}
"""With such a linger nothing is written but by a flush, a read, or the way out."""


def steps(journal: Journal, name: str = "train") -> list[int]:
    """Return the steps of a metric's rows."""
    return journal.values("step", metric(name))


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    "wait", ["time.sleep(3600)", "signal.pause()", "sys.stdin.read()", "threading.Event().wait()"]
)
def test_a_script_that_waits_is_drained_and_dies_of_sigterm(scripts: Scripts, wait: str) -> None:
    """The rows, the end row with CANCELLED, and the exit status that a shell or a scheduler expects."""
    process = scripts.start(
        f"""{BEGIN}
    for step in range(100):
        exp.metrics("train").log(step=step)
    ready()
    {wait}
    """,
        env=LAZY,
    )
    assert expect_line(process) == "ready"
    process.terminate()
    assert finish(process) == (-signal.SIGTERM, "", "")
    journal = scripts.journal()
    assert steps(journal) == list(range(100))
    assert journal.ends() == ["CANCELLED"]


def test_a_signal_that_the_interpreter_does_not_see_before_it_waits_is_sent_again(scripts: Scripts) -> None:
    """The main thread is just coming from the handler when the journal is complete, and waits again."""
    process = scripts.start(
        f"""{BEGIN}
    kill, sent = signal.pthread_kill, []

    def unseen(thread, number):
        sent.append(number)
        if len(sent) > 1:
            kill(thread, number)

    signal.pthread_kill = unseen
    exp.metrics("train").log(step=0)
    ready()
    sys.stdin.read()
    """,
        env=LAZY,
    )
    assert expect_line(process) == "ready"
    process.terminate()
    assert finish(process) == (-signal.SIGTERM, "", "")
    journal = scripts.journal()
    assert (steps(journal), journal.ends()) == ([0], ["CANCELLED"])


@pytest.mark.sample(7)
@pytest.mark.parametrize(
    "body",
    {
        "log": "train.log(step=step); step += 1",
        "paced": "train.log(step=step); step += 1; time.sleep(0.0001)",
        "flush": "train.log(step=step); step += 1; exp.flush()",
        "read": "train.log(step=step); step += 1; train.read(limit=1)",
        "status": "train.log(step=step); step += 1; exp.status()",
        "params": "train.log(step=step); step += 1; exp.params.set(step=step)",
        "builders": "exp.metrics(str(step)).log(x=1); train.log(step=step); step += 1",
    }.items(),
    ids=lambda item: item[0],
)
def test_sigterm_in_the_middle_of_any_call_completes_the_journal(
    scripts: Scripts, body: tuple[str, str]
) -> None:
    """The handler runs between two instructions of the main thread, which may hold any of our locks then.

    The script says how many rows it had logged when the signal came.
    """
    moments = random.Random(body[0])
    for turn in range(many(12)):
        process = scripts.start(
            f"""
    import os, signal, sys, time
    from ml_dash import Experiment

    exp = Experiment("alice/vision/turn{turn}", dash_root=".dash").run.start()
    train = exp.metrics("train")

    def tell(signum, frame):
        os.write(2, b"%d " % step)
        ours(signum, frame)

    ours = signal.signal(signal.SIGTERM, tell)
    step = 0
    os.write(1, b"ready\\n")
    while True:
        {body[1]}
    """,
            env=PATIENT,
        )
        assert expect_line(process) == "ready"
        time.sleep(moments.uniform(0, 0.1))  # the moment is to be a random one
        process.terminate()
        finished = finish(process)
        assert finished.returncode == -signal.SIGTERM
        logged = max(map(int, finished.stderr.split()))
        journal = scripts.journal(f"alice/vision/turn{turn}")
        assert journal.ends() == ["CANCELLED"]
        found = steps(journal)
        assert found == list(range(len(found)))
        assert len(found) >= logged


def test_values_that_were_buffered_are_summarised_at_sigterm(scripts: Scripts) -> None:
    """As at any end of the run."""
    process = scripts.start(f"{BEGIN}\n    exp.metrics('train').buffer(loss=0.5)\n    wait()\n", env=PATIENT)
    assert expect_line(process) == "ready"
    process.terminate()
    assert finish(process).returncode == -signal.SIGTERM
    assert scripts.journal().rows() == [{"loss.mean": 0.5}]
    assert scripts.journal().ends() == ["CANCELLED"]


def test_a_handler_that_the_script_installed_before_is_kept(scripts: Scripts) -> None:
    """It alone decides: here it leaves in an orderly way, and the run is COMPLETED."""
    finished = scripts.run(
        """
        import os, signal, sys, time
        from ml_dash import Experiment

        def handler(signum, frame):
            exp.metrics("train").log(step=1)
            sys.exit(5)

        signal.signal(signal.SIGTERM, handler)
        exp = Experiment("alice/vision/resnet", dash_root=".dash").run.start()
        assert signal.getsignal(signal.SIGTERM) is handler
        exp.metrics("train").log(step=0)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(3600)
        """
    )
    assert finished == (5, "", "")
    assert steps(scripts.journal()) == [0, 1]
    assert scripts.journal().ends() == ["COMPLETED"]


@pytest.mark.slow
def test_a_handler_that_the_script_installs_later_is_kept(scripts: Scripts) -> None:
    """Also by the runs that start after it."""
    finished = scripts.run(
        f"""{BEGIN}
    def handler(signum, frame):
        exp.metrics("train").log(step=1)
    signal.signal(signal.SIGTERM, handler)
    exp.run.complete()
    exp.run.start()
    assert signal.getsignal(signal.SIGTERM) is handler
    exp.metrics("train").log(step=0)
    os.kill(os.getpid(), signal.SIGTERM)
    exp.metrics("train").log(step=2)
    """
    )
    assert finished == (0, "", "")
    assert steps(scripts.journal()) == [0, 1, 2]


def test_a_script_that_ignores_sigterm_goes_on(scripts: Scripts) -> None:
    """SIG_IGN is a decision too."""
    finished = scripts.run(
        """
        import os, signal
        from ml_dash import Experiment

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with Experiment("alice/vision/resnet", dash_root=".dash").run as exp:
            os.kill(os.getpid(), signal.SIGTERM)
            exp.metrics("train").log(step=0)
        """
    )
    assert finished == (0, "", "")
    assert scripts.journal().ends() == ["COMPLETED"]


def test_a_handler_that_calls_the_one_it_found_completes_the_journal(scripts: Scripts) -> None:
    """The polite way of taking a signal: what was there before still happens."""
    finished = scripts.run(
        f"""{BEGIN}
    def handler(signum, frame):
        exp.metrics("train").log(step=1)
        before(signum, frame)
    before = signal.signal(signal.SIGTERM, handler)
    exp.metrics("train").log(step=0)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(3600)
    """,
        env=PATIENT,
    )
    assert finished == (-signal.SIGTERM, "", "")
    assert steps(scripts.journal()) == [0, 1]
    assert scripts.journal().ends() == ["CANCELLED"]


@pytest.mark.sample(20)
@pytest.mark.parametrize("count", [10, 1000])
@pytest.mark.parametrize(
    "wait",
    [
        "thread.join()",
        "concurrent.futures.ThreadPoolExecutor().submit(work).result()",
        "queue.SimpleQueue().get()",
        "asyncio.run(asyncio.sleep(3600))",
    ],
    ids=["join", "future", "queue", "asyncio"],
)
def test_a_run_started_in_another_thread_is_cancelled_too(scripts: Scripts, wait: str, count: int) -> None:
    """As agents of sweeps and job queues do, which have no more in the main thread than the import."""
    process = scripts.start(
        f"""
        import asyncio, concurrent.futures, os, queue, threading, time
        from ml_dash import Experiment

        def work():
            if not started.is_set():
                started.set()
                with Experiment("alice/vision/resnet", dash_root=".dash").run as exp:
                    for step in range({count}):
                        exp.metrics("train").log(step=step)
                    os.write(1, b"ready\\n")
                    time.sleep(3600)

        started = threading.Event()
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        started.wait()
        {wait.replace("(work)", "(time.sleep, 3600)")}
        """,
        env=LAZY,
    )
    assert expect_line(process) == "ready"
    process.terminate()
    assert finish(process) == (-signal.SIGTERM, "", "")
    assert steps(scripts.journal()) == list(range(count))
    assert scripts.journal().ends() == ["CANCELLED"]


@pytest.mark.slow
def test_a_run_in_a_thread_that_imported_ml_dash_itself_takes_no_signal(scripts: Scripts) -> None:
    """Only the main thread can: elsewhere nothing must fail for it, and SIGTERM kills as ever."""
    process = scripts.start(
        """
        import os, threading, time

        def work():
            from ml_dash import Experiment

            with Experiment("alice/vision/resnet", dash_root=".dash").run as exp:
                exp.metrics("train").log(step=0)
                exp.flush()
                os.write(1, b"ready\\n")
                time.sleep(3600)

        threading.Thread(target=work).start()
        """
    )
    assert expect_line(process) == "ready"
    process.terminate()
    assert finish(process) == (-signal.SIGTERM, "", "")
    assert steps(scripts.journal()) == [0]


@pytest.mark.slow
def test_sigterm_is_taken_where_the_experiment_is_made_in_the_main_thread(scripts: Scripts) -> None:
    """Should the import have happened in another one, as lazy loaders and plug-ins have it."""
    process = scripts.start(
        """
        import os, threading, time

        loader = threading.Thread(target=lambda: __import__("ml_dash"))
        loader.start()
        loader.join()
        import ml_dash

        exp = ml_dash.Experiment("alice/vision/resnet", dash_root=".dash")

        def work():
            with exp.run:
                exp.metrics("train").log(step=0)
                os.write(1, b"ready\\n")
                time.sleep(3600)

        threading.Thread(target=work, daemon=True).start()
        while True:
            time.sleep(0.05)
        """,
        env=LAZY,
    )
    assert expect_line(process) == "ready"
    process.terminate()
    assert finish(process) == (-signal.SIGTERM, "", "")
    assert steps(scripts.journal()) == [0]
    assert scripts.journal().ends() == ["CANCELLED"]


@pytest.mark.slow
@pytest.mark.parametrize("module", ["anyio", "numpy"])
def test_sigterm_in_the_first_half_second_loses_nothing(scripts: Scripts, module: str) -> None:
    """Nothing can be written before what that takes is imported, and on a slow disk that may take seconds."""
    process = scripts.start(
        f"""
    import importlib.abc, sys, threading
    import time as clock

    class Slow(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == {module!r}:
                importing.set()
                clock.sleep(1)

    importing = threading.Event()
    sys.meta_path.insert(0, Slow()){BEGIN}
    for step in range(50_000):
        exp.metrics("train").log(step=step)
    importing.wait()
    wait()
    """
    )
    assert expect_line(process) == "ready"
    process.terminate()
    assert finish(process) == (-signal.SIGTERM, "", "")
    assert steps(scripts.journal()) == list(range(50_000))
    assert scripts.journal().ends() == ["CANCELLED"]


def test_every_open_run_is_cancelled(scripts: Scripts) -> None:
    """And those that had ended keep their status."""
    process = scripts.start(
        f"""{BEGIN}
    for number in range(4):
        other = Experiment(f"alice/vision/run{{number}}", dash_root=".dash").run.start()
        other.metrics("train").log(step=number)
        if number == 0:
            other.run.complete()
    wait()
    """,
        env=LAZY,
    )
    assert expect_line(process) == "ready"
    process.terminate()
    assert finish(process) == (-signal.SIGTERM, "", "")
    assert scripts.journal().ends() == ["CANCELLED"]
    for number in range(4):
        journal = scripts.journal(f"alice/vision/run{number}")
        assert steps(journal) == [number]
        assert journal.ends() == ["CANCELLED" if number else "COMPLETED"]


def test_sigterm_after_the_end_of_the_run_just_kills(scripts: Scripts) -> None:
    """The status stays what it was."""
    process = scripts.start(f"{BEGIN}\n    exp.run.complete()\n    wait()\n", env=PATIENT)
    assert expect_line(process) == "ready"
    process.terminate()
    assert finish(process) == (-signal.SIGTERM, "", "")
    assert scripts.journal().ends() == ["COMPLETED"]


def test_sigterm_with_threads_that_log_cancels_without_a_traceback(scripts: Scripts) -> None:
    """They may log until the very end: the end of the run must not make their calls fail."""
    process = scripts.start(
        f"""{BEGIN}
    def log(name):
        for step in range(10 ** 9):
            exp.metrics(name).log(step=step)
            time.sleep(0.0001)
    for number in range(8):
        threading.Thread(target=log, args=(f"thread{{number}}",), daemon=bool(number % 2)).start()
    time.sleep(0.1)
    wait()
    """,
        env=PATIENT,
    )
    assert expect_line(process) == "ready"
    process.terminate()
    assert finish(process) == (-signal.SIGTERM, "", "")
    journal = scripts.journal()
    for number in range(8):
        found = steps(journal, f"thread{number}")
        assert found == list(range(len(found)))
        assert found
    assert journal.ends() == ["CANCELLED"]


STALL = """
    def stall(*_):
        time.sleep(3600)
    """


@pytest.mark.slow
def test_sigterm_does_not_wait_for_a_disk_that_is_stalled(scripts: Scripts) -> None:
    """An fsync that takes an hour: it is waited for a little, and the rows are written all the same."""
    process = scripts.start(
        f"""{BEGIN}{STALL}
    exp.flush()
    os.fsync = stall
    exp.metrics("train").log(step=0)
    wait()
    """,
        env={"ML_DASH_SIGTERM_TIMEOUT": "3"},
    )
    assert expect_line(process) == "ready"
    process.terminate()
    assert finish(process).returncode == -signal.SIGTERM
    assert steps(scripts.journal()) == [0]
    assert scripts.journal().ends() == ["CANCELLED"]


@pytest.mark.slow
def test_sigterm_kills_a_script_whose_queue_is_full_and_whose_disk_takes_nothing(scripts: Scripts) -> None:
    """The main thread is blocked in `log`, values wait to be summarised, and no write ever returns."""
    process = scripts.start(
        f"""{BEGIN}
    exp.metrics("train").buffer(loss=0.5)
    exp.flush()
    write = os.write
    def stall(fd, data):
        return write(fd, data) if fd < 3 else time.sleep(3600)
    os.write = stall
    ready()
    for step in range(1000):
        exp.metrics("train").log(step=step)
    """,
        env={"ML_DASH_QUEUE_EVENTS": "10", "ML_DASH_CRASH_PROOF": "0"},
    )
    assert expect_line(process) == "ready"
    process.terminate()
    assert finish(process).returncode == -signal.SIGTERM


SPEAKING = {**LAZY, "ML_DASH_QUIET": "0"}


def test_sigterm_says_how_the_run_went(scripts: Scripts) -> None:
    """As the end of a run does, and once: for the log of a job that was preempted."""
    process = scripts.start(
        f"""{BEGIN}
    for step in range(100):
        exp.metrics("train").log(step=step, loss=1 / (step + 1))
    wait()
    """,
        env=SPEAKING,
    )
    assert expect_line(process) == "ready"
    process.terminate()
    finished = finish(process)
    assert (finished.returncode, steps(scripts.journal())) == (-signal.SIGTERM, list(range(100)))
    begin, end = finished.stderr.split("ml-dash: ")[1:]
    assert begin.startswith("alice/vision/resnet\n")
    assert re.fullmatch(
        r"alice/vision/resnet CANCELLED after \d+.*: 100 rows\n  train/loss .*\n  look .*\n", end
    )


@pytest.mark.slow
def test_sigterm_says_what_no_server_has(scripts: Scripts) -> None:
    """With the command that sends it: this process will not."""
    process = scripts.start(
        """
    import os, time
    from ml_dash import Experiment

    exp = Experiment("alice/vision/resnet", dash_root=".dash", dash_url="http://127.0.0.1:9").run.start()
    exp.metrics("train").log(step=0)
    os.write(1, b"ready\\n")
    while True:
        time.sleep(0.05)
    """,
        env=SPEAKING,
    )
    assert expect_line(process) == "ready"
    process.terminate()
    shown = finish(process).stderr
    assert "1 event not at the server yet: sent by `ml-dash sync .dash/alice/vision/resnet`\n" in shown


@pytest.mark.slow
@pytest.mark.parametrize(
    "without",
    [
        pytest.param("", id="threads", marks=pytest.mark.slow),
        pytest.param(
            "threading.Thread.start = lambda self: (_ for _ in ()).throw(RuntimeError())", id="no threads"
        ),
    ],
)
def test_a_console_that_takes_nothing_holds_up_no_sigterm_and_costs_no_row(
    scripts: Scripts, without: str
) -> None:
    """The pipe of standard error is full, and nobody reads it. Without threads nothing is said."""
    process = scripts.start(
        f"""{BEGIN}
    exp.metrics("train").log(step=0)
    exp.flush()
    exp.metrics("train").log(step=1)
    end, begin = os.pipe()
    os.set_blocking(begin, False)
    try:
        while os.write(begin, bytes(4096)):
            pass
    except BlockingIOError:
        os.set_blocking(begin, True)
    os.dup2(begin, 2)
    {without}
    wait()
    """,
        env={**SPEAKING, "ML_DASH_SIGTERM_TIMEOUT": "2"},
    )
    assert expect_line(process) == "ready"
    process.terminate()
    assert finish(process).returncode == -signal.SIGTERM
    journal = scripts.journal()
    assert (steps(journal), journal.ends()) == ([0, 1], ["CANCELLED"])


@pytest.mark.slow
def test_two_sigterms_are_as_good_as_one(scripts: Scripts) -> None:
    """A process group often gets the signal twice: from the scheduler and from the parent."""
    process = scripts.start(
        f"""{BEGIN}
    for step in range(20_000):
        exp.metrics("train").log(step=step)
    wait()
    """,
        env=LAZY,
    )
    assert expect_line(process) == "ready"
    for _ in range(5):
        process.terminate()
        time.sleep(0.001)  # signals of one kind that are pending become one
    assert finish(process) == (-signal.SIGTERM, "", "")
    assert steps(scripts.journal()) == list(range(20_000))
    assert scripts.journal().ends() == ["CANCELLED"]


@pytest.mark.sample(2)
@pytest.mark.parametrize("block", [True, False])
def test_ctrl_c_fails_the_run(scripts: Scripts, block: bool) -> None:
    """KeyboardInterrupt is an exception: in a `with` block, and where it ends the script."""
    body = "with exp.run:\n        wait()" if block else "wait()"
    process = scripts.start(
        f"""{BEGIN}
    # What the background thread still imports would make CPython forget what it has to die of.
    from ml_dash.pipeline.runtime import RUNTIME
    while not RUNTIME._worker.ready:
        time.sleep(0.01)
    exp.metrics("train").log(step=0)
    exp.flush()
    {body}
    """
    )
    assert expect_line(process) == "ready"
    process.send_signal(signal.SIGINT)
    finished = finish(process)
    assert finished.returncode == -signal.SIGINT
    assert finished.stderr.rstrip().endswith("KeyboardInterrupt")
    assert steps(scripts.journal()) == [0]
    assert scripts.journal().ends() == ["FAILED"]


@pytest.mark.slow
def test_ctrl_c_in_the_middle_of_any_call_leaves_an_experiment_that_works(scripts: Scripts) -> None:
    """A notebook catches the exception and goes on: no lock stays taken, no row is lost or written twice."""
    finished = scripts.run(
        f"""{BEGIN}
    import random
    import numpy  # an import that is interrupted is no fault of ours
    train = exp.metrics("train")
    done = 0
    interrupted = 0
    moments = random.Random(1)
    main = threading.main_thread().ident

    ready = False

    def interrupt():
        while not ready:  # `Thread.start`, which waits for this thread, is not ours to interrupt
            time.sleep(0.001)
        while interrupted < 100:
            time.sleep(moments.uniform(0, 0.01))
            signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    while interrupted < 100:
        try:
            ready = True
            while True:
                train.log(step=done)
                done += 1
                if done % 50 == 0:
                    exp.flush()
                    exp.params.set(done=done)
                    train.read(done - 1)
                    exp.status()
        except KeyboardInterrupt:
            interrupted += 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    train.log(step=done)
    assert exp.flush().pending == 0
    status = exp.status()
    assert status.logged == status.acknowledged + status.pending + sum(status.dropped.values()), status
    exp.run.complete()
    print(done)
    """
    )
    assert finished.returncode == 0, finished.stderr
    found = steps(scripts.journal())
    # A call that was interrupted may have put its row or not; the script then logs the same step once more.
    assert sorted(set(found)) == list(range(int(finished.stdout) + 1))
    assert found == sorted(found)
    assert len(found) <= len(set(found)) + 100
    assert scripts.journal().ends() == ["COMPLETED"]
