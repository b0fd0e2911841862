"""The end of a run with a server that answers nothing: it is waited for once, and Ctrl-C ends the wait for good."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.remote_mode.frozen import server_process
from tests.remote_mode.remote_scripts import remote_scripts
from tests.support.processes import expect_line, finish

MARGIN = 12.0
"""Seconds after which a process counts as hanging, besides those that it has to wait."""
FOREVER = "3600"
"""For time-outs that must not be waited for: whoever does is found hanging."""

RUN = """
    import sys
    from ml_dash import Experiment

    exp = Experiment("alice/vision/resnet", dash_url=True).run.start()
    exp.metrics("train").log(step=0)
    assert exp.flush().pending == 0
    print("ready", flush=True)
    sys.stdin.readline()
    exp.metrics("train").log(step=1)
    exp.run.complete()
    """


@pytest.mark.slow
def test_the_end_of_a_run_and_the_exit_wait_for_a_stalled_server_once(tmp_path: Path) -> None:
    """Not for one time-out after the other: each wait says what it waits for, and there is one line."""
    with server_process(tmp_path / "server") as server:
        scripts = remote_scripts(tmp_path / "home", server.url)
        process = scripts.start(RUN, env={"ML_DASH_FLUSH_TIMEOUT": "20", "ML_DASH_EXIT_TIMEOUT": "20"})
        expect_line(process)
        server.freeze()
        assert process.stdin
        process.stdin.write(b"go\n")
        finished = finish(process, deadline=20 + MARGIN)  # waiting twice takes 40
        server.thaw()
    assert finished.returncode == 0
    assert finished.stderr.count("Ctrl-C leaves at once") == 1
    assert finished.stderr.count("`ml-dash sync /") == 1
    assert scripts.journal().values("step") == [0, 1]
    assert scripts.journal().ends() == ["COMPLETED"]


@pytest.mark.slow
def test_a_server_found_silent_at_the_end_of_a_run_is_not_waited_for_at_exit(tmp_path: Path) -> None:
    """Where the transport gives up before the time is over, too: that wait was as vain."""
    impatient = RUN.replace(
        "exp =", "import ml_dash.client.http as http; http._SILENCE_SECONDS = 2.0\n    exp ="
    )
    with server_process(tmp_path / "server") as server:
        scripts = remote_scripts(tmp_path / "home", server.url)
        process = scripts.start(
            impatient, env={"ML_DASH_FLUSH_TIMEOUT": FOREVER, "ML_DASH_EXIT_TIMEOUT": FOREVER}
        )
        expect_line(process)
        server.freeze()
        assert process.stdin
        process.stdin.write(b"go\n")
        finished = finish(process)
        server.thaw()
    assert finished.returncode == 0
    assert finished.stderr.count("Ctrl-C leaves at once") == 1
    assert finished.stderr.count("`ml-dash sync /") == 1
    assert scripts.journal().values("step") == [0, 1]
    assert scripts.journal().ends() == ["COMPLETED"]


@pytest.mark.slow
def test_ctrl_c_at_the_end_of_a_run_ends_the_waiting_at_exit_too(tmp_path: Path) -> None:
    """One is enough, and nothing is lost."""
    with server_process(tmp_path / "server") as server:
        scripts = remote_scripts(tmp_path / "home", server.url)
        process = scripts.start(RUN, env={"ML_DASH_FLUSH_TIMEOUT": FOREVER, "ML_DASH_EXIT_TIMEOUT": FOREVER})
        expect_line(process)
        server.freeze()
        assert process.stdin
        process.stdin.write(b"go\n")
        assert process.stderr
        assert b"Ctrl-C leaves at once" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        finished = finish(process, deadline=MARGIN)
        server.thaw()
    assert finished.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in finished.stderr
    assert "Exception ignored" not in finished.stderr
    assert scripts.journal().values("step") == [0, 1]
    assert scripts.journal().ends() == ["COMPLETED"]
