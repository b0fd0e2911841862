"""Objects that say what to write: they are as cheap, and as quiet when they are looked through, as any other."""

from __future__ import annotations

import copy
import inspect
import pickle
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment, UnknownNameError
from ml_dash.sdk.buffer import MetricBuffer, SummaryCache
from ml_dash.sdk.guidance.guided import Guided, Signpost, unknown_name
from ml_dash.sdk.guidance.names import HINTS
from ml_dash.sdk.metrics import MetricBuilder
from ml_dash.sdk.tracks import TrackBuilder

SLICE = "exp.tracks('pose').slice()"
OBJECTS: dict[str, Callable[[Any], Any]] = {
    written: eval(f"lambda exp: {written.replace('track_slice', SLICE)}") for written in HINTS
}
PROBES = (
    "_repr_latex_",
    "_ipython_display_",
    "_ipython_canary_method_should_not_exist_",
    "__array__",
    "__deepcopy__x",
    "__wrapped__",
    "_nothing",
)


@pytest.mark.parametrize("written", OBJECTS)
def test_an_object_may_be_looked_through(written: str, exp: Experiment) -> None:
    """By `hasattr`, by notebooks, by libraries that ask for protocols: AttributeError, and nothing else."""
    thing = OBJECTS[written](exp)
    for name in (*PROBES, "config", "no_such_name"):
        assert not hasattr(thing, name)
        assert getattr(thing, name, 3) == 3
    inspect.getmembers(thing)
    inspect.getmembers(type(thing))
    with pytest.raises(TypeError):
        iter(thing).__next__()


@pytest.mark.parametrize("written", OBJECTS)
def test_every_name_that_is_there_is_listed_and_found(written: str, exp: Experiment) -> None:
    """No hint stands in the way of a name that is there, and `dir` has no name that is not."""
    thing = OBJECTS[written](exp)
    there = [name for name in dir(thing) if not name.startswith("_")]
    assert all(hasattr(thing, name) for name in there)
    assert not set(there) & set(HINTS[written].names)


@pytest.mark.parametrize("written", OBJECTS)
def test_a_copy_and_a_pickle_say_it_too(written: str, exp: Experiment) -> None:
    thing = OBJECTS[written](exp)
    for twin in (copy.copy(thing), copy.deepcopy(thing), pickle.loads(pickle.dumps(thing))):
        with pytest.raises(AttributeError, match="no_such_name"):
            _ = twin.no_such_name


@pytest.mark.parametrize("written", HINTS)
def test_every_hint_names_something_that_is_there(written: str, exp: Experiment) -> None:
    """A hint that leads nowhere is worse than none: each expression in it is looked up as far as it can be."""
    names = {"exp": exp, "Experiment": Experiment, "time": time}
    hints = HINTS[written]
    for hint in {*hints.names.values(), hints.other or "", hints.item or ""}:
        text = hint.format(name="info", key="'x'")
        for expression in _expressions(text):
            eval(expression, names)


def _expressions(text: str) -> list[str]:
    """What begins with ``exp.`` in a text, up to its first call; those that give a builder are made."""
    import re

    pattern = r"exp(?:\.(?:metrics|tracks|files)\('\w*'\))?(?:\.[a-z_]+)+"
    return re.findall(pattern, text)


def test_an_error_within_a_property_is_not_taken_for_a_name_that_is_not_there(
    exp: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An AttributeError of something else would be hidden by the hint."""

    def broken(_: object) -> None:
        raise AttributeError("of something else")

    monkeypatch.setattr(Experiment, "view", property(broken))
    with pytest.raises(AttributeError, match="of something else"):
        _ = exp.view


HOT = (Experiment, MetricBuilder, MetricBuffer, SummaryCache, TrackBuilder)


@pytest.mark.parametrize("kind", HOT, ids=lambda kind: kind.__name__)
def test_the_classes_on_the_way_to_each_log_have_no_hook_that_would_slow_it_down(kind: type) -> None:
    """Before Python 3.12 nothing of a class with a `__getattr__` is specialised; from then on it is free."""
    assert hasattr(kind, "__getattr__") is (sys.version_info >= (3, 12))


@pytest.mark.parametrize("hint", ["finish", "append"])
def test_signposts_are_what_a_hook_would_say(hint: str, exp: Experiment) -> None:
    """Where there is no hook."""
    for written in ("exp", "exp.metrics('train')"):
        names = HINTS[written].names
        if hint not in names:
            continue
        post = Signpost(written, hint, names[hint])
        with pytest.raises(UnknownNameError) as signpost:
            post.__get__(exp)
        subject = "Experiment" if written == "exp" else written
        assert str(signpost.value) == str(unknown_name(subject, hint, [], HINTS[written]))


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        (lambda exp: exp.metrcs, "metrics"),
        (lambda exp: exp.parms, "params"),
        (lambda exp: exp.metrics("train").flsh, "flush"),
        (lambda exp: exp.tracks("pose").apend, "append"),
    ],
    ids=["metrics", "params", "flush", "append"],
)
def test_a_slip_of_the_pen_is_told_when_it_is_printed(
    slip: Callable[[Any], object], meant: str, exp: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    """By us, or where there is no hook by Python; once."""
    with pytest.raises(AttributeError) as caught:
        slip(exp)
    sys.__excepthook__(type(caught.value), caught.value, None)
    printed = capsys.readouterr().err
    assert meant in printed
    assert printed.lower().count("did you mean") == 1


def test_a_class_that_a_script_derives_has_attributes_of_its_own(tmp_path: Path) -> None:
    class Mine(Experiment):
        def __init__(self, prefix: str) -> None:
            super().__init__(prefix, dash_root=tmp_path)
            self.seed = 3

    mine = Mine("a/b/c")
    assert mine.seed == 3
    with pytest.raises(AttributeError, match="The prefix says it"):
        mine.name = "x"  # type: ignore[misc]
    assert isinstance(mine, Guided)


def test_a_value_is_shown_only_where_it_is_short_and_plain(exp: Any) -> None:
    """A tensor would have to be waited for."""

    class Slow:
        def __repr__(self) -> str:
            raise AssertionError("it was read")

    with pytest.raises(UnknownNameError, match=r"exp.lr = … would set nothing"):
        exp.lr = Slow()
    with pytest.raises(UnknownNameError, match=r"exp.lr = … would set nothing"):
        exp.lr = "x" * 1000
