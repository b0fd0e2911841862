"""Finalizers that log.

A `__del__` may be called in any thread, in the middle of our own work, and when all other threads are gone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.interpreters import VERSIONS, interpreter
from tests.support.processes import Scripts, metric

LATE = """
    import numpy
    from ml_dash import Experiment

    class Held:
        def __del__(self):
            for call in self.calls:
                try:
                    call()
                except Exception as error:
                    print(type(error).__name__)

    exp = Experiment("alice/vision/resnet", dash_root=".dash", echo=False).run.start()
    exp.metrics("train").log(step=0)
    held = Held()
    held.calls = [
        exp.flush,
        lambda: exp.metrics("train").log(step=1),
        lambda: exp.metrics("late").log(x=number(2)),
        lambda: exp.log("x" * 5000),
        lambda: exp.params.set(late=True),
        lambda: exp.tracks("pose").append(q=1, _ts=1.0),
        lambda: exp.metrics("train").buffer(loss=1.0),
        lambda: exp.files("f").save_text("late", to="late.txt"),
        lambda: exp.files("f").save_json({"late": True}, to="late.json"),
        lambda: Experiment("alice/vision/other", dash_root=".dash").run.start(),
        lambda: exp.flush(timeout=1),
        exp.run.complete,
    ]
    number = numpy.float32
    """


@pytest.mark.interpreters
@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_finalizer_logs_while_modules_are_freed_is_on_disk_on_any_python(
    version: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """No thread can be started any more, and before 3.12 the interpreter does not say so; nothing can be imported."""
    scripts = Scripts(tmp_path, *interpreter(version, request))
    finished = scripts.run(LATE)
    assert finished == (0, "FileStoreError\nFileStoreError\nNotStartedError\n", "")
    journal = scripts.journal()
    assert journal.values("step") == [0, 1]
    assert journal.values("x", metric("late")) == [2.0]
    assert journal.messages() == ["x" * 5000]
    assert journal.view.params() == {"late": True}
    assert journal.ends() == ["COMPLETED"]


@pytest.mark.slow
@pytest.mark.parametrize("root", [".dash", None])
def test_a_finalizer_can_ask_how_the_rows_stand_that_a_server_out_of_reach_lacks(
    scripts: Scripts, root: str | None
) -> None:
    """While modules are freed, nothing can be imported, even what has been."""
    finished = scripts.run(
        f"""
        from ml_dash import Experiment

        class Held:
            def __del__(self):
                try:
                    exp.tracks("pose").append(q=1, _ts=1.0).flush()
                    print(exp.flush().pending, exp.status().pending, exp.params.get() if {root!r} else {{}})
                except Exception as error:
                    print(type(error).__name__)

        exp = Experiment(
            "alice/vision/resnet", dash_url="http://127.0.0.1:9", dash_root={root!r}, echo=False
        ).run.start()
        exp.metrics("train").log(step=0)
        held = Held()
        """,
        env={"ML_DASH_EXIT_TIMEOUT": "0"},
    )
    assert (finished.returncode, finished.stdout) == (0, "2 2 {}\n"), finished.stderr


@pytest.mark.slow
def test_a_finalizer_that_reads_what_cannot_be_read_any_more_is_told_so(
    scripts: Scripts, tmp_path: Path
) -> None:
    """Nothing can be imported while modules are freed, not even what has been; what needs nothing is answered."""
    (tmp_path / "pandas.py").touch()
    finished = scripts.run(
        """
        from ml_dash import Experiment, JournalError, MissingExtraError

        class Held:
            def __del__(self):
                for call, kind in self.calls.items():
                    try:
                        call()
                    except kind as error:
                        print("while the interpreter frees its modules" in str(error))
                    else:
                        print("answered")

        exp = Experiment("alice/vision/resnet", dash_root=".dash", echo=False).run.start()
        other = Experiment("alice/vision/resnet", dash_root=".dash")
        exp.metrics("train").log(step=0)
        exp.files("f").save_text("text", to="a.txt")
        held = Held()
        held.calls = dict.fromkeys([
            exp.metrics("train").read,
            exp.metrics("train").stats,
            exp.metrics("train").to_numpy,
            exp.metrics.list,
            exp.files("f").list,
            lambda: exp.files("f").read_text("a.txt"),
            other.metrics("train").read,
        ], JournalError)
        held.calls[exp.metrics("train").to_pandas] = MissingExtraError
        """
    )
    assert finished == (0, "True\n" * 8, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "call", ["exp.flush()", "exp.params.set(a=i)", "exp.log('x' * 5000)", "exp.metrics('d').log(i=i)"]
)
def test_a_finalizer_waits_for_no_lock_of_a_thread_that_the_exit_has_stopped(
    scripts: Scripts, call: str
) -> None:
    """A daemon thread is stopped wherever it is: its locks are never released, and its frame may be half written."""
    for turn in range(1, 5):
        finished = scripts.run(
            f"""
            import builtins
            import threading
            from ml_dash import Experiment

            exp = Experiment("alice/vision/resnet", dash_root=".dash", echo=False).run.start()

            class Held:
                def __del__(self):
                    exp.metrics("late").log(turn={turn})
                    exp.params.set(late={turn})
                    print(exp.flush(timeout=1).pending)

            def work():
                i = 0
                while True:
                    i += 1
                    {call}
                    begun.set()

            begun = threading.Event()
            threading.Thread(target=work, daemon=True).start()
            begun.wait()
            builtins.held = Held()
            """
        )
        assert (finished.returncode, finished.stdout) == (0, "0\n"), finished.stderr
        journal = scripts.journal()
        assert journal.values("turn", metric("late")) == list(range(1, turn + 1))
        assert journal.view.params()["late"] == turn


@pytest.mark.slow
def test_a_finalizer_that_flushes_in_the_middle_of_a_write_does_not_wait_for_itself(scripts: Scripts) -> None:
    """Garbage is collected in whichever thread makes some: in that which writes, too."""
    finished = scripts.run(
        """
        import gc
        import os
        import threading
        from ml_dash import Experiment

        class Garbage:
            def __del__(self):
                seen.add(threading.current_thread().name)
                exp.flush()

        write = os.write
        def collect_first(fd, data):
            garbage = Garbage()
            garbage.itself = garbage
            del garbage
            gc.collect()
            return write(fd, data)

        seen = set()
        exp = Experiment("alice/vision/resnet", dash_root=".dash").run.start()
        os.write = collect_first
        for step in range(20):
            exp.metrics("train").log(step=step)
            threading.Event().wait(0.01)
            if step % 5 == 0:
                exp.flush()
        exp.run.complete()
        print(sorted(seen))
        """,
        env={"ML_DASH_LINGER": "0.005"},
    )
    assert finished.returncode == 0, finished
    assert "'ml-dash'" in finished.stdout
    assert "'ml-dash-disk'" in finished.stdout
    assert scripts.journal().values("step") == list(range(20))
    assert scripts.journal().ends() == ["COMPLETED"]
