"""Frameworks that are not there, or not of the version that was tested, and errors in what they call."""

from __future__ import annotations

import copy
import importlib
import pickle
import sys
import types
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from ml_dash import (
    Experiment,
    InvalidArgumentError,
    InvalidPrefixError,
    MissingExtraError,
    MLDashError,
    ResumeError,
)
from ml_dash.integrations import frameworks
from ml_dash.integrations.frameworks import FRAMEWORKS, base_of, check_version, hook, load_class, real_class
from ml_dash.integrations.tracked import Tracked


@pytest.fixture(autouse=True)
def nothing_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frameworks, "_SAID", set())


@pytest.fixture
def invented(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A framework, as there will be others."""
    module = types.ModuleType("invented")
    monkeypatch.setitem(sys.modules, "invented", module)
    monkeypatch.setitem(FRAMEWORKS, "invented", frameworks.Framework(("invented",), "2.1", "2.6"))
    module.__dict__.update(
        Callback=type("Callback", (), {"event": lambda self: "theirs", "other": lambda self: "theirs"})
    )
    return module


class Adapter(base_of("invented", "absent:Callback", "invented:Callback")):  # type: ignore[misc]
    """As those of frameworks."""

    def __init__(self, name: str = "") -> None:
        super().__init__()
        self.name = name

    def event(self) -> str:
        return "ours"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, invented: types.ModuleType) -> Any:
    def install(version: str) -> None:
        own = metadata.version
        monkeypatch.setattr(metadata, "version", lambda name: version if name == "invented" else own(name))

    monkeypatch.delattr(Adapter, "_dash_real", raising=False)
    return install


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("accelerate", "DashTracker"),
        ("clu", "DashWriter"),
        ("hydra", "DashCallback"),
        ("keras", "DashCallback"),
        ("lightgbm", "DashCallback"),
        ("lightning", "DashLogger"),
        ("optuna", "DashCallback"),
        ("ray", "DashCallback"),
        ("stable_baselines3", "DashWriter"),
        ("transformers", "DashCallback"),
        ("xgboost", "DashCallback"),
    ],
)
def test_a_framework_that_is_not_there_is_told_with_the_line_that_installs_it(
    module: str, name: str, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(distribution: str) -> str:
        raise metadata.PackageNotFoundError(distribution)

    monkeypatch.setattr(metadata, "version", missing)
    for package in (module, "pytorch_lightning", "lightning_fabric"):
        monkeypatch.setitem(sys.modules, package, None)
    make = getattr(importlib.import_module(f"ml_dash.integrations.{module}"), name)
    with pytest.raises(
        MissingExtraError, match=rf"{name} needs the package '.+', which is not installed: pip install .+"
    ):
        make("a/b/c", dash_root=root)


def test_an_adapter_is_an_instance_of_the_frameworks_class(
    installed: Any, invented: types.ModuleType
) -> None:
    installed("2.6.1")
    adapter = Adapter("x")
    assert isinstance(adapter, Adapter)
    assert isinstance(adapter, invented.Callback)
    assert (adapter.event(), adapter.other()) == ("ours", "theirs")
    assert issubclass(real_class(Adapter), invented.Callback)
    assert type(Adapter()) is type(adapter)


def test_an_adapter_can_be_derived_from_copied_and_pickled(
    installed: Any, invented: types.ModuleType
) -> None:
    installed("2.6.1")

    class Derived(Adapter):
        def event(self) -> str:
            return f"theirs and {super().event()}"

    derived = Derived("x")
    assert isinstance(derived, invented.Callback)
    assert derived.event() == "theirs and ours"
    for made in (copy.deepcopy(derived), pickle.loads(pickle.dumps(Adapter("x")))):
        assert made.name == "x"
        assert isinstance(made, invented.Callback)


@pytest.mark.parametrize(("version", "how"), [("2.0.9", "older"), ("1.9", "older"), ("3.0.0rc1", "newer")])
def test_a_version_that_was_not_tested_is_told_once_and_used(installed: Any, version: str, how: str) -> None:
    installed(version)
    with pytest.warns(
        UserWarning, match=f"invented {version} is {how} than .* tested with .2.1 to 2.6."
    ) as told:
        check_version("invented")
    check_version("invented")
    assert Adapter().event() == "ours"
    assert len(told) == 1


@pytest.mark.parametrize("version", ["2.1", "2.6.3", "2.9"])
def test_a_version_near_those_tested_is_no_news(installed: Any, version: str) -> None:
    installed(version)
    assert Adapter().event() == "ours"


def test_a_version_without_the_class_is_told(installed: Any) -> None:
    installed("3.0")
    with pytest.raises(
        MLDashError, match=r"finds none of invented:Other in invented 3\.0, and was tested with 2\.6"
    ):
        load_class("invented", "Adapter", ("invented:Other",))


def test_an_error_in_a_hook_is_told_once_and_ends_no_training(caplog: pytest.LogCaptureFixture) -> None:
    @hook
    def on_event(value: int) -> float:
        return 1 / value

    assert [on_event(0), on_event(0), on_event(2)] == [None, None, 0.5]
    (record,) = caplog.records
    assert (
        "on_event of test_frameworks could not be logged, and the training goes on: ZeroDivisionError"
        in record.message
    )


def test_a_start_that_is_refused_is_refused_in_a_hook_too(root: str) -> None:
    Experiment("a/b/c", dash_root=root, echo=False).run.start().run.complete()
    tracked = Tracked("a/b/c", {"dash_root": root, "resume": "never"})
    with pytest.raises(ResumeError):
        hook(tracked.start)()


def test_what_is_wrong_with_an_experiment_is_told_where_it_stands(installed: Any, root: str) -> None:
    with pytest.raises(InvalidPrefixError):
        Tracked("a/../b", {"dash_root": root})
    with pytest.raises(InvalidArgumentError, match="tags cannot be given with an experiment that is made"):
        Tracked(Experiment("a/b/c", dash_root=root), {"tags": ["x"]})


def test_a_number_is_taken_when_the_training_starts(tmp_path: Path) -> None:
    """Ranks that do not log take none."""
    tracked = Tracked("a/b/run-{n}", {"dash_root": tmp_path, "echo": False})
    assert list(tmp_path.iterdir()) == []
    assert tracked.start().name == "run-1"
    tracked.renew()
    assert tracked.start().name == "run-2"
    tracked.complete()
