"""What other libraries, and Python's own, have a kind for: what parameters and rows make of it is the same."""

from __future__ import annotations

import argparse
import logging
import random
import uuid
import warnings
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

import attrs
import msgspec
import numpy as np
import pandas as pd
import pydantic
import pytest
from pydantic import v1

from ml_dash import Experiment, InvalidArgumentError, ValueWarning
from ml_dash.errors import InvalidParameterError
from ml_dash.values.params import flatten_params, unflatten_params

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678)  # noqa: DTZ001 - without a zone, as most are
NANOS = "2026-01-02T03:04:05.000000001"


class Inner(pydantic.BaseModel):
    width: int = 64


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    steps: int
    lr: float = 0.1
    tags: list[str] = pydantic.Field(default_factory=lambda: ["a"])
    inner: Inner = Inner()
    secret: pydantic.SecretStr = pydantic.SecretStr("hush")
    url: pydantic.HttpUrl = pydantic.HttpUrl("https://example.org/x")
    _private: int = 5

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def twice(self) -> float:
        return 2 * self.lr


class OldModel(v1.BaseModel):
    steps: int
    lr: float = 0.1
    tags: list[str] = v1.Field(default_factory=lambda: ["a"])


@attrs.define
class Attributed:
    steps: int
    lr: float = 0.1
    tags: list[str] = attrs.field(factory=lambda: ["a"])


class Struct(msgspec.Struct):
    steps: int
    lr: float = 0.1
    tags: list[str] = msgspec.field(default_factory=lambda: ["a"])


@dataclass
class Data:
    steps: int
    lr: float = 0.1
    tags: list[str] = field(default_factory=lambda: ["a"])


