"""Scanning one segment file: what is a frame is found, once; what is none is stepped over, or waited for."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given, strategies as st

from ml_dash.errors import JournalVersionError
from ml_dash.journal.blocks import Block, Column
from ml_dash.journal.frame import FRAME_HEADER, SEGMENT_HEADER, SYNC, data_crc, encode_frame
from ml_dash.journal.objects import to_msgpack
from ml_dash.journal.reader import BadFrameError, Reader, read_frame
from ml_dash.journal.scan import Frame, SegmentScan
from ml_dash.series import Kind, Series
from tests.support.journals import LATER_WRITER, NAME, WRITER, MemoryDisk, frame, segment

PATH = f"j/{NAME}"
HEADER = len(segment())
ONE, TWO, THREE, FOUR = (frame(seq, seq * 10, seq * 10 + 1) for seq in (1, 2, 3, 4))


def scan_of(raw: bytes, path: str = PATH) -> tuple[SegmentScan, MemoryDisk]:
    disk = MemoryDisk({path: raw})
    return SegmentScan(path, Reader(disk)), disk


def frames_in(raw: bytes) -> tuple[list[int], SegmentScan]:
    """The numbers of the frames found in a file, and the scan that found them."""
    scan, _ = scan_of(raw)
    return [found.seq for found in scan.advance(len(raw))], scan


def raw_frame(seq: int, meta: bytes, data: bytes) -> bytes:
    """A frame with any meta, its checksums right."""
    checked = FRAME_HEADER.pack(SYNC, len(meta), len(data), seq, data_crc(seq, data), 0)[:-4]
    return checked + zlib.crc32(meta, zlib.crc32(checked)).to_bytes(4, "little") + meta + data


def flipped(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def big_frame(seq: int, rows: int = 20_000) -> bytes:
    return encode_frame(
        seq, [Block(Series(Kind.METRIC, None), range(rows), [Column("x", "f", None, [0.5] * rows)])]
    )


def test_frames_are_found_in_order_with_their_places() -> None:
    raw = segment(ONE, TWO)
    scan, _ = scan_of(raw)

    found = list(scan.advance(len(raw)))

    assert [(each.seq, each.offset, each.length) for each in found] == [
        (1, HEADER, len(ONE)),
        (2, HEADER + len(ONE), len(TWO)),
    ]
    assert [head.rows for head in found[0].heads] == [2]
    assert (scan.writer, scan.number, scan.end, scan.last_seq) == (WRITER, 1, len(raw), 2)
    assert scan.holes == []


def test_a_frame_is_found_once_however_the_file_grows() -> None:
    whole = segment(ONE, TWO, THREE)
    scan, disk = scan_of(b"")
    found: list[tuple[int, int]] = []

    for size in range(len(whole) + 1):
        disk.files[PATH] = whole[:size]
        found += [(size, each.seq) for each in scan.advance(size)]

    ends = [HEADER + len(ONE), HEADER + len(ONE + TWO), len(whole)]
    assert found == list(zip(ends, [1, 2, 3], strict=True)), "each frame as soon as it is whole"
    assert scan.holes == []


def test_going_on_reads_only_what_is_new() -> None:
    raw = segment(big_frame(1), TWO)
    scan, disk = scan_of(raw[: -len(TWO)])
    list(scan.advance(len(raw) - len(TWO)))
    disk.files[PATH] = raw
    disk.reads.clear()

    assert [found.seq for found in scan.advance(len(raw))] == [2]
    assert disk.reads == [(len(raw) - len(TWO), len(TWO))]


def test_the_data_of_large_frames_is_not_read() -> None:
    raw = segment(*(big_frame(seq) for seq in range(1, 21)))
    scan, disk = scan_of(raw)

    assert len(list(scan.advance(len(raw)))) == 20
    assert sum(length for _, length in disk.reads) < len(raw) / 30


def test_small_frames_are_read_many_at_once() -> None:
    raw = segment(*(frame(seq, seq) for seq in range(1, 5001)))
    scan, disk = scan_of(raw)

    assert len(list(scan.advance(len(raw)))) == 5000
    assert len(disk.reads) < 10
    assert sum(length for _, length in disk.reads) < 1.01 * len(raw)


def test_equal_metas_are_decoded_once() -> None:
    raw = segment(ONE, TWO)
    scan, _ = scan_of(raw)

    first, second = scan.advance(len(raw))

    assert first.heads is second.heads


def test_metas_that_are_all_different_do_not_pile_up() -> None:
    reader = Reader(MemoryDisk())
    names = [f"{'x' * 10_000}{at}" for at in range(2000)]

    for name in names:
        reader.heads(to_msgpack([[1, name, 0, []]]), 0)

    assert len(reader._metas) < 500
    assert len(reader._entries) < 500
    for name in names:
        with pytest.raises(ValueError, match="not a block's entry"):
            reader.heads(to_msgpack([[1, name, 0, []], [1]]), 0)
    assert len(reader._entries) < 500


def test_an_entry_that_comes_again_beside_others_is_decoded_once() -> None:
    """Frames of a run with thousands of metrics differ in some of their entries, and each is read again and again."""
    reader = Reader(MemoryDisk())
    entries = [[1, f"metric {at}", 0, []] for at in range(100)]
    first = reader.heads(to_msgpack(entries), 0)
    second = reader.heads(to_msgpack([*entries[:50], [1, "another", 0, []], *entries[51:]]), 0)
    assert [one is other for one, other in zip(first, second, strict=True)].count(False) == 1
    assert len(reader._entries) == 101


def test_a_torn_tail_is_waited_for() -> None:
    for size in range(HEADER + len(ONE) + 1, HEADER + len(ONE + TWO)):
        seqs, scan = frames_in(segment(ONE, TWO)[:size])
        assert (seqs, scan.end, scan.holes) == ([1], HEADER + len(ONE), [])


def test_a_torn_tail_is_not_searched_again_until_the_file_grows() -> None:
    raw = segment(ONE) + bytes(5000)
    scan, disk = scan_of(raw)
    list(scan.advance(len(raw)))
    disk.reads.clear()

    assert list(scan.advance(len(raw))) == []
    assert len(disk.reads) == 1, "only the place where the next frame begins is looked at"


@pytest.mark.parametrize("at", [0, 5, 9, 12, 20, 25, FRAME_HEADER.size + 3])
def test_a_frame_with_a_bad_head_is_stepped_over(at: int) -> None:
    seqs, scan = frames_in(segment(ONE, flipped(TWO, at), THREE))

    assert seqs == [1, 3]
    (hole,) = scan.holes
    assert hole[:2] == (HEADER + len(ONE), len(TWO))
    assert hole.after == 1


def test_frames_are_found_behind_garbage_of_any_kind() -> None:
    for garbage in (b"x", bytes(10_000), SYNC * 300, SYNC + b"\xff" * 5000, b"MLDJ" * 50, b"\xf1mD"):
        seqs, scan = frames_in(segment(ONE) + garbage + TWO)

        assert seqs == [1, 2], garbage[:8]
        assert scan.holes[0][:2] == (HEADER + len(ONE), len(garbage))


def test_a_marker_across_two_windows_of_the_search_is_found() -> None:
    for garbage in range((1 << 20) - 4, (1 << 20) + 2):
        assert frames_in(segment(ONE) + bytes(garbage) + TWO)[0] == [1, 2]


def test_bytes_missing_in_a_frame_do_not_cost_the_frames_after_it() -> None:
    """The lengths of the second frame reach into the third, and past the end of the file."""
    for rest in ([THREE], [THREE, FOUR]):
        for cut in range(1, 16):
            seqs, scan = frames_in(segment(ONE, TWO[:-cut], *rest))

            assert seqs[-len(rest) :] == list(range(3, 3 + len(rest)))
            assert 1 in seqs
            assert len(scan.holes) == 1


def test_no_read_goes_beyond_what_a_length_may_claim() -> None:
    """A length field of 4 GiB is nothing but a bad frame."""
    for field in (4, 8):
        huge = ONE[:field] + b"\xff\xff\xff\xff" + ONE[field + 4 :]
        raw = segment(huge, TWO)
        scan, disk = scan_of(raw)

        assert [found.seq for found in scan.advance(len(raw))] == [2]
        assert all(offset + length <= len(raw) for offset, length in disk.reads)


def test_a_length_with_a_right_checksum_is_still_held_against_the_file() -> None:
    checked = FRAME_HEADER.pack(SYNC, 1, 0xFFFFFFFF, 2, 0, 0)[:-4]
    huge = checked + zlib.crc32(b"\x90", zlib.crc32(checked)).to_bytes(4, "little") + b"\x90"
    raw = segment(ONE, huge)
    scan, disk = scan_of(raw)

    assert [found.seq for found in scan.advance(len(raw))] == [1]
    assert all(offset + length <= len(raw) for offset, length in disk.reads)


def test_a_frame_logged_inside_a_damaged_one_does_not_pass_for_real() -> None:
    """Somebody may log a journal's bytes: they are data, even when the header around them is damaged."""
    column = Column("blob", "o", None, [frame(7, 666)])
    outer = encode_frame(2, [Block(Series(Kind.METRIC, None), [1], [column])])

    assert frames_in(segment(ONE, flipped(outer, 24), THREE))[0] == [1, 3]


