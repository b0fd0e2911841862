"""Runs again under the same prefix: attempts, what is said of them, and who takes part in which."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ml_dash import (
    Experiment,
    InvalidArgumentError,
    InvalidPrefixError,
    ResumeError,
    ml_dash_experiment,
)
from ml_dash.sdk.starting.resuming import Earlier
from ml_dash.series import Kind, Series
from tests.support.view_journals import block_of, write

PREFIX = "alice/vision/resnet"


def experiment(root: Path, **more: object) -> Experiment:
    return Experiment(PREFIX, dash_root=root, **more)  # type: ignore[arg-type]


def attempt(root: Path, rows: int = 2) -> None:
    with experiment(root).run as exp:
        for step in range(rows):
            exp.metrics("train").log(step=step)
        exp.log("a message")


def test_each_start_that_opens_a_run_is_an_attempt_and_says_what_it_goes_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ML_DASH_QUIET")
    attempt(tmp_path, 1)
    assert "goes on" not in capsys.readouterr().err
    attempt(tmp_path)
    assert f"ml-dash: goes on with {PREFIX}: 1 earlier attempt, 1 row; " in capsys.readouterr().err
    attempt(tmp_path)
    assert f"ml-dash: goes on with {PREFIX}: 2 earlier attempts, 3 rows; " in capsys.readouterr().err
    exp = experiment(tmp_path)
    exp.run.start(resume_from=2)
    exp.run.complete()
    assert f"goes on with {PREFIX} from step 2: 3 earlier attempts, 5 rows\n" in capsys.readouterr().err
    info = experiment(tmp_path).view.run()
    assert (info.attempts, info.status) == (4, "COMPLETED")


def test_nothing_is_said_with_echo_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt(tmp_path)
    monkeypatch.delenv("ML_DASH_QUIET")
    with experiment(tmp_path, echo=False).run:
        pass
    assert capsys.readouterr().err == ""


def test_a_block_inside_of_a_run_and_another_object_are_part_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with experiment(tmp_path).run as exp:
        with exp.run, experiment(tmp_path).run as other:
            other.metrics("train").log(step=1)
        assert exp.run.status == "RUNNING"
        exp.metrics("train").log(step=2)
    assert exp.view.run().attempts == 1
    assert "goes on" not in capsys.readouterr().err


@pytest.mark.parametrize("step", [-1, -0.5, float("nan"), float("inf"), 2**63, True, "3", [3]])
def test_what_is_no_step_is_refused_before_anything_is_written(tmp_path: Path, step: Any) -> None:
    """Less than 0, which would take the place of everything, as the last index of a list does of one row."""
    exp = experiment(tmp_path)
    with pytest.raises(
        InvalidArgumentError, match="is not a step: give the number of the first step"
    ) as caught:
        exp.run.start(resume_from=step)
    assert f"resume_from={step!r}" in str(caught.value)
    assert not os.path.exists(exp.directory)


def _take_part(root: Path) -> None:
    with experiment(root).run as exp:
        exp.metrics("train").log(step=1)


@pytest.mark.sample(3)
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_processes_that_log_at_the_same_time_are_one_attempt(tmp_path: Path, method: str) -> None:
    with experiment(tmp_path).run as exp:
        context: Any = multiprocessing.get_context(method)
        process = context.Process(target=_take_part, args=(tmp_path,))
        process.start()
        process.join()
        assert process.exitcode == 0
        assert (exp.view.run().attempts, exp.view.run().status) == (1, "RUNNING")
    assert exp.view.run().attempts == 1


def test_two_that_start_at_once_without_seeing_another_become_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that looks last takes over the name of the first."""
    with experiment(tmp_path).run as exp:
        names = []
        monkeypatch.setattr("ml_dash.sdk.run.open_runs", lambda _directory: [])
        monkeypatch.setattr(
            "ml_dash.sdk.starting.resuming.os.getpid", lambda: 1
        )  # as another process sees it
        monkeypatch.setattr("ml_dash.sdk.run.earlier", lambda _session: Earlier())
        other = experiment(tmp_path, rank=1)  # by a writer of its own, as that of another process is
        with other.run:
            names = [row["attempt"] for _, row in _starts(exp)]
        assert len(set(names)) == 2
        assert names[0] == names[-1]
        monkeypatch.undo()
    assert exp.view.run().attempts == 1


def _starts(exp: Experiment) -> list[tuple[int, dict[str, str]]]:
    from ml_dash.query.row_source import rows_by_writer

    with exp._session.local_view.reading() as index:
        found = rows_by_writer(index, Series(Kind.RUN, None))
    return [row for rows in found.values() for row in rows if row[1]["event"] == "start"]


def test_an_earlier_attempt_that_was_killed_does_not_keep_it_running(tmp_path: Path) -> None:
    """Though nobody can tell yet that it is dead: it was on another machine."""
    started = {
        "event": "start",
        "status": "RUNNING",
        "handle": "h",
        "host": "other",
        "pid": 1,
        "space": "other",
    }
    write(
        tmp_path / PREFIX / "journal",
        [[block_of(Series(Kind.RUN, None), [(time.time_ns(), started)])]],
        f"{time.time_ns():016x}-1-00000000",
    )
    exp = experiment(tmp_path)
    assert (exp.view.run().status, exp.view.run().stale) == ("RUNNING", False)
    attempt(tmp_path)
    assert (exp.view.run().attempts, exp.view.run().status) == (2, "COMPLETED")