SAME: dict[str, tuple[Any, Any]] = {
    "date": (date(2026, 1, 2), "2026-01-02"),
    "datetime": (MOMENT, "2026-01-02T03:04:05.000678"),
    "aware": (MOMENT.replace(tzinfo=timezone(timedelta(hours=1))), "2026-01-02T02:04:05.000678+00:00"),
    "time": (time(3, 4, 5), "03:04:05"),
    "timedelta": (timedelta(hours=1), "PT3600S"),
    "UUID": (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    "Decimal": (Decimal("1.50"), "1.50"),
    "Fraction": (Fraction(1, 3), "1/3"),
    "address": (ip_address("127.0.0.1"), "127.0.0.1"),
    "network": (ip_network("fe80::/10"), "fe80::/10"),
    "dtype": (np.dtype("float32"), "float32"),
    "pandas.Timestamp": (pd.Timestamp(MOMENT), "2026-01-02T03:04:05.000678"),
    "pandas.Timestamp in ns": (pd.Timestamp(NANOS), NANOS),
    "pandas.Timedelta": (pd.Timedelta("1h"), "PT3600S"),
    "pandas.NaT": (pd.NaT, None),
    "pandas.NA": (pd.NA, None),
    "pandas.Period": (pd.Period("2026-01"), "2026-01"),
    "Series": (pd.Series([1.5, 2.5]), [1.5, 2.5]),
    "Series of one": (pd.Series([1.5]), 1.5),
    "Series with names": (pd.Series({"a": 1.5, "b": 2}), {"a": 1.5, "b": 2.0}),
    "Series of times": (pd.Series([MOMENT, pd.NaT]), ["2026-01-02T03:04:05.000678", None]),
    "datetime64": (np.datetime64("2026-01-02T03:04"), "2026-01-02T03:04:00"),
    "datetime64 in days": (np.datetime64("2026-01-02"), "2026-01-02"),
    "datetime64 in ns": (np.datetime64(NANOS), NANOS),
    "datetime64 NaT": (np.datetime64("NaT"), None),
    "timedelta64": (np.timedelta64(90, "s"), "PT90S"),
    "timedelta64 in ns": (np.timedelta64(90_000_000_000, "ns"), "PT90S"),
    "timedelta64 NaT": (np.timedelta64("NaT", "s"), None),
    "datetime64s": (np.array([NANOS, "NaT"], "datetime64[ns]"), [NANOS, None]),
    "record": (np.array([(1, 2.5)], [("a", int), ("b", float)])[0], {"a": 1, "b": 2.5}),
    "records": (
        np.array([(1, (2.5, 3))], [("a", int), ("b", [("c", float), ("d", "M8[D]")])]),
        [{"a": 1, "b": {"c": 2.5, "d": "1970-01-04"}}],
    ),
    "URL": (pydantic.HttpUrl("https://example.org/x"), "https://example.org/x"),
    "secret": (pydantic.SecretStr("hush"), "**********"),
    "secret bytes": (pydantic.SecretBytes(b"hush"), "b'**********'"),
    "pydantic": (Inner(), {"width": 64}),
    "pydantic with extras": (
        Model(steps=3, more=MOMENT.date()),  # type: ignore[call-arg]
        {
            "steps": 3, "lr": 0.1, "tags": ["a"], "inner": {"width": 64}, "secret": "**********",
            "url": "https://example.org/x", "more": "2026-01-02",
        },
    ),
    "older pydantic": (OldModel(steps=3), {"steps": 3, "lr": 0.1, "tags": ["a"]}),
    "attrs": (Attributed(3), {"steps": 3, "lr": 0.1, "tags": ["a"]}),
    "msgspec": (Struct(3), {"steps": 3, "lr": 0.1, "tags": ["a"]}),
    "dataclass": (Data(3), {"steps": 3, "lr": 0.1, "tags": ["a"]}),
}  # fmt: skip


@pytest.mark.parametrize(("value", "stored"), SAME.values(), ids=SAME)
def test_a_parameter_and_a_row_say_the_same(value: Any, stored: Any, exp: Experiment) -> None:
    """Where nothing is lost by that, nothing is warned of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exp.params.set(value=value)
        exp.metrics("m").log(value=value, inner={"deep": [value]})
        exp.log("m", value=value)
    (row,) = exp.metrics("m").read()["data"]
    assert row["data"]["value"] == stored
    assert row["data"]["inner"] == {"deep": [stored]}
    assert exp.logs.read()["data"][0]["metadata"] == {"value": stored}
    assert exp.params.get(flatten=False) == {"value": stored}


@pytest.mark.parametrize("kind", [Model, OldModel, Attributed, Struct, Data], ids=lambda kind: kind.__name__)
def test_a_class_gives_the_fields_that_have_a_default(kind: type) -> None:
    fields = unflatten_params(flatten_params({"cfg": kind}))["cfg"]
    own = {"lr": 0.1, "tags": ["a"]}
    more = {"inner": {"width": 64}, "secret": "**********", "url": "https://example.org/x"}
    assert fields == (own | more if kind is Model else own)


class Node(pydantic.BaseModel):
    other: Any = None


def test_a_model_that_contains_itself_is_refused() -> None:
    node = Node()
    node.other = [node]
    with pytest.raises(InvalidParameterError, match="contains itself"):
        flatten_params({"node": node})


@pytest.mark.parametrize(
    "value",
    [logging.getLogger("x"), random.Random(0), argparse.ArgumentParser()],
    ids=lambda value: type(value).__name__,
)
def test_what_python_brings_along_is_no_configuration(value: Any) -> None:
    with pytest.raises(InvalidParameterError, match="'value' cannot be stored"):
        flatten_params({"value": value})


def test_an_experiment_is_no_configuration(exp: Experiment) -> None:
    """Nor is what belongs to it; the message names it, and not one of its parts."""
    for value in (exp, exp.metrics, exp.run):
        with pytest.raises(InvalidParameterError, match="parameter 'e' cannot be stored"):
            exp.params.set(e=value)


def test_a_namespace_is_one() -> None:
    assert flatten_params({"args": argparse.Namespace(lr=0.1)}) == {"args.lr": 0.1}


class Point(NamedTuple):
    x: int


@pytest.mark.parametrize(
    ("values", "stored", "told"),
    [
        ({"a": {1: 2, "1": 3}}, {"a.1": 3}, "a.1"),
        ({"a.b": 1, "a": {"b": 2}}, {"a.b": 2}, "a.b"),
        ({"a": {"b": 2}, "a.b": 1}, {"a.b": 1}, "a.b"),
        ({"a": 1, "a.b": 2}, {"a.b": 2}, "a"),
        ({"a.x": 1, "a": Point(2)}, {"a.x": 2}, "a.x"),
        ({"a": [{1: 2, "1": 3}]}, {"a": [{"1": 3}]}, "a[0].1"),
    ],
    ids=str,
)
def test_names_of_parameters_that_meet_are_told(values: Any, stored: Any, told: str) -> None:
    with pytest.warns(ValueWarning) as caught:
        assert flatten_params(values) == stored
    assert len(caught) == 1
    assert repr(told) in str(caught[0].message)


def test_keys_of_a_row_that_have_one_text_are_both_there(exp: Experiment) -> None:
    """Also where a value in the row has to be looked at, and the keys become text."""
    exp.metrics("m").log(x={None: 1, "None": 2, 1.5: np.float32(3), "1.5": 4})
    (row,) = exp.metrics("m").read()["data"]
    assert row["data"]["x"] == {"None": 1, "None_": 2, "1.5": 3.0, "1.5_": 4}


@pytest.mark.parametrize(
    "given",
    [
        True,
        False,
        np.True_,
        np.datetime64(0, "ns"),
        np.timedelta64(5, "ns"),
        pd.Timestamp(0),
        MOMENT,
        "5",
        5j,
    ],
    ids=repr,
)
def test_what_is_no_number_is_no_time(given: Any, exp: Experiment) -> None:
    for log in (exp.metrics("m").log, exp.tracks("t").append, exp.metrics.log):
        with pytest.raises(InvalidArgumentError, match="_ts="):
            log(x=1, _ts=given)
    assert exp.status().logged == 0
