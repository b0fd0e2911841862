"""The as-of join: against a naive one, whatever is known of the clock, and with little in memory."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ml_dash.journal.blocks import Block, Column
from ml_dash.query.axes import as_of
from ml_dash.query.axes.as_of import Clock, Reach
from tests.support.view_journals import TRAIN, Row, block_of

TIMES = st.integers(-20, 20)
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.integers(-5, 5),
    st.floats(allow_infinity=True, allow_nan=True),
    st.booleans(),
    st.sampled_from([None, "text", 2**63, {"b": 1}]),
)
ROWS = st.lists(st.tuples(TIMES, st.dictionaries(st.sampled_from(["step", "other"]), VALUES)), max_size=30)


class Blocks:
    """Rows in blocks of a length: gives those that are asked for, and counts them."""

    def __init__(self, rows: list[Row], per_block: int) -> None:
        self.per_block = per_block
        self.rows_read = 0
        self._blocks = [
            (at, block_of(TRAIN, rows[at : at + per_block])) for at in range(0, len(rows), per_block)
        ]

    def __call__(self, start: int, stop: int | None) -> Iterator[tuple[int, Block]]:
        for first, block in self._blocks:
            if first + block.count > start and (stop is None or first < stop):
                self.rows_read += block.count
                yield first, block

    def reaches(self) -> list[Reach]:
        return [
            Reach(first, first + block.count, min(block.times), max(block.times))
            for first, block in self._blocks
        ]


def naive(rows: list[Row], field: str, time: int) -> Any:
    """The last number at or before a time, of rows of one time the last by index; None where there is none."""
    numbers = [
        (at, index, fields[field])
        for index, (at, fields) in enumerate(rows)
        if at <= time and isinstance(fields.get(field), (int, float))
    ]
    return max(numbers, key=lambda each: each[:2])[2] if numbers else None


def same(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is right
    return bool(left == right) or (math.isnan(left) and math.isnan(right))


@settings(deadline=None)
@given(
    ROWS,
    st.lists(st.lists(TIMES, max_size=20), max_size=3),
    st.integers(1, 7),
    st.booleans(),
    st.integers(1, 4),
)
def test_it_is_what_a_naive_join_is(
    rows: list[Row], asked: list[list[int]], per_block: int, are_known: bool, at_once: int
) -> None:
    """Looked at several times: what the first look has learned must not mislead the next."""
    blocks = Blocks(rows, per_block)
    clock = Clock("step", blocks, blocks.reaches() if are_known else None)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(as_of, "_ASKED", at_once)
        patched.setattr(as_of, "_TOGETHER", 2)
        for times in asked:
            found = clock.at(np.array(times, np.int64))
            expected = [naive(rows, "step", time) for time in times]
            assert found.known.tolist() == [each is not None for each in expected]
            assert all(map(same, found.as_list(), expected))
            assert all(
                isinstance(value, int)
                for value, each in zip(found.as_list(), expected, strict=True)
                if isinstance(each, int) and abs(each) <= 2**53
            )


def test_items_of_dicts_tell_the_time_too() -> None:
    rows: list[Row] = [(1, {"at": {"step": 3}}), (5, {"at": {"step": 4}, "loss": 0.5})]
    clock = Clock("at.step", Blocks(rows, 1))
    assert clock.at(np.array([0, 1, 4, 9])).as_list() == [None, 3, 3, 4]


def test_a_look_reads_what_can_tell_something_and_no_more() -> None:
    """Of ten thousand rows in blocks of a hundred, a narrow question reads the block that has the answer."""
    rows: list[Row] = [(10 * at, {"step": at} if at != 5000 else {}) for at in range(10_000)]
    blocks = Blocks(rows, 100)
    clock = Clock("step", blocks, blocks.reaches())
    assert clock.at(np.array([50_020, 50_019])).as_list() == [5002, 5001]
    assert blocks.rows_read == 100
    # the first row of the block has no value: the one before has the last
    assert clock.at(np.array([50_001])).as_list() == [4999]
    assert blocks.rows_read == 300
    # where nothing is known before, the first look reads all, and later ones what they need
    learned = Clock("step", blocks := Blocks(rows, 100))
    learned.at(np.array([0]))
    assert blocks.rows_read == 10_000
    learned.at(np.array([50_020]))
    assert blocks.rows_read < 30_000


@pytest.mark.slow
def test_millions_of_rows_are_joined_in_little_memory() -> None:
    """Of a clock of 4 million rows, and of as many times: the answer, and a few blocks."""
    per_block, count = 1 << 16, 64

    def blocks(start: int, stop: int | None) -> Iterator[tuple[int, Block]]:
        last = count * per_block if stop is None else stop
        for at in range(start // per_block, (last + per_block - 1) // per_block):
            rows = np.arange(at * per_block, (at + 1) * per_block)
            yield at * per_block, Block(TRAIN, 2 * rows, [Column("step", "i", None, rows)])

    times = np.arange(count * per_block) * 2 + 1
    clock = Clock("step", blocks)
    tracemalloc.start()
    found = clock.at(times)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found.values == np.arange(count * per_block)).all()
    # the answer has 10 bytes a row; what is known of a million times at once, some 60 each
    assert peak < 10 * len(times) + 100 * 2**20
