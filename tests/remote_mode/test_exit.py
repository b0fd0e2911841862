"""The interpreter's exit in remote mode: all is sent that can be in time, and all is in the journal in any case."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from ml_dash.server.runner import EmbeddedServer
from tests.remote_mode.frozen import server_process
from tests.remote_mode.remote_scripts import remote_scripts
from tests.remote_mode.silent import silent_server
from tests.support.elsewhere import Elsewhere
from tests.support.interpreters import VERSIONS, interpreter
from tests.support.processes import PREFIX, RUNS, Finished, Scripts, expect_line, finish
from tests.support.seen import Seen, until

MARGIN = 15.0
"""Seconds after which a script counts as hanging, besides those that it has to wait: a fraction of them is usual."""
FOREVER = "3600"
"""For time-outs that must not be waited for: whoever does is found hanging, on the slowest of machines."""

POINTS = """
    from ml_dash import Experiment

    exp = Experiment("alice/vision/resnet", dash_url=True).run.start()
    for step in range(100):
        exp.metrics("train").log(step=step)
    """
LAW = """
    def law():
        status = exp.status()
        assert status.logged == status.acknowledged + status.pending + sum(status.dropped.values()), status
        return status
    """

every_python = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture
def python_scripts(
    version: str, server: EmbeddedServer, tmp_path: Path, request: pytest.FixtureRequest
) -> Scripts:
    """Runs scripts with one version of Python."""
    python, environ = interpreter(version, request)
    scripts = remote_scripts(tmp_path / "home", server.url, python=python)
    scripts.environ |= environ
    return scripts


def run(scripts: Scripts, text: str, *, wait: float = 0.0, **env: str) -> Finished:
    """Run a script that waits so many seconds at most, with these settings."""
    return scripts.run(text, env=env, deadline=wait + MARGIN)


def check_kept(scripts: Scripts, finished: Finished, returncode: int = 0) -> None:
    """Assert that all is in the journal, and that the user was told, once, how to have it sent."""
    assert finished.returncode == returncode
    journal = scripts.journal()
    assert journal.values("step") == list(range(100))
    assert len(journal.ends()) == 1
    assert finished.stderr.count("`ml-dash sync ") == 1
    assert f"`ml-dash sync {scripts.home / '.dash' / PREFIX}`" in finished.stderr
    assert finished.stderr.count("100 events") >= 1
    assert "Traceback" not in finished.stderr
    assert "Unclosed" not in finished.stderr


# --- on every Python: each shuts threads, executors and event loops down in an order of its own


@pytest.mark.sample(2)
@pytest.mark.interpreters
@every_python
@pytest.mark.parametrize("start_timeout", ["0", "5"])
def test_a_short_script_has_sent_all_at_its_end_on_every_python(
    python_scripts: Scripts, server: EmbeddedServer, start_timeout: str
) -> None:
    """Whether or not the background thread has got round to anything by then."""
    finished = python_scripts.run(POINTS, env={"ML_DASH_START_TIMEOUT": start_timeout})
    assert (finished.returncode, finished.stdout) == (0, "")
    # a second may go by before all is sent, where nothing was imported before
    assert finished.stderr == "" or re.fullmatch(
        r"Sending the last events to .*\(.* to go\).*\n", finished.stderr
    )
    seen = Seen(server)
    assert seen.values("step") == list(range(100))
    assert seen.status == "COMPLETED"
    seen.equals(python_scripts.home / ".dash")


@pytest.mark.slow
@pytest.mark.interpreters
@every_python
def test_a_short_script_whose_server_is_down_ends_at_once_on_every_python(
    python_scripts: Scripts, server: EmbeddedServer
) -> None:
    server.stop()
    finished = run(python_scripts, POINTS, ML_DASH_EXIT_TIMEOUT=FOREVER)
    check_kept(python_scripts, finished)


@pytest.mark.slow
@pytest.mark.interpreters
@every_python
@pytest.mark.parametrize("start_timeout", ["0", "5"])
def test_a_name_that_cannot_be_looked_up_holds_up_no_exit_on_any_python(
    python_scripts: Scripts, start_timeout: str
) -> None:
    """Also where it is looked up for the first time at exit, when executors take no work any more."""
    finished = run(
        python_scripts,
        POINTS,
        wait=5 + 5,
        ML_DASH_API_URL="https://no-such-host.invalid",
        ML_DASH_START_TIMEOUT=start_timeout,
        ML_DASH_EXIT_TIMEOUT="5",
    )
    check_kept(python_scripts, finished)


@pytest.mark.slow
@pytest.mark.interpreters
@every_python
def test_threads_and_executors_that_log_into_the_exit_have_sent_all_on_every_python(
    python_scripts: Scripts, server: EmbeddedServer
) -> None:
    finished = python_scripts.run(
        """
        import atexit, threading, time
        from concurrent.futures import ThreadPoolExecutor
        from ml_dash import Experiment

        exp = Experiment("alice/vision/resnet", dash_url=True).run.start()

        def log(name):
            for step in range(200):
                exp.metrics(name).log(step=step)
                time.sleep(0.001)

        threading.Thread(target=log, args=("thread",)).start()
        pool = ThreadPoolExecutor(2)
        pool.submit(log, "task")
        atexit.register(log, "atexit")
        """
    )
    assert finished == (0, "", "")
    seen = Seen(server)
    for name in ("thread", "task", "atexit"):
        assert seen.values("step", name) == list(range(200))
    assert seen.status == "COMPLETED"
    seen.equals(python_scripts.home / ".dash")


@pytest.mark.slow
@pytest.mark.interpreters
@every_python
def test_an_experiment_of_an_exit_handler_is_in_its_journal_and_holds_up_nothing_on_any_python(
    python_scripts: Scripts, server: EmbeddedServer
) -> None:
    """Some versions start no thread any more by then, and so cannot send; they need not wait for it, either."""
    finished = run(
        python_scripts,
        """
        import atexit
        from ml_dash import Experiment

        def report():
            with Experiment("alice/vision/resnet", dash_url=True).run as exp:
                for step in range(100):
                    exp.metrics("train").log(step=step)

        atexit.register(report)
        """,
        ML_DASH_START_TIMEOUT=FOREVER,
        ML_DASH_FLUSH_TIMEOUT=FOREVER,
        ML_DASH_EXIT_TIMEOUT=FOREVER,
    )
    assert finished.returncode == 0
    assert "Traceback" not in finished.stderr
    assert python_scripts.journal().values("step") == list(range(100))
    seen = Seen(server)
    assert not seen.known or seen.values("step") == list(range(100))


# --- how a script ends


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    ("ending", "returncode", "status"),
    [
        ("raise ValueError('diverged')", 1, "FAILED"),
        ("import sys; sys.exit(3)", 3, "COMPLETED"),
        ("exp.run.complete()", 0, "COMPLETED"),
        ("exp.run.cancel()", 0, "CANCELLED"),
    ],
)
def test_the_way_a_script_ends_is_its_status_at_the_server(
    scripts: Scripts, seen: Seen, home: Path, ending: str, returncode: int, status: str
) -> None:
    finished = scripts.run(f"{POINTS}\n    {ending}\n")
    assert finished.returncode == returncode
    assert finished.stdout == ""
    assert finished.stderr == "" or "diverged" in finished.stderr
    assert seen.status == status
    assert seen.values("step") == list(range(100))
    seen.equals(home)


@pytest.mark.slow
def test_what_was_flushed_is_at_the_server_after_os_exit(scripts: Scripts, seen: Seen) -> None:
    finished = scripts.run(f"{POINTS}\n    exp.flush()\n    import os\n    os._exit(7)\n")
    assert finished == (7, "", "")
    assert seen.values("step") == list(range(100))
    assert seen.status == "RUNNING"


@pytest.mark.slow
def test_rows_logged_just_before_the_end_of_a_long_backlog_are_sent(
    scripts: Scripts, seen: Seen, home: Path
) -> None:
    finished = scripts.run(
        """
        from ml_dash import Experiment
        exp = Experiment("alice/vision/resnet", dash_url=True).run.start()
        for step in range(300_000):
            exp.metrics("train").log(step=step, loss=0.5, text="x" * (step % 7))
        """,
        env={"ML_DASH_EXIT_TIMEOUT": "60"},
    )
    assert finished.returncode == 0
    assert "ml-dash sync /" not in finished.stderr
    assert seen.count() == 300_000
    assert seen.status == "COMPLETED"
    seen.equals(home)


def test_sigterm_leaves_a_complete_journal_and_waits_for_no_server(scripts: Scripts) -> None:
    """Neither for one that answers nothing."""
    with silent_server() as url:
        process = scripts.start(
            f"""{POINTS}
    print("ready", flush=True)
    import time
    time.sleep(3600)
    """,
            env={
                "ML_DASH_API_URL": url,
                "ML_DASH_START_TIMEOUT": "0.2",
                "ML_DASH_LINGER": "3600",
                "ML_DASH_SIGTERM_TIMEOUT": "5",
                "ML_DASH_EXIT_TIMEOUT": FOREVER,
            },
        )
        expect_line(process)
        process.terminate()
        finished = finish(process, deadline=5 + MARGIN)
    assert finished.returncode == -signal.SIGTERM
    assert scripts.journal().values("step") == list(range(100))
    assert scripts.journal().ends() == ["CANCELLED"]


@pytest.mark.slow
def test_a_killed_process_has_sent_a_beginning_of_its_journal_and_nothing_twice(
    scripts: Scripts, seen: Seen, home: Path
) -> None:
    """What the next process logs is behind that."""
    process = scripts.start(
        """
        from ml_dash import Experiment
        exp = Experiment("alice/vision/resnet", dash_url=True).run.start()
        step = 0
        while True:
            exp.metrics("train").log(step=step)
            step += 1
            if step == 2000:
                print("ready", flush=True)
        """
    )
    expect_line(process)
    until(lambda: seen.has(1000), "a thousand rows at the server")
    process.kill()
    assert finish(process).returncode == -signal.SIGKILL
    there = seen.values("step")
    assert there == list(range(len(there)))
    assert scripts.journal().values("step")[: len(there)] == there
    assert scripts.run(
        """
        from ml_dash import Experiment
        with Experiment("alice/vision/resnet", dash_url=True).run as exp:
            exp.metrics("next").log(step=0)
        """
    ) == (0, "", "")
    assert seen.values("step", "next") == [0]
    steps = seen.values("step")
    assert steps == list(range(len(steps)))


# --- a server that is not there, or is of no use


@pytest.mark.slow
def test_an_exit_without_a_server_waits_for_nothing(scripts: Scripts, server: EmbeddedServer) -> None:
    server.stop()
    finished = run(
        scripts, f"{POINTS}{LAW}\n    import atexit\n    atexit.register(law)\n", ML_DASH_EXIT_TIMEOUT=FOREVER
    )
    check_kept(scripts, finished)


def test_an_exit_with_a_silent_server_keeps_the_exit_timeout(scripts: Scripts) -> None:
    with silent_server() as url:
        finished = run(
            scripts,
            POINTS,
            wait=2,
            ML_DASH_API_URL=url,
            ML_DASH_START_TIMEOUT="0.2",
            ML_DASH_EXIT_TIMEOUT="2",
        )
    check_kept(scripts, finished)


@pytest.mark.slow
def test_an_exit_timeout_of_nothing_waits_for_nothing(scripts: Scripts) -> None:
    with silent_server() as url:
        finished = run(
            scripts, POINTS, ML_DASH_API_URL=url, ML_DASH_START_TIMEOUT="0", ML_DASH_EXIT_TIMEOUT="0"
        )
    assert finished.returncode == 0


@pytest.mark.slow
def test_an_exit_with_a_server_that_stalls_keeps_the_exit_timeout(tmp_path: Path) -> None:
    """It answered at first; what it had not acknowledged by then is in the journal."""
    with server_process(tmp_path / "server") as server:
        scripts = remote_scripts(tmp_path / "home", server.url)
        process = scripts.start(
            f"""{POINTS}
    import sys
    assert exp.flush().pending == 0
    print("ready", flush=True)
    sys.stdin.readline()
    for step in range(100, 200):
        exp.metrics("train").log(step=step)
    """,
            env={"ML_DASH_EXIT_TIMEOUT": "2"},
        )
        expect_line(process)
        server.freeze()
        assert process.stdin
        process.stdin.write(b"go\n")
        finished = finish(process, deadline=2 + MARGIN)
        server.thaw()
    assert finished.returncode == 0
    assert finished.stderr.count("`ml-dash sync /") == 1
    assert "100 events" in finished.stderr
    assert scripts.journal().values("step") == list(range(200))
    assert scripts.journal().ends() == ["COMPLETED"]


@pytest.mark.slow
def test_a_server_of_no_use_does_not_keep_another_experiment_from_its_own(
    scripts: Scripts, seen: Seen, home: Path
) -> None:
    with silent_server() as url:
        finished = run(
            scripts,
            f"""{POINTS}
    other = Experiment("alice/vision/other", dash_url="{url}").run.start()
    other.metrics("train").log(step=0)
    """,
            ML_DASH_START_TIMEOUT="1",
            wait=1 + 3,
            ML_DASH_EXIT_TIMEOUT="3",
        )
    assert finished.returncode == 0
    assert seen.values("step") == list(range(100))
    assert seen.status == "COMPLETED"
    seen.equals(home)
    assert finished.stderr.count("`ml-dash sync /") == 1
    assert f"`ml-dash sync {home / 'alice/vision/other'}`" in finished.stderr
    assert scripts.journal("alice/vision/other").values("step") == [0]


@pytest.mark.slow
@pytest.mark.parametrize("server_kind", ["silent", "stalled"])
def test_ctrl_c_while_the_exit_waits_for_the_server_leaves_at_once_and_loses_nothing(
    tmp_path: Path, server_kind: str
) -> None:
    with server_process(tmp_path / "server") as server, silent_server() as silent:
        url = silent if server_kind == "silent" else server.url
        scripts = remote_scripts(tmp_path / "home", url)
        process = scripts.start(
            """
    import sys
    from ml_dash import Experiment
    exp = Experiment("alice/vision/resnet", dash_url=True).run.start()
    print("ready", flush=True)
    sys.stdin.readline()
    for step in range(100):
        exp.metrics("train").log(step=step)
    """,
            env={"ML_DASH_EXIT_TIMEOUT": FOREVER, "ML_DASH_START_TIMEOUT": "0.5" if url == silent else "20"},
        )
        expect_line(process)
        server.freeze()
        assert process.stdin
        process.stdin.write(b"go\n")
        assert process.stderr
        assert b"Ctrl-C leaves at once" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        finished = finish(process, deadline=MARGIN)
    check_kept(scripts, finished)
    assert scripts.journal().ends() == ["COMPLETED"]


@pytest.mark.slow
def test_an_exit_that_is_refused_for_its_token_waits_for_nothing(scripts: Scripts, seen: Seen) -> None:
    finished = run(scripts, POINTS, ML_DASH_TOKEN="mld_" + "w" * 43, ML_DASH_EXIT_TIMEOUT=FOREVER)
    check_kept(scripts, finished)
    assert finished.stderr.count("wants a token that is valid") == 1
    assert not seen.known


@pytest.mark.slow
def test_what_cannot_be_a_token_leaves_an_exit_as_clean_as_any(scripts: Scripts) -> None:
    finished = run(scripts, POINTS, ML_DASH_TOKEN="two words", ML_DASH_EXIT_TIMEOUT=FOREVER)
    check_kept(scripts, finished)
    assert "two words" not in finished.stderr


@pytest.mark.slow
def test_a_run_without_rows_tells_that_its_end_was_not_sent(scripts: Scripts, server: EmbeddedServer) -> None:
    """The server would show it as running, or not at all."""
    server.stop()
    finished = scripts.run(
        """
        from ml_dash import Experiment
        Experiment("alice/vision/resnet", dash_url=True).run.start()
        """
    )
    assert finished.returncode == 0
    assert [row["event"] for row in scripts.journal().rows(RUNS)] == ["start", "end"]
    assert finished.stderr.count("`ml-dash sync ") == 1


@pytest.mark.slow
def test_the_server_may_be_a_proxy_that_answers_html(scripts: Scripts, tmp_path: Path) -> None:
    """It says so once, and the exit is not held up."""
    with Elsewhere(body=b"<html>Please log in</html>", content_type="text/html") as elsewhere:
        finished = run(scripts, POINTS, ML_DASH_API_URL=elsewhere.origin, ML_DASH_EXIT_TIMEOUT=FOREVER)
    assert finished.stderr.count("not an ML-Dash server") == 1
    assert finished.returncode == 0
    assert scripts.journal().values("step") == list(range(100))
