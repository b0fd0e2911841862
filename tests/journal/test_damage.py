"""Damage of every kind: nothing raises, nothing wrong is ever read, and no more is lost than was hit."""

from __future__ import annotations

import bisect
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings, strategies as st

from ml_dash.journal.blocks import Block, Column
from ml_dash.journal.frame import encode_frame, segment_name
from ml_dash.journal.index import JournalIndex
from ml_dash.journal.verify import repair, verify
from ml_dash.series import Kind, Series
from tests.support.examples import many
from tests.support.journals import (
    LATER_WRITER,
    NAME,
    WRITER,
    MemoryDisk,
    Rows,
    disk_with,
    opened,
    read_everything,
    rows_of,
    segment,
)

pytestmark = pytest.mark.crash

TRAIN = Series(Kind.METRIC, "train")
UNNAMED = Series(Kind.METRIC, None)
POSE = Series(Kind.TRACK, "robot/pose")
LOG = Series(Kind.LOG, None)
PARAMS = Series(Kind.PARAMS, None)
RUN = Series(Kind.RUN, None)
PATH = f"j/{NAME}"

NAN, INF = float("nan"), float("inf")
FRAMES: list[list[Block]] = [
    [
        Block(RUN, [1], [Column("event", "o", None, ["start"])]),
        Block(PARAMS, [2], [Column("set", "o", None, [{"model.lr": 0.1, "seed": None}])]),
    ],
    [
        Block(
            TRAIN,
            [10, 11, 12],
            [Column("loss", "f", None, [0.5, NAN, -0.0]), Column("step", "i", [0, 2], [1, -(2**63)])],
        )
    ],
    [
        Block(
            TRAIN,
            [13, 14],
            [Column("ok", "b", None, [True, False]), Column("loss", "f", [0], [INF])],
        ),
        Block(LOG, [15], [Column("message", "o", None, ["grüße \ud800"])]),
    ],
    [Block(POSE, [20, 21], [Column("q", "o", None, [[1, 2.5], {"a": b"\x00"}])])],
    [Block(UNNAMED, [30], [Column("x", "i", None, [7])])],
    [Block(TRAIN, [31, 32], [Column("loss", "i", [1], [5]), Column("loss", "f", [0], [0.125])])],
    [Block(LOG, [40], [Column("message", "o", None, ["bye"]), Column("level", "o", None, ["info"])])],
]
ENCODED = [encode_frame(seq, blocks) for seq, blocks in enumerate(FRAMES, 1)]
WHOLE = segment(*ENCODED)
HEADER = len(segment())
ENDS = list(itertools.accumulate(map(len, ENCODED), initial=HEADER))
"""Where each frame ends; the first entry is where the first begins."""


def rows_in(kept: Iterator[int] | range | list[int]) -> dict[Series, Rows]:
    """All rows of these frames, by position in `FRAMES`."""
    found: dict[Series, Rows] = {}
    for at in kept:
        for block in FRAMES[at]:
            found.setdefault(block.series, []).extend(rows_of([block]))
    return found


ALL = rows_in(range(len(FRAMES)))


def frame_at(position: int) -> int | None:
    """The frame that a byte of `WHOLE` belongs to; None for the segment's header."""
    return bisect.bisect_right(ENDS, position) - 1 if position >= HEADER else None


def all_but(*lost: int | None) -> dict[Series, Rows]:
    return rows_in([at for at in range(len(FRAMES)) if at not in lost])


def assert_nothing_wrong(found: dict[Series, Rows]) -> None:
    """Every row read was written, and is read as often as it was written at most."""
    for series, rows in found.items():
        assert not Counter(rows) - Counter(ALL.get(series, [])), series


def assert_all_but(index: JournalIndex, *lost: int | None) -> None:
    assert read_everything(index) == all_but(*lost)


def test_the_sample_reads_back_exactly() -> None:
    index = opened(disk_with(WHOLE))

    assert read_everything(index) == ALL
    assert index.damage == []
    assert sum(map(len, ALL.values())) == index.writers[0].rows == 14


def test_a_file_cut_at_any_length_gives_the_frames_that_are_wholly_in_it() -> None:
    for size in range(len(WHOLE) + 1):
        index = opened(disk_with(WHOLE[:size]))
        whole = bisect.bisect_right(ENDS, size) - 1

        assert read_everything(index) == rows_in(range(whole)), size
        assert index.damage == [], "a torn end is not damage: it may be a write that is under way"
        assert index.writers[0].torn_bytes == (size - ENDS[whole] if size >= HEADER else size)
        assert verify("j", disk=disk_with(WHOLE[:size])).ok == (size in {0, *ENDS})


def test_a_reader_that_follows_a_file_sees_each_frame_when_it_is_whole() -> None:
    disk = disk_with(b"")
    index = opened(disk)
    for size in range(len(WHOLE) + 1):
        disk.files[PATH] = WHOLE[:size]
        index.refresh()
        if size in ENDS:
            assert read_everything(index) == rows_in(range(ENDS.index(size))), size
    assert (index.damage, index.torn) == ([], {})


