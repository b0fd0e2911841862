"""The interpreter's exit: whatever way a script ends, the journal is complete."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.examples import many
from tests.support.interpreters import VERSIONS, interpreter
from tests.support.processes import Scripts, expect_line, finish, metric

ONE_POINT = """
    from ml_dash import Experiment

    exp = Experiment("alice/vision/resnet", dash_root=".dash").run.start()
    exp.metrics("train").log(loss=0.5)
    """

STALLED_DISK = """
    import os
    import time
    from ml_dash import Experiment

    fsync = os.fsync
    def stall(fd):
        time.sleep(3600)
    """
"""The seam is the system call: after `os.fsync = stall` the disk takes an hour for what it promises."""


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(5))
def test_a_script_that_logs_one_point_and_ends_at_once_leaves_a_complete_journal(
    scripts: Scripts, turn: int
) -> None:
    """The row, and the end row with COMPLETED, and not a word on the console; fifty times in `make test-all`."""
    for count in range(1, many(10) + 1):
        assert scripts.run(ONE_POINT) == (0, "", "")
        assert scripts.journal().rows() == [{"loss": 0.5}] * count
        assert scripts.journal().ends() == ["COMPLETED"] * count


INTERRUPTED = """
    import os, signal, sys
    from ml_dash import Experiment

    exp = Experiment("alice/vision/resnet", dash_root=".dash", dash_url={url}).run.start()
    exp.metrics("train").log(loss=0.5)
    """


@pytest.mark.sample(40)
@pytest.mark.parametrize("way", ["a signal", "a module", "an error"])
@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9"], ids=["local", "server away"])
def test_a_ctrl_c_that_ends_a_script_is_what_it_dies_of(scripts: Scripts, url: str | None, way: str) -> None:
    """Also while our thread still imports packages that run text as code, which makes CPython forget it."""
    begin = INTERRUPTED.format(url=repr(url))
    script = {
        "a signal": begin + "os.kill(os.getpid(), signal.SIGINT)\n    while True: pass\n",
        "a module": """
    import runpy, sys
    with open("interrupted.py", "w") as file:
        file.write(BODY)
    sys.argv = ["-m", "interrupted"]
    sys.path.insert(0, ".")
    runpy._run_module_as_main("interrupted")
    """.replace("BODY", repr(textwrap.dedent(begin) + "raise KeyboardInterrupt")),
        "an error": begin + "raise KeyboardInterrupt\n",
    }[way]
    env = {"ML_DASH_START_TIMEOUT": "0.1", "ML_DASH_EXIT_TIMEOUT": "1"}
    finished = scripts.run(script, env=env)
    assert finished.returncode == -signal.SIGINT, finished.stderr
    assert scripts.journal().rows() == [{"loss": 0.5}]
    assert scripts.journal().ends() == ["FAILED"]


@pytest.mark.slow
def test_a_ctrl_c_that_was_shown_long_ago_is_not_what_a_program_dies_of(scripts: Scripts) -> None:
    """A notebook leaves it where an uncaught one is left."""
    finished = scripts.run(
        f"""{ONE_POINT}
    import sys

    def cell():
        raise KeyboardInterrupt

    try:
        cell()
    except KeyboardInterrupt as error:
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__.tb_next
    """
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.interpreters
@pytest.mark.parametrize("version", VERSIONS)
def test_a_short_script_leaves_a_complete_journal_on_every_python(
    version: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each version of Python shuts threads, executors and atexit handlers down in an order of its own."""
    scripts = Scripts(tmp_path, *interpreter(version, request))
    for count in range(1, 6):
        assert scripts.run(ONE_POINT) == (0, "", "")
        assert scripts.journal().rows() == [{"loss": 0.5}] * count
        assert scripts.journal().ends() == ["COMPLETED"] * count


