"""The index: which rows there are, whatever happens in whatever order, and at what cost they are read."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from ml_dash.errors import JournalVersionError
from ml_dash.journal.blocks import Block, Column, block_rows, encode_block
from ml_dash.journal.damage import Damage
from ml_dash.journal.frame import FRAME_HEADER, SEGMENT_HEADER, SYNC, data_crc, encode_frame, segment_name
from ml_dash.journal.index import JournalIndex
from ml_dash.journal.objects import to_msgpack
from ml_dash.journal.writer import JournalWriter
from ml_dash.series import Kind, Series
from tests.support.examples import many
from tests.support.journals import (
    EVAL,
    LATER_WRITER,
    NAME,
    TRAIN,
    WRITER,
    MemoryDisk,
    disk_with,
    frame,
    numbers,
    opened,
    read,
    segment,
)

HEADER = len(segment())
PATHS = [f"j/{segment_name(WRITER, number)}" for number in (1, 2, 3)]
LATER_PATH = f"j/{segment_name(LATER_WRITER, 1)}"


def bad_data(raw: bytes) -> bytes:
    return raw[:-1] + bytes([raw[-1] ^ 1])


def bad_head(raw: bytes) -> bytes:
    return raw[:12] + bytes([raw[12] ^ 1]) + raw[13:]


def values(index: JournalIndex, series: Series = TRAIN) -> list[int]:
    return [value for _, value in read(index, series)]


def test_what_the_writer_wrote_is_read(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path / "journal"), WRITER, segment_bytes=300)
    for at in range(10):
        writer.append([numbers(at, at + 100), numbers(-at, series=EVAL)])
    writer.close()

    index = JournalIndex(str(tmp_path / "journal"))
    index.refresh()

    assert values(index) == [value for at in range(10) for value in (at, at + 100)]
    assert values(index, EVAL) == [-at for at in range(10)]
    (info,) = index.writers
    assert info.segments > 1
    assert (info.id, info.frames, info.rows, info.torn_bytes) == (WRITER, 10, 30, 0)
    assert (info.first_ns, info.last_ns) == (0, 109)
    assert info.bytes == sum(path.stat().st_size for path in (tmp_path / "journal").iterdir())
    assert index.damage == []


def test_a_directory_that_is_not_there_is_an_empty_journal(tmp_path: Path) -> None:
    index = JournalIndex(str(tmp_path / "none"))
    index.refresh()

    assert (index.series(Kind.METRIC), index.count(TRAIN), index.writers, index.damage) == ([], 0, [], [])
    assert list(index.blocks(TRAIN)) == []
    assert not (tmp_path / "none").exists()


def test_series_come_in_order_of_first_appearance() -> None:
    names = ["zeta", "alpha", None, "beta"]
    blocks = [numbers(1, series=Series(Kind.METRIC, name)) for name in names]
    blocks.insert(2, numbers(1, series=Series(Kind.TRACK, "pose")))
    disk = disk_with(segment(encode_frame(1, blocks), frame(2, 5)))
    index = opened(disk)
    disk.files[PATHS[0]] += encode_frame(3, blocks[::-1])
    index.refresh()

    assert index.series(Kind.METRIC) == [Series(Kind.METRIC, name) for name in (*names, "train")]
    assert index.series(Kind.TRACK) == [Series(Kind.TRACK, "pose")]
    assert index.series(Kind.LOG) == []


def test_a_block_without_rows_makes_no_series() -> None:
    index = opened(disk_with(segment(frame(1))))

    assert (index.series(Kind.METRIC), values(index)) == ([], [])


def test_blocks_are_those_that_have_the_rows_asked_for() -> None:
    index = opened(disk_with(segment(frame(1, 0, 1), frame(2, 2, 3, 4), frame(3, 5))))

    def firsts(start: int, stop: int | None) -> list[int]:
        return [first for first, _ in index.blocks(TRAIN, start, stop)]

    assert firsts(0, None) == [0, 2, 5]
    assert firsts(1, 2) == [0]
    assert firsts(2, 3) == [2]
    assert firsts(4, 6) == [2, 5]
    assert firsts(5, 100) == [5]
    assert firsts(-3, 1) == [0]
    assert firsts(3, 3) == firsts(4, 2) == firsts(6, None) == firsts(0, 0) == []
    assert list(index.blocks(EVAL)) == []


def test_opening_reads_little_and_reading_some_rows_reads_their_frames_only() -> None:
    frames = [frame(seq + 1, *range(seq * 1000, (seq + 1) * 1000)) for seq in range(300)]
    raw = segment(*frames)
    index = opened(disk_with(raw))
    opening = index.bytes_read
    assert index.count(TRAIN) == 300_000

    found = read(index, TRAIN, 123_456, 123_556)

    assert found == [(at, at) for at in range(123_456, 123_556)]
    assert index.bytes_read - opening <= 2 * len(frames[0])


def test_a_refresh_reads_only_what_was_appended() -> None:
    frames = [frame(seq, *range(500)) for seq in range(1, 301)]
    disk = disk_with(segment(*frames[:-1]))
    index = opened(disk)
    before = index.bytes_read
    disk.files[PATHS[0]] += frames[-1]

    index.refresh()

    assert 0 < index.bytes_read - before <= len(frames[-1])
    assert index.count(TRAIN) == 300 * 500
    before = index.bytes_read
    index.refresh()
    assert index.bytes_read == before


def test_large_frames_are_opened_without_reading_their_data() -> None:
    raw = segment(*(frame(seq, *range(20_000)) for seq in range(1, 11)))
    index = opened(disk_with(raw))

    assert index.count(TRAIN) == 200_000
    assert index.bytes_read < len(raw) / 20


def test_a_block_costs_at_most_64_bytes_of_memory() -> None:
    count = 20_000
    disk = disk_with(segment(*(frame(seq, seq) for seq in range(1, count + 1))))
    tracemalloc.start()
    try:
        index = opened(disk)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert index.count(TRAIN) == count
    assert size / count <= 64


def test_writers_are_read_in_the_order_of_their_ids() -> None:
    disk = MemoryDisk({LATER_PATH: segment(frame(1, 3), writer=LATER_WRITER)})
    index = opened(disk)
    assert read(index) == [(0, 3)]

    disk.files[PATHS[0]] = segment(frame(1, 1), frame(2, 2))
    index.refresh()

    assert read(index) == [(0, 1), (1, 2), (2, 3)]
    assert read(index, TRAIN, 1, 3) == [(1, 2), (2, 3)]
    assert [info.id for info in index.writers] == [WRITER, LATER_WRITER]
    assert index.damage == []


def test_frames_that_were_written_again_count_once() -> None:
    """A writer whose fsync failed writes the frames that it cannot trust into its next segment."""
    first = segment(frame(1, 1), frame(2, 2), frame(3, 3))
    second = segment(frame(2, 2), frame(3, 3), frame(4, 4), number=2, first_seq=2)
    index = opened(disk_with(first, second))

    assert read(index) == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert (index.writers[0].frames, index.writers[0].rows) == (4, 4)
    assert index.damage == []


def test_a_second_copy_is_used_when_the_first_is_bad() -> None:
    first = segment(frame(1, 1), bad_data(frame(2, 2)), bad_head(frame(3, 3)))
    second = segment(frame(2, 2), frame(3, 3), frame(4, 4), number=2, first_seq=2)
    index = opened(disk_with(first, second))

    assert values(index) == [1, 2, 3, 4]
    assert [(damage.frames, damage.events) for damage in index.damage] == [(0, 0)], "nothing is lost"


def test_a_frame_is_lost_once_when_all_its_copies_are_bad() -> None:
    bad = bad_data(frame(2, 2, 3))
    index = opened(disk_with(segment(frame(1, 1), bad), segment(bad, frame(3, 4), number=2, first_seq=2)))

    assert read(index) == [(0, 1), (3, 4)]
    assert [(damage.path, damage.frames, damage.events) for damage in index.damage] == [
        (PATHS[0], 1, 2),
        (PATHS[1], 0, 0),
    ]


def test_a_copy_with_other_blocks_does_not_stand_in() -> None:
    first = segment(frame(1, 1), bad_data(frame(2, 2)))
    second = segment(frame(2, 7, 8), frame(3, 3), number=2, first_seq=2)
    index = opened(disk_with(first, second))

    assert read(index) == [(0, 1), (2, 3)]


def test_damaged_data_keeps_its_row_numbers_and_is_reported_when_it_is_read() -> None:
    index = opened(disk_with(segment(frame(1, 1), bad_data(frame(2, 2, 3)), frame(3, 4))))
    assert index.damage == []

    assert read(index) == [(0, 1), (3, 4)]
    assert index.count(TRAIN) == 4
    damage = index.damage
    assert damage == [
        Damage(PATHS[0], HEADER + len(frame(1, 1)), len(frame(2, 2, 3)), damage[0].reason, 1, 2)
    ]
    assert "data" in damage[0].reason
    assert read(index) == [(0, 1), (3, 4)]
    assert index.damage == damage, "told once, however often it is read"


def test_data_that_becomes_right_is_no_damage_any_more() -> None:
    """On a network file system the length of a file may be seen before its content."""
    disk = disk_with(segment(bad_data(frame(1, 1))))
    index = opened(disk)
    assert values(index) == []

    disk.files[PATHS[0]] = segment(frame(1, 1))

    assert values(index) == [1]
    assert index.damage == []


def test_data_that_its_meta_does_not_describe_is_damage() -> None:
    block = Block(TRAIN, [1], [Column("n", "o", None, [None])])
    entry, _ = encode_block(block)
    meta, data = to_msgpack([entry]), bytes(8) + b"\x91\xc1"
    checked = FRAME_HEADER.pack(SYNC, len(meta), len(data), 1, data_crc(1, data), 0)[:-4]
    raw = checked + zlib.crc32(meta, zlib.crc32(checked)).to_bytes(4, "little") + meta + data
    index = opened(disk_with(segment(raw, frame(2, 2))))

    assert read(index) == [(1, 2)]
    assert [(damage.frames, damage.events) for damage in index.damage] == [(1, 1)]


def test_missing_numbers_are_reported_where_frames_go_on() -> None:
    disk = disk_with(segment(frame(3, 3), frame(4, 4), frame(7, 7), first_seq=1))
    index = opened(disk)

    assert values(index) == [3, 4, 7]
    assert [(damage.offset, damage.length, damage.frames, damage.events) for damage in index.damage] == [
        (HEADER, 0, 2, None),
        (HEADER + len(frame(3, 3) + frame(4, 4)), 0, 2, None),
    ]
    assert [damage.reason for damage in index.damage] == [
        "frames 1 to 2 are missing",
        "frames 5 to 6 are missing",
    ]


def test_a_hole_tells_how_many_frames_were_in_it() -> None:
    raw = segment(frame(1, 1), bad_head(frame(2, 2)), bad_head(frame(3, 3)), frame(4, 4))
    index = opened(disk_with(raw))

    assert values(index) == [1, 4]
    assert [(damage.offset, damage.length, damage.frames, damage.events) for damage in index.damage] == [
        (HEADER + len(frame(1, 1)), 2 * len(frame(2, 2)), 2, None)
    ]


def test_garbage_between_frames_is_reported_and_costs_no_frame() -> None:
    index = opened(disk_with(segment(frame(1, 1), b"garbage", frame(2, 2))))

    assert values(index) == [1, 2]
    assert [(damage.length, damage.frames, damage.events) for damage in index.damage] == [(7, 0, 0)]


def test_a_torn_tail_of_the_last_segment_is_not_yet_a_frame() -> None:
    disk = disk_with(segment(frame(1, 1)), segment(frame(2, 2), frame(3, 3)[:-1], number=2, first_seq=2))
    index = opened(disk)

    assert (values(index), index.damage) == ([1, 2], [])
    assert index.writers[0].torn_bytes == len(frame(3, 3)) - 1
    assert index.torn == {PATHS[1]: len(frame(3, 3)) - 1}

    disk.files[PATHS[1]] += frame(3, 3)[-1:]
    index.refresh()

    assert (values(index), index.writers[0].torn_bytes, index.torn) == ([1, 2, 3], 0, {})


def test_a_torn_tail_of_an_earlier_segment_is_harmless_if_the_numbers_go_on() -> None:
    torn = segment(frame(1, 1), frame(2, 2)[:-1])
    whole = opened(disk_with(torn, segment(frame(2, 2), number=2, first_seq=2)))
    lossy = opened(disk_with(torn, segment(frame(3, 3), number=2, first_seq=3)))

    assert (values(whole), whole.damage) == ([1, 2], [])
    assert values(lossy) == [1, 3]
    assert [(damage.path, damage.offset, damage.frames) for damage in lossy.damage] == [
        (PATHS[0], HEADER + len(frame(1, 1)), 1)
    ]


def test_a_writer_of_whom_only_a_torn_header_is_there_has_no_frames_yet() -> None:
    disk = disk_with(segment()[:20])
    index = opened(disk)

    assert index.damage == []
    assert index.writers == [(WRITER, 1, 0, 0, 20, None, None, 20)]
    disk.files[PATHS[0]] = segment(frame(1, 1))
    index.refresh()
    assert values(index) == [1]


def test_segments_may_become_visible_in_any_order() -> None:
    segments = [
        segment(frame(1, 1), frame(2, 2)),
        segment(frame(3, 3), frame(4, 4), number=2, first_seq=3),
        segment(frame(5, 5), number=3, first_seq=5),
    ]
    for order in ((2, 1, 0), (1, 0, 2), (2, 0, 1)):
        disk = MemoryDisk()
        index = opened(disk)
        for at in order:
            disk.files[PATHS[at]] = segments[at]
            index.refresh()

        assert read(index) == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
        assert read(index, TRAIN, 1, 4) == [(1, 2), (2, 3), (3, 4)]
        assert index.damage == []


def test_frames_in_the_wrong_order_in_a_file_are_put_right() -> None:
    index = opened(disk_with(segment(frame(1, 1), frame(3, 3), frame(2, 2), frame(5, 5), frame(4, 4))))

    assert values(index) == [1, 2, 3, 4, 5]
    assert index.damage == []


def test_series_of_unknown_kinds_are_skipped_and_nothing_else_is() -> None:
    entries = []
    pieces: list[bytes | memoryview] = []
    for kind, value in ((99, 7), (int(Kind.METRIC), 8)):
        entry, data = encode_block(numbers(value))
        entry[0] = kind
        entries.append(entry)
        pieces += data
    meta, data_bytes = to_msgpack(entries), b"".join(pieces)
    checked = FRAME_HEADER.pack(SYNC, len(meta), len(data_bytes), 1, data_crc(1, data_bytes), 0)[:-4]
    raw = checked + zlib.crc32(meta, zlib.crc32(checked)).to_bytes(4, "little") + meta + data_bytes
    index = opened(disk_with(segment(raw, frame(2, 9))))

    assert values(index) == [8, 9]
    assert index.series(Kind.METRIC) == [TRAIN]
    assert index.damage == []
    assert (index.writers[0].frames, index.writers[0].rows) == (2, 2)


def test_a_journal_of_a_later_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    start = SEGMENT_HEADER.pack(b"MLDJ", 2, 12, 0)[:8]
    later = start + zlib.crc32(start).to_bytes(4, "little") + b"whatever comes then"
    (tmp_path / NAME).write_bytes(segment(frame(1, 1)))
    newer = tmp_path / segment_name(LATER_WRITER, 1)
    newer.write_bytes(later)
    index = JournalIndex(str(tmp_path))

    for _ in range(2):
        with pytest.raises(JournalVersionError, match=newer.name):
            index.refresh()
    assert newer.read_bytes() == later
    assert len(list(tmp_path.iterdir())) == 2


def test_an_index_that_was_refused_once_is_still_in_order() -> None:
    disk = disk_with(segment(frame(1, 1), frame(2, 2)))
    start = SEGMENT_HEADER.pack(b"MLDJ", 2, 12, 0)[:8]
    disk.files[LATER_PATH] = start + zlib.crc32(start).to_bytes(4, "little")
    index = JournalIndex("j", disk=disk)
    for raw in (segment(frame(1, 1), frame(2, 2)), segment(frame(1, 1))):
        disk.files[PATHS[0]] = raw
        with pytest.raises(JournalVersionError):
            index.refresh()
        assert values(index) == [1, 2][: index.count(TRAIN)]
        assert [info.frames for info in index.writers] == [index.count(TRAIN), 0]

    del disk.files[LATER_PATH]
    index.refresh()

    assert values(index) == [1]


def test_other_files_in_the_directory_are_not_read() -> None:
    disk = disk_with(segment(frame(1, 1)))
    disk.files["j/experiment.json"] = b"{}"
    disk.files[f"{PATHS[0]}.torn"] = segment(frame(2, 2))
    disk.files["j/.hidden.tmp"] = segment(frame(2, 2))
    index = opened(disk)

    assert values(index) == [1]


def test_a_file_of_any_name_is_read_by_what_its_header_says() -> None:
    disk = disk_with(segment(frame(1, 1)))
    disk.files["j/a copy.mldj"] = segment(frame(1, 1), frame(2, 2))
    index = opened(disk)

    assert values(index) == [1, 2]
    assert [(info.id, info.segments) for info in index.writers] == [(WRITER, 2)]


def test_a_file_that_vanishes_is_gone() -> None:
    disk = disk_with(segment(frame(1, 1)), segment(frame(2, 2), number=2), segment(frame(3, 3), number=3))
    disk.files[LATER_PATH] = segment(frame(1, 9), writer=LATER_WRITER)
    index = opened(disk)
    assert values(index) == [1, 2, 3, 9]

    del disk.files[PATHS[1]]
    index.refresh()
    assert values(index) == [1, 3, 9]
    assert [(damage.path, damage.frames) for damage in index.damage] == [(PATHS[2], 1)]

    del disk.files[PATHS[2]]
    index.refresh()
    assert values(index) == [1, 9]
    assert [damage.frames for damage in index.damage] == [2], "the index saw them once"

    del disk.files[PATHS[0]]
    index.refresh()
    assert (values(index), index.damage) == ([9], [])
    assert [info.id for info in index.writers] == [LATER_WRITER]


def test_a_series_whose_rows_are_gone_is_gone() -> None:
    disk = disk_with(segment(frame(1, 1)), segment(frame(2, 2, series=EVAL), number=2))
    index = opened(disk)
    assert index.series(Kind.METRIC) == [TRAIN, EVAL]

    del disk.files[PATHS[0]]
    index.refresh()

    assert index.series(Kind.METRIC) == [EVAL]
    assert index.count(TRAIN) == 0


def test_a_segment_without_frames_may_vanish_without_a_trace() -> None:
    """A writer removes a new segment into which its first frame could not be written."""
    disk = disk_with(segment(frame(1, 1)), segment(number=2, first_seq=2))
    index = opened(disk)
    before = index.bytes_read

    del disk.files[PATHS[1]]
    index.refresh()

    assert (values(index), index.damage) == ([1], [])
    assert index.bytes_read - before == len(frame(1, 1)), "the other segment was not read anew"


def test_a_file_that_shrinks_is_read_anew_and_reported() -> None:
    disk = disk_with(segment(frame(1, 1), frame(2, 2), frame(3, 3)))
    index = opened(disk)

    disk.files[PATHS[0]] = segment(frame(1, 1), frame(2, 2)[:-1])
    index.refresh()

    assert values(index) == [1]
    assert [damage.frames for damage in index.damage] == [2]
    disk.files[PATHS[0]] = segment(frame(1, 1), frame(2, 2), frame(3, 3))
    index.refresh()
    assert (values(index), index.damage) == ([1, 2, 3], [])


@pytest.mark.parametrize("prefix", [b"", b"\0" * 7, frame(9, 9)])
def test_a_file_that_was_replaced_is_read_anew(prefix: bytes) -> None:
    """Its old places mean nothing then: what is there now is found at the next refresh."""
    disk = disk_with(segment(frame(1, 1), frame(2, 2)))
    index = opened(disk)

    disk.files[PATHS[0]] = prefix + segment(frame(1, 5), frame(2, 6), frame(3, 7), b"torn")
    assert set(values(index)) <= {5, 6}, "never anything but what is there"
    index.refresh()

    assert [value for value in values(index) if value != 9] == [5, 6, 7]


def test_a_replaced_file_is_noticed_even_if_nobody_reads_in_between() -> None:
    disk = disk_with(segment(frame(1, 1), frame(2, 2)))
    index = opened(disk)

    disk.files[PATHS[0]] = b"\0" * 7 + segment(frame(1, 5), frame(2, 6), frame(3, 7))
    index.refresh()

    assert values(index) == [5, 6, 7]


def test_a_frame_in_the_place_of_another_is_not_taken_for_it() -> None:
    """Two frames of one length change places: each is intact, and neither is what was indexed there."""
    disk = disk_with(segment(frame(1, 1), frame(2, 2)))
    index = opened(disk)

    disk.files[PATHS[0]] = segment(frame(2, 2), frame(1, 1))
    assert values(index) == []
    index.refresh()

    assert values(index) == [1, 2]


def test_a_file_that_vanishes_while_the_directory_is_read_is_gone() -> None:
    class Vanishing(MemoryDisk):
        def size(self, path: str) -> int:
            raise FileNotFoundError(path)

    index = opened(Vanishing({PATHS[0]: segment(frame(1, 1))}))

    assert (index.count(TRAIN), index.damage) == (0, [])


def test_a_file_that_vanishes_while_rows_are_read_ends_them() -> None:
    disk = disk_with(segment(frame(1, 1), frame(2, 2)))
    index = opened(disk)
    blocks = index.blocks(TRAIN)
    next(blocks)

    disk.files.clear()

    assert list(blocks) == []
    assert [damage.frames for damage in index.damage] == [1]
    index.refresh()
    assert (index.count(TRAIN), index.damage) == (0, [])


def test_a_file_that_cannot_be_read_hides_nothing_else() -> None:
    disk = disk_with(segment(frame(1, 1)))
    disk.broken = PermissionError("not yours")
    index = opened(disk)

    assert values(index) == []
    assert ["not yours" in damage.reason for damage in index.damage] == [True]
    disk.broken = None
    index.refresh()
    assert (values(index), index.damage) == ([1], [])


def test_a_file_that_is_out_of_reach_for_a_while_keeps_its_rows() -> None:
    class OutOfReach(MemoryDisk):
        away = False

        def size(self, path: str) -> int:
            if self.away:
                raise TimeoutError("stale file handle")
            return super().size(path)

    disk = OutOfReach({PATHS[0]: segment(frame(1, 1))})
    index = opened(disk)
    disk.away = disk.broken = TimeoutError("stale file handle")  # type: ignore[assignment]
    index.refresh()
    assert index.count(TRAIN) == 1
    assert values(index) == []

    disk.away, disk.broken = False, None
    index.refresh()
    assert (values(index), index.damage) == ([1], [])


def test_a_file_that_was_never_within_reach_is_reported() -> None:
    """Its rows are missing from every answer, so silence would be a lie."""

    class OutOfReach(MemoryDisk):
        def size(self, path: str) -> int:
            raise TimeoutError("stale file handle")

    index = opened(OutOfReach({PATHS[0]: segment(frame(1, 1))}))
    assert index.count(TRAIN) == 0
    assert [(damage.path, "stale file handle" in damage.reason) for damage in index.damage] == [
        (PATHS[0], True)
    ]


def test_rows_may_be_iterated_over_while_the_index_moves_on() -> None:
    disk = disk_with(segment(frame(1, 1)), segment(frame(4, 4), frame(5, 5), number=2))
    index = opened(disk)
    blocks = index.blocks(TRAIN)
    seen = [next(blocks)]

    disk.files[PATHS[0]] += frame(2, 2) + frame(3, 3)
    index.refresh()

    seen += blocks
    assert [(first, int(block.times[0])) for first, block in seen] == [(0, 1), (1, 4), (2, 5)]
    assert values(index) == [1, 2, 3, 4, 5]


def test_check_reads_every_copy_of_every_frame() -> None:
    first = segment(frame(1, 1, 2), frame(2, 3))
    second = segment(bad_data(frame(2, 3)), bad_data(frame(3, 4)), number=2, first_seq=2)
    index = opened(disk_with(first, second))

    assert index.check_files() == {PATHS[0]: (2, (3, 3)), PATHS[1]: (0, (0, 0))}
    assert [(damage.path, damage.frames, damage.events) for damage in index.damage] == [
        (PATHS[1], 0, 0),
        (PATHS[1], 1, 1),
    ]


def test_the_times_of_a_writer_are_those_of_its_first_and_last_frame() -> None:
    disk = disk_with(segment(frame(1, 50, 40, 60), frame(2, 1), frame(3, 70, 65)))
    index = opened(disk)
    assert index.writers[0][5:7] == (40, 70)
    before = index.bytes_read
    assert index.writers[0][5:7] == (40, 70)
    assert index.bytes_read == before, "they are kept"

    disk.files[PATHS[0]] += bad_data(frame(4, 80))
    index.refresh()

    assert index.writers[0][5:7] == (40, None)


def test_importing_the_index_does_not_import_numpy() -> None:
    code = "import sys, ml_dash.journal.index, ml_dash.journal.verify; assert 'numpy' not in sys.modules"

    subprocess.run([sys.executable, "-c", code], check=True)


@settings(max_examples=many(60))
@given(st.data())
def test_any_history_of_writers_is_read_like_the_lists_that_it_was_made_from(data: st.DataObject) -> None:
    """Writers append to segments, roll them and write frames again; a reader looks in between."""
    disk = MemoryDisk()
    index = opened(disk)
    written: dict[str, dict[Series, list[int]]] = {
        WRITER: {TRAIN: [], EVAL: []},
        LATER_WRITER: {TRAIN: [], EVAL: []},
    }
    frames: dict[str, list[bytes]] = {WRITER: [], LATER_WRITER: []}
    segments = dict.fromkeys(frames, 0)
    counter = 0
    for _ in range(data.draw(st.integers(1, 25))):
        writer = data.draw(st.sampled_from(list(frames)))
        action = data.draw(st.sampled_from(["append", "append", "append", "roll", "refresh"]))
        if action == "refresh":
            index.refresh()
        elif action == "roll" or not segments[writer]:
            again = data.draw(st.integers(0, min(3, len(frames[writer]))))
            segments[writer] += 1
            path = f"j/{segment_name(writer, segments[writer])}"
            rewritten = frames[writer][len(frames[writer]) - again :]
            first_seq = len(frames[writer]) - again + 1
            disk.files[path] = segment(
                *rewritten, writer=writer, number=segments[writer], first_seq=first_seq
            )
        else:
            blocks = []
            for series in data.draw(st.lists(st.sampled_from([TRAIN, EVAL]), min_size=1, max_size=3)):
                size = data.draw(st.integers(1, 4))
                blocks.append(numbers(*range(counter, counter + size), series=series))
                written[writer][series] += range(counter, counter + size)
                counter += size
            frames[writer].append(encode_frame(len(frames[writer]) + 1, blocks))
            disk.files[f"j/{segment_name(writer, segments[writer])}"] += frames[writer][-1]
    index.refresh()

    for series in (TRAIN, EVAL):
        expected = list(enumerate(written[WRITER][series] + written[LATER_WRITER][series]))
        start = data.draw(st.integers(0, len(expected) + 2))
        stop = data.draw(st.integers(0, len(expected) + 2))
        assert index.count(series) == len(expected)
        assert read(index, series) == expected
        assert read(index, series, start, stop) == expected[start:stop]
    assert index.damage == []


def test_rows_of_a_block_are_those_of_its_series_only() -> None:
    """Blocks of one frame share its data, each with its own part of it."""
    blocks = [
        Block(TRAIN, [1, 2], [Column("n", "f", [1], [0.5]), Column("n", "o", [0], ["a" * 30])]),
        Block(EVAL, [3], [Column("ok", "b", None, [True])]),
        Block(TRAIN, [4], [Column("n", "i", None, [7])]),
    ]
    index = opened(disk_with(segment(encode_frame(1, blocks))))

    assert [block_rows(block) for _, block in index.blocks(EVAL)] == [[{"ok": True}]]
    found = [(first, block_rows(block)) for first, block in index.blocks(TRAIN)]
    assert found == [(0, [{"n": "a" * 30}, {"n": 0.5}]), (2, [{"n": 7}])]
