"""`dxp`: one a process, ready on import, ended when Python ends. So each test is a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_dash import Experiment
from tests.support.scripts import python


def found(directory: Path) -> Experiment:
    """What was left in a directory."""
    return Experiment("zoe/scratch/dxp", dash_root=directory / ".dash")


def test_dxp_belongs_to_the_user_and_lies_in_the_working_directory(tmp_path: Path) -> None:
    """`<user>/scratch/dxp` in `.dash`, started."""
    printed = python(
        """
        import os
        from ml_dash.auto_start import dxp

        print(dxp.prefix, dxp.run.status, os.path.relpath(dxp.directory))
        """,
        tmp_path,
        ML_DASH_USER="zoe",
    )

    assert printed.split() == ["zoe/scratch/dxp", "RUNNING", str(Path(".dash/zoe/scratch/dxp"))]
    assert found(tmp_path).view.run().status == "COMPLETED"


def test_dxp_has_the_full_api(tmp_path: Path) -> None:
    """All that an experiment has, and all of it is kept."""
    python(
        """
        from ml_dash.auto_start import dxp

        dxp.params.set(lr=0.001)
        dxp.log("message", level="warn", epoch=1)
        dxp.metrics("train").log(loss=0.5)
        dxp.metrics.log(train=dict(loss=0.25))
        dxp.metrics("train").buffer(acc=1)
        dxp.metrics.buffer.log_summary()
        dxp.tracks("pose").append(_ts=1, x=2)
        assert dxp.flush().durable == dxp.status().logged == 6
        """,
        tmp_path,
        ML_DASH_USER="zoe",
    )

    exp = found(tmp_path)
    assert exp.params.get() == {"lr": 0.001}
    assert exp.logs.read()["data"][0]["message"] == "message"
    assert exp.metrics("train").read()["total"] == 3
    assert exp.tracks("pose").read()["entries"] == [{"timestamp": 1.0, "x": 2}]


@pytest.mark.parametrize(
    ("end", "exit_status", "status"),
    [("", 0, "COMPLETED"), ("1 / 0", 1, "FAILED"), ("dxp.run.cancel()", 0, "CANCELLED")],
)
def test_dxp_ends_with_the_process(end: str, exit_status: int, status: str, tmp_path: Path) -> None:
    """Completed, failed where the script died of an exception, or as the script ended it."""
    python(
        f"""
        from ml_dash.auto_start import dxp

        for step in range(1000):
            dxp.metrics("train").log(step=step)
        {end}
        """,
        tmp_path,
        status=exit_status,
        ML_DASH_USER="zoe",
    )

    assert found(tmp_path).view.run().status == status
    assert found(tmp_path).metrics("train").read()["total"] == 1000


def test_dxp_goes_on_where_the_process_before_stopped(tmp_path: Path) -> None:
    """There is a single one: its rows add up."""
    for _ in range(3):
        python(
            """
            from ml_dash.auto_start import dxp

            dxp.metrics("train").log(step=dxp.metrics("train").read()["total"])
            """,
            tmp_path,
            ML_DASH_USER="zoe",
        )

    rows = found(tmp_path).metrics("train").read()["data"]
    assert [(row["index"], row["data"]["step"]) for row in rows] == [(0, 0), (1, 1), (2, 2)]


def test_the_configuration_of_dxp_is_fixed(tmp_path: Path) -> None:
    """The environment's prefix is for experiments that are given none."""
    printed = python(
        """
        from ml_dash.auto_start import dxp

        print(dxp.owner, dxp.project, dxp.folder == "", dxp.name, dxp.tags, dxp.bindrs, dxp.readme, dxp.id)
        """,
        tmp_path,
        ML_DASH_USER="zoe",
        ML_DASH_PREFIX="somebody/else/s",
    )

    assert printed == "zoe scratch True dxp [] [] None None\n"


def test_a_closed_dxp_refuses_until_it_is_started_again(tmp_path: Path) -> None:
    """As every experiment does."""
    python(
        """
        from ml_dash import NotStartedError
        from ml_dash.auto_start import dxp

        dxp.run.complete()
        try:
            dxp.log("lost?")
        except NotStartedError as error:
            assert "not started" in str(error)
        else:
            raise SystemExit("it was accepted")
        assert dxp.run.start() is dxp
        dxp.log("kept")
        """,
        tmp_path,
        ML_DASH_USER="zoe",
    )

    assert [row["message"] for row in found(tmp_path).logs.read()["data"]] == ["kept"]
