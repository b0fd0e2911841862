"""Copies that cannot be changed, and are otherwise what they are copies of."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from ml_dash import ReadOnlyError
from ml_dash.sdk.guidance.read_only import read_only

CHANGES: dict[str, Callable[[Any], object]] = {
    "append": lambda value: value["list"].append(1),
    "extend": lambda value: value["list"].extend([1]),
    "insert": lambda value: value["list"].insert(0, 1),
    "remove": lambda value: value["list"].remove(1),
    "list.pop": lambda value: value["list"].pop(),
    "list.clear": lambda value: value["list"].clear(),
    "sort": lambda value: value["list"].sort(),
    "reverse": lambda value: value["list"].reverse(),
    "list[0] =": lambda value: value["list"].__setitem__(0, 3),
    "del list[0]": lambda value: value["list"].__delitem__(0),
    "list *=": lambda value: value["list"].__imul__(2),
    "[k] =": lambda value: value.__setitem__("a", 3),
    "del [k]": lambda value: value.__delitem__("list"),
    "update": lambda value: value.update(a=3),
    "pop": lambda value: value.pop("list"),
    "popitem": lambda value: value.popitem(),
    "clear": lambda value: value.clear(),
    "setdefault": lambda value: value.setdefault("a", 3),
    "deep": lambda value: value["dict"].update(a=3),
    "in a tuple": lambda value: value["tuple"][0].update(a=3),
}
VALUE = {"list": [1, [2]], "dict": {"a": 1}, "tuple": ({"a": 1},)}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_no_change_is_taken_and_lost(change: Callable[[Any], object]) -> None:
    value = read_only(VALUE, "write this")
    with pytest.raises(ReadOnlyError, match="write this"):
        change(value)
    assert value == VALUE


def test_the_methods_that_change_a_list_or_a_dict_are_these() -> None:
    """None of them does something in a later Python, and goes unnoticed."""
    for kind, own in ((list, read_only([], "")), (dict, read_only({}, ""))):
        inherited = {name for name in dir(kind) if getattr(type(own), name) is getattr(kind, name)}
        assert not inherited & {
            *("append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse", "update", "popitem"),
            *("setdefault", "__setitem__", "__delitem__", "__iadd__", "__imul__", "__ior__"),
        }


def test_what_reads_it_takes_it_for_what_it_is() -> None:
    value = read_only(VALUE, "")
    assert isinstance(value, dict)
    assert isinstance(value["list"], list)
    assert json.loads(json.dumps(value))["list"] == [1, [2]]
    assert {**value}["dict"] == {"a": 1}
    assert [*value["list"], 3] == [1, [2], 3]


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_copy_may_be_changed(twin: Callable[[Any], Any]) -> None:
    """It is the script's own."""
    for value in (read_only([1], ""), read_only({"a": 1}, "")):
        assert twin(value) == value
        assert type(twin(value)) in {list, dict}


def test_an_operator_that_gives_a_new_value_gives_a_plain_one() -> None:
    """So that ``exp.tags += […]`` and ``exp.metadata |= {…}`` are updates."""
    tags: Any = read_only(["a"], "")
    tags += ["b"]
    metadata: Any = read_only({"a": 1}, "")
    metadata |= {"b": 2}
    assert (type(tags), tags) == (list, ["a", "b"])
    assert (type(metadata), metadata) == (dict, {"a": 1, "b": 2})


def test_what_contains_itself_has_an_end() -> None:
    value: dict[str, Any] = {}
    value["again"] = value
    assert "again" in read_only(value, "")