@pytest.mark.sample(4)
@pytest.mark.parametrize("bit", range(8))
def test_a_flip_of_any_bit_costs_the_frame_that_was_hit_and_is_reported(bit: int) -> None:
    for position in range(len(WHOLE)):
        raw = bytearray(WHOLE)
        raw[position] ^= 1 << bit
        index = opened(disk_with(bytes(raw)))
        hit = frame_at(position)

        assert read_everything(index) == all_but(hit), position
        told = any(each.offset <= position < each.offset + each.length for each in index.damage)
        torn = hit == len(FRAMES) - 1 and index.torn == {PATH: len(ENCODED[-1])}
        assert told or torn, position
        assert sum(each.frames for each in index.damage) == (hit is not None and not torn), position


def test_a_flip_of_any_byte_in_the_first_of_two_segments_is_told_even_at_its_end() -> None:
    second = segment(*ENCODED[4:], number=2, first_seq=5)
    for position in range(ENDS[4]):
        raw = bytearray(segment(*ENCODED[:4]))
        raw[position] ^= 0xFF
        index = opened(disk_with(bytes(raw), second))

        assert read_everything(index) == all_but(frame_at(position)), position
        assert [each.frames for each in index.damage] == [int(frame_at(position) is not None)], position


def test_a_cut_first_segment_costs_what_was_cut_off() -> None:
    second = segment(*ENCODED[4:], number=2, first_seq=5)
    for size in range(ENDS[4]):
        index = opened(disk_with(segment(*ENCODED[:4])[:size], second))
        whole = max(bisect.bisect_right(ENDS, size) - 1, 0)

        assert read_everything(index) == rows_in([*range(whole), *range(4, 7)]), size
        assert sum(each.frames for each in index.damage) == 4 - whole, size


@pytest.mark.sample(4)
@pytest.mark.parametrize("length", [1, 7, 64, 200])
@pytest.mark.parametrize("fill", [b"\0", b"\xff", b"\xf1mD\x9a"])
def test_overwritten_ranges_cost_the_frames_that_they_touch(fill: bytes, length: int) -> None:
    for start in range(0, len(WHOLE) - length, 5):
        patch = (fill * length)[:length]
        raw = WHOLE[:start] + patch + WHOLE[start + length :]
        hit = {frame_at(at) for at in range(start, start + length) if raw[at] != WHOLE[at]}
        index = opened(disk_with(raw))

        assert read_everything(index) == all_but(*hit), start


@pytest.mark.sample(5)
@pytest.mark.parametrize("length", [1, 8, 33, 150, 400])
def test_removed_ranges_cost_the_frames_that_they_touch(length: int) -> None:
    for start in range(len(WHOLE) - length):
        index = opened(disk_with(WHOLE[:start] + WHOLE[start + length :]))
        hit = {frame_at(at) for at in range(start, start + length)}

        found = read_everything(index)
        assert_nothing_wrong(found)
        for series, rows in all_but(*hit).items():
            assert not Counter(rows) - Counter(found.get(series, [])), (start, series)


@pytest.mark.sample(4)
@pytest.mark.parametrize("length", [1, 8, 33, 150])
def test_inserted_garbage_costs_the_frame_around_it(length: int) -> None:
    garbage = random.Random(length).randbytes(length)
    for start in range(len(WHOLE)):
        index = opened(disk_with(WHOLE[:start] + garbage + WHOLE[start:]))
        hit = None if start in ENDS else frame_at(start)

        assert read_everything(index) == all_but(hit), start


def test_frames_in_any_order_are_all_read() -> None:
    shuffled = ENCODED.copy()
    for seed in range(20):
        random.Random(seed).shuffle(shuffled)
        index = opened(disk_with(segment(*shuffled)))

        assert read_everything(index) == ALL
        assert index.damage == []


def test_garbage_at_the_end_costs_nothing() -> None:
    for garbage in (b"x", bytes(5000), b"\xf1mD\x9a" * 9, WHOLE[5:40], random.Random(1).randbytes(3000)):
        index = opened(disk_with(WHOLE + garbage))

        assert read_everything(index) == ALL
        assert index.damage == []
        assert index.torn == {PATH: len(garbage)}


def test_a_journal_appended_to_itself_is_read_once() -> None:
    for size in (*ENDS, ENDS[3] + 9):
        assert read_everything(opened(disk_with(WHOLE[:size] + WHOLE))) == ALL


def test_another_journal_appended_to_one_is_told_and_not_mixed_in() -> None:
    block = Block(TRAIN, [99], [Column("loss", "f", None, [666.0])])
    others = [encode_frame(seq, [block]) for seq in range(1, 20)]
    other = segment(*others, writer=LATER_WRITER)
    for size in range(HEADER, len(WHOLE) + 1):
        index = opened(disk_with(WHOLE[:size] + other))

        assert read_everything(index) == rows_in(range(bisect.bisect_right(ENDS, size) - 1)), size
        assert any("another writer" in each.reason for each in index.damage), size


