"""What was logged as JSON: everything is written, whatever msgpack carries and JSON does not."""

from __future__ import annotations

import json
import math
from typing import Any

import msgpack
import pytest

from ml_dash.query.json_text import json_text
from ml_dash.query.listing import comparing


def test_json_carries_what_msgpack_does() -> None:
    """NaN as Python's own module writes it, and bytes by their representation."""
    text = json_text({"x": math.nan, "y": -math.inf, "z": b"\x00"})
    assert (
        text == '{"x": NaN, "y": -Infinity, "z": {"__repr__": "b\'\\\\x00\'", "__type__": "builtins.bytes"}}'
    )
    assert math.isnan(json.loads(text)["x"])


@pytest.mark.parametrize("key", [b"k", (1, 2), msgpack.Timestamp(1, 0)], ids=repr)
def test_a_key_that_json_does_not_have_is_written_as_python_shows_it(key: Any) -> None:
    assert json.loads(json_text({"x": [{key: 1, "a": {key: [2]}}]})) == {
        "x": [{str(key): 1, "a": {str(key): [2]}}]
    }
    assert comparing.json_text([{key: 1, "ä": {key: [2]}}]) == f'[{{"{key}":1,"ä":{{"{key}":[2]}}}}]'


@pytest.mark.parametrize("level", [lambda value: [value], lambda value: {"a": value}], ids=["lists", "dicts"])
def test_what_is_nested_deeper_than_python_recurses_is_written_as_far_as_it_goes(level: Any) -> None:
    value: Any = 1
    for _ in range(1500):
        value = level(value)
    text = json_text({"x": value, "y": 2})
    assert json.loads(text)["y"] == 2
    assert "\\u2026" in text
    assert "…" in comparing.json_text([value])


def test_keys_that_json_has_stay_as_it_writes_them() -> None:
    assert json_text({1: {b"": 0}, None: 1, 0.5: 3}) == '{"1": {"b\'\'": 0}, "null": 1, "0.5": 3}'
