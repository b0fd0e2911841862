"""Fields of rows as columns: nested dicts opened, and values that meet under one name."""

from __future__ import annotations

import logging
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyarrow import BufferReader

from ml_dash import Experiment
from ml_dash.journal.blocks import as_list
from ml_dash.query.columns import leaf_columns
from tests.support.view_journals import TRAIN, block_of

MEETING: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"a.b": 1, "a": {"b": 2}}, {"a.b": 1}),
    ({"a": {"b": 2}, "a.b": 1}, {"a.b": 1}),
    ({"a.b": 1, "a": {"b": 2.5, "c": 3}}, {"a.b": 1, "a.c": 3}),
    ({"a": {1: 2, "1": 3}}, {"a.1": 3}),
    ({"a": {"b.c": 1, "b": {"c": 2}}}, {"a.b.c": 1}),
    ({"a": {"b": {"c": 3}, "b.c": 2}, "a.b": {"c": 1}}, {"a.b.c": 1}),
    ({"a": {"b": {"c": 3}}, "a.b": {"c": 2}, "a.b.c": 1}, {"a.b.c": 1}),
    ({"a.b": None, "a": {"b": 2}}, {"a.b": None}),
    ({"a": {"b": 2}, "a.c": 1}, {"a.b": 2, "a.c": 1}),
]
"""Rows, and what their fields are."""


def fields_of(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of rows of one block, by its columns."""
    block = block_of(TRAIN, list(enumerate(rows)))
    found: list[dict[str, Any]] = [{} for _ in rows]
    for column in leaf_columns(block):
        places = range(block.count) if column.rows is None else column.rows
        for row, value in zip(places, as_list(column.values), strict=True):
            assert column.field not in found[row], f"row {row} has {column.field} twice"
            found[row][column.field] = value
    return found


@pytest.mark.parametrize(("row", "fields"), MEETING, ids=str)
def test_of_values_that_meet_the_one_counts_whose_name_is_written_out(
    row: dict[str, Any], fields: dict[str, Any]
) -> None:
    assert fields_of(row) == [fields]


def test_it_does_so_among_rows_in_which_nothing_meets() -> None:
    other: list[dict[str, Any]] = [{"a": {"b": 5}}, {"a.b": 6.5}, {"a": 7}, {}, {"a.b": {"c": 8}}]
    rows = [row for row, _ in MEETING] + other
    expected = [fields for _, fields in MEETING] + [{"a.b": 5}, {"a.b": 6.5}, {"a": 7}, {}, {"a.b.c": 8}]
    assert fields_of(*rows) == expected


@pytest.mark.parametrize(("row", "fields"), MEETING, ids=str)
def test_every_reader_takes_the_same_one(
    row: dict[str, Any], fields: dict[str, Any], exp: Experiment
) -> None:
    exp.metrics("m").log(**row)
    exp.tracks("t").append(**row)
    (read,) = exp.metrics("m").read()["data"]
    assert {name: value for name, value in read["data"].items() if name != "_ts"} == row
    stats = exp.metrics("m").stats()["fields"]
    assert {name: (each["count"], each["last"]) for name, each in stats.items()} == {
        name: (1, value) for name, value in fields.items()
    }
    arrays = exp.metrics("m").to_numpy()
    assert {name: array.tolist() for name, array in arrays.items() if name not in {"index", "_ts"}} == {
        name: [value] for name, value in fields.items()
    }
    table = pq.read_table(BufferReader(exp.tracks("t").read(format="parquet"))).to_pylist()
    assert [{name: value for name, value in each.items() if name != "timestamp"} for each in table] == [
        fields
    ]


def test_names_that_meet_are_told_once_each(exp: Experiment, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ml_dash"):
        for _ in range(3):
            exp.metrics("m").log(**{"a.b": 1, "a": {"b": 2, "c": 3}})
            exp.metrics("fine").log(**{"a.b": 1, "a": {"c": 3}})
            exp.log("no field of ours", metadata={"a.b": 1, "a": {"b": 2}})
            exp.flush()
        exp.tracks("t").append(x={1: 2, "1": 3})
        exp.flush()
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "'m'" in told[0]
    assert "'a.b'" in told[0]
    assert "'t'" in told[1]
    assert "'x.1'" in told[1]
