"""What a script holds of an experiment: runs of which nothing is left, and copies of every part."""

from __future__ import annotations

import copy
import gc
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment, NotStartedError
from tests.sdk.run_rows import statuses
from tests.support.scripts import python

PARTS: dict[str, Callable[[Experiment], Any]] = {
    "experiment": lambda exp: exp,
    "run": lambda exp: exp.run,
    "params": lambda exp: exp.params,
    "logs": lambda exp: exp.logs,
    "log": lambda exp: exp.log,
    "metrics": lambda exp: exp.metrics,
    "metrics(…)": lambda exp: exp.metrics("train"),
    "metrics(None)": lambda exp: exp.metrics(None),
    "metrics(…).log": lambda exp: exp.metrics("train").log,
    "metrics.buffer": lambda exp: exp.metrics.buffer,
    "metrics(…).buffer": lambda exp: exp.metrics("train").buffer,
    "metrics(…).summary_cache": lambda exp: exp.metrics("train").summary_cache,
    "tracks": lambda exp: exp.tracks,
    "tracks(…)": lambda exp: exp.tracks("pose"),
    "files": lambda exp: exp.files,
    "files(…)": lambda exp: exp.files("models", tags=["best"], metadata={"a": 1}),
    "files.save_json": lambda exp: exp.files.save_json,
}


@pytest.fixture
def no_collector() -> Iterator[None]:
    """References alone decide when an object is gone."""
    gc.disable()
    yield
    gc.enable()


def started(root: str) -> Experiment:
    """Start an experiment by hand, as a cell of a notebook does."""
    return Experiment("a/b/c", dash_root=root, echo=False).run.start()


def use(exp: Experiment) -> None:
    """Have something of everything that may hold an experiment."""
    exp.params.set(lr=0.1)
    exp.log("x")
    exp.metrics("train").log(step=0)
    exp.metrics("train").buffer.peek()
    exp.metrics.buffer.peek()
    exp.tracks("pose").append(x=1)
    exp.files("models").save_text("x", to="a.txt")
    exp.metrics("train").read()
    exp.flush()


# --- forsaken runs


