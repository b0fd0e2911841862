from __future__ import annotations

import argparse
import enum
import json
import logging
import math
import random
import re
import subprocess
import sys
import threading
from collections import OrderedDict, UserDict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import InitVar, dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Any, ClassVar, Generic, NamedTuple, NoReturn, TypeVar

import numpy as np
import pytest
from hypothesis import given, strategies as st

from ml_dash.errors import InvalidParameterError, MLDashError
from ml_dash.values.params import flatten_params, fold_params, unflatten_params

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    GREY = (127, 127, 127)
    NOTHING = None


class Size(enum.IntEnum):
    SMALL = 1


class Mode(str, enum.Enum):
    FAST = "fast"


@dataclass
class Optimizer:
    name: str = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    unset: float = field(init=False)


@dataclass(frozen=True)
class Config:
    required: int
    scale: InitVar[float] = 1.0
    steps: int = 10
    optimizer: Optimizer = field(default_factory=Optimizer)
    tags: list[str] = field(default_factory=list)
    not_a_field: ClassVar[int] = 5


@dataclass
class Slotted:
    __slots__ = ("lr",)
    lr: float


class Point(NamedTuple):
    x: int
    y: int


class Base:
    lr = 0.1
    seed: int = 1
    gone = 2
    _private = "hidden"
    annotated: int

    def method(self) -> None: ...

    @property
    def computed(self) -> float:
        raise AssertionError("a property is never called")

    @classmethod
    def build(cls) -> Base:
        return cls()

    @staticmethod
    def make() -> None: ...


class Derived(Base):
    seed = 2
    optimizer: ClassVar = {"name": "sgd"}
    activation = math.tanh

    def gone(self) -> None: ...  # type: ignore[override]


class WithSlots:
    __slots__ = ("_hidden", "lr", "unset")

    def __init__(self) -> None:
        self.lr = 0.5
        self._hidden = 1


class OneSlot(WithSlots):
    __slots__ = "steps"  # noqa: PLC0205 - a single str is allowed too

    def __init__(self) -> None:
        super().__init__()
        self.steps = 3


class Parametrized(Generic[T]):
    width = 8


class Singleton:
    depth = 3

    def __new__(cls) -> Singleton:  # noqa: PYI034 - typing.Self came with 3.11
        return super().__new__(cls)


def flat(**values: Any) -> dict[str, Any]:
    return flatten_params(values)


def only(value: Any) -> Any:
    """Return what `value` is stored as."""
    stored = flat(k=value)
    assert list(stored) == ["k"]
    return stored["k"]


def test_the_reference_s_example_is_stored_under_dotted_keys() -> None:
    stored = flat(learning_rate=0.001, model={"architecture": "resnet50", "layers": 50})
    assert stored == {"learning_rate": 0.001, "model.architecture": "resnet50", "model.layers": 50}


@pytest.mark.parametrize(
    "value", [None, True, False, 0, -(2**63), 2**64 - 1, 0.1, -0.0, math.inf, "", "é", "\ud800", [], {}]
)
def test_plain_values_are_stored_as_they_are(value: object) -> None:
    assert only(value) == value
    assert type(only(value)) is type(value)


def test_nan_is_kept() -> None:
    assert math.isnan(only(math.nan))


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (Color.RED, "red"),
        (Color.GREY, "GREY"),
        (Color.NOTHING, "NOTHING"),
        (Size.SMALL, 1),
        (Mode.FAST, "fast"),
        (PurePosixPath("/data/train.csv"), "/data/train.csv"),
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.longdouble(0.25), 0.25),
        (np.int64(7), 7),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.bool_(True), True),
        (np.str_("text"), "text"),
        (np.array(3), 3),
        (np.array(0.5, dtype=np.float16), 0.5),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([0.5], dtype=np.longdouble), [0.5]),
        (np.array(["a", None, Size.SMALL], dtype=object), ["a", None, 1]),
        ((1, (2, [3])), [1, [2, [3]]]),
        (deque([1, 2]), [1, 2]),
        (range(3), [0, 1, 2]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ({1, "a", None}, [None, 1, "a"]),
        ([Point(1, 2), {"a.b": {"c": Color.RED}}], [{"x": 1, "y": 2}, {"a.b": {"c": "red"}}]),
        ([{1: np.float64(0.5)}], [{"1": 0.5}]),
    ],
)
def test_what_is_not_plain_becomes_a_plain_value(value: object, stored: object) -> None:
    result = only(value)
    assert result == stored
    assert type(result) is type(stored)
    assert json.loads(json.dumps(result)) == result


