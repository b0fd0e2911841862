"""What surrounds a script in other programs: their own `sys.argv`, interpreters within the process, and gevent."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.support.interpreters import VERSIONS, interpreter
from tests.support.processes import RUNS, Scripts


@pytest.mark.sample(20)
@pytest.mark.parametrize(
    ("argv", "script"),
    [
        ("del sys.argv", ""),
        ("sys.argv = None", ""),
        ("sys.argv = []", ""),
        ("sys.argv = [3]", ""),
        ("sys.argv = [pathlib.Path('/jobs/train.py')]", "/jobs/train.py"),
        ("sys.argv = [b'/jobs/train.py']", "/jobs/train.py"),
    ],
)
def test_a_run_starts_whatever_a_program_has_for_its_arguments(
    scripts: Scripts, argv: str, script: str
) -> None:
    """One that embeds Python may have none, and a launcher may put a Path there."""
    finished = scripts.run(
        f"""
        import pathlib
        import sys
        {argv}
        from ml_dash import Experiment

        print(Experiment(dash_root=".dash")._session.identity.name[-5:])
        with Experiment("alice/vision/resnet", dash_root=".dash").run:
            pass
        """
    )
    assert finished == (0, "train\n" if script else "ython\n", "")
    assert scripts.journal().rows(RUNS)[0]["script"] == script


@pytest.mark.interpreters
@pytest.mark.parametrize("version", VERSIONS)
def test_an_interpreter_within_the_process_logs_or_says_why_it_cannot(
    version: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It may start no thread, take no signal, and from 3.12 on load no module that is not made for it."""
    scripts = Scripts(tmp_path, *interpreter(version, request))
    finished = scripts.run(
        """
        import os
        import sys

        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters

        script = '''
        try:
            from ml_dash import Experiment
        except ImportError as error:
            print(error, flush=True)
        else:
            with Experiment("alice/vision/resnet", dash_root=".dash").run as exp:
                for step in range(1000):
                    exp.metrics("train").log(step=step)
        '''
        interpreters.run_string(interpreters.create(), script)
        sys.stdout.flush()
        os._exit(0)  # what others have loaded there may not survive its end
        """
    )
    assert finished.returncode == 0, finished
    if "cannot be imported in an isolated subinterpreter" not in finished.stdout:
        assert version in {"3.10", "3.11"}, finished
        assert scripts.journal().values("step") == list(range(1000))
        assert scripts.journal().ends() == ["COMPLETED"]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("gevent") is None, reason="gevent is not installed")
@pytest.mark.parametrize("moment", ["first", "imported", "made"])
def test_rows_reach_the_disk_whenever_gevent_patches_the_program(scripts: Scripts, moment: str) -> None:
    """Threads become greenlets, and what was imported before must not block all of them."""
    patch = "from gevent import monkey; monkey.patch_all()"
    finished = scripts.run(
        f"""
        {patch if moment == "first" else ""}
        from ml_dash import Experiment
        {patch if moment == "imported" else ""}
        exp = Experiment("alice/vision/resnet", dash_root=".dash")
        {patch if moment == "made" else ""}
        import gevent

        def work(name):
            for step in range(100):
                exp.metrics(name).log(step=step)
                gevent.sleep(0.001)
            exp.flush()

        with exp.run:
            gevent.joinall([gevent.spawn(work, name) for name in "abc"])
            for step in range(300_000):
                exp.metrics("train").log(step=step)
        """
    )
    assert (finished.returncode, finished.stdout) == (0, ""), finished
    assert scripts.journal().values("step") == list(range(300_000))
    assert scripts.journal().ends() == ["COMPLETED"]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("gevent") is None, reason="gevent is not installed")
def test_a_program_that_gevent_has_patched_runs_event_loops_of_its_own(scripts: Scripts) -> None:
    """All share one thread of the system's there, by which asyncio notes what runs."""
    finished = scripts.run(
        """
        from gevent import monkey; monkey.patch_all()
        import asyncio
        from ml_dash import Experiment

        async def work():
            mine = asyncio.get_running_loop()
            for step in range(10):
                exp.metrics("train").log(step=step)
                await asyncio.sleep(0.01)
                assert asyncio.get_running_loop() is mine
            return (await exp.aflush()).durable

        with Experiment("alice/vision/resnet", dash_url="http://127.0.0.1:9", dash_root=".dash").run as exp:
            print(asyncio.run(work()), asyncio.run(work()), exp.flush(timeout=0).pending)
        """,
        env={"ML_DASH_EXIT_TIMEOUT": "0"},
    )
    assert (finished.returncode, finished.stdout) == (0, "10 20 20\n"), finished.stderr
    assert scripts.journal().values("step") == [*range(10), *range(10)]
