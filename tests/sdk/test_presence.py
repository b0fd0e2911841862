"""Experiments that are nowhere: they read as empty, with a warning, and are not opened."""

from __future__ import annotations

import copy
import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash import Experiment, ExperimentMissingError, NotStartedError


@pytest.fixture
def logged(root: str) -> str:
    """The root of an experiment that was logged."""
    with Experiment("alice/vision/resnet", dash_root=root, echo=False, tags=["keep"]) as exp:
        exp.metrics("train").log(loss=0.5)
        exp.files.save_text("x", to="a.txt")
    return root


def test_an_experiment_exists_from_its_start_on(root: str) -> None:
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    assert not exp.exists()
    assert not os.path.exists(root)
    with exp:
        assert exp.exists()
        assert Experiment("a/b/c", dash_root=root).exists()
    assert exp.exists()
    assert not Experiment("a/b", dash_root=root).exists()


def test_what_is_there_is_read_without_a_warning(logged: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exp = Experiment("alice/vision/resnet", dash_root=logged)
        assert exp.metrics("train").read()["total"] == 1
        assert exp.metrics("nothing").read()["total"] == 0


READS: dict[str, Callable[[Any], object]] = {
    "read": lambda metric: metric.read(),
    "stats": lambda metric: metric.stats(),
    "to_numpy": lambda metric: metric.to_numpy(),
    "to_pandas": lambda metric: metric.to_pandas(),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("trian", r"metric 'trian'.* exp\.metrics\('train'\) that is meant"),
        ("train/loss", r"metric 'train/loss'.* 'loss' is a field of exp\.metrics\('train'\)"),
        ("loss", r"metric 'loss'.* 'loss' is a field of exp\.metrics\('train'\)"),
        (None, r"unnamed metric.* only one is exp\.metrics\('train'\)"),
    ],
)
def test_a_metric_that_is_not_there_is_told_of_once(
    name: str | None, meant: str, read: Callable[[Any], object], logged: str
) -> None:
    exp = Experiment("alice/vision/resnet", dash_root=logged)
    with pytest.warns(UserWarning, match=meant):
        read(exp.metrics(name))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(exp.metrics(name))
        read(exp.metrics("train"))


def test_a_metric_of_a_run_that_is_open_may_have_no_rows_yet(root: str) -> None:
    with Experiment("a/b/c", dash_root=root, echo=False).run as exp, warnings.catch_warnings():
        warnings.simplefilter("error")
        exp.metrics("train1").log(loss=0.5)
        assert exp.metrics("train2").stats()["count"] == 0
    with pytest.warns(UserWarning, match="'train2'"):
        assert exp.metrics("train2").stats()["count"] == 0


def test_an_experiment_is_opened_for_reading(logged: str) -> None:
    exp = ml_dash.open("alice/vision/resnet", logged)
    assert exp.metrics("train").read()["total"] == 1
    assert exp.tags == ["keep"]
    assert exp.files.read_text("a.txt") == "x"
    before = sorted(path for path in Path(logged).rglob("*"))
    for write in (exp.run.start, lambda: exp.metrics("train").log(loss=1), exp.__enter__):
        with pytest.raises(
            NotStartedError, match=r"'alice/vision/resnet' was opened for reading.*Experiment\("
        ):
            write()
    with pytest.raises(NotStartedError, match="opened for reading"):
        exp.tags = ["new"]
    assert exp.view.run().status == "COMPLETED"
    assert sorted(path for path in Path(logged).rglob("*")) == before


def test_a_copy_of_what_was_opened_is_for_reading_too(logged: str) -> None:
    exp = ml_dash.open("alice/vision/resnet", Path(logged))
    for twin in (copy.copy(exp), pickle.loads(pickle.dumps(exp))):
        assert twin.metrics("train").read()["total"] == 1
        with pytest.raises(NotStartedError, match="opened for reading"):
            twin.run.start()


def test_an_experiment_is_opened_below_the_working_directory(
    logged: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.rename(logged, os.path.join(os.path.dirname(logged), ".dash"))
    monkeypatch.chdir(os.path.dirname(logged))
    assert ml_dash.open("alice/vision/resnet").exists()


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("alice/vision/resnt", "did you mean alice/vision/resnet?"),
        ("bob/nlp/resnet", "did you mean alice/vision/resnet?"),
        ("zzz/qqq/xxx", "lists all"),
    ],
)
def test_a_name_that_is_not_there_is_not_opened(name: str, near: str, logged: str) -> None:
    with pytest.raises(ExperimentMissingError) as caught:
        ml_dash.open(name, logged)
    assert isinstance(caught.value, LookupError)
    for part in (repr(name), repr(logged), near):
        assert part in str(caught.value)


def test_one_that_the_public_package_has_written_is_told_of(root: str) -> None:
    """And that it can be imported; nothing of it is touched."""
    directory = os.path.join(root, "alice/vision/resnet")
    os.makedirs(directory)
    Path(directory, "experiment.json").write_text('{"name": "resnet"}')
    told = f"{directory!r} was not written by this ML-Dash.*`ml-dash import ml-dash {directory}` brings it in"
    with pytest.raises(ExperimentMissingError, match=told):
        ml_dash.open("alice/vision/resnet", root)
    exp = Experiment("alice/vision/resnet", dash_root=root)
    with pytest.warns(UserWarning, match=rf"{told}.*read of it here is empty"):
        assert exp.params.get() == {}
    assert os.listdir(directory) == ["experiment.json"]


@pytest.mark.parametrize("where", ["nowhere", "empty"])
def test_a_root_with_nothing_in_it_has_nothing_to_open(where: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ExperimentMissingError, match="a/b/c"):
        ml_dash.open("a/b/c", tmp_path / where)


@pytest.mark.parametrize("where", [None, 3, b"x"])
def test_a_place_that_is_none_is_refused(where: Any) -> None:
    with pytest.raises(ml_dash.MLDashError):
        ml_dash.open("a/b/c", where)
