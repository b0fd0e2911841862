"""Several series in one pass, and the last rows of some."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from ml_dash.journal.blocks import Block, Column
from ml_dash.journal.frame import encode_frame, segment_name
from ml_dash.journal.sweep import end_times, last_rows, rows_of, sweep
from ml_dash.series import Kind, Series
from tests.support.journals import (
    EVAL,
    LATER_WRITER,
    NAME,
    TRAIN,
    WRITER,
    MemoryDisk,
    disk_with,
    numbers,
    opened,
    rows_of as content,
    segment,
)

SERIES = (TRAIN, EVAL, Series(Kind.LOG, None))

Written = list[list[tuple[Series, list[int]]]]

frames = st.lists(
    st.lists(st.tuples(st.sampled_from(SERIES), st.lists(st.integers(0, 99), max_size=3)), max_size=4),
    max_size=6,
)


def segment_of(written: Written, writer: str = WRITER) -> bytes:
    """A segment with a frame for each list of blocks."""
    encoded = [
        encode_frame(seq, [numbers(*values, series=series) for series, values in blocks])
        for seq, blocks in enumerate(written, 1)
    ]
    return segment(*encoded, writer=writer)


def two_writers(one: bytes, other: bytes) -> MemoryDisk:
    disk = disk_with(one)
    disk.files[f"j/{segment_name(LATER_WRITER, 1)}"] = other
    return disk


@given(frames, frames, st.sets(st.sampled_from(SERIES)))
def test_a_sweep_gives_what_each_series_gives(one: Written, other: Written, wanted: set[Series]) -> None:
    """The same blocks with the same numbers; only their order is that of the frames."""
    index = opened(two_writers(segment_of(one), segment_of(other, LATER_WRITER)))
    swept = list(sweep(index, wanted))
    for series in SERIES:
        expected = list(index.blocks(series)) if series in wanted else []
        got = [(start, block) for start, block in swept if block.series == series]
        assert [start for start, _ in got] == [start for start, _ in expected]
        assert content([block for _, block in got]) == content([block for _, block in expected])


def test_a_sweep_keeps_the_order_in_which_frames_were_written() -> None:
    """Writer by writer, whatever the series."""
    one = segment_of([[(TRAIN, [1]), (EVAL, [2])], [(EVAL, [3])], [(TRAIN, [4])]])
    index = opened(two_writers(one, segment_of([[(EVAL, [5])]], LATER_WRITER)))
    swept = [(start, block.series, int(block.times[0])) for start, block in sweep(index, [EVAL, TRAIN])]
    assert swept == [(0, TRAIN, 1), (0, EVAL, 2), (1, EVAL, 3), (1, TRAIN, 4), (2, EVAL, 5)]


def test_a_sweep_over_many_series_reads_each_frame_once() -> None:
    """Series by series, each frame would be read for each of them."""
    many = [Series(Kind.METRIC, f"metric {number}") for number in range(200)]
    written = segment_of([[(series, [1, 2, 3]) for series in many]] * 5)
    index = opened(disk_with(written))
    before = index.bytes_read
    assert len(list(sweep(index, many))) == 1000
    assert index.bytes_read - before <= len(written)


def test_a_sweep_leaves_out_damage_and_keeps_the_numbers() -> None:
    """And lists it."""
    raw = bytearray(segment_of([[(TRAIN, [1, 2])], [(TRAIN, [3])], [(TRAIN, [4])]]))
    place = opened(disk_with(bytes(raw))).catalogues[WRITER].place(1)
    raw[place.offset + place.length - 1] ^= 1
    index = opened(disk_with(bytes(raw)))
    assert [(start, int(block.times[0])) for start, block in sweep(index, [TRAIN])] == [(0, 1), (3, 4)]
    assert [damage.events for damage in index.damage] == [1]


def test_a_frame_of_which_one_copy_is_bad_is_swept_from_the_other() -> None:
    """It was written again after a failed fsync."""
    raw = bytearray(segment_of([[(TRAIN, [1])]]))
    raw[-1] ^= 1
    disk = disk_with(bytes(raw), segment(encode_frame(1, [numbers(1)]), number=2))
    assert [int(block.times[0]) for _, block in sweep(opened(disk), [TRAIN])] == [1]


@given(frames, frames, st.integers(0, 10), st.sets(st.sampled_from(SERIES)))
def test_the_last_rows_of_a_writer_are_its_last_ones_by_frame(
    one: Written, other: Written, limit: int, wanted: set[Series]
) -> None:
    """As many as are asked for, if there are so many, by time; none that was not asked for."""
    index = opened(two_writers(segment_of(one), segment_of(other, LATER_WRITER)))
    rows = last_rows(index, list(wanted), limit)
    assert len(rows) == min(limit, sum(index.count(series) for series in wanted))
    assert [row.time_ns for row in rows] == sorted(row.time_ns for row in rows)
    assert all(row.series in wanted and row.fields == {"n": row.time_ns} for row in rows)


def test_the_last_rows_are_the_latest_of_all_writers() -> None:
    """Where each writer's rows ascend in time."""
    index = opened(
        two_writers(
            segment_of([[(TRAIN, [1, 2])], [(EVAL, [5])], [(TRAIN, [6, 9])]]),
            segment_of([[(TRAIN, [3, 4])], [(TRAIN, [7, 8])]], LATER_WRITER),
        )
    )
    assert [row.time_ns for row in last_rows(index, [TRAIN, EVAL], 4)] == [6, 7, 8, 9]
    assert [row.time_ns for row in last_rows(index, [TRAIN], 5)] == [4, 6, 7, 8, 9]


