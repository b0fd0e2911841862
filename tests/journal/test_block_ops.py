"""Blocks merged and cut: the rows are those that went in."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from ml_dash.journal.block_ops import merge_blocks, slice_block
from ml_dash.journal.blocks import block_rows, decode_block, encode_block
from ml_dash.journal.frame import decode_meta
from ml_dash.journal.objects import to_msgpack
from tests.support.journals import rows_of
from tests.support.view_journals import TRAIN, Row, block_of

values = st.one_of(
    st.floats(), st.integers(-(2**63), 2**64 - 1), st.booleans(), st.text(max_size=3), st.none()
)
row = st.tuples(st.integers(-(2**63), 2**63 - 1), st.dictionaries(st.sampled_from("abc"), values, max_size=3))
some_rows = st.lists(row, min_size=1, max_size=5)


def sorted_rows(rows: list[Row]) -> list[tuple[int, str]]:
    """Rows as text, fields in one order: merging may change theirs."""
    return [(time_ns, repr(sorted(fields.items()))) for time_ns, fields in rows]


@given(st.lists(some_rows, min_size=1, max_size=4))
def test_merged_blocks_have_the_rows_of_all(parts: list[list[Row]]) -> None:
    merged = merge_blocks([block_of(TRAIN, rows) for rows in parts])
    entry, data = encode_block(merged)
    again = decode_block(decode_meta(to_msgpack([entry]))[0], b"".join(data))
    found = list(zip(map(int, again.times), block_rows(again), strict=True))
    assert sorted_rows(found) == sorted_rows([each for rows in parts for each in rows])


@given(some_rows, st.integers(-2, 7), st.integers(-2, 7))
def test_a_slice_has_its_rows_and_is_a_block_like_any_other(rows: list[Row], start: int, stop: int) -> None:
    start, stop = max(start, 0), min(stop, len(rows))
    if start >= stop:
        return
    block = merge_blocks([block_of(TRAIN, rows)])
    cut = slice_block(block, start, stop)
    assert rows_of([cut]) == rows_of([block])[start:stop]
    entry, data = encode_block(cut)
    assert rows_of([decode_block(decode_meta(to_msgpack([entry]))[0], b"".join(data))]) == rows_of([cut])
