"""Whose the rows of a series are, by the ids of their writers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from ml_dash import InvalidArgumentError
from ml_dash.journal.frame import new_writer_id
from ml_dash.query.axes.ranks import Ranks, RankSpan, checked_rank, rank_of
from ml_dash.query.selection import Range, Shown

RANKS = st.one_of(st.none(), st.integers(0, 3))
RANGES = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), max_size=6)


def ranges_of(steps: list[tuple[int, int]]) -> list[Range]:
    """Ranges that ascend, of gaps and lengths."""
    found: list[Range] = []
    at = 0
    for gap, length in steps:
        found.append((at + gap, at + gap + length))
        at += gap + length
    return found


@given(RANKS)
def test_a_writer_tells_its_rank(rank: int | None) -> None:
    assert rank_of(new_writer_id(1, rank)) == rank


@pytest.mark.parametrize("writer", ["writer", "1700-r", "1700-rx", "-r3", "1700-r3-1", "1700-r1234567"])
def test_other_ids_tell_none(writer: str) -> None:
    assert rank_of(writer) is None


@pytest.mark.parametrize("value", [-1, 1.0, True, "0", 10**6, [1]])
def test_what_is_no_rank_is_refused(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match="is not a rank: give the number of a process"):
        checked_rank(value)


@given(st.lists(st.tuples(RANKS, st.integers(1, 4)), max_size=8), st.data())
def test_each_row_is_of_the_rank_of_its_writer(
    runs: list[tuple[int | None, int]], data: st.DataObject
) -> None:
    owners = [rank for rank, rows in runs for _ in range(rows)]
    spans = []
    at = 0
    for rank, count in runs:
        spans.append(RankSpan(at, at + count, rank))
        at += count
    ranks = Ranks(lambda *_: spans, at)
    rows: list[int] = data.draw(st.lists(st.integers(0, at - 1), unique=True).map(sorted)) if at else []
    assert ranks.of(np.array(rows, np.int64)).tolist() == [
        -1 if owners[each] is None else owners[each] for each in rows
    ]
    assert ranks.counts() == {rank: owners.count(rank) for rank in ranks.counts()}
    assert set(ranks.counts()) == set(owners)
    for number in range(4):
        own = [row for first, stop in ranks.ranges(number) for row in range(first, stop)]
        assert own == [row for row, owner in enumerate(owners) if owner == number]


@given(RANGES, RANGES)
def test_of_rows_that_are_shown_those_of_a_rank_are_left(
    some: list[tuple[int, int]], others: list[tuple[int, int]]
) -> None:
    left, right = ranges_of(some), ranges_of(others)
    shown = Shown(lambda *_: iter(()), 100, left).only(right)
    expected = {row for first, stop in left for row in range(first, stop)} & {
        row for first, stop in right for row in range(first, stop)
    }
    assert [row for first, stop in shown.ranges or () for row in range(first, stop)] == sorted(expected)
    assert shown.count == len(expected)
