"""Readme, tags, bindrs and metadata of a run that goes on: updates, which are rows of its journal."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment, InvalidArgumentError, NotStartedError
from ml_dash.journal.blocks import block_rows
from ml_dash.journal.index import JournalIndex
from ml_dash.protocol import README_MAX
from ml_dash.series import Kind, Series
from ml_dash.storage.manifest import Manifest
from tests.support.fake_tensors import FakeTensor
from tests.support.scripts import python

ABOUT: dict[str, Any] = {"readme": "why", "tags": ["a"], "bindrs": ["b"], "metadata": {"k": {"d": [1]}}}
LATER: dict[str, Any] = {"readme": "later", "tags": ["x"], "bindrs": [], "metadata": {"k": 2}}


def said(exp: Experiment) -> dict[str, Any]:
    return {name: getattr(exp, name) for name in ABOUT}


def set_all(exp: Experiment, about: dict[str, Any]) -> None:
    for name, value in about.items():
        setattr(exp, name, value)


@pytest.mark.parametrize("given", [{}, ABOUT], ids=["nothing given", "all given"])
def test_an_update_is_what_the_experiment_says_from_then_on(given: dict[str, Any], root: str) -> None:
    """Here, to another object, to a later run, in the side file, and to who reads the journal alone."""
    with Experiment("a/b/c", dash_root=root, echo=False, **given) as exp:
        set_all(exp, LATER)
        assert said(exp) == LATER
    assert said(Experiment("a/b/c", dash_root=root)) == LATER
    side = Path(exp.directory, "experiment.json")
    assert {name: json.loads(side.read_text())[name] for name in LATER} == LATER
    with Experiment("a/b/c", dash_root=root, echo=False):
        pass
    side.unlink()
    assert said(Experiment("a/b/c", dash_root=root)) == LATER
    described = Manifest(exp.directory).describe()
    assert {name: described[name] for name in LATER} == LATER


def test_what_a_process_said_before_it_was_killed_is_what_the_experiment_says(root: str) -> None:
    """The journal has it, and the side file, which is replaced behind it, may not."""
    with Experiment("a/b/c", dash_root=root, echo=False, **ABOUT) as exp:
        exp.flush()
        side = Path(exp.directory, "experiment.json")
        before = side.read_bytes()
        set_all(exp, LATER)
    side.write_bytes(before)
    assert said(Experiment("a/b/c", dash_root=root)) == LATER
    described = Manifest(exp.directory).last_word()
    assert {name: described[name] for name in LATER} == LATER


def test_another_process_sees_an_update_while_the_run_goes_on(exp: Experiment, tmp_path: Path) -> None:
    exp.tags = ["new"]
    exp.flush()
    root = exp.directory.removesuffix(exp.prefix)
    printed = python(
        f"from ml_dash import Experiment; print(Experiment({exp.prefix!r}, dash_root={root!r}).tags)",
        tmp_path,
    )
    assert printed == "['new']\n"


def test_an_update_is_a_row_of_the_journal_and_counts_as_none_that_was_logged(exp: Experiment) -> None:
    """As starts and ends."""
    exp.metadata = {"k": 1}
    exp.tags = ["a"]
    exp.flush()
    index = JournalIndex(f"{exp.directory}/journal")
    index.refresh()
    runs = Series(Kind.RUN, None)
    rows = [
        row
        for catalogue in index.catalogues.values()
        for place in catalogue.blocks(runs, 0, catalogue.count(runs))
        for block in index.read_frame(catalogue, place.frame, [(runs, place)])
        for row in block_rows(block)
    ]
    updates = [row for row in rows if row["event"] == "update"]
    assert updates == [
        {"event": "update", "experiment": {"metadata": {"k": 1}}},
        {"event": "update", "experiment": {"tags": ["a"]}},
    ]
    assert exp.status().logged == 0


def test_the_last_word_counts_whoever_says_it(root: str) -> None:
    first = Experiment("a/b/c", dash_root=root, echo=False, tags=["first"])
    second = Experiment("a/b/c", dash_root=root, echo=False, tags=["second"])
    with first, second:
        first.tags = ["third"]
        assert (second.view.run().experiment or {})["tags"] == ["third"]
    assert Experiment("a/b/c", dash_root=root).tags == ["third"]


def test_operators_that_seem_to_change_the_copy_are_updates(exp: Experiment) -> None:
    exp.tags = ["a"]
    exp.tags += ["b"]
    exp.metadata |= {"k": 1}
    exp.metadata |= {"l": 2}
    assert (exp.tags, exp.metadata) == (["a", "b"], {"k": 1, "l": 2})


def test_what_was_given_may_be_changed_afterwards(exp: Experiment) -> None:
    tags, metadata = ["a"], {"k": 1}
    exp.tags, exp.metadata = tags, metadata
    tags.append("b")
    metadata["k"] = 2
    assert (exp.tags, exp.metadata) == (["a"], {"k": 1})


def test_an_update_that_is_refused_changes_nothing(exp: Experiment) -> None:
    exp.readme = "short"
    with pytest.raises(InvalidArgumentError, match="1,048,576"):
        exp.readme = "x" * (README_MAX + 1)
    with pytest.raises(InvalidArgumentError, match="4,194,304"):
        exp.metadata = {"x": "y" * (5 << 20)}
    assert (exp.readme, exp.metadata) == ("short", {})


def test_an_update_after_the_end_is_refused_and_nothing_of_it_is_kept(root: str) -> None:
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    with pytest.raises(NotStartedError, match=r"not started.*run.start"):
        exp.tags = ["before"]
    with exp:
        exp.tags = ["during"]
    with pytest.raises(NotStartedError, match="ended"):
        exp.tags = ["after"]
    assert exp.tags == ["during"]


def test_a_copy_and_a_pickle_say_what_was_said_last(exp: Experiment) -> None:
    """A worker process that starts it would undo it otherwise."""
    exp.tags = ["new"]
    for twin in (copy.copy(exp), pickle.loads(pickle.dumps(exp))):
        assert twin.tags == ["new"]


def test_values_on_a_device_are_taken_at_the_update(exp: Experiment) -> None:
    exp.metadata = {"loss": FakeTensor(0.25)}
    exp.flush()
    assert (exp.view.run().experiment or {})["metadata"] == {"loss": 0.25}


def test_a_block_of_the_experiment_is_one_of_its_run(root: str) -> None:
    """``with Experiment(…) as exp:`` is ``with Experiment(…).run as exp:``."""
    with Experiment("a/b/c", dash_root=root, echo=False) as exp:
        assert exp.run.status == "RUNNING"
        with exp as again, exp.run:
            assert again is exp
        exp.metrics("train").log(loss=0.5)
    assert exp.run.status == "COMPLETED"
    with pytest.raises(ZeroDivisionError), exp:
        raise ZeroDivisionError
    assert exp.view.run().status == "FAILED"


async def test_a_block_of_the_experiment_is_one_in_async_code_too(root: str) -> None:
    async with Experiment("a/b/c", dash_root=root, echo=False) as exp:
        exp.metrics("train").log(loss=0.5)
    assert exp.run.status == "COMPLETED"
