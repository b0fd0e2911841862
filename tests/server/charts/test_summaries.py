"""Summaries of blocks: what they hold of the rows, and what they refuse to be read from."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from ml_dash.journal.blocks import Block, Column
from ml_dash.server.charts.summaries import BUCKET, STATS, gather, parse_summary, summarize
from tests.server.charts.charted import SECOND, TRAIN, block_of, tallies

NAMES = {"posInf": "pos_inf", "negInf": "neg_inf"}
VALUES = st.one_of(
    st.floats(), st.integers(-(2**63), 2**64 - 1), st.booleans(), st.none(), st.text(max_size=2)
)


def stats_of(block: Block, field: str, bucket: int = BUCKET) -> Any:
    """The records of one field, one a bucket."""
    return gather([(0, block.count, summarize(block, bucket))], [field]).stats[field]


@given(st.lists(st.none() | VALUES.map(lambda value: (value,)), max_size=40), st.integers(1, 10))
def test_each_bucket_tells_of_its_rows(values: list[tuple[Any] | None], bucket: int) -> None:
    block = block_of(
        [(at * SECOND, {} if value is None else {"y": value[0]}) for at, value in enumerate(values)]
    )
    records = stats_of(block, "y", bucket)
    runs = [values[at : at + bucket] for at in range(0, len(values), bucket)]
    assert len(records) == len(runs)
    for record, run in zip(records, runs, strict=True):
        numbers = [float(value[0]) for value in run if value and isinstance(value[0], (int, float))]
        for name, expected in tallies(numbers).items():
            found = record[NAMES.get(name, name)].item()
            assert found == expected or (expected is None and math.isnan(found)), name
        finite = [number for number in numbers if math.isfinite(number)]
        if finite:
            mean = sum(number / len(finite) for number in finite)
            slack = 1e-12 * max(map(abs, finite))
            assert record["min"] <= record["mean"] <= record["max"]
            assert math.isclose(record["mean"], mean, rel_tol=1e-9, abs_tol=slack)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=40), st.integers(1, 10))
def test_times_are_those_of_the_bucket(times: list[int], bucket: int) -> None:
    block = block_of([(time, {"y": 1.0}) for time in times])
    found = gather([(0, block.count, summarize(block, bucket))], []).times
    runs = [times[at : at + bucket] for at in range(0, len(times), bucket)]
    assert [tuple(map(int, record)) for record in found] == [(run[0], min(run), max(run)) for run in runs]


def test_a_bucket_has_1024_rows_and_the_last_one_the_rest() -> None:
    block = block_of([(at, {"y": float(at)}) for at in range(2500)])
    buckets = gather([(100, 2500, summarize(block))], ["y"])
    assert buckets.start.tolist() == [100, 1124, 2148]
    assert buckets.rows.tolist() == [1024, 1024, 452]
    assert buckets.stats["y"]["last"].tolist() == [1023.0, 2047.0, 2499.0]


def test_items_of_dicts_are_fields_of_their_own() -> None:
    block = block_of([(0, {"a": {"b": 1.5, "c": {"d": 2}}}), (1, {"a": {"b": 2.5}})])
    assert list(parse_summary(summarize(block)).positions) == ["a.b", "a.c.d"]
    assert stats_of(block, "a.b")["mean"].tolist() == [2.0]


def test_a_field_of_several_types_is_one() -> None:
    block = block_of([(at, {"y": value}) for at, value in enumerate([True, 2, 2.5, 2**63, "text", None])])
    record = stats_of(block, "y")[0]
    assert (record["count"], record["first"], record["last"]) == (4, 1.0, 2.0**63)


def test_of_a_name_that_a_row_has_twice_the_one_counts_that_was_written_out() -> None:
    block = block_of([(0, {"a.b": 1.0, "a": {"b": 2.0}}), (1, {"a.b": 3.0})])
    record = stats_of(block, "a.b")[0]
    assert (record["count"], record["first"], record["last"]) == (2, 1.0, 3.0)


def test_fields_without_a_number_are_left_out() -> None:
    block = block_of([(0, {"note": "x", "empty": {}, "list": [1, 2], "none": None})])
    assert not parse_summary(summarize(block)).positions


def test_a_mean_of_the_largest_floats_is_none_of_infinity() -> None:
    largest = np.finfo(np.float64).max.item()
    block = block_of([(at, {"y": value}) for at, value in enumerate([largest] * 3 + [-largest] * 3)])
    assert stats_of(block, "y", 3)["mean"].tolist() == [largest, -largest]
    assert stats_of(block, "y", 6)["mean"].tolist() == [0.0]


def test_a_block_without_rows_has_a_summary_too() -> None:
    summary = parse_summary(summarize(Block(TRAIN, np.empty(0, np.int64), [])))
    assert (summary.rows, summary.buckets, summary.stats("y")) == (0, 0, None)


def test_lists_are_summarized_as_arrays_are() -> None:
    rows = [1.0, math.nan, 3.0]
    lists = Block(TRAIN, [1, 2, 3], [Column("y", "f", None, rows), Column("z", "i", [0, 2], [4, 5])])
    arrays = Block(
        TRAIN,
        np.array([1, 2, 3]),
        [
            Column("y", "f", None, np.array(rows)),
            Column("z", "i", np.array([0, 2], np.uint32), np.array([4, 5])),
        ],
    )
    assert summarize(lists) == summarize(arrays)


def test_blocks_that_lack_the_field_count_nothing() -> None:
    with_it, without = block_of([(0, {"y": 1.0}), (1, {"y": 2.0})]), block_of([(2, {"z": 1.0})])
    buckets = gather([(0, 2, summarize(with_it)), (2, 1, summarize(without))], ["y"])
    assert buckets.stats["y"]["count"].tolist() == [2, 0]
    assert math.isnan(buckets.stats["y"]["min"][1])


def test_no_summary_at_all_makes_no_bucket() -> None:
    buckets = gather([], ["y"])
    assert len(buckets.start) == len(buckets.rows) == len(buckets.times) == len(buckets.stats["y"]) == 0


def test_names_of_any_length_and_any_letters_are_kept() -> None:
    names = [f"{'long' * 50}{at}" for at in range(200)] + ["\ud800", "größe"]
    block = block_of([(0, dict.fromkeys(names, 1.0))])
    assert list(parse_summary(summarize(block)).positions) == names


def test_a_summary_takes_48_bytes_a_field_and_bucket() -> None:
    block = block_of([(at, {"y": 1.0}) for at in range(3000)])
    wider = block_of([(at, {"y": 1.0, "z": 1.0}) for at in range(3000)])
    assert len(summarize(wider)) - len(summarize(block)) == 3 * STATS.itemsize + len("\xa1z")
    assert STATS.itemsize == 48


GOOD = summarize(block_of([(0, {"y": 1.0})]))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "at least 12 bytes, not 0"),
        (GOOD[:11], "at least 12 bytes, not 11"),
        (struct.pack("<H", 2) + GOOD[2:], "version 2 cannot be read: this server reads version 1"),
        (GOOD[:2] + b"\0\0" + GOOD[4:], "no rows a bucket"),
        (GOOD[:-1], "has 87 bytes, not 86"),
        (GOOD + b"\0", "has 87 bytes, not 88"),
        (GOOD[:4] + struct.pack("<I", 2**32 - 1) + GOOD[8:], "4294967295 rows"),
        (GOOD[:8] + struct.pack("<I", 2**32 - 1) + GOOD[12:], "msgpack"),
        (GOOD[:12] + b"\x91\x01\xc0" + GOOD[15:], "msgpack"),
        (GOOD[:8] + struct.pack("<I", 1) + b"\x80" + GOOD[15:], "array of strings"),
    ],
)
def test_what_is_no_summary_is_refused_with_a_reason(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_summary(data)


@given(st.binary(max_size=60), st.integers(0, len(GOOD)), st.integers(0, len(GOOD)))
def test_any_bytes_are_a_summary_or_a_value_error(noise: bytes, start: int, stop: int) -> None:
    for data in (noise, GOOD[:start] + noise + GOOD[stop:]):
        try:
            parse_summary(data)
        except ValueError as error:
            assert str(error)  # noqa: PT017 - either is right
