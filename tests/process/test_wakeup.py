"""A SIGTERM that the main thread has missed: it is woken, and the journal is completed as ever.

The system sends a process's signal to its main thread, so that one in ten thousand is missed. Here each is, for another
thread gets it: Python notes it, and nothing cuts short the call in which the main thread waits.
"""

from __future__ import annotations

import importlib.util
import signal
import sys

import pytest

from tests.support.processes import Journal, Scripts, expect_line, finish, metric

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")

BEGIN = """
    import os, select, signal, sys, threading, time, warnings
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    from ml_dash import Experiment

    def terminate_unseen(number=signal.SIGTERM):
        def send():
            time.sleep(0.1)  # until the main thread waits; one that does not yet sees the signal by itself
            signal.pthread_kill(threading.get_ident(), number)
        threading.Thread(target=send, daemon=True).start()

    def run():
        exp = Experiment("alice/vision/resnet", dash_root=".dash", echo=False).run.start()
        exp.metrics("train").log(step=0)
        return exp
    """
PATIENT = {"ML_DASH_SIGTERM_TIMEOUT": "200"}
"""So that nothing here depends on the speed of the machine. Where all is well nobody waits for so long."""
LAZY = {**PATIENT, "ML_DASH_LINGER": "3600"}
"""With such a linger nothing is written but by a flush, a read, or the way out."""


def steps(journal: Journal, name: str = "train") -> list[int]:
    """Return the steps of a metric's rows."""
    return journal.values("step", metric(name))


WAITS = {
    "lock": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "read": "os.read(os.pipe()[0], 1)",
    "sleep": "time.sleep(3600)",
    "join": "thread = threading.Thread(target=time.sleep, args=(3600,), daemon=True); thread.start(); thread.join()",
    "ready": "select.select([os.pipe()[0]], [], [])",
}


@pytest.mark.sample(20)
@pytest.mark.parametrize("wait", WAITS)
def test_a_signal_that_comes_to_another_thread_is_handled_by_a_main_thread_that_waits(
    scripts: Scripts, wait: str
) -> None:
    finished = scripts.run(f"{BEGIN}\n    exp = run()\n    terminate_unseen()\n    {WAITS[wait]}\n", env=LAZY)
    assert finished == (-signal.SIGTERM, "", "")
    assert steps(scripts.journal()) == [0]
    assert scripts.journal().ends() == ["CANCELLED"]


@pytest.mark.slow
def test_so_it_is_in_forked_children_each_of_which_has_a_pipe_of_its_own(scripts: Scripts) -> None:
    """Of a script, of a child of it, and of a thread of it; the parent goes on."""
    waits = "".join(f"\n    def {name}():\n        {wait}\n" for name, wait in WAITS.items())
    finished = scripts.run(
        f"""{BEGIN}{waits}
    def child_of(work):
        child = os.fork()
        if child == 0:
            try:
                work()
            finally:
                os._exit(1)
        return child

    def ended(child):
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def log_and(wait):
        exp.metrics(wait.__name__).log(step=1)
        terminate_unseen()
        wait()

    def beget():
        exp.metrics("beget").log(step=1)
        assert ended(child_of(lambda: log_and(sleep))) == -signal.SIGTERM
        terminate_unseen()
        lock()

    exp = run()
    children = [child_of(lambda: log_and(wait)) for wait in (lock, read, sleep, join, ready)]
    children.append(child_of(beget))
    thread = threading.Thread(target=lambda: children.append(child_of(lambda: log_and(lock))))
    thread.start()
    thread.join()
    assert [ended(child) for child in children] == [-signal.SIGTERM] * 7
    exp.metrics("train").log(step=1)
    """,
        env=LAZY,
    )
    assert finished == (0, "", "")
    journal = scripts.journal()
    assert steps(journal) == [0, 1]
    assert [len(steps(journal, name)) for name in (*WAITS, "beget")] == [2, 1, 2, 1, 1, 1]
    assert journal.ends() == ["COMPLETED"]