def test_a_cell_of_a_notebook_that_is_executed_again_begins_a_new_attempt(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are not taken for those of the run before, of which the name is still bound when the new one starts.

    In a script both are one run, and so they are where a block goes on.
    """
    for is_notebook, attempts in ((False, 1), (True, 3)):
        monkeypatch.setattr("ml_dash.sdk.run.is_notebook", lambda answer=is_notebook: answer)
        for _ in range(2):
            exp = started(root)
            exp.metrics("train").log(step=1)
        with exp.run:
            Experiment("a/b/c", dash_root=root, echo=False).run.start()
        exp.run.complete()
        assert exp.view.run().attempts == attempts


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    ("end", "status"), [("complete", "COMPLETED"), ("fail", "FAILED"), ("cancel", "CANCELLED")]
)
def test_a_cell_that_is_run_again_leaves_no_run_that_nobody_can_end(end: str, status: str, root: str) -> None:
    """The name is bound anew, and with it goes the only way to end the run before: it ends with the next one."""
    for _ in range(3):
        exp = started(root)
        use(exp)
    getattr(exp.run, end)()

    assert exp.run.status == exp.view.run().status == status
    assert statuses(exp.directory) == ["RUNNING"] * 3 + [status] * 3
    assert json.loads(Path(exp.directory, "experiment.json").read_text())["status"] == status
    assert exp.status().durable == exp.status().logged == 15


def test_a_block_ends_what_was_forsaken_before_it_too(root: str) -> None:
    """Whatever ends the run of the experiment."""
    use(started(root))
    with Experiment("a/b/c", dash_root=root, echo=False).run as exp:
        use(exp)

    assert exp.view.run().status == "COMPLETED"


def test_a_forsaken_run_ends_where_only_a_circle_of_the_script_holds_it(root: str) -> None:
    """Trainers refer to their callbacks, and these to them."""

    class Trainer:
        def __init__(self) -> None:
            self.exp, self.me = started(root), self

    for _ in range(2):
        trainer = Trainer()
    trainer.exp.run.complete()

    assert trainer.exp.view.run().status == "COMPLETED"


@pytest.mark.slow
def test_a_forsaken_run_that_was_to_go_elsewhere_ends_with_the_next_one_too(tmp_path: Path) -> None:
    """A cell is edited before it is run again: then the journals of both lie in one directory."""
    printed = python(
        """
        from ml_dash import Experiment

        for url in ("http://127.0.0.1:9", None):
            exp = Experiment("a/b/c", dash_root="dash", dash_url=url, echo=False).run.start()
            exp.metrics("train").log(step=0)
        exp.run.complete()
        print(exp.view.run().status, exp.metrics("train").read()["total"])
        """,
        tmp_path,
        HOME=str(tmp_path),
        ML_DASH_START_TIMEOUT="0",
        ML_DASH_EXIT_TIMEOUT="0",
    )
    assert printed == "COMPLETED 2\n"


@pytest.mark.sample(40)
@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("name", PARTS)
def test_a_run_of_which_any_part_is_left_goes_on(name: str, root: str) -> None:
    """Whoever holds no more than a builder goes on logging."""
    kept = PARTS[name](started(root))
    other = started(root)
    other.run.complete()

    assert other.view.run().status == "RUNNING"
    del kept
    started(root).run.complete()
    assert other.view.run().status == "COMPLETED"


def test_what_a_forsaken_run_has_buffered_is_logged_at_its_end(root: str) -> None:
    """As of any run: what was accepted is not lost with the object."""
    started(root).metrics("train").buffer(loss=2.0)
    exp = started(root)
    with pytest.warns(UserWarning, match="buffered"):
        exp.run.complete()

    assert [row["data"]["loss.mean"] for row in exp.metrics("train").read()["data"]] == [2.0]


@pytest.mark.slow
def test_a_forsaken_run_is_ended_at_the_exit(tmp_path: Path) -> None:
    """With no other run of its experiment there is nothing to tell how it went until then."""
    python(
        """
        from ml_dash import Experiment

        Experiment("a/b/c", dash_root="dash", echo=False).run.start().metrics("train").log(step=0)
        1 / 0
        """,
        tmp_path,
        status=1,
    )

    exp = Experiment("a/b/c", dash_root=str(tmp_path / "dash"))
    assert exp.view.run().status == "FAILED"
    assert exp.metrics("train").read()["total"] == 1


# --- copies


COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda part: pickle.loads(pickle.dumps(part)),
}


@pytest.mark.parametrize("make", COPIES.values(), ids=COPIES.keys())
@pytest.mark.parametrize("name", PARTS)
def test_a_copy_of_a_part_is_that_part_of_a_copy_that_is_not_started(
    make: Callable[[Any], Any], name: str, root: str
) -> None:
    """A model that is copied, or sent to another process, may hold any of them."""
    with Experiment("a/b/c", dash_root=root, echo=False, tags=["a"]).run as exp:
        model = {"exp": exp, "part": PARTS[name](exp)}
        twin = make(model)

        assert twin["exp"] is not exp
        assert twin["exp"].prefix == exp.prefix
        assert twin["exp"].tags == ["a"]
        assert type(twin["part"]) is type(model["part"])
        with pytest.raises(NotStartedError):
            twin["exp"].metrics("train").log(step=0)
        # of one and the same copy
        with twin["exp"].run:
            assert PARTS[name](twin["exp"]) == twin["part"] or name == "files(…)"
            assert twin["exp"].run.is_open
        assert exp.run.is_open


@pytest.mark.parametrize("make", COPIES.values(), ids=COPIES.keys())
def test_a_copied_part_works_by_itself(make: Callable[[Any], Any], root: str) -> None:
    """Also where the script has let go of the experiment itself."""
    train = make(Experiment("a/b/c", dash_root=root, echo=False).metrics("train"))
    run = make(Experiment("a/b/c", dash_root=root, echo=False).run)
    best = make(Experiment("a/b/c", dash_root=root, echo=False).files("best", tags=["b"], description="why"))
    with pytest.raises(NotStartedError):
        train.log(step=0)
    with pytest.raises(NotStartedError):
        best.save_text("x", to="a.txt")
    with run as exp:
        exp.metrics("train").log(step=0)
        row = make({"exp": exp, "best": best})["best"].read_text  # bound methods, too
        assert callable(row)
        saved = exp.files("best").save_text("x", to="a.txt", tags=["b"])

    assert train.read()["total"] == 1
    assert [each["id"] for each in best.list()] == [saved["id"]]


def test_a_shallow_copy_of_a_part_is_of_the_same_experiment(root: str) -> None:
    """As a copied list has the same items."""
    with Experiment("a/b/c", dash_root=root, echo=False).run as exp:
        assert copy.copy(exp.metrics("train")) is exp.metrics("train")
        copy.copy(exp.metrics("train").buffer)(loss=1.0)
        exp.metrics.buffer.log_summary()

    assert exp.metrics("train").read()["total"] == 1
