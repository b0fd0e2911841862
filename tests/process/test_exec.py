"""`os.exec…`: a process becomes another program, and none of its rows is lost."""

from __future__ import annotations

import sys

import pytest

from tests.support.processes import Scripts, metric

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there, it is another process")

BEGIN = """
    import os, sys, threading
    from ml_dash import Experiment

    me = sys.executable
    exp = Experiment("alice/vision/resnet", dash_root=".dash", echo=False).run.start()
    for step in range(50_000):
        exp.metrics("train").log(step=step)
    exp.files.save_text("weights", to="model.pt")
    """
LAZY = {"ML_DASH_LINGER": "3600", "ML_DASH_SYNC_INTERVAL": "3600"}
"""So that nothing is written but where it has to be."""


@pytest.mark.sample(20)
@pytest.mark.parametrize(
    "call",
    [
        "os.execv(me, [me, '-c', 'print(1)'])",
        "os.execve(me, [me, '-c', 'print(1)'], os.environ)",
        "os.execvp(me, [me, '-c', 'print(1)'])",
        "os.execvpe(me, [me, '-c', 'print(1)'], os.environ)",
        "os.execl(me, me, '-c', 'print(1)')",
        "os.execle(me, me, '-c', 'print(1)', os.environ)",
        "os.execlp(me, me, '-c', 'print(1)')",
        "threading.Thread(target=os.execv, args=(me, [me, '-c', 'print(1)'])).start()",
    ],
)
def test_a_process_that_becomes_another_program_leaves_all_its_rows(scripts: Scripts, call: str) -> None:
    """In its first half second, too. How its run went nobody has said."""
    assert scripts.run(f"{BEGIN}\n    {call}", env=LAZY) == (0, "1\n", "")
    journal = scripts.journal()
    assert journal.values("step", metric("train")) == list(range(50_000))
    assert [row["filename"] for row in journal.view.files()] == ["model.pt"]
    assert journal.ends() == []


@pytest.mark.slow
def test_a_script_that_starts_itself_anew_goes_on_where_it_was(scripts: Scripts) -> None:
    """As trainings do that reload their code."""
    finished = scripts.run(
        """
        import os, sys
        from ml_dash import Experiment

        with Experiment("alice/vision/resnet", dash_root=".dash", echo=False).run as exp:
            done = exp.metrics("train").read()["total"]
            for step in range(done, done + 100):
                exp.metrics("train").log(step=step)
            if done < 300:
                os.execv(sys.executable, [sys.executable, *sys.argv])
        """,
        env=LAZY,
    )
    assert finished == (0, "", "")
    assert scripts.journal().values("step", metric("train")) == list(range(400))
    assert scripts.journal().ends() == ["COMPLETED"]


@pytest.mark.slow
def test_a_program_that_is_not_there_leaves_the_run_open(scripts: Scripts) -> None:
    """The script may catch that, and go on."""
    finished = scripts.run(
        f"""{BEGIN}
    try:
        os.execv("/no/such/program", ["program"])
    except FileNotFoundError:
        exp.metrics("train").log(step=50_000)
    exp.run.complete()
    """
    )
    assert finished == (0, "", "")
    assert scripts.journal().values("step", metric("train")) == list(range(50_001))
    assert scripts.journal().ends() == ["COMPLETED"]


@pytest.mark.slow
def test_a_child_that_becomes_another_program_starts_no_thread_for_that(scripts: Scripts) -> None:
    """It has logged nothing: `os.spawn…` and programs that fork are as quick as before."""
    finished = scripts.run(
        f"""{BEGIN}
    if not (child := os.fork()):
        class Loud(threading.Thread):
            def start(self):
                os._exit(9)
        threading.Thread = Loud
        os.execv("/bin/sh", ["sh", "-c", "exit 3"])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert os.spawnv(os.P_WAIT, "/bin/sh", ["sh", "-c", "exit 4"]) == 4
    """
    )
    assert finished == (0, "", "")
    assert scripts.journal().writers == 1
    assert scripts.journal().ends() == ["COMPLETED"]


@pytest.mark.slow
def test_what_os_says_of_its_functions_stays_true(scripts: Scripts) -> None:
    """Their names and texts, and that a program may be given by its descriptor."""
    finished = scripts.run(
        f"""
    import os
    execve = os.execve{BEGIN}
    assert (os.execve.__name__, os.execve.__doc__) == (execve.__name__, execve.__doc__)
    assert (os.execve in os.supports_fd) == (execve in os.supports_fd)
    exp.run.complete()
    """
    )
    assert finished == (0, "", "")