def test_a_length_that_points_past_good_frames_is_not_followed() -> None:
    """All frames have one length here, so that a damaged length can point to the start of a later frame."""
    longer = int.from_bytes(TWO[8:12], "little") + len(THREE)
    wrong = TWO[:8] + longer.to_bytes(4, "little") + TWO[12:]

    assert frames_in(segment(ONE, wrong, THREE, FOUR))[0] == [1, 3, 4]


def test_frames_are_found_without_the_segments_header() -> None:
    for header in (b"", b"\0" * HEADER, flipped(segment(), 20), segment()[:9]):
        seqs, scan = frames_in(header + ONE + TWO)

        assert seqs == [1, 2]
        assert (scan.header, scan.writer, scan.number) == (None, WRITER, 1), "from the file's name"
        assert [hole[:2] for hole in scan.holes] == [(0, len(header))] * bool(header)


def test_the_header_counts_more_than_the_files_name() -> None:
    scan, _ = scan_of(segment(ONE, number=7), path="j/copy of something.mldj")
    list(scan.advance(len(segment(ONE))))

    assert (scan.writer, scan.number) == (WRITER, 7)


def test_a_file_of_another_name_without_a_header_is_named_by_its_stem() -> None:
    scan, _ = scan_of(ONE, path="j/odd.mldj")

    assert len(list(scan.advance(len(ONE)))) == 1
    assert (scan.writer, scan.number) == ("odd", 0)


