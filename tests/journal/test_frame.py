"""Frames and segment headers: layout, checksums, and what is done with bytes that are not of the form."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from ml_dash.errors import JournalVersionError
from ml_dash.journal import frame
from ml_dash.journal.blocks import Block, BlockHead, Column, ColumnHead, block_rows, decode_block
from ml_dash.journal.frame import (
    FRAME_HEADER,
    SYNC,
    FrameHeader,
    data_crc,
    decode_meta,
    decode_segment_header,
    encode_frame,
    encode_segment_header,
    head_crc,
    parse_frame_header,
    parse_segment_name,
    segment_name,
)
from ml_dash.journal.objects import to_msgpack
from ml_dash.series import Kind, Series
from tests.support.examples import many

TRAIN = Block(Series(Kind.METRIC, "train"), [10, 11], [Column("loss", "f", None, [0.5, 0.25])])
LOG = Block(Series(Kind.LOG, None), [12], [Column("message", "o", None, ["hello"])])
WRITER = "0123456789abcdef-1f-89abcdef"


def parts(raw: bytes) -> tuple[bytes, bytes, bytes]:
    """Header, meta and data of a frame."""
    header = parse_frame_header(raw)
    assert header is not None
    split = FRAME_HEADER.size + header.meta_len
    assert len(raw) == split + header.data_len
    return raw[: FRAME_HEADER.size], raw[FRAME_HEADER.size : split], raw[split:]


def head_crc_in(raw_header: bytes) -> int:
    return int.from_bytes(raw_header[-4:], "little")


def flipped(raw: bytes, bit: int) -> bytes:
    changed = bytearray(raw)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_frame_is_laid_out_as_the_format_says() -> None:
    raw = encode_frame(7, [TRAIN])

    marker, meta_len, data_len, seq, stored_data_crc, stored_head_crc = struct.unpack("<4sIIQII", raw[:28])
    meta, data = raw[28 : 28 + meta_len], raw[28 + meta_len :]
    assert (marker, data_len, seq) == (b"\xf1mD\x9a", len(data), 7)
    assert meta == to_msgpack([[1, "train", 2, [["loss", "f", 2, False, 16]]]])
    assert data == struct.pack("<qqdd", 10, 11, 0.5, 0.25)
    assert stored_data_crc == zlib.crc32(struct.pack("<Q", 7) + data) == data_crc(7, data)
    assert stored_head_crc == zlib.crc32(raw[:24] + meta)


def test_the_blocks_of_a_frame_follow_one_another() -> None:
    raw_header, meta, data = parts(encode_frame(1, [TRAIN, LOG]))

    heads = decode_meta(meta, len(data))

    assert head_crc_in(raw_header) == head_crc(raw_header, meta)
    assert heads == [
        BlockHead(TRAIN.series, 2, (ColumnHead("loss", "f", 2, sparse=False, nbytes=16),), 32),
        BlockHead(LOG.series, 1, (ColumnHead("message", "o", 1, sparse=False, nbytes=7),), 15),
    ]
    assert block_rows(decode_block(heads[0], data[:32])) == [{"loss": 0.5}, {"loss": 0.25}]
    assert block_rows(decode_block(heads[1], data[32:])) == [{"message": "hello"}]


def test_a_column_counts_its_row_positions_to_its_bytes() -> None:
    block = Block(TRAIN.series, [0, 1, 2], [Column("lr", "f", [0, 2], [0.1, 0.2])])
    _, meta, data = parts(encode_frame(1, [block]))

    assert decode_meta(meta)[0].columns == (ColumnHead("lr", "f", 2, sparse=True, nbytes=24),)
    assert data[24:] == struct.pack("<IIdd", 0, 2, 0.1, 0.2)


def test_no_header_is_seen_without_its_marker_or_where_bytes_are_missing() -> None:
    raw = encode_frame(1, [TRAIN])

    assert parse_frame_header(raw[:28]) is not None
    assert parse_frame_header(raw[:27]) is None
    assert parse_frame_header(b"") is None
    assert parse_frame_header(b"\x00" + raw) is None
    assert parse_frame_header(memoryview(b"\x00" + raw)[1:]) == parse_frame_header(raw)


def test_the_marker_is_in_no_text() -> None:
    """Scanning for the next frame after damage must not stop at what somebody logged."""
    assert len(SYNC) == 4
    with pytest.raises(UnicodeDecodeError):
        SYNC.decode("utf-8", "surrogatepass")


def test_a_flipped_bit_of_header_or_meta_fails_the_head_checksum() -> None:
    raw_header, meta, _ = parts(encode_frame(3, [TRAIN]))

    for bit in range(8 * (len(raw_header) + len(meta))):
        changed = flipped(raw_header + meta, bit)
        assert head_crc_in(changed[:28]) != head_crc(changed[:28], changed[28:])


def test_a_flipped_bit_of_the_data_and_another_number_fail_the_data_checksum() -> None:
    raw_header, _, data = parts(encode_frame(3, [TRAIN]))
    header = parse_frame_header(raw_header)
    assert header is not None

    assert data_crc(3, data) == header.data_crc
    assert data_crc(4, data) != header.data_crc
    for bit in range(8 * len(data)):
        assert data_crc(3, flipped(data, bit)) != header.data_crc


def test_a_frame_without_blocks_is_a_frame() -> None:
    raw_header, meta, data = parts(encode_frame(1, []))

    assert data == b""
    assert head_crc_in(raw_header) == head_crc(raw_header, meta)
    assert decode_meta(meta, 0) == []


def test_a_frame_longer_than_a_reader_takes_is_refused() -> None:
    length = len(encode_frame(1, [TRAIN]))

    assert len(encode_frame(1, [TRAIN], most=length)) == length
    with pytest.raises(ValueError, match=f"{length} bytes are more than the {length - 1}"):
        encode_frame(1, [TRAIN], most=length - 1)


def test_a_number_is_64_bits_wide() -> None:
    raw = encode_frame(2**64 - 1, [])

    assert parse_frame_header(raw) == FrameHeader(1, 0, 2**64 - 1, *struct.unpack("<II", raw[20:28]))


COLUMN = ["x", "f", 2, False, 16]


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param({}, id="no array"),
        pytest.param([7], id="a block that is no array"),
        pytest.param([[1, "a", 2]], id="a block with too little"),
        pytest.param([["1", "a", 2, []]], id="a kind that is no number"),
        pytest.param([[1, b"a", 2, []]], id="a name that is no text"),
        pytest.param([[1, "a", -1, []]], id="rows below zero"),
        pytest.param([[1, "a", 2.0, []]], id="rows that are no int"),
        pytest.param([[1, "a", 2, {}]], id="columns that are no array"),
        pytest.param([[1, "a", 2, [COLUMN[:4]]]], id="a column with too little"),
        pytest.param([[1, "a", 2, [[7, "f", 2, False, 16]]]], id="a field that is no text"),
        pytest.param([[1, "a", 2, [["x", "f", 1, False, 8]]]], id="a dense column with too few values"),
        pytest.param([[1, "a", 2, [["x", "f", 3, True, 36]]]], id="more values than rows"),
        pytest.param([[1, "a", 2, [["x", "f", -1, True, -12]]]], id="a count below zero"),
        pytest.param([[1, "a", 2, [["x", "f", 2, 0, 16]]]], id="sparse that is no bool"),
        pytest.param([[1, "a", 2, [["x", "f", 2, False, 15]]]], id="floats of another size"),
        pytest.param([[1, "a", 2, [["x", "b", 2, True, 8]]]], id="bools of another size"),
        pytest.param([[1, "a", 2, [["x", "o", 2, False, 2]]]], id="objects that cannot be so small"),
        pytest.param([[1, "a", 2, [["x", "z", 2, True, 7]]]], id="no room for the row positions"),
    ],
)
def test_meta_that_is_not_of_the_form_is_an_error(entries: Any) -> None:
    with pytest.raises(ValueError, match=r"not a block's|not a column's|no array of blocks"):
        decode_meta(to_msgpack(entries))


@pytest.mark.parametrize("meta", [b"", b"\xc1", b"\x91", b"\x90\x90", b"\xdc\xff\xff", b"\x91\xa1\xff"])
def test_meta_that_is_not_msgpack_is_an_error(meta: bytes) -> None:
    with pytest.raises(ValueError, match="not the bytes of one msgpack value"):
        decode_meta(meta)


def test_meta_with_too_many_blocks_is_refused_before_it_is_decoded() -> None:
    meta = b"\xdd" + (1_000_000).to_bytes(4, "big") + 1_000_000 * b"\x94\1\xc0\0\x90"
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="over 65535 blocks"):
            decode_meta(meta)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    with pytest.raises(ValueError, match="65536 blocks do not fit"):
        encode_frame(1, [TRAIN] * 65_536)


def test_sizes_that_do_not_add_up_to_the_data_are_an_error() -> None:
    meta = to_msgpack([[1, "a", 2, [COLUMN]]])

    assert decode_meta(meta, 32)[0].nbytes == 32
    with pytest.raises(ValueError, match="the blocks of a frame have 32 bytes, its data 33"):
        decode_meta(meta, 33)


things = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text("fibo", max_size=2)
    | st.just(COLUMN),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=12,
)


@given(st.binary(max_size=40) | st.lists(things, max_size=4).map(to_msgpack))
@settings(max_examples=many(300))
def test_any_bytes_are_heads_or_a_value_error(meta: bytes) -> None:
    known: dict[bytes, BlockHead] = {}
    try:
        heads = decode_meta(meta)
    except ValueError:
        for _ in range(2):
            with pytest.raises(ValueError, match=r"\w"):
                decode_meta(meta, None, known)
        return
    assert [decode_meta(meta, None, known) for _ in range(2)] == [heads, heads]
    assert all(head.nbytes >= 8 * head.rows >= 0 for head in heads)


def test_a_later_versions_kinds_types_and_items_are_passed_over() -> None:
    """A block of a new kind keeps its number, and its place in the data; new items are ignored."""
    meta = to_msgpack([[99, "a", 1, [["x", "quad", 1, True, 20]], "new"], [1, "a", 2, [[*COLUMN, "new"]]]])

    later, known = decode_meta(meta, 28 + 32)

    assert (later.series.kind, type(later.series.kind), later.nbytes) == (99, int, 28)
    assert later.columns == (ColumnHead("x", "quad", 1, sparse=True, nbytes=20),)
    assert known == BlockHead(
        Series(Kind.METRIC, "a"), 2, (ColumnHead("x", "f", 2, sparse=False, nbytes=16),), 32
    )
    assert isinstance(known.series.kind, Kind)


def test_a_segment_header_is_laid_out_as_the_format_says() -> None:
    raw = encode_segment_header(WRITER, 3, 1_700_000_000_000_000_000, 42)

    magic, version, length, crc = struct.unpack("<4sHHI", raw[:12])
    assert (magic, version, length) == (b"MLDJ", 1, len(raw))
    assert crc == zlib.crc32(raw[:8] + raw[12:])
    assert raw[12:] == to_msgpack(
        {"writer": WRITER, "segment": 3, "created_ns": 1_700_000_000_000_000_000, "first_seq": 42}
    )


def test_a_segment_header_comes_back_from_the_start_of_a_file() -> None:
    raw = encode_segment_header(WRITER, 3, 17, 42)

    header = decode_segment_header(raw + encode_frame(42, [TRAIN]), "x.mldj")

    assert header == frame.SegmentHeader(1, WRITER, 3, 17, 42, len(raw))


def test_a_segment_header_that_is_damaged_or_short_is_none() -> None:
    raw = encode_segment_header(WRITER, 3, 17, 42)

    assert all(decode_segment_header(flipped(raw, bit), "x") is None for bit in range(8 * len(raw)))
    assert all(decode_segment_header(raw[:length], "x") is None for length in range(len(raw)))


def segment_header(version: int, payload: bytes, length: int | None = None) -> bytes:
    head = struct.pack("<4sHH", b"MLDJ", version, 12 + len(payload) if length is None else length)
    return head + struct.pack("<I", zlib.crc32(head + payload)) + payload


FIELDS = {"writer": WRITER, "segment": 3, "created_ns": 17, "first_seq": 42}


def test_a_newer_version_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(JournalVersionError) as caught:
        decode_segment_header(segment_header(2, b"whatever it is"), "/run/a-000001.mldj")

    message = str(caught.value)
    assert "/run/a-000001.mldj has journal format 2" in message
    assert "reads up to 1" in message
    assert "install a newer version" in message


def test_fields_that_a_later_writer_adds_to_a_segment_header_are_ignored() -> None:
    header = decode_segment_header(segment_header(1, to_msgpack({**FIELDS, "host": "gpu7"})), "x")

    assert header is not None
    assert (header.writer, header.segment, header.first_seq) == (WRITER, 3, 42)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(segment_header(1, to_msgpack({**FIELDS, "segment": "3"})), id="a field of another type"),
        pytest.param(segment_header(1, to_msgpack({"writer": WRITER})), id="fields missing"),
        pytest.param(segment_header(1, to_msgpack([])), id="no map"),
        pytest.param(segment_header(1, b"\xc1"), id="no msgpack"),
        pytest.param(segment_header(1, b"", length=11), id="a length below the fixed part"),
    ],
)
def test_a_segment_header_with_a_right_checksum_and_wrong_content_is_none(raw: bytes) -> None:
    assert decode_segment_header(raw, "x") is None


def test_a_segments_name_says_writer_and_number() -> None:
    assert segment_name(WRITER, 7) == f"{WRITER}-000007.mldj"
    assert parse_segment_name(segment_name(WRITER, 7)) == (WRITER, 7)
    assert parse_segment_name(segment_name(WRITER, 12_345_678)) == (WRITER, 12_345_678)


@pytest.mark.parametrize(
    "name",
    [
        "experiment.json",
        "a-000001.mldj.torn",
        "a-000001.mldj.1a2b3c4d.tmp",
        "a-1.mldj",
        "-000001.mldj.",
        "a.cursor",
    ],
)
def test_other_files_are_no_segments(name: str) -> None:
    assert parse_segment_name(name) is None