@pytest.mark.parametrize("value", ["Allow", "always", None, True, 1, ["must"]])
def test_a_way_to_resume_that_is_not_known_is_named(tmp_path: Path, value: object) -> None:
    with pytest.raises(InvalidArgumentError, match=re.escape(f"resume={value!r}")):
        experiment(tmp_path, resume=value)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_rows_that_a_killed_process_has_left_are_among_those_that_a_run_goes_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in shared memory when the next run starts, and in the journal a moment later."""
    monkeypatch.setenv("ML_DASH_LINGER", "60")  # seconds; no row goes to the journal by itself
    child = os.fork()
    if not child:
        try:
            exp = experiment(tmp_path, echo=False)
            exp.run.start()
            for step in range(7):
                exp.metrics("train").log(step=step)
        finally:
            os._exit(9)  # as a kill would end it, and never behind this line
    os.waitpid(child, 0)
    monkeypatch.delenv("ML_DASH_QUIET")
    attempt(tmp_path)
    assert "1 earlier attempt, 7 rows; " in capsys.readouterr().err


def test_must_wants_an_experiment_and_never_a_new_one(tmp_path: Path) -> None:
    """And nothing is written where there is not what they want."""
    with pytest.raises(ResumeError, match="to go on with"), experiment(tmp_path, resume="must").run:
        pass
    assert list(tmp_path.iterdir()) == []
    with experiment(tmp_path, resume="never").run as exp:
        exp.metrics("train").log(step=1)
    exp.run.start()  # the same one is reopened
    exp.run.complete()
    before = {path: path.stat().st_size for path in tmp_path.rglob("*")}
    with pytest.raises(ResumeError, match=r"\(2 earlier attempts, 1 row\)"):
        experiment(tmp_path, resume="never").run.start()
    assert {path: path.stat().st_size for path in tmp_path.rglob("*")} == before
    with experiment(tmp_path, resume="must").run:
        pass


def test_of_two_that_want_a_new_one_at_once_one_gets_it(tmp_path: Path) -> None:
    """Though neither has written anything when the other looks."""
    (tmp_path / PREFIX / "journal").mkdir(parents=True)
    with pytest.raises(ResumeError, match="it is taken"):
        experiment(tmp_path, resume="never").run.start()


def test_a_process_of_a_run_takes_part_whatever_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of an experiment that was started, and a rank beside the first."""
    unopened = pickle.loads(pickle.dumps(experiment(tmp_path, resume="must")))
    with pytest.raises(ResumeError):
        unopened.run.start()
    with experiment(tmp_path, resume="never").run as exp:
        copy = pickle.loads(pickle.dumps(exp))
        with copy.run:
            copy.metrics("train").log(step=1)
        # as another process sees it
        monkeypatch.setattr("ml_dash.sdk.run.open_runs", lambda _directory: [])
        monkeypatch.setattr("ml_dash.sdk.starting.resuming.os.getpid", lambda: 1)
        with pytest.raises(ResumeError):
            experiment(tmp_path, resume="never").run.start()
        monkeypatch.setenv("RANK", "1")
        with experiment(tmp_path, resume="never").run:
            pass
        monkeypatch.undo()
    assert exp.view.run().attempts == 1


def test_a_prefix_is_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_USER", "ann")
    monkeypatch.setattr("os.uname", lambda: os.uname_result(("Linux", "node/7", "6.1", "#1", "x86_64")))
    exp = Experiment("{user}/p/{host}-{time}", dash_root=tmp_path)
    assert re.fullmatch(r"ann/p/node-7-\d{8}-\d{6}", exp.prefix)
    monkeypatch.setenv("ML_DASH_PREFIX", "a/b/run-{n}")
    assert [Experiment(dash_root=tmp_path).name for _ in range(2)] == ["run-1", "run-2"]


def test_each_gets_the_next_number_that_is_free(tmp_path: Path) -> None:
    def named(prefix: str) -> str:
        return Experiment(prefix, dash_root=tmp_path).prefix

    assert [named("a/b/r-{n}") for _ in range(2)] == ["a/b/r-1", "a/b/r-2"]
    (tmp_path / "a/b/r-41x").mkdir()
    (tmp_path / "a/b/r-9").mkdir()
    assert [named("a/b/r-{n}"), named("a/b/r-{n}x"), named("a/b/{n}/eval")] == [
        "a/b/r-10",
        "a/b/r-42x",
        "a/b/1/eval",
    ]
    assert named("solo-{n}").endswith("/scratch/solo-1")
    with Experiment("a/b/r-{n}", dash_root=tmp_path, resume="never").run as exp:
        assert pickle.loads(pickle.dumps(exp)).prefix == exp.prefix == "a/b/r-11"


def test_two_processes_never_get_the_same_number(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [pool.submit(Experiment, "a/b/{n}", dash_root=tmp_path) for _ in range(24)]
        assert sorted(int(each.result().name) for each in made) == list(range(1, 25))


@pytest.mark.parametrize("prefix", ["a/b/{m}", "a/b/{}", "a/b/{N}", "{n}/../b"])
def test_a_field_that_is_not_known_is_named_and_takes_nothing(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(InvalidPrefixError, match=re.escape("{" if "{n}" not in prefix else "..")):
        Experiment(prefix, dash_root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_decorated_function_takes_a_number_a_call(tmp_path: Path) -> None:
    @ml_dash_experiment("a/b/call-{n}", dash_root=tmp_path, echo=False, resume="never")
    def train(experiment: Experiment) -> str:
        return experiment.name

    assert [train(), train()] == ["call-1", "call-2"]