@pytest.mark.slow
def test_so_it_is_where_another_thread_has_started_the_run(scripts: Scripts) -> None:
    """Which may ask for no signals: the main thread is made to, though it waits already."""
    finished = scripts.run(
        f"""{BEGIN}
    def work():
        run()
        terminate_unseen()
        time.sleep(3600)

    lock = threading.Lock()
    lock.acquire()
    threading.Thread(target=work, daemon=True).start()
    lock.acquire()
    """,
        env=LAZY,
    )
    assert finished == (-signal.SIGTERM, "", "")
    assert scripts.journal().ends() == ["CANCELLED"]


@pytest.mark.slow
def test_so_it_is_where_the_background_thread_has_no_event_loop(scripts: Scripts) -> None:
    (scripts.home / "anyio.py").write_text("raise ImportError('no such thing')")
    finished = scripts.run(f"{BEGIN}\n    exp = run()\n    terminate_unseen()\n    time.sleep(3600)\n")
    assert finished.returncode == -signal.SIGTERM
    assert steps(scripts.journal()) == [0]
    assert scripts.journal().ends() == ["CANCELLED"]


def test_before_anything_was_logged_sigterm_kills_at_once(scripts: Scripts) -> None:
    """As without ML-Dash: whichever thread it comes to, and whatever the main one is doing."""
    finished = scripts.run(
        f"""{BEGIN}
    exp = Experiment("alice/vision/resnet", dash_root=".dash")
    ours = signal.getsignal(signal.SIGTERM)
    assert callable(ours)
    terminate_unseen()
    time.sleep(3600)
    """
    )
    assert finished == (-signal.SIGTERM, "", "")