def test_subclasses_of_builtins_are_stored_as_the_builtin() -> None:
    class Text(str):
        __slots__ = ()

        def __str__(self) -> str:
            raise AssertionError

    class Rate(float): ...

    assert type(only(Text("x"))) is str
    assert type(only(Rate(0.5))) is float
    assert type(flatten_params({Text("k"): 1}).popitem()[0]) is str


def test_plain_parameters_do_not_load_numpy() -> None:
    script = """
import sys
from ml_dash.values.params import flatten_params
assert flatten_params({"a": {"b": (1, {2})}}) == {"a.b": [1, [2]]}
assert "numpy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_path_of_this_system_is_stored_as_its_text(tmp_path: Path) -> None:
    assert only(tmp_path) == str(tmp_path)


def test_what_is_stored_shares_nothing_with_what_was_given() -> None:
    layers = [1, [2], {"a": []}]
    stored = only(layers)
    layers[1].append(3)  # type: ignore[attr-defined]
    layers[2]["a"].append(4)  # type: ignore[index]
    assert stored == [1, [2], {"a": []}]


@pytest.mark.parametrize("kind", [dict, OrderedDict, UserDict, MappingProxyType])
def test_every_mapping_is_flattened(kind: Callable[[dict[str, int]], object]) -> None:
    assert flat(a=kind({"b": 1})) == {"a.b": 1}


def test_a_dataclass_instance_gives_all_its_fields_that_are_set() -> None:
    config = Config(required=1, tags=["x"])
    assert flat(cfg=config) == {
        "cfg.required": 1,
        "cfg.steps": 10,
        "cfg.optimizer.name": "adam",
        "cfg.optimizer.betas": [0.9, 0.999],
        "cfg.tags": ["x"],
    }
    assert flat(cfg=Slotted(0.5)) == {"cfg.lr": 0.5}


def test_a_dataclass_itself_gives_its_defaults() -> None:
    assert flat(cfg=Config) == {
        "cfg.steps": 10,
        "cfg.optimizer.name": "adam",
        "cfg.optimizer.betas": [0.9, 0.999],
        "cfg.tags": [],
    }


def test_a_plain_class_gives_its_public_attributes_inherited_ones_too() -> None:
    assert flat(Args=Derived) == {"Args.lr": 0.1, "Args.seed": 2, "Args.optimizer.name": "sgd"}
    assert flat(Args=Base) == {"Args.lr": 0.1, "Args.seed": 1, "Args.gone": 2}


def test_an_instance_of_a_plain_class_gives_its_own_values_over_those_of_the_class() -> None:
    args = Derived()
    args.lr = 0.2
    args.extra = Color.RED  # type: ignore[attr-defined]
    args.seed = print  # type: ignore[assignment]
    assert flat(args=args) == {"args.lr": 0.2, "args.optimizer.name": "sgd", "args.extra": "red"}


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        (argparse.Namespace(lr=0.1, name="x"), {"lr": 0.1, "name": "x"}),
        (SimpleNamespace(lr=0.1), {"lr": 0.1}),
        (OneSlot(), {"lr": 0.5, "steps": 3}),
        (Parametrized, {"width": 8}),
        (Parametrized[int](), {"width": 8}),
        (Singleton(), {"depth": 3}),
        (Point(1, 2), {"x": 1, "y": 2}),
        (Size, {"SMALL": 1}),
        (Color, {"RED": "red", "GREY": "GREY", "NOTHING": "NOTHING"}),
    ],
)
def test_other_configuration_objects_give_their_fields(value: object, fields: dict[str, Any]) -> None:
    assert unflatten_params(flat(cfg=value)) == {"cfg": fields}


class Model:
    lr = 0.1

    def __call__(self) -> None: ...


class Empty: ...


class BrokenRepr:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "type_name", "remedy"),
    [
        (math, "module", "its name"),
        (sys.stdout, "TextIOWrapper|EncodedFile|CaptureIO", "dict of plain values"),
        (Model(), "Model", "dict of plain values"),
        (Empty(), "Empty", "dict of plain values"),
        (BrokenRepr(), r"<its repr raises RuntimeError> is a .*BrokenRepr", "str"),
        (object(), "object", "str"),
        (threading.Lock(), "lock", "str"),
        (threading.current_thread(), "Thread", "str"),
        (random.Random(0), "random.Random", "str"),
        (np.random.default_rng(0), "Generator", "str"),
        (ValueError("x"), "ValueError", "str"),
        ((item for item in [1]), "generator", "str"),
        (iter([]), "list_iterator", "str"),
        (1j, "complex", ".real"),
        (np.complex128(1j), "numpy.complex128", ".real"),
        (np.array([1j]), "numpy.ndarray", "str"),
        (b"bytes", "bytes", ".hex"),
        (bytearray(b"bytes"), "bytearray", ".hex"),
        (memoryview(b"bytes"), "memoryview", ".hex"),
        (np.bytes_(b"bytes"), "numpy.bytes_", ".hex"),
        (2**64, "int of 65 bits", "str"),
        (-(2**63) - 1, "int of 64 bits", "str"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_stored_is_refused_with_key_type_and_remedy(
    value: object, type_name: str, remedy: str
) -> None:
    for values in ({"model": {"act": value}}, {"model.act": value}):
        with pytest.raises(InvalidParameterError, match=type_name) as caught:
            flatten_params(values)
        assert "'model.act'" in str(caught.value)
        assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (print, "print"),
        (math.sqrt, "math.sqrt"),
        (re.escape, "re.escape"),
        (lambda: None, rf"{__name__}.<lambda>"),
        (Model().__call__, f"{__name__}.Model.__call__"),
        (np.tanh, r"(numpy\.)?tanh"),
        (int, "int"),
        (np.float32, "numpy.float32"),
        (Model, f"{__name__}.Model"),
        (Empty, f"{__name__}.Empty"),
        (threading.Thread, "threading.Thread"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_function_and_a_class_that_is_no_configuration_are_told_by_their_names(
    value: object, name: str
) -> None:
    """Activations, losses and optimizers are chosen so."""
    stored = flat(act=value, acts=[value])
    assert re.fullmatch(name, stored["act"])
    assert stored["acts"] == [stored["act"]]


def test_the_error_is_a_type_error_of_our_tree() -> None:
    assert issubclass(InvalidParameterError, TypeError)
    assert issubclass(InvalidParameterError, MLDashError)


def test_an_item_deep_in_a_list_is_named_by_its_index() -> None:
    with pytest.raises(InvalidParameterError, match=re.escape("'blocks[1][0].act'")):
        flat(blocks=[0, [{"act": object()}]])


def test_a_logger_is_refused_although_its_attributes_lead_in_circles() -> None:
    with pytest.raises(InvalidParameterError, match="logger"):
        flat(logger=logging.getLogger("some.name"))


@pytest.mark.parametrize("outer", [list, dict, SimpleNamespace])
def test_a_cycle_is_named_instead_of_followed(outer: type) -> None:
    value = outer()
    inner = [value]
    if isinstance(value, list):
        value.append(inner)
    elif isinstance(value, dict):
        value["again"] = inner
    else:
        value.again = inner
    with pytest.raises(InvalidParameterError, match="contains itself") as caught:
        flat(cfg=value)
    assert "'cfg" in str(caught.value)


def test_one_object_in_two_places_is_no_cycle() -> None:
    shared = {"x": [1]}
    assert flat(a=shared, b=[shared, shared]) == {"a.x": [1], "b": [{"x": [1]}, {"x": [1]}]}


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"k": value}])
def test_nesting_without_end_is_refused(wrap: Callable[[object], object]) -> None:
    value: object = 1
    for _ in range(5000):
        value = wrap(value)
    with pytest.raises(InvalidParameterError, match="more than 64 levels") as caught:
        flat(deep=value)
    assert len(str(caught.value)) < 500
    with pytest.raises(InvalidParameterError, match="more than 64 levels"):
        flatten_params({".".join("x" * 5000): 1})


@pytest.mark.parametrize(
    ("key", "stored"),
    [
        (1, "1"),
        (True, "True"),
        (None, "None"),
        (0.5, "0.5"),
        (np.int64(3), "3"),
        (Size.SMALL, "1"),
        (Mode.FAST, "fast"),
    ],
)
def test_a_scalar_key_becomes_text(key: Any, stored: str) -> None:
    assert flat(weights={key: 2}) == {f"weights.{stored}": 2}


@pytest.mark.parametrize("key", [(1, 2), b"x", frozenset(), Color.RED])
def test_any_other_key_is_refused(key: Any) -> None:
    with pytest.raises(InvalidParameterError, match=r"'weights' has the key .* use str keys"):
        flat(weights={key: 1})


TOLD = pytest.mark.filterwarnings("ignore:one call of params.set:ml_dash.errors.ValueWarning")


@TOLD
@pytest.mark.parametrize(
    ("values", "stored"),
    [
        ({"a.b": 1}, {"a.b": 1}),
        ({"a": {"b.c": 1}, "a.b": {"d": 2}}, {"a.b.c": 1, "a.b.d": 2}),
        ({"a.b": 1, "a": {"b": 2}}, {"a.b": 2}),
        ({"a": {"b": 2}, "a.b": 1}, {"a.b": 1}),
        ({"a": 1, "a.b": 2}, {"a.b": 2}),
        ({"a.b": 2, "a": 1}, {"a": 1}),
        ({"a.b": 2, "a": {}}, {"a": {}}),
        ({"a": {}, "a.b": 2}, {"a.b": 2}),
        ({"a": {"b": {}}}, {"a.b": {}}),
        ({"": 1}, {"": 1}),
        ({"": 1, ".": 2}, {".": 2}),
        ({}, {}),
    ],
)
def test_a_dot_nests_and_the_later_of_two_values_for_one_path_wins(
    values: dict[str, Any], stored: dict[str, Any]
) -> None:
    assert flatten_params(values) == stored


@pytest.mark.parametrize(
    ("old", "new", "merged"),
    [
        ({"lr": 0.1}, {"batch": 32}, {"lr": 0.1, "batch": 32}),
        ({"model.a.b": 1, "model.c": 2}, {"model.a": 5}, {"model.a": 5, "model.c": 2}),
        ({"model.a": 5, "model.c": 2}, {"model.a.b": 1}, {"model.a.b": 1, "model.c": 2}),
        ({"model": 1}, {"model.a.b.c": 2}, {"model.a.b.c": 2}),
        ({"model.a": 1, "models": 2}, {"model": {}}, {"model": {}, "models": 2}),
        ({"model": {}}, {"model.a": 1}, {"model.a": 1}),
        ({}, {}, {}),
    ],
)
def test_setting_a_key_replaces_what_was_below_and_above_it(
    old: dict[str, Any], new: dict[str, Any], merged: dict[str, Any]
) -> None:
    before = (dict(old), dict(new))
    assert fold_params([old, new]) == merged
    assert (old, new) == before


def test_merging_changes_neither_side_even_where_an_empty_dict_is_filled() -> None:
    old: dict[str, Any] = {"model": {}}
    fold_params([old, {"model.a": 1}])
    unflatten_params({**old, "model.a": 1})
    assert old == {"model": {}}


class Unreadable(Mapping[str, Any]):
    """Raises at one of its methods."""

    def __init__(self, method: str) -> None:
        self._method = method

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        if self._method == "__iter__":
            raise RuntimeError("out of order")
        return iter("a")

    def __getitem__(self, key: str) -> int:
        raise RuntimeError("out of order")


class UnreadableDict(dict[str, Any]):
    """Raises where it is read."""

    def keys(self) -> NoReturn:
        """See `dict`."""
        raise RuntimeError("out of order")

    __iter__ = items = keys


class UnreadableList(list[Any]):
    """Raises where it is read."""

    def __iter__(self) -> NoReturn:
        raise RuntimeError("out of order")


@pytest.mark.parametrize(
    "value", [Unreadable("__iter__"), Unreadable("__getitem__"), UnreadableDict(a=1), UnreadableList([1])]
)
@pytest.mark.parametrize(
    "place", [lambda value: value, lambda value: {"in": value}, lambda value: [1, value]]
)
def test_a_value_that_raises_when_it_is_read_is_refused_by_its_name(
    value: Any, place: Callable[[Any], Any]
) -> None:
    with pytest.raises(InvalidParameterError, match=r"'cfg.*'.*Unreadable.*RuntimeError\('out of order'\)"):
        flatten_params({"cfg": place(value)})


def test_what_omegaconf_cannot_resolve_is_stored_as_it_is_written() -> None:
    """Hydra's ``???`` is a value that is still to be given; everything else is resolved."""
    omegaconf = pytest.importorskip("omegaconf")
    config = {"lr": 0.1, "data": {"path": "???"}, "same": "${lr}", "bad": "${nope}", "list": ["${lr}", "???"]}
    assert flatten_params({"cfg": omegaconf.OmegaConf.create(config)}) == {
        "cfg.lr": 0.1,
        "cfg.data.path": "???",
        "cfg.same": 0.1,
        "cfg.bad": "${nope}",
        "cfg.list": [0.1, "???"],
    }


