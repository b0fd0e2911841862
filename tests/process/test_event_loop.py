"""The background thread's event loop: it is the standard library's, and rows reach the disk where there can be none."""

from __future__ import annotations

import pytest

from tests.support.processes import Scripts

LOG = """
    exp = Experiment("alice/vision/resnet", dash_root=".dash", echo=False).run.start()
    for step in range(300_000):
        exp.metrics("train").log(step=step)
    while exp.status().durable < 300_000:  # by themselves
        threading.Event().wait(0.01)
    exp.files("f").save_blob(b"x" * 3_000_000, to="large.bin")
    print(exp.metrics("train").stats()["count"], exp.flush().pending)
    """
COMPLAINT = "The event loop of the background thread has failed"


def test_the_programs_own_event_loops_are_left_alone(scripts: Scripts) -> None:
    """Such as Qt's, which is for the main thread; and uvloop's, which takes down a process that ends at once."""
    (scripts.home / "uvloop.py").write_text("raise ImportError('built for another Python')")
    finished = scripts.run(
        """
        import asyncio
        import threading
        import warnings
        from ml_dash import Experiment

        warnings.simplefilter("ignore")
        class Policy(asyncio.DefaultEventLoopPolicy):
            def new_event_loop(self):
                assert threading.current_thread() is threading.main_thread()
                return super().new_event_loop()

        asyncio.set_event_loop_policy(Policy())
        async def main():
            exp.metrics("train").log(step=1)
            print((await exp.aflush()).durable)

        with Experiment("alice/vision/resnet", dash_root=".dash").run as exp:
            asyncio.run(main())
        """
    )
    assert finished == (0, "1\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["anyio", "asyncio/__init__"])
def test_where_what_the_loop_needs_cannot_be_imported_rows_are_written_without_it(
    scripts: Scripts, broken: str
) -> None:
    """More rows than the queue takes. A file of the script's may have such a name; a line says so once."""
    module = scripts.home / f"{broken}.py"
    module.parent.mkdir(exist_ok=True)
    module.write_text("raise ImportError('no such thing')")
    finished = scripts.run(f"import threading\nfrom ml_dash import Experiment\n{LOG}".replace("\n    ", "\n"))
    assert (finished.returncode, finished.stdout) == (0, "300000 0\n"), finished.stderr
    assert finished.stderr.count(COMPLAINT) == 1
    assert "ImportError('no such thing')" in finished.stderr
    assert scripts.journal().values("step") == list(range(300_000))
    assert scripts.journal().ends() == ["COMPLETED"]


def test_without_a_loop_nobody_waits_for_a_server(scripts: Scripts) -> None:
    """Neither in a flush, nor at the end, nor at exit; the rows are where `sync` finds them."""
    (scripts.home / "anyio.py").write_text("raise ImportError('no such thing')")
    finished = scripts.run(
        """
        from ml_dash import Experiment, ServerUnavailableError

        exp = Experiment("alice/vision/resnet", dash_root=".dash", dash_url="http://127.0.0.1:9").run.start()
        exp.metrics("train").log(step=1)
        result = exp.flush(timeout=3600)
        print(result.durable, result.pending, result.online)
        try:
            Experiment("alice/vision/other", dash_root=None, dash_url="http://127.0.0.1:9").metrics("train").read()
        except ServerUnavailableError as error:
            print("no such thing" in str(error))
        exp.run.complete()
        """,
        env={"ML_DASH_EXIT_TIMEOUT": "3600", "ML_DASH_FLUSH_TIMEOUT": "3600"},
    )
    assert (finished.returncode, finished.stdout) == (0, "1 1 False\nTrue\n"), finished.stderr
    assert "ml-dash sync" in finished.stderr


@pytest.mark.slow
def test_where_numpy_cannot_be_imported_rows_are_written_without_it(scripts: Scripts) -> None:
    """It is broken, or a file of the script's has its name; a line says so once."""
    (scripts.home / "numpy.py").write_text("raise ImportError('no such thing')")
    finished = scripts.run(
        """
        from ml_dash import Experiment

        with Experiment("alice/vision/resnet", dash_root=".dash", echo=False).run as exp:
            for step in range(20_000):
                exp.metrics("train").log(step=step)
            print(exp.flush().durable)
        """
    )
    assert (finished.returncode, finished.stdout) == (0, "20000\n"), finished.stderr
    assert finished.stderr.count("numpy cannot be imported (ImportError('no such thing'))") == 1
    assert scripts.journal().values("step") == list(range(20_000))
    assert scripts.journal().ends() == ["COMPLETED"]


@pytest.mark.slow
def test_a_process_out_of_descriptors_writes_before_it_could_import_numpy(scripts: Scripts) -> None:
    """The journal is open, and takes rows; numpy is found when there are descriptors again."""
    finished = scripts.run(
        """
        import os
        import resource
        import sys
        from ml_dash import Experiment

        exp = Experiment("alice/vision/resnet", dash_root=".dash", echo=False).run.start()
        exp.metrics("train").log(step=-1)
        exp.flush()
        assert "numpy" not in sys.modules
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        held = []
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        for step in range(20_000):
            exp.metrics("train").log(step=step)
        print(exp.flush().durable, exp.status().dropped)
        for descriptor in held:
            os.close(descriptor)
        """
    )
    assert (finished.returncode, finished.stdout) == (0, "20001 {}\n"), finished.stderr
    assert finished.stderr.count("numpy cannot be imported") == 1
    assert scripts.journal().values("step") == list(range(-1, 20_000))
