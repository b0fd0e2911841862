"""Frames that arrive: whatever bytes come, they are parsed, or there is a problem that says what and where."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import hypothesis.strategies as st
import pytest
from hypothesis import given

from ml_dash.journal.blocks import Block, Column
from ml_dash.journal.objects import to_msgpack
from ml_dash.protocol import ErrorCode
from ml_dash.series import Kind, Series
from ml_dash.server.errors import ApiError, busy
from ml_dash.server.ingest.frames import Problem, parse_frames, weigh_frames
from ml_dash.server.store import Store
from tests.support.serving import TRAIN, frame, frame_around, frames, numbers, objects

GOOD = b"".join(frames(1, 3, rows=2))


def problem_of(body: bytes) -> Problem:
    parsed = parse_frames(body)
    assert parsed.problem is not None
    return parsed.problem


def test_good_frames_are_parsed_with_their_places_and_times() -> None:
    parsed = parse_frames(GOOD)
    assert parsed.problem is None
    assert [each.seq for each in parsed.frames] == [1, 2, 3]
    assert [GOOD[each.start : each.end] for each in parsed.frames] == frames(1, 3, rows=2)
    block = parsed.frames[1].blocks[0]
    assert (block.head.series, block.head.rows) == (TRAIN, 2)
    assert (block.min_ns, block.max_ns) == (int(numbers(2, 2).times[0]), int(numbers(2, 2).times[1]))


def test_nothing_has_no_frames() -> None:
    assert parse_frames(b"") == ([], None)


def test_an_empty_frame_has_no_blocks() -> None:
    assert [each.blocks for each in parse_frames(frame(1)).frames] == [[]]


@pytest.mark.parametrize("at", range(0, len(GOOD), 7))
def test_a_flipped_byte_is_damage_and_the_frames_before_it_are_good(at: int) -> None:
    body = bytearray(GOOD)
    body[at] ^= 0x40
    parsed = parse_frames(body)
    assert parsed.problem is not None
    assert parsed.problem.code is ErrorCode.DAMAGED
    whole = [each for each in parse_frames(GOOD).frames if each.end <= at]
    assert [each.seq for each in parsed.frames] == [each.seq for each in whole]


@pytest.mark.parametrize("length", range(1, len(frame(1, numbers(0, 1)))))
def test_a_cut_frame_is_damage(length: int) -> None:
    assert problem_of(frame(1, numbers(0, 1))[:length]).code is ErrorCode.DAMAGED


@given(st.binary(max_size=300))
def test_any_bytes_are_answered(body: bytes) -> None:
    parsed = parse_frames(body)
    assert not body or parsed.problem is not None


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_meta_and_data_with_right_checksums_are_parsed_or_malformed(meta: bytes, data: bytes) -> None:
    parsed = parse_frames(frame_around(1, meta, data))
    assert parsed.problem is None or parsed.problem.code is ErrorCode.MALFORMED


def test_numbers_must_ascend_by_one() -> None:
    problem = problem_of(frame(1) + frame(3))
    assert (problem.status, problem.code, problem.seq) == (409, ErrorCode.GAP, 3)


def test_a_frame_is_not_numbered_zero() -> None:
    assert problem_of(frame(0)).code is ErrorCode.MALFORMED


DEEP: object = 1
for _ in range(200):
    DEEP = [DEEP]

MALFORMED = {
    "a block without rows": frame_around(1, to_msgpack([[1, None, 0, []]])),
    "a meta that is too long": frame_around(1, to_msgpack([[1, "x" * (17 << 20), 1, []]]), bytes(8)),
    "no array": frame_around(1, to_msgpack({"a": 1})),
    "data that the meta does not tell of": frame_around(1, to_msgpack([]), b"x"),
    "a block's name that is too long": frame(1, numbers(0, 1, Series(Kind.METRIC, "x" * 1025))),
    "a field's name that is too long": frame(1, Block(TRAIN, [1], [Column("x" * 70_000, "i", None, [1])])),
    "a kind below 1": frame_around(1, to_msgpack([[0, None, 0, []]])),
    "a number of rows that is True": frame_around(1, to_msgpack([[1, None, True, []]]), bytes(8)),
    "a bool of 2": frame_around(1, to_msgpack([[1, None, 1, [["x", "b", 1, False, 1]]]]), bytes(8) + b"\2"),
    "positions that do not ascend": frame_around(
        1, to_msgpack([[1, None, 2, [["x", "b", 2, True, 10]]]]), bytes(16) + bytes(8) + b"\1\1"
    ),
    "objects that are no msgpack": frame_around(
        1, to_msgpack([[1, None, 1, [["x", "o", 1, False, 2]]]]), bytes(8) + b"\xc1\xc1"
    ),
    "a column twice": frame(1, Block(TRAIN, [1], [Column("x", "i", None, [1]), Column("x", "i", None, [2])])),
    "two values in one row": frame(
        1, Block(TRAIN, [1, 2], [Column("x", "i", None, [1, 2]), Column("x", "f", [1], [2.0])])
    ),
    "a value that is nested too deep": frame(1, objects(TRAIN, [(1, {"x": DEEP})])),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_contents_that_are_none_are_malformed(body: bytes) -> None:
    problem = problem_of(body)
    assert (problem.status, problem.code, problem.seq) == (422, ErrorCode.MALFORMED, 1)


def lists_in_columns(seq: int, columns: int, lists: int) -> bytes:
    """A frame of one row, with as many lists in each column."""
    heads = [[f"x{at}", "o", 1, False, lists + 6] for at in range(columns)]
    value = b"\x91\xdd" + lists.to_bytes(4, "big") + bytes([0x90]) * lists
    return frame_around(seq, to_msgpack([[1, None, 1, heads]]), bytes(8) + value * columns)


# made when they are asked for: all workers of a run look at this file, and have no use for a hundred megabytes
BOMBS: dict[str, Callable[[], bytes]] = {
    "empty blocks": lambda: frame_around(
        1, b"\xdd" + (2_000_000).to_bytes(4, "big") + 2_000_000 * b"\x94\1\xc0\0\x90"
    ),
    "lists in a value": lambda: frame_around(
        1,
        to_msgpack([[1, None, 1, [["x", "o", 1, False, 20_000_006]]]]),
        bytes(8) + b"\x91\xdd" + (20_000_000).to_bytes(4, "big") + bytes([0x90]) * 20_000_000,
    ),
    "as many blocks as there may be": lambda: frame_around(1, b"\xdc\xff\xff" + 0xFFFF * b"\x94\1\xc0\0\x90"),
    "a block's columns": lambda: frame_around(
        1, b"\x91\x94\1\xc0\1\xdd" + (10_000_000).to_bytes(4, "big") + bytes([0x90]) * 10_000_000, bytes(8)
    ),
    "lists in many values": lambda: frame_around(
        1,
        to_msgpack([[1, None, 1, [["x", "o", 1, False, 16_000_000 + 1600 + 4]]]]),
        bytes(8) + b"\x91\xdc\x06\x40" + 1600 * (b"\xdc\x27\x10" + bytes([0x80]) * 9_998),
    ),
}
BOMBS["lists in many columns"] = lambda: lists_in_columns(1, 10, 1_000_000)
BOMBS["lists in many blocks"] = lambda: frame_around(
    1,
    to_msgpack([[1, str(at), 1, [["x", "o", 1, False, 1_000_006]]] for at in range(10)]),
    10 * (bytes(8) + b"\x91\xdd" + (1_000_000).to_bytes(4, "big") + bytes([0x90]) * 1_000_000),
)
QUICKLY_MADE = {"a block's columns"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name, marks=[] if name in QUICKLY_MADE else pytest.mark.slow)
        for name, make in BOMBS.items()
    ],
)
def test_what_would_become_many_times_its_size_is_refused_before_it_does(make: Callable[[], bytes]) -> None:
    body = make()
    tracemalloc.start()
    try:
        problem = problem_of(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (problem.status, problem.code) == (422, ErrorCode.MALFORMED)
    assert peak < len(body) + (64 << 20)


@pytest.mark.slow
def test_many_lists_that_somebody_may_have_logged_are_taken() -> None:
    boxes = [[[1, 2, 3, 4]] * 100] * 3_000
    assert parse_frames(frame(1, objects(TRAIN, [(1, {"boxes": boxes})]))).problem is None


def test_the_frames_before_a_malformed_one_are_good() -> None:
    parsed = parse_frames(frame(1) + frame_around(2, b"\xc1") + frame(3))
    assert [each.seq for each in parsed.frames] == [1]
    assert parsed.problem is not None
    assert parsed.problem.seq == 2


def test_what_a_later_version_brings_is_kept_and_not_interpreted() -> None:
    later_kind = frame_around(
        1, to_msgpack([[77, "x", 1, [["f", "?", 1, False, 3]], "more"]]), bytes(8) + b"abc"
    )
    blocks = parse_frames(later_kind).frames[0].blocks
    assert [(block.head.series.kind, block.block) for block in blocks] == [(77, None)]
    assert blocks[0].entry == to_msgpack([77, "x", 1, [["f", "?", 1, False, 3]], "more"])


def test_a_field_may_have_values_of_several_types_in_several_rows() -> None:
    mixed = Block(TRAIN, [1, 2], [Column("x", "i", [0], [1]), Column("x", "f", [1], [2.0])])
    assert parse_frames(frame(1, mixed)).problem is None


@pytest.mark.slow
def test_frames_whose_objects_would_fill_the_memory_together_are_taken_some_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answer says which, and the client goes on from there; one alone is taken whatever it has."""
    each = lists_in_columns(1, 2, 50_000)
    (weight,) = weigh_frames(each)
    assert weight is not None
    assert 100_000 * 56 <= weight <= 100_000 * 80
    body = b"".join(lists_in_columns(seq, 2, 50_000) for seq in range(1, 6))
    for most, taken in ((2 * weight, 2), (weight - 1, 1), (5 * weight, 5)):
        monkeypatch.setattr("ml_dash.server.ingest.frames._DECODED_BYTES_MAX", most)
        parsed = parse_frames(body)
        assert ([frame.seq for frame in parsed.frames], parsed.problem) == (list(range(1, taken + 1)), None)


async def test_objects_are_weighed_and_paid_for_before_they_are_decoded(store: Store) -> None:
    asked: list[int] = []

    def refuse(size: int) -> None:
        asked.append(size)
        raise busy("others have the memory")

    body = lists_in_columns(1, 2, 50_000)
    with pytest.raises(ApiError, match="others have the memory"):
        await store.ingest.submit("exp_1", "w", body, None, refuse)
    assert asked == [len(body) + sum(filter(None, weigh_frames(body)))]