@pytest.mark.slow
def test_a_handler_that_was_installed_by_other_means_than_pythons_stays(scripts: Scripts) -> None:
    """As the worker processes of torch's loader have one in C; here it is that of `faulthandler`, which tells.

    Of this thread alone: the frames of others, which go on meanwhile, are read without the lock that guards them,
    and that has crashed CPython here.
    """
    finished = scripts.run(
        f"""{BEGIN}
    import faulthandler

    faulthandler.register(signal.SIGTERM, file=sys.stdout, all_threads=False)
    exp = run()
    signal.raise_signal(signal.SIGTERM)
    exp.metrics("train").log(step=1)
    """
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "most recent call first" in finished.stdout
    assert steps(scripts.journal()) == [0, 1]
    assert scripts.journal().ends() == ["COMPLETED"]


@pytest.mark.slow
def test_a_program_that_puts_our_handler_back_when_it_is_told_to_leave_leaves_by_itself(
    scripts: Scripts,
) -> None:
    """The usual way: the first signal asks, and only the second one kills. Nobody but the program's user sends that."""
    finished = scripts.run(
        f"""{BEGIN}
    def handler(signum, frame):
        signal.signal(signum, before)
        told.append(signum)

    told = []
    before = signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGTERM, before)
    signal.signal(signal.SIGTERM, handler)
    exp = run()
    exp.flush()
    signal.raise_signal(signal.SIGTERM)
    time.sleep(0.4)
    exp.metrics("train").log(step=len(told))
    """
    )
    assert finished == (0, "", "")
    assert steps(scripts.journal()) == [0, 1]
    assert scripts.journal().ends() == ["COMPLETED"]


def test_handlers_of_the_programs_are_called_once_for_each_signal(scripts: Scripts) -> None:
    """Also those for signals that a forked child gets in its first moment, when it has its parent's pipe."""
    finished = scripts.run(
        f"""{BEGIN}
    called = []
    def beget():
        if os.getpid() != parent:
            signal.raise_signal(signal.SIGUSR1)
    parent = os.getpid()
    os.register_at_fork(after_in_child=beget)
    signal.signal(signal.SIGUSR1, lambda *_: called.append("user"))
    exp = run()
    exp.flush()
    signal.raise_signal(signal.SIGUSR1)
    child = os.fork()
    if child == 0:
        os._exit(len(called))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    signal.signal(signal.SIGTERM, lambda *_: called.append("term"))
    for _ in range(3):
        signal.raise_signal(signal.SIGTERM)
    time.sleep(0.4)  # the main thread has been woken by then, were it ever
    print(called)
    """
    )
    assert finished == (0, "['user', 'term', 'term', 'term']\n", "")


LOOPS = {
    "asyncio": """
    import asyncio

    async def main():
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, told.set)
        os.kill(os.getpid(), signal.SIGUSR1)
        await told.wait()
        await exp.aflush()
    asyncio.run(main())
    """,
    "trio": """
    import trio

    async def main():
        with trio.open_signal_receiver(signal.SIGUSR1) as signals:
            os.kill(os.getpid(), signal.SIGUSR1)
            async for _ in signals:
                break
        await exp.aflush()
    trio.run(main)
    """,
}


@pytest.mark.sample(40)
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("when", ["before", "after", "within"])
def test_event_loops_of_the_main_thread_have_its_signals_and_give_them_back(
    scripts: Scripts, loop: str, when: str
) -> None:
    """Such a loop takes what there is only one of, and complains where it finds somebody else's."""
    if importlib.util.find_spec(loop) is None:
        pytest.skip(f"{loop} is not installed")
    body = LOOPS[loop]
    text = {
        "before": f"exp = run(){body}",
        "within": body.replace(
            "async def main():\n", "async def main():\n        global exp\n        exp = run()\n"
        ),
        "after": f"exp = run(){body}{body}",
    }[when]
    finished = scripts.run(f"{BEGIN}\n    {text}\n    terminate_unseen()\n    time.sleep(3600)\n", env=LAZY)
    assert finished == (-signal.SIGTERM, "", "")
    assert scripts.journal().ends() == ["CANCELLED"]


def test_what_the_program_has_taken_when_a_run_starts_is_left_to_it(scripts: Scripts) -> None:
    """Until it gives that back."""
    finished = scripts.run(
        f"""{BEGIN}
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    exp = run()
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.raise_signal(signal.SIGUSR1)
    assert os.read(reading, 9) == bytes([signal.SIGUSR1])
    assert signal.set_wakeup_fd(-1) == writing
    assert signal.set_wakeup_fd(-1) == -1
    terminate_unseen()
    time.sleep(3600)
    """,
        env=LAZY,
    )
    assert finished == (-signal.SIGTERM, "", "")


@pytest.mark.slow
def test_without_a_descriptor_left_sigterm_is_what_it_was(scripts: Scripts) -> None:
    finished = scripts.run(
        f"""{BEGIN}
    import resource
    exp = run()
    exp.flush()
    exp.run.complete()
    child = os.fork()
    if child == 0:
        held = []
        try:
            while True:
                held.append(os.dup(0))
        except OSError:
            pass
        from ml_dash.pipeline.runtime import RUNTIME
        RUNTIME._hooks.wake_up()
        for fd in held:
            os.close(fd)
        other = Experiment("alice/vision/other", dash_root=".dash").run.start()
        other.metrics("train").log(step=1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(3600)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
    """,
        env=PATIENT,
    )
    assert finished == (0, "", "")
    assert scripts.journal("alice/vision/other").ends() == ["CANCELLED"]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("gevent") is None, reason="gevent is not installed")
def test_a_program_that_gevent_has_patched_dies_of_sigterm(scripts: Scripts) -> None:
    """There the main thread has another name than the system knows it by."""
    process = scripts.start(
        f"""
    from gevent import monkey; monkey.patch_all(){BEGIN}
    exp = run()
    exp.flush()
    os.write(1, b"ready\\n")
    time.sleep(3600)
    """,
        env=PATIENT,
    )
    assert expect_line(process) == "ready"
    process.terminate()
    assert finish(process) == (-signal.SIGTERM, "", "")
    assert scripts.journal().ends() == ["CANCELLED"]
