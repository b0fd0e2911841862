"""A fork while the background thread is still importing: the child must not get half a module."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.scripts import python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")


@pytest.mark.slow
def test_children_forked_at_once_have_whole_modules_and_a_worker_of_their_own(tmp_path: Path) -> None:
    """Forks right after `start()` fall into the worker's first imports; each child's worker must come up."""
    printed = python(
        """
        import os, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from ml_dash import Experiment
        from ml_dash.pipeline.runtime import RUNTIME

        exp = Experiment("alice/vision/forks", dash_root="dash", echo=False)
        with exp.run:
            pids = []
            for child in range(30):
                time.sleep(0.005)  # so that the worker gets on with its imports between two forks
                pid = os.fork()
                if pid == 0:
                    exp.metrics("child").log(child=child)
                    exp.flush()
                    deadline = time.monotonic() + 20
                    while not RUNTIME._worker.ready and time.monotonic() < deadline:
                        time.sleep(0.01)
                    os._exit(0 if RUNTIME._worker.ready else 1)
                pids.append(pid)
            print([os.waitpid(pid, 0)[1] for pid in pids])
        seen = exp.metrics("child").to_numpy()["child"]
        print(sorted(seen.tolist()) == list(range(30)))
        """,
        tmp_path,
    )
    assert printed.splitlines() == [str([0] * 30), "True"]


@pytest.mark.slow
def test_a_fork_during_the_import_of_numpy_waits_for_it(tmp_path: Path) -> None:
    """The first large batch imports numpy behind the program's back; a child forked just then has all of it."""
    printed = python(
        """
        import os, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from ml_dash import Experiment

        exp = Experiment("alice/vision/forks", dash_root="dash", echo=False)
        statuses = []
        with exp.run:
            for step in range(40_000):
                exp.metrics("train").log(loss=0.5, step=step)
                if step % 4_000 == 0:
                    pid = os.fork()
                    if pid == 0:
                        import numpy
                        os._exit(0 if numpy.arange(3).sum() == 3 else 1)
                    statuses.append(os.waitpid(pid, 0)[1])
        print(statuses, exp.metrics("train").stats()["count"])
        """,
        tmp_path,
    )
    assert printed == f"{[0] * 10} 40000\n"