def test_an_empty_file_and_one_with_only_a_header_are_in_order() -> None:
    for raw in (b"", segment()):
        seqs, scan = frames_in(raw)
        assert (seqs, scan.holes, scan.end) == ([], [], len(raw))


def test_segments_of_one_writer_in_one_file_are_all_read() -> None:
    """As after `cat a b > c`."""
    raw = segment(ONE, TWO) + segment(THREE, number=2, first_seq=3)

    seqs, scan = frames_in(raw)

    assert (seqs, scan.holes) == ([1, 2, 3], [])


def test_another_writers_segment_in_the_same_file_is_not_taken_for_this_ones() -> None:
    other = segment(ONE, TWO, THREE, writer=LATER_WRITER)
    for first in (segment(ONE), segment(ONE, TWO[:-3])):
        seqs, scan = frames_in(first + other)

        assert seqs in ([1], [1, 2]), "the second is this writer's torn one"
        assert scan.foreign
        assert scan.end <= HEADER + len(ONE + TWO)


def test_a_later_versions_segment_in_the_same_file_is_not_read() -> None:
    start = SEGMENT_HEADER.pack(b"MLDJ", 2, 12, 0)[:8]
    later = start + zlib.crc32(start).to_bytes(4, "little")

    seqs, scan = frames_in(segment(ONE) + later + TWO)

    assert (seqs, scan.foreign) == ([1], True)


