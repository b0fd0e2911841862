"""`dxp`: one a process, ready on import, ended when Python ends. So each test is a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_dash import Experiment
from tests.support.scripts import python


def found(directory: Path) -> Experiment:
    """What was left in a directory."""
    return Experiment("zoe/scratch/dxp", dash_root=directory / ".dash")


@pytest.mark.slow
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


@pytest.mark.sample(3)
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


@pytest.mark.slow
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


@pytest.mark.slow
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


def setting(name: str) -> str:
    """A script that finds no parameters, and sets two."""
    return f"""
        from ml_dash.auto_start import dxp

        assert dxp.params.get() == {{}}, dxp.params.get()
        dxp.params.set({name}=1, both="{name}")
        assert dxp.params.get() == {{"{name}": 1, "both": "{name}"}}
        """


def test_dxp_begins_without_the_parameters_of_the_script_before(tmp_path: Path) -> None:
    """So does one that sets none, for every reader and in the readable copy; its rows go on."""
    for name in ("a", "b"):
        python(setting(name), tmp_path, ML_DASH_USER="zoe")
        assert found(tmp_path).params.get() == {name: 1, "both": name}
    python("from ml_dash.auto_start import dxp; dxp.log('x')", tmp_path, ML_DASH_USER="zoe")
    assert found(tmp_path).params.get() == {}
    assert (tmp_path / ".dash/zoe/scratch/dxp/parameters.json").read_text() == "{}"


@pytest.mark.slow
def test_dxp_begins_without_the_parameters_of_a_script_that_was_killed(tmp_path: Path) -> None:
    python(
        """
        import os
        from ml_dash.auto_start import dxp

        dxp.params.set(a=1)
        dxp.flush()
        os._exit(0)
        """,
        tmp_path,
        ML_DASH_USER="zoe",
    )
    python(setting("b"), tmp_path, ML_DASH_USER="zoe")
    assert found(tmp_path).params.get() == {"b": 1, "both": "b"}


@pytest.mark.slow
def test_a_dxp_that_is_opened_again_has_its_parameters(tmp_path: Path) -> None:
    python(
        """
        from ml_dash.auto_start import dxp

        dxp.params.set(a=1)
        dxp.run.complete()
        dxp.run.start()
        assert dxp.params.get() == {"a": 1}
        """,
        tmp_path,
        ML_DASH_USER="zoe",
    )
    assert found(tmp_path).params.get() == {"a": 1}


@pytest.mark.slow
def test_workers_that_import_dxp_as_well_leave_its_parameters(tmp_path: Path) -> None:
    """A spawned process runs the script's imports again."""
    (tmp_path / "script.py").write_text(
        """
import multiprocessing
from ml_dash.auto_start import dxp

def work():
    assert dxp.params.get() == {"a": 1}, dxp.params.get()

if __name__ == "__main__":
    dxp.params.set(a=1)
    dxp.flush()
    worker = multiprocessing.get_context("spawn").Process(target=work)
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    assert dxp.params.get() == {"a": 1}
"""
    )
    python("import runpy; runpy.run_path('script.py', run_name='__main__')", tmp_path, ML_DASH_USER="zoe")


@pytest.mark.slow
def test_what_others_say_of_its_prefix_does_not_change_dxp(tmp_path: Path) -> None:
    other = Experiment(
        "zoe/scratch/dxp",
        dash_root=tmp_path / ".dash",
        readme="theirs",
        tags=["theirs"],
        bindrs=["theirs"],
        metadata={"theirs": 1},
    )
    with other.run:
        pass
    printed = python(
        """
        from ml_dash import ReadOnlyError
        from ml_dash.auto_start import dxp

        for change in (lambda: dxp.tags.append("x"), lambda: setattr(dxp, "tags", ["x"])):
            try:
                change()
            except ReadOnlyError:
                continue
            raise SystemExit("it was changed")
        print(dxp.tags, dxp.bindrs, dxp.metadata, dxp.readme)
        """,
        tmp_path,
        ML_DASH_USER="zoe",
    )
    assert printed == "[] [] {} None\n"


@pytest.mark.slow
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
