"""Histograms of gradients and parameters, of what looks like a module of torch; test_doors.py has torch itself."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_dash import Experiment, InvalidArgumentError
from ml_dash.compat.watching import TENSORS, Watch


class Tensor:
    """As much of a tensor as is asked for."""

    is_sparse = False
    requires_grad = True

    def __init__(self, values: Any) -> None:
        self.values_there = np.asarray(values)
        self.hooks: list[Callable[[Any], None]] = []

    def register_hook(self, hook: Callable[[Any], None]) -> Handle:
        self.hooks.append(hook)
        return Handle(self.hooks, hook)

    def numel(self) -> int:
        return self.values_there.size

    def is_complex(self) -> bool:
        return np.iscomplexobj(self.values_there)

    def abs(self) -> Tensor:
        return Tensor(np.abs(self.values_there))

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Any:
        return self.values_there

    def reshape(self, *shape: int) -> Tensor:
        if self.is_sparse:
            raise RuntimeError("reshape is not implemented for sparse tensors")
        return Tensor(self.values_there.reshape(*shape))

    def __getitem__(self, place: slice) -> Tensor:
        return Tensor(self.values_there[place])

    def clone(self) -> Tensor:
        return Tensor(self.values_there.copy())


class Sparse(Tensor):
    """A gradient of which only what is not zero is there."""

    is_sparse = True

    def coalesce(self) -> Sparse:
        return self

    def values(self) -> Tensor:
        return Tensor(self.values_there)


class Handle:
    def __init__(self, hooks: list[Any], hook: Any) -> None:
        self.remove = lambda: hooks.remove(hook)


class Module:
    def __init__(self, **parameters: Tensor) -> None:
        self.parameters = parameters
        self.training = True
        self.pre_hooks: list[Any] = []

    def named_parameters(self) -> Any:
        return self.parameters.items()

    def register_forward_pre_hook(self, hook: Any) -> Handle:
        self.pre_hooks.append(hook)
        return Handle(self.pre_hooks, hook)

    def learn(self, *gradients: Any) -> None:
        """One pass forward, and one backward."""
        for hook in self.pre_hooks:
            hook(self, ())
        for parameter, gradient in zip(self.parameters.values(), gradients, strict=False):
            for hook in parameter.hooks:
                hook(gradient if isinstance(gradient, Tensor) else Tensor(gradient))


def looked_at(exp: Experiment, kind: str) -> list[dict[str, Any]]:
    """Return steps and counts, by parameter, of each row."""
    return [
        {
            name: value if name == "step" else sum(json.loads(exp.files(value["file"]).read_text())["counts"])
            for name, value in row["data"].items()
            if name != "_ts"
        }
        for row in exp.metrics(kind).read()["data"]
    ]


def test_of_some_passes_each_tensor_has_a_histogram(tmp_path: Path) -> None:
    model = Module(a=Tensor(np.zeros((2, 3))), b=Tensor(np.zeros(4)))
    with Experiment("a/b/c", dash_root=tmp_path).run as exp:
        watch = Watch(exp, model, "all", 2)
        for step in range(4):
            model.learn(np.full((2, 3), float(step)), Sparse([1.0, 2.0]))
        model.training = False
        model.learn(np.zeros((2, 3)), np.zeros(4))
        watch.close()
        model.learn(np.zeros((2, 3)), np.zeros(4))
    assert looked_at(exp, "gradients") == [{"step": 0, "a": 6, "b": 2}, {"step": 2, "a": 6, "b": 2}]
    assert looked_at(exp, "parameters") == [{"step": 0, "a": 6, "b": 4}, {"step": 2, "a": 6, "b": 4}]
    assert not model.pre_hooks
    assert not model.parameters["a"].hooks


def test_what_a_look_takes_is_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By tensors, the largest of them, and by values; none is dropped for want of room."""
    sizes = {f"layer{number}": 10_000 if number % 2 else 1 for number in range(2 * TENSORS)}
    model = Module(**{name: Tensor(np.arange(size, dtype=np.float32)) for name, size in sizes.items()})
    with Experiment("a/b/c", dash_root=tmp_path).run as exp:
        watch = Watch(exp, model, "all", 1)
        model.learn(*[np.arange(size, dtype=np.complex64) for size in sizes.values()])
        watch.close()
    for kind in ("gradients", "parameters"):
        (row,) = looked_at(exp, kind)
        assert list(row)[1:3] == ["layer1", "layer3"]
        assert len(row) == TENSORS + 1
        assert set(row.values()) - {0} == {3334}  # every third
    assert f"the {TENSORS} largest of {2 * TENSORS} parameters" in caplog.text


def test_a_tensor_that_cannot_be_looked_at_costs_its_histogram(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    model = Module(a=Tensor(np.zeros(2)), b=Tensor(np.zeros(2)))
    with Experiment("a/b/c", dash_root=tmp_path).run as exp:
        watch = Watch(exp, model, "gradients", 1)
        model.learn()
        for parameter, odd in zip(model.parameters.values(), (object(), Tensor([1.0])), strict=True):
            for hook in parameter.hooks:
                hook(odd)
        watch.close()
    assert looked_at(exp, "gradients") == [{"step": 0, "b": 1}]
    assert "could not be logged, and the training goes on" in caplog.text


@pytest.mark.parametrize(
    ("kind", "model", "told"),
    [("weights", Module(), "is not one of"), ("all", object(), "takes a module of torch, not a object")],
)
def test_bad_arguments(tmp_path: Path, kind: str, model: Any, told: str) -> None:
    with pytest.raises(InvalidArgumentError, match=told):
        Watch(Experiment("a/b/c", dash_root=tmp_path), model, kind, 1)
