"""Parameters: what may be set, how it is stored, and that a bad value leaves what is stored alone."""

from __future__ import annotations

import enum
import math
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment, InvalidParameterError


@dataclass
class Optimizer:
    name: str = "adam"
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass
class Config:
    lr: float = 0.1
    optimizer: Optimizer = field(default_factory=Optimizer)


class Args:
    """A plain config class, as users of this API write them."""

    lr = 0.1
    layers = (64, 64)
    _private = "not a parameter"

    class Model:
        depth = 5

    def method(self) -> None:
        """Not a parameter."""


class MoreArgs(Args):
    epochs = 3


class Colour(enum.Enum):
    RED = "red"
    MIXED = object()


class Size(enum.IntEnum):
    BIG = 7


def test_nested_dicts_are_flattened_with_dots(exp: Experiment) -> None:
    """However deep; an empty dict is a value."""
    exp.params.set(model={"encoder": {"layers": 5, "norm": {}}, "name": "m"})

    assert exp.params.get() == {"model.encoder.layers": 5, "model.encoder.norm": {}, "model.name": "m"}
    assert exp.params.get(flatten=False) == {"model": {"encoder": {"layers": 5, "norm": {}}, "name": "m"}}


def test_setting_merges_with_what_is_set_already(exp: Experiment) -> None:
    """A later value of the same name wins, others stay."""
    exp.params.set(lr=0.1, model={"a": 1, "b": 2})
    exp.params.set(lr=0.2, model={"b": 3})

    assert exp.params.get() == {"lr": 0.2, "model.a": 1, "model.b": 3}


def test_a_value_replaces_what_was_below_its_name(exp: Experiment) -> None:
    """`model={"a": 5}` replaces an older `model.a.b`."""
    exp.params.set(model={"a": {"b": 1, "c": 2}})
    exp.params.set(model={"a": 5})
    assert exp.params.get() == {"model.a": 5}

    exp.params.set(model={"a": {"b": 1}})
    assert exp.params.get() == {"model.a.b": 1}


def test_log_is_a_synonym_of_set(exp: Experiment) -> None:
    """`params.log(**kw)`."""
    assert exp.params.log(lr=0.1) is exp.params.set(batch_size=32)
    assert exp.params.get() == {"lr": 0.1, "batch_size": 32}


def test_names_of_our_own_arguments_are_names_of_parameters_like_others(exp: Experiment) -> None:
    """`self`, `values`, `flatten`… collide with nothing."""
    exp.params.set(self=1, values=2, flatten=3, params=4)

    assert exp.params.get() == {"self": 1, "values": 2, "flatten": 3, "params": 4}


@pytest.mark.parametrize("given", [Config, Config()])
def test_dataclasses_are_taken_as_classes_and_as_instances(given: Any, exp: Experiment) -> None:
    """Their fields are parameters, nested ones too."""
    exp.params.set(config=given)

    assert exp.params.get() == {
        "config.lr": 0.1,
        "config.optimizer.name": "adam",
        "config.optimizer.betas": [0.9, 0.999],
    }


@pytest.mark.parametrize("given", [MoreArgs, MoreArgs()])
def test_plain_config_classes_give_their_public_attributes_inherited_ones_too(
    given: Any, exp: Experiment
) -> None:
    """`params.set(Args=Args)`."""
    exp.params.set(Args=given)

    stored = exp.params.get()
    assert {"Args.lr": 0.1, "Args.layers": [64, 64], "Args.epochs": 3}.items() <= stored.items()
    assert not any("_private" in name or "method" in name for name in stored)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (Colour.RED, "red"),
        (Colour.MIXED, "MIXED"),
        (Size.BIG, 7),
        (Path("/data/train"), str(Path("/data/train"))),
        (None, None),
        (True, True),
        (-(2**63), -(2**63)),
        (2**64 - 1, 2**64 - 1),
        (1e-320, 1e-320),
        (math.inf, math.inf),
        ("Zoë 模型 \ud800", "Zoë 模型 \ud800"),
        ([1, [2.5, {"a": None}]], [1, [2.5, {"a": None}]]),
        ((1, 2), [1, 2]),
        ({3, 1, 2}, [1, 2, 3]),
        (types.SimpleNamespace(a=1), {"a": 1}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_may_be_a_parameter(given: Any, stored: Any, exp: Experiment) -> None:
    """Scalars keep their types; a mapping becomes dotted names."""
    exp.params.set(p=given)

    found = exp.params.get(flatten=False)["p"]
    assert found == stored
    assert type(found) is type(stored)


def test_not_a_number_is_a_parameter(exp: Experiment) -> None:
    """NaN survives."""
    exp.params.set(p=math.nan)

    assert math.isnan(exp.params.get()["p"])


def test_numpy_scalars_become_numbers_of_python(exp: Experiment) -> None:
    """And arrays lists."""
    np = pytest.importorskip("numpy")
    exp.params.set(f=np.float32(0.5), i=np.int64(3), b=np.bool_(True), z=np.array(2.5), a=np.arange(3))

    stored = exp.params.get()
    assert stored == {"f": 0.5, "i": 3, "b": True, "z": 2.5, "a": [0, 1, 2]}
    assert [type(stored[name]) for name in "fibz"] == [float, int, bool, float]


@pytest.mark.parametrize(
    "value",
    [object(), b"bytes", 1j, 2**64, {"deep": [1, {"er": object()}]}, iter([1]), {object(): 1}],
    ids=lambda value: type(value).__name__,
)
def test_anything_else_is_a_type_error_naming_the_key_and_nothing_stored_is_touched(
    value: Any, exp: Experiment
) -> None:
    """Also not the good values of the same call."""
    exp.params.set(lr=0.1, batch_size=32)

    with pytest.raises(InvalidParameterError, match="bad") as caught:
        exp.params.set(lr=0.2, bad=value, more=1)

    assert isinstance(caught.value, TypeError)
    assert exp.params.get() == {"lr": 0.1, "batch_size": 32}
    assert exp.status().logged == 1


def test_parameters_are_taken_at_the_call(exp: Experiment) -> None:
    """Changing a dict or a list afterwards, or what `get` returned, changes nothing."""
    model = {"layers": [1, 2]}
    exp.params.set(model=model)
    model["layers"].append(3)
    exp.params.get()["model.layers"].append(4)

    assert exp.params.get() == {"model.layers": [1, 2]}


def test_parameters_survive_the_process(root: str) -> None:
    """And those of a reopened run are merged with the older ones."""
    with Experiment("a/b/c", dash_root=root).run as exp:
        exp.params.set(lr=0.1, model={"a": {"b": 1}})
    with Experiment("a/b/c", dash_root=root).run as exp:
        exp.params.set(model={"a": 5})

    assert Experiment("a/b/c", dash_root=root).params.get() == {"lr": 0.1, "model.a": 5}


def test_a_thousand_parameters(exp: Experiment) -> None:
    """All there, in the order in which they were set."""
    values = {f"p{number}": number for number in range(1000)}
    exp.params.set(**values)

    assert list(exp.params.get().items()) == list(values.items())
