"""``ML_DASH_BUFFER_ENABLED=false``: a call returns when its row is on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.killing import ENV, KillingGround, exact_rows, moments
from tests.support.processes import Journal, Scripts, metric

UNBUFFERED = {"ML_DASH_BUFFER_ENABLED": "false"}


@pytest.mark.crash
@pytest.mark.slow
def test_every_row_whose_call_has_returned_survives_a_kill(ground: KillingGround, tmp_path: Path) -> None:
    """The child says so after each call, without a flush; then it is killed at a random moment."""
    returned = 0
    for turn, seconds in moments("unbuffered", 60, 0.1):
        root = tmp_path / str(turn)
        report = ground.kill("through", root, seconds, ENV | UNBUFFERED)
        count = report["flushed"].get("train", 0)
        assert exact_rows(Journal(root), "train") >= count
        returned += count
    assert returned, "no call had ever returned: this has tested nothing"


def test_a_kill_right_after_the_call_loses_nothing(scripts: Scripts) -> None:
    """Of whatever was called: rows, messages, parameters, tracks."""
    finished = scripts.run(
        """
        import os, signal
        from ml_dash import Experiment

        exp = Experiment("alice/vision/resnet", dash_root=".dash", echo=False).run.start()
        exp.params.set(lr=0.1)
        exp.log("hello")
        exp.tracks("arm").append(x=1.0, _ts=5.0)
        exp.metrics("train").log(loss=0.5)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        env=UNBUFFERED,
    )
    assert finished == (-9, "", "")
    journal = scripts.journal()
    assert journal.rows() == [{"loss": 0.5}]
    assert journal.messages() == ["hello"]
    assert journal.view.params() == {"lr": 0.1}
    assert journal.view.track("arm")["entries"] == [{"timestamp": 5.0, "x": 1.0}]


@pytest.mark.slow
def test_each_row_is_durable_when_its_call_returns(scripts: Scripts) -> None:
    """Not only written: an fsync has returned behind it, so nothing is ever pending."""
    finished = scripts.run(
        """
        from ml_dash import Experiment

        with Experiment("alice/vision/resnet", dash_root=".dash").run as exp:
            for step in range(1, 51):
                exp.metrics("train").log(step=step)
                status = exp.status()
                assert (status.logged, status.durable, status.pending) == (step, step, 0), status
        """,
        env=UNBUFFERED,
    )
    assert finished == (0, "", "")


@pytest.mark.slow
def test_threads_that_log_at_once_each_wait_for_their_own_row(scripts: Scripts) -> None:
    """Nothing lost or doubled, and each thread's order kept."""
    finished = scripts.run(
        """
        import threading
        from ml_dash import Experiment

        exp = Experiment("alice/vision/resnet", dash_root=".dash").run.start()

        def log(name):
            for step in range(50):
                exp.metrics(name).log(step=step)

        threads = [threading.Thread(target=log, args=(str(n),)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert exp.status().pending == 0
        """,
        env=UNBUFFERED,
    )
    assert finished == (0, "", "")
    journal = scripts.journal()
    for name in range(8):
        assert journal.values("step", metric(str(name))) == list(range(50))