def test_a_later_version_is_refused() -> None:
    start = SEGMENT_HEADER.pack(b"MLDJ", 2, 12, 0)[:8]
    raw = start + zlib.crc32(start).to_bytes(4, "little") + ONE

    with pytest.raises(JournalVersionError, match=NAME):
        frames_in(raw)


def test_a_frame_whose_meta_means_nothing_is_stepped_over_as_a_whole() -> None:
    odd = raw_frame(2, to_msgpack({"not": "an array"}), b"123")
    seqs, scan = frames_in(segment(ONE, odd, THREE))

    assert seqs == [1, 3]
    assert scan.holes[0][:2] == (HEADER + len(ONE), len(odd))
    assert "meta" in scan.holes[0].reason


def test_neighbouring_holes_are_one() -> None:
    odd = raw_frame(2, to_msgpack({"not": "an array"}), b"123")
    seqs, scan = frames_in(segment(ONE, odd, odd, bytes(7), FOUR))

    assert seqs == [1, 4]
    assert [hole[:2] for hole in scan.holes] == [(HEADER + len(ONE), 2 * len(odd) + 7)]


def test_after_a_failed_read_the_scan_goes_on_where_it_was() -> None:
    raw = segment(ONE, TWO)
    scan, disk = scan_of(raw)
    disk.broken = OSError("no")
    with pytest.raises(OSError, match="no"):
        list(scan.advance(len(raw)))

    disk.broken = None

    assert [found.seq for found in scan.advance(len(raw))] == [1, 2]


def test_a_file_that_shrinks_while_it_is_read_ends_where_it_ends() -> None:
    raw = segment(ONE, TWO)
    for size in range(len(raw)):
        scan, _ = scan_of(raw[:size])

        seqs = [found.seq for found in scan.advance(len(raw))]

        assert seqs == [1, 2][: len(seqs)]


def test_a_file_that_was_replaced_by_another_is_noticed() -> None:
    scan, disk = scan_of(segment(ONE))
    list(scan.advance(HEADER + len(ONE)))
    disk.files[PATH] = b"\0\0" + segment(ONE, TWO)

    assert list(scan.advance(len(disk.files[PATH]))) == []
    assert scan.moved


PIECES = [ONE, TWO, THREE, FOUR, ONE[:-1], TWO[5:], SYNC, b"MLDJ", segment(), b"\0", b"x" * 40]


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=40), max_size=8), st.integers(1, 100))
def test_any_mixture_of_bytes_is_scanned_without_an_exception(pieces: list[bytes], step: int) -> None:
    raw = segment(*pieces)
    scan, _ = scan_of(raw)

    found: list[Frame] = []
    for size in (*range(0, len(raw), step), len(raw)):
        found += scan.advance(size)

    for each in found:
        original = {1: ONE, 2: TWO, 3: THREE, 4: FOUR}[each.seq]
        assert raw[each.offset :].startswith(original[: each.length - 32]), (
            "header and meta are those written"
        )
        assert each.length == len(original)
    assert all(hole.length > 0 and hole.offset + hole.length <= len(raw) for hole in scan.holes)


@pytest.mark.parametrize("at", range(len(ONE)))
def test_a_whole_frame_is_read_only_if_every_byte_is_right(at: int) -> None:
    for raw, good in ((segment(ONE), True), (segment(flipped(ONE, at)), False)):
        reader = Reader(MemoryDisk({PATH: raw}))
        try:
            heads, data = read_frame(reader, PATH, HEADER, len(ONE), 1)
        except BadFrameError:
            assert not good
        else:
            assert good
            assert [head.rows for head in heads] == [2]
            assert ONE.endswith(data)