def test_the_last_rows_of_a_long_journal_read_little_of_it() -> None:
    """Only the frames that have them."""
    index = opened(disk_with(segment_of([[(TRAIN, list(range(100)))]] * 1000)))
    before = index.bytes_read
    assert len(last_rows(index, [TRAIN], 150)) == 150
    assert index.bytes_read - before < 10_000


@pytest.mark.parametrize("last", [None, 0, 1, 2, 9])
def test_rows_of_blocks_come_by_time(last: int | None) -> None:
    """Of each block only the last ones, if that is said."""
    blocks = [
        Block(TRAIN, [5, 1], [Column("n", "i", None, [5, 1])]),
        Block(EVAL, [3], [Column("n", "i", None, [3])]),
    ]
    kept = {None: [1, 3, 5], 0: [], 1: [1, 3], 2: [1, 3, 5], 9: [1, 3, 5]}[last]
    assert [row.time_ns for row in rows_of(blocks, last=last)] == kept


def test_the_name_of_a_journal_is_that_of_its_writer() -> None:
    """The catalogue of each writer is found by its id."""
    index = opened(disk_with(segment_of([[(TRAIN, [1])]])))
    assert list(index.catalogues) == [WRITER]
    assert list(index.files) == [f"j/{NAME}"]


@given(frames, frames, st.sets(st.sampled_from(SERIES)))
def test_end_times_are_those_of_the_first_and_the_last_row(
    one: Written, other: Written, wanted: set[Series]
) -> None:
    """By index, whatever the writers; a series without rows has none."""
    index = opened(two_writers(segment_of(one), segment_of(other, LATER_WRITER)))
    expected = {}
    for series in wanted:
        times = [int(time_ns) for _, block in index.blocks(series) for time_ns in block.times]
        if times:
            expected[series] = (times[0], times[-1])
    assert end_times(index, wanted) == expected


def test_end_times_of_many_series_read_each_frame_once() -> None:
    """The first and the last one here, and none between."""
    many = [Series(Kind.METRIC, f"metric {number}") for number in range(200)]
    written = segment_of([[(series, [1, 2, 3]) for series in many]] * 5)
    index = opened(disk_with(written))
    before = index.bytes_read
    assert end_times(index, many) == dict.fromkeys(many, (1, 3))
    assert index.bytes_read - before <= len(written) / 2


def test_end_times_leave_out_what_cannot_be_read() -> None:
    """Of the other series they are told."""
    raw = bytearray(segment_of([[(TRAIN, [1])], [(EVAL, [2])]]))
    raw[-1] ^= 1
    assert end_times(opened(disk_with(bytes(raw))), [TRAIN, EVAL]) == {TRAIN: (1, 1)}