@pytest.mark.interpreters
@pytest.mark.parametrize("version", VERSIONS)
def test_threads_and_executors_that_log_into_the_exit_lose_nothing_on_any_python(
    version: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The main thread ends first; a thread, an executor's tasks and an atexit handler go on logging."""
    scripts = Scripts(tmp_path, *interpreter(version, request))
    finished = scripts.run(
        """
        import atexit
        import threading
        import time
        from concurrent.futures import ThreadPoolExecutor
        from ml_dash import Experiment

        exp = Experiment("alice/vision/resnet", dash_root=".dash").run.start()

        def log(name):
            for step in range(200):
                exp.metrics(name).log(step=step)
                time.sleep(0.001)

        threading.Thread(target=log, args=("thread",)).start()
        pool = ThreadPoolExecutor(2)
        pool.submit(log, "task")
        pool.submit(log, "task2")
        atexit.register(log, "atexit")
        """
    )
    assert finished == (0, "", "")
    journal = scripts.journal()
    for name in ("thread", "task", "task2", "atexit"):
        assert journal.values("step", metric(name)) == list(range(200))
    assert journal.ends() == ["COMPLETED"]


LATE = """
    import os
    import threading
    import time
    from ml_dash import Experiment

    def work():
        while threading.main_thread().is_alive():
            time.sleep(0.001)
        synced = []
        fsync = os.fsync
        os.fsync = lambda fd: (synced.append(fd), fsync(fd))
        exp = Experiment("alice/vision/resnet", dash_root=".dash", echo=False).run.start()
        for step in range(1000):
            exp.metrics("train").log(step=step)
        assert len(synced) < 500, len(synced)
    """


@pytest.mark.slow
@pytest.mark.interpreters
@pytest.mark.parametrize("version", VERSIONS)
def test_a_run_that_starts_when_the_main_thread_has_ended_logs_as_quickly_as_any_on_any_python(
    version: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The exit waits for its thread, and comes after that. From 3.12 on no other thread can be started any more."""
    scripts = Scripts(tmp_path, *interpreter(version, request))
    finished = scripts.run(f"{LATE}\n    threading.Thread(target=work).start()\n")
    assert finished == (0, "", "")
    assert scripts.journal().values("step") == list(range(1000))
    assert scripts.journal().ends() == ["COMPLETED"]


@pytest.mark.slow
def test_a_run_that_starts_so_late_that_no_exit_follows_flushes_at_each_call(scripts: Scripts) -> None:
    """In a child of `multiprocessing`, which ends without exit handlers, and in a daemon thread."""
    late = LATE.replace("assert len(synced) < 500", "assert len(synced) >= 1000")
    finished = scripts.run(
        f"""{late}
    import multiprocessing
    import warnings

    warnings.simplefilter("ignore", DeprecationWarning)
    process = multiprocessing.get_context("fork").Process(target=threading.Thread(target=work).start)
    process.start()
    process.join()
    print(process.exitcode)
    """
    )
    assert finished == (0, "0\n", "")
    assert scripts.journal().values("step") == list(range(1000))


@pytest.mark.sample(20)
@pytest.mark.parametrize(
    ("ending", "returncode", "status"),
    [
        ("pass", 0, "COMPLETED"),
        ("raise ValueError('diverged')", 1, "FAILED"),
        ("sys.exit()", 0, "COMPLETED"),
        ("sys.exit(0)", 0, "COMPLETED"),
        ("sys.exit(3)", 3, "FAILED"),
        ("sys.exit('no data')", 1, "FAILED"),
    ],
)
def test_the_way_a_with_block_is_left_decides_the_status(
    scripts: Scripts, ending: str, returncode: int, status: str
) -> None:
    """An exception fails the run, a non-zero SystemExit included; `test_sigterm` has KeyboardInterrupt."""
    finished = scripts.run(
        f"""
        import sys
        from ml_dash import Experiment

        with Experiment("alice/vision/resnet", dash_root=".dash").run as exp:
            exp.metrics("train").log(loss=0.5)
            {ending}
        """
    )
    assert finished.returncode == returncode
    journal = scripts.journal()
    assert journal.rows() == [{"loss": 0.5}]
    assert journal.ends() == [status]


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("ending", "returncode", "status"),
    [
        ("raise ValueError('diverged')", 1, "FAILED"),
        ("sys.excepthook = lambda *_: None; raise ValueError", 1, "FAILED"),
        ("sys.exit(0)", 0, "COMPLETED"),
        # Python tells nobody with which code it exits, and a code is no exception.
        ("sys.exit(3)", 3, "COMPLETED"),
    ],
)
def test_an_open_run_fails_at_exit_where_the_script_dies_of_an_exception(
    scripts: Scripts, ending: str, returncode: int, status: str
) -> None:
    """Without `with`, exit ends the run: FAILED after an uncaught exception, else COMPLETED."""
    finished = scripts.run(f"{ONE_POINT}\n    import sys\n    {ending}\n")
    assert finished.returncode == returncode
    journal = scripts.journal()
    assert journal.rows() == [{"loss": 0.5}]
    assert journal.ends() == [status]


def test_an_exception_that_was_caught_does_not_fail_the_run(scripts: Scripts) -> None:
    """Only what ends the script counts."""
    finished = scripts.run(
        ONE_POINT
        + """
    import threading
    try:
        1 / 0
    except ZeroDivisionError:
        pass
    """
    )
    assert finished == (0, "", "")
    assert scripts.journal().ends() == ["COMPLETED"]


@pytest.mark.slow
def test_an_exception_in_another_thread_does_not_fail_the_run(scripts: Scripts) -> None:
    """The script goes on without that thread, and so does the run."""
    finished = scripts.run(
        ONE_POINT
        + """
    import threading
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    """
    )
    assert finished.returncode == 0
    assert scripts.journal().ends() == ["COMPLETED"]


def test_what_was_flushed_survives_os_exit(scripts: Scripts) -> None:
    """`os._exit` runs no handler at all: the rows are there, and the run is left RUNNING and stale."""
    finished = scripts.run(f"{ONE_POINT}\n    exp.flush()\n    import os\n    os._exit(7)\n")
    assert finished == (7, "", "")
    journal = scripts.journal()
    assert journal.rows() == [{"loss": 0.5}]
    info = journal.view.run()
    assert (info.status, info.stale) == ("RUNNING", True)


def test_atexit_handlers_of_the_script_may_log(scripts: Scripts) -> None:
    """Those registered after the start run before the run ends, those registered before it run after its end."""
    finished = scripts.run(
        """
        import atexit
        from ml_dash import Experiment

        exp = Experiment("alice/vision/resnet", dash_root=".dash")
        atexit.register(lambda: exp.metrics("train").log(when="before start"))
        exp.run.start()
        atexit.register(lambda: exp.metrics("train").log(when="after start"))
        """
    )
    assert finished == (0, "", "")
    journal = scripts.journal()
    assert journal.values("when") == ["after start", "before start"]
    assert journal.ends() == ["COMPLETED"]


@pytest.mark.slow
def test_a_run_that_was_completed_refuses_what_an_atexit_handler_logs(scripts: Scripts) -> None:
    """The script has said that the run is over, so the handler's mistake is told as anywhere else."""
    finished = scripts.run(
        """
        import atexit
        from ml_dash import Experiment

        exp = Experiment("alice/vision/resnet", dash_root=".dash").run.start()
        atexit.register(lambda: exp.metrics("train").log(late=True))
        exp.run.complete()
        """
    )
    assert finished.returncode == 0
    assert "not started" in finished.stderr
    assert scripts.journal().rows() == []


@pytest.mark.slow
def test_threads_that_outlive_the_main_thread_lose_nothing(scripts: Scripts) -> None:
    """The interpreter waits for threads that are no daemons, and the run stays open for them."""
    finished = scripts.run(
        """
        import threading
        import time
        from ml_dash import Experiment

        exp = Experiment("alice/vision/resnet", dash_root=".dash").run.start()

        def log():
            for step in range(300):
                exp.metrics("train").log(step=step)
                time.sleep(0.001)

        threading.Thread(target=log).start()
        """
    )
    assert finished == (0, "", "")
    journal = scripts.journal()
    assert journal.values("step") == list(range(300))
    assert journal.ends() == ["COMPLETED"]


@pytest.mark.slow
def test_daemon_threads_that_log_into_the_exit_disturb_nobody(scripts: Scripts) -> None:
    """Python stops them at some moment: no traceback, rows without a gap, and the run is COMPLETED."""
    finished = scripts.run(
        """
        import itertools
        import threading
        import time
        from ml_dash import Experiment

        exp = Experiment("alice/vision/resnet", dash_root=".dash").run.start()

        def log(name, pause):
            for step in itertools.count():
                exp.metrics(name).log(step=step)
                if pause:
                    time.sleep(pause)

        for name, pause in [("tight", 0), ("paced", 0.001)]:
            threading.Thread(target=log, args=(name, pause), daemon=True).start()
        time.sleep(0.2)
        """
    )
    assert finished == (0, "", "")
    journal = scripts.journal()
    for name in ("tight", "paced"):
        steps = journal.values("step", metric(name))
        assert steps == list(range(len(steps)))
        assert steps
    assert journal.ends() == ["COMPLETED"]


@pytest.mark.sample(3)
@pytest.mark.parametrize("shutdown", ["", "pool.shutdown()"])
def test_tasks_of_an_executor_lose_nothing(scripts: Scripts, shutdown: str) -> None:
    """Python runs the tasks that still wait when the main thread ends."""
    finished = scripts.run(
        f"""
        import time
        from concurrent.futures import ThreadPoolExecutor
        from ml_dash import Experiment

        pool = ThreadPoolExecutor(4)
        exp = Experiment("alice/vision/resnet", dash_root=".dash").run.start()

        def log(task):
            time.sleep(0.001)
            exp.metrics("train").log(task=task)

        for task in range(200):
            pool.submit(log, task)
        {shutdown}
        """
    )
    assert finished == (0, "", "")
    journal = scripts.journal()
    assert sorted(journal.values("task")) == list(range(200))
    assert journal.ends() == ["COMPLETED"]


@pytest.mark.slow
@pytest.mark.parametrize("via", ["file", "-c", "-m", "stdin"])
def test_a_script_may_come_from_anywhere(scripts: Scripts, via: str) -> None:
    """From a file, the command line, a module or standard input, also with a prefix made of its name."""
    text = """
        from ml_dash import Experiment
        Experiment("alice/vision/resnet", dash_root=".dash").run.start().metrics("train").log(loss=0.5)
        Experiment(dash_root=".dash").run.start().metrics("train").log(loss=0.5)
        """
    finished = scripts.run(text, via=via, env={"ML_DASH_USER": "bob"})  # type: ignore[arg-type]
    assert finished == (0, "", "")
    assert scripts.journal().rows() == [{"loss": 0.5}]
    (unnamed,) = (scripts.home / ".dash/bob/scratch").iterdir()
    assert scripts.journal(f"bob/scratch/{unnamed.name}").ends() == ["COMPLETED"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "env"),
    [
        (["-W", "error"], {}),
        (["-X", "dev", "-W", "error"], {}),
        ([], {"PYTHONUNBUFFERED": "1"}),
        (["-I"], {}),
        (["-O"], {}),
        (["-B", "-s", "-E"], {}),
    ],
    ids=" ".join,
)
def test_the_interpreters_options_change_nothing(
    scripts: Scripts, options: list[str], env: dict[str, str]
) -> None:
    """Neither warnings as errors nor development mode find anything to say."""
    finished = scripts.run(ONE_POINT, options=options, env=env)
    assert finished == (0, "", "")
    assert scripts.journal().rows() == [{"loss": 0.5}]
    assert scripts.journal().ends() == ["COMPLETED"]


@pytest.mark.sample(20)
@pytest.mark.parametrize("closed", ["sys.stdout.close()", "sys.stdout = None", "os.close(1)", "os.close(2)"])
def test_a_closed_console_stops_nobody(scripts: Scripts, closed: str) -> None:
    """A message is echoed to the console; where that is gone it is in the journal all the same."""
    finished = scripts.run(
        f"""
        import os, sys
        from ml_dash import Experiment

        exp = Experiment("alice/vision/resnet", dash_root=".dash").run.start()
        {closed}
        exp.log("hello")
        exp.log("trouble", level="error")
        exp.metrics("train").log(loss=0.5)
        exp.run.complete()
        os._exit(5)
        """
    )
    assert finished.returncode == 5
    journal = scripts.journal()
    assert journal.messages() == ["hello", "trouble"]
    assert journal.rows() == [{"loss": 0.5}]
    assert journal.ends() == ["COMPLETED"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell that closes descriptors")
def test_a_script_that_is_started_with_no_descriptors_at_all_is_recorded(scripts: Scripts) -> None:
    """Python itself then has no `sys.stdout`; and the journal's files must not become descriptors 0 to 2."""
    finished = scripts.run(
        f"""
        import subprocess, sys
        with open("child.py", "w") as file:
            file.write({ONE_POINT.replace("    ", "")!r} + "exp.log('hello')\\n")
        command = '"$0" child.py <&- >&- 2>&-'
        sys.exit(subprocess.run(["sh", "-c", command, sys.executable]).returncode)
        """
    )
    assert finished == (0, "", "")
    assert scripts.journal().messages() == ["hello"]
    assert scripts.journal().ends() == ["COMPLETED"]


def test_dxp_is_completed_at_exit(scripts: Scripts) -> None:
    """The experiment that starts on import ends on its own."""
    finished = scripts.run(
        """
        from ml_dash.auto_start import dxp
        dxp.metrics("train").log(loss=0.5)
        """,
        env={"ML_DASH_USER": "bob"},
    )
    assert finished == (0, "", "")
    assert scripts.journal("bob/scratch/dxp").rows() == [{"loss": 0.5}]
    assert scripts.journal("bob/scratch/dxp").ends() == ["COMPLETED"]


@pytest.mark.slow
def test_a_run_that_logged_nothing_is_recorded(scripts: Scripts) -> None:
    """Its start and end are rows too."""
    finished = scripts.run(
        """
        from ml_dash import Experiment
        Experiment("alice/vision/resnet", dash_root=".dash").run.start()
        """
    )
    assert finished == (0, "", "")
    assert scripts.journal().ends() == ["COMPLETED"]


def test_an_experiment_that_was_never_started_leaves_no_trace(scripts: Scripts) -> None:
    """Neither on disk nor at exit."""
    finished = scripts.run(
        """
        import threading, warnings
        from ml_dash import Experiment
        warnings.simplefilter("ignore")  # of what is not there
        exp = Experiment("alice/vision/resnet", dash_root=".dash")
        assert exp.metrics("train").read()["total"] == 0
        assert threading.active_count() == 1
        """
    )
    assert finished == (0, "", "")
    assert not (scripts.home / ".dash").exists()


def test_exit_waits_for_a_stalled_disk_no_longer_than_the_exit_timeout(scripts: Scripts) -> None:
    """The disk would take an hour; the process ends all the same and says what is not on disk for sure."""
    finished = scripts.run(
        f"""{STALLED_DISK}
    exp = Experiment("alice/vision/resnet", dash_root=".dash").run.start()
    exp.flush()
    os.fsync = stall
    exp.metrics("train").log(loss=0.5)
    """,
        env={"ML_DASH_EXIT_TIMEOUT": "0.3"},
    )
    assert finished.returncode == 0
    assert "events not known to be on disk: 1" in finished.stderr
    assert scripts.journal().rows() == [{"loss": 0.5}]  # written, though not known to be durable


@pytest.mark.slow
def test_the_exit_timeout_is_spent_once_and_not_once_a_step(scripts: Scripts) -> None:
    """Exit drains when it begins and after the threads have ended; both together have the one budget.

    The script asks a clock of its own for how long it was held: the time of both drains by the pipeline's clock.
    """
    finished = scripts.run(
        f"""{STALLED_DISK}
    import atexit
    waited = []

    def measure():
        # The last handler to run.
        total = time.monotonic() - began
        os.write(1, b"once" if total < 2 * 5 else b"twice")
    atexit.register(measure)
    exp = Experiment("alice/vision/resnet", dash_root=".dash").run.start()
    exp.flush()
    os.fsync = stall
    exp.metrics("train").log(loss=0.5)
    began = time.monotonic()
    """,
        env={"ML_DASH_EXIT_TIMEOUT": "5"},
    )
    assert finished.returncode == 0
    assert finished.stdout == "once"


@pytest.mark.slow
def test_exit_with_a_full_queue_and_values_left_to_summarise_is_bounded(scripts: Scripts) -> None:
    """The summary at the end must not wait for room in a queue that a stalled disk will never empty."""
    finished = scripts.run(
        f"""{STALLED_DISK}
    import threading

    write = os.write
    def stall_all(fd, data):
        return stall(fd) if fd > 2 else write(fd, data)
    exp = Experiment("alice/vision/resnet", dash_root=".dash").run.start()
    exp.flush()
    exp.metrics("train").buffer(loss=0.5)
    os.write = stall_all

    def log():
        for step in range(100):
            exp.metrics("train").log(step=step)
    thread = threading.Thread(target=log, daemon=True)
    thread.start()
    while len(exp._session.channel.queue) < 10:
        time.sleep(0.001)
    """,
        env={"ML_DASH_EXIT_TIMEOUT": "0.3", "ML_DASH_QUEUE_EVENTS": "10", "ML_DASH_CRASH_PROOF": "0"},
    )
    assert finished.returncode == 0


def test_ctrl_c_leaves_a_stalled_exit_at_once(scripts: Scripts) -> None:
    """Somebody who does not want to wait for the disk needs one Ctrl-C, not one a step."""
    process = scripts.start(
        f"""{STALLED_DISK}
    import sys, threading, traceback
    exp = Experiment("alice/vision/resnet", dash_root=".dash").run.start()
    exp.flush()

    def doing(thread):
        return [frame.f_code.co_name for frame, _ in traceback.walk_stack(sys._current_frames()[thread.ident])]

    def told(fd):
        while not {{"drain", "wait"}} <= set(doing(threading.main_thread())):
            time.sleep(0.001)
        # The main thread is in `wait`, and perhaps about to begin its sleep: a signal would be seen after that only.
        for _ in range(10):
            time.sleep(0.01)
        os.write(1, b"waiting\\n")
        stall(fd)

    os.fsync = told
    exp.metrics("train").log(loss=0.5)
    """,
        env={"ML_DASH_EXIT_TIMEOUT": "3600"},
    )
    assert expect_line(process) == "waiting"
    process.send_signal(signal.SIGINT)
    finish(process)
    assert scripts.journal().rows() == [{"loss": 0.5}]


@pytest.mark.slow
def test_exit_with_nothing_pending_waits_for_nothing(scripts: Scripts) -> None:
    """After `complete()` the disk is not asked again: it would take an hour, and no timeout would end that."""
    finished = scripts.run(
        f"""{STALLED_DISK}
    with Experiment("alice/vision/resnet", dash_root=".dash").run as exp:
        exp.metrics("train").log(loss=0.5)
    os.fsync = stall
    """,
        env={"ML_DASH_EXIT_TIMEOUT": "3600"},
    )
    assert finished == (0, "", "")


@pytest.mark.slow
def test_no_thread_is_left_when_the_interpreter_goes_down(scripts: Scripts) -> None:
    """One that still ran would use what the interpreter frees: a crash in one of some thousand exits."""
    finished = scripts.run(
        """
        import atexit, threading

        @atexit.register
        def last():
            print([thread.name for thread in threading.enumerate()])

        from ml_dash import Experiment

        exp = Experiment("alice/vision/resnet", dash_root=".dash", dash_url="http://127.0.0.1:9", echo=False)
        exp.run.start()
        exp.files("notes").save_text("so that the thread for contents has work", to="a.txt")
        exp.metrics("train").log(loss=0.5)
        """,
        env={"ML_DASH_START_TIMEOUT": "0", "ML_DASH_EXIT_TIMEOUT": "0.5"},
    )
    assert finished.returncode == 0
    assert finished.stdout == "['MainThread']\n"
    assert scripts.journal().rows() == [{"loss": 0.5}]
    assert scripts.journal().ends() == ["COMPLETED"]


@pytest.mark.slow
def test_an_experiment_can_be_started_from_an_atexit_handler(scripts: Scripts) -> None:
    """A report written at the very end, where some versions of Python start no thread any more."""
    finished = scripts.run(
        """
        import atexit
        from ml_dash import Experiment

        @atexit.register
        def report():
            with Experiment("alice/vision/resnet", dash_root=".dash").run as exp:
                exp.metrics("train").log(loss=0.5)
        """
    )
    assert finished == (0, "", "")
    assert scripts.journal().rows() == [{"loss": 0.5}]
    assert scripts.journal().ends() == ["COMPLETED"]


@pytest.mark.slow
def test_an_experiment_left_open_by_an_atexit_handler_keeps_its_rows(scripts: Scripts) -> None:
    """Nothing can end that run: Python takes no handlers any more. So every row goes straight to disk."""
    finished = scripts.run(
        """
        import atexit
        from ml_dash import Experiment

        @atexit.register
        def report():
            exp = Experiment("alice/vision/resnet", dash_root=".dash").run.start()
            exp.metrics("train").log(loss=0.5)
        """
    )
    assert finished == (0, "", "")
    assert scripts.journal().rows() == [{"loss": 0.5}]
    info = scripts.journal().view.run()
    assert (info.status, info.stale) == ("RUNNING", True)


@pytest.mark.slow
def test_several_experiments_left_open_are_all_completed(scripts: Scripts) -> None:
    """Each has its own journal and its own end."""
    finished = scripts.run(
        """
        from ml_dash import Experiment
        for number in range(5):
            exp = Experiment(f"alice/vision/run{number}", dash_root=".dash").run.start()
            for step in range(1000):
                exp.metrics("train").log(step=step)
        """
    )
    assert finished == (0, "", "")
    for number in range(5):
        journal = scripts.journal(f"alice/vision/run{number}")
        assert journal.values("step") == list(range(1000))
        assert journal.ends() == ["COMPLETED"]


@pytest.mark.slow
def test_an_interpreter_without_ml_dash_state_is_left_alone(scripts: Scripts) -> None:
    """The import starts no thread and loads no heavy package, and SIGTERM kills as ever."""
    finished = scripts.run(
        """
        import os, signal, sys, threading
        before = set(sys.modules)
        import ml_dash
        assert threading.active_count() == 1
        child = os.fork()
        if not child:
            ml_dash.Experiment("alice/vision/resnet")
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        assert not {"numpy", "anyio", "aiohttp", "cryptography"} & set(sys.modules)
        """
    )
    assert finished == (0, "", "")
    assert os.listdir(scripts.home)