def test_files_of_nothing_a_header_or_garbage_are_empty_journals() -> None:
    for raw in (b"", segment(), segment()[:30], b"x" * 1000, b"\xf1mD\x9a" * 1000, b"MLDJ" * 1000):
        index = opened(disk_with(raw))

        assert read_everything(index) == {}
        assert index.damage == []
        assert index.writers[0].torn_bytes == (0 if raw == segment() else len(raw))


@pytest.mark.parametrize(
    "name", ["x.mldj", ".mldj", f"copy of {NAME}", segment_name(LATER_WRITER, 3), "ü.mldj"]
)
def test_a_file_of_another_name_is_read_all_the_same(name: str) -> None:
    index = opened(MemoryDisk({f"j/{name}": WHOLE}))

    assert read_everything(index) == ALL
    assert [info.id for info in index.writers] == [WRITER]


@pytest.mark.parametrize("field", [4, 8])
@pytest.mark.parametrize("value", [0xFFFF_FFFF, 0x7FFF_FFFF, 0, 1, 1 << 20])
def test_a_wrong_length_costs_its_frame_and_no_memory(field: int, value: int) -> None:
    for at in range(len(FRAMES)):
        place = ENDS[at] + field
        raw = WHOLE[:place] + value.to_bytes(4, "little") + WHOLE[place + 4 :]
        disk = disk_with(raw)
        index = opened(disk)

        assert_all_but(index, at)
        assert all(offset + length <= len(raw) for offset, length in disk.reads)


def overwrite(raw: bytes, at: int, patch: bytes) -> bytes:
    return raw[:at] + patch + raw[at + len(patch) :]


def insert(raw: bytes, at: int, patch: bytes) -> bytes:
    return raw[:at] + patch + raw[at:]


def remove(raw: bytes, at: int, patch: bytes) -> bytes:
    return raw[:at] + raw[at + 5 * len(patch) :]


def zero(raw: bytes, at: int, patch: bytes) -> bytes:
    return overwrite(raw, at, bytes(5 * len(patch)))


def repeat(raw: bytes, at: int, patch: bytes) -> bytes:
    return raw[:at] + raw[max(at - 7 * len(patch), 0) :]


def swap(raw: bytes, at: int, patch: bytes) -> bytes:
    middle = at + 3 * len(patch)
    return raw[:at] + raw[middle : middle + 90] + raw[at:middle] + raw[middle + 90 :]


def cut(raw: bytes, at: int, patch: bytes) -> bytes:
    return raw[: max(at, len(raw) // 2)]


Accident = tuple[Callable[[bytes, int, bytes], bytes], int, bytes]

accidents: st.SearchStrategy[list[Accident]] = st.lists(
    st.tuples(
        st.sampled_from([overwrite, insert, remove, zero, repeat, swap, cut]),
        st.integers(0, len(WHOLE)),
        st.binary(min_size=1, max_size=60),
    ),
    min_size=1,
    max_size=4,
)


def after(raw: bytes, happened: list[Accident]) -> bytes:
    for accident, at, patch in happened:
        raw = accident(raw, at, patch)
    return raw


@settings(max_examples=many(300))
@given(accidents)
def test_after_any_accidents_nothing_wrong_is_read(happened: list[Accident]) -> None:
    index = opened(disk_with(after(WHOLE, happened)))

    assert_nothing_wrong(read_everything(index))


@settings(max_examples=many(150))
@given(accidents, accidents)
def test_a_repair_after_any_accidents_keeps_all_that_could_be_read(
    first: list[Accident], second: list[Accident]
) -> None:
    segments = segment(*ENCODED[:4]), segment(*ENCODED[3:], number=2, first_seq=4)
    disk = disk_with(after(segments[0], first), after(segments[1], second))
    before = dict(disk.files)
    readable = read_everything(opened(disk))

    report = repair("j", disk=disk, live=lambda _: False)

    assert report.refused == {}
    assert read_everything(opened(disk)) == readable
    assert {each.path: disk.files[each.original] for each in report.repaired} == {
        path: raw for path, raw in before.items() if disk.files.get(path) != raw
    }
    assert repair("j", disk=disk, live=lambda _: False).repaired == ()
    after_repair = verify("j", disk=disk)
    assert after_repair.torn == {}
    assert all(damage.length == 0 for damage in after_repair.damage), "only what is gone is still missing"


@settings(max_examples=many(100))
@given(accidents, st.integers(1, 200))
def test_nothing_wrong_is_read_through_an_index_that_was_open_before_the_accidents(
    happened: list[Accident], cut_at: int
) -> None:
    disk = disk_with(WHOLE[: len(WHOLE) - cut_at])
    index = opened(disk)
    read_everything(index)

    disk.files[PATH] = after(WHOLE, happened)
    assert_nothing_wrong(read_everything(index))
    index.refresh()
    assert_nothing_wrong(read_everything(index))