SCALAR = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text()
LEAF = SCALAR | st.lists(SCALAR, max_size=3)
KEY = st.text(st.characters(exclude_characters="."), max_size=3)
NESTED = st.dictionaries(
    KEY, st.recursive(LEAF, lambda inner: st.dictionaries(KEY, inner, max_size=3), max_leaves=10), max_size=5
)
# Few names and much depth, so that keys often lie above one another.
CLASHING: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(".".join), LEAF | st.just({})
)


@given(NESTED)
def test_flattening_loses_nothing(nested: dict[str, Any]) -> None:
    stored = flatten_params(nested)
    assert unflatten_params(stored) == nested
    assert not any(isinstance(value, dict) and value for value in stored.values())


@given(NESTED)
def test_a_flat_dict_stays_as_it_is_and_is_json(nested: dict[str, Any]) -> None:
    stored = flatten_params(nested)
    assert flatten_params(stored) == stored
    assert flatten_params(unflatten_params(stored)) == stored
    assert json.loads(json.dumps(stored)) == stored


@TOLD
@given(CLASHING)
def test_no_stored_key_lies_above_another(values: dict[str, Any]) -> None:
    stored = flatten_params(values)
    assert not [(k, other) for k in stored for other in stored if other.startswith(f"{k}.")]
    assert all(values[key] == value for key, value in stored.items())


@TOLD
@given(st.lists(CLASHING, max_size=4))
def test_merging_call_by_call_is_as_if_each_key_were_set_in_turn(calls: list[dict[str, Any]]) -> None:
    merged: dict[str, Any] = {}
    in_turn: dict[str, Any] = {}
    for call in calls:
        new = flatten_params(call)
        merged = fold_params([merged, new])
        for key, value in new.items():
            above = {".".join(key.split(".")[:depth]) for depth in range(1, key.count(".") + 1)}
            in_turn = {
                k: v
                for k, v in in_turn.items()
                if k not in above and k != key and not k.startswith(f"{key}.")
            }
            in_turn[key] = value
    assert merged == in_turn
    assert fold_params([merged, {}]) == merged
    assert fold_params([merged, merged]) == merged
