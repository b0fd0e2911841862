"""The page that specifies the journal's format says what the code does."""

from __future__ import annotations

import json
import math
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ml_dash.journal.blocks import Block, Column, block_rows, decode_block
from ml_dash.journal.frame import (
    FRAME_HEADER,
    SEGMENT_HEADER,
    SYNC,
    data_crc,
    decode_meta,
    decode_segment_header,
    encode_frame,
    encode_segment_header,
    head_crc,
    parse_frame_header,
    parse_segment_name,
)
from ml_dash.series import Kind, Series
from tests.support.project import PROJECT

PAGE = (PROJECT / "docs" / "journal-format.md").read_text(encoding="utf-8")
START = 1_700_000_000_000_000_000
SECOND = 1_000_000_000

EXAMPLE_FRAMES = [
    [
        Block(
            Series(Kind.METRIC, "train"),
            [START, START + SECOND, START + 2 * SECOND],
            [
                Column("loss", "f", None, [0.5, 0.25, math.nan]),
                Column("lr", "f", [0, 2], [0.1, 0.01]),
                Column("step", "i", None, [0, 1, 2]),
                Column("best", "b", None, [True, True, False]),
                Column("note", "o", [1], ["warm-up"]),
            ],
        ),
        Block(
            Series(Kind.LOG, None),
            [START + SECOND // 2],
            [
                Column("level", "o", None, ["info"]),
                Column("message", "o", None, ["hello"]),
                Column("metadata", "o", None, [None]),
            ],
        ),
    ],
    [Block(Series(Kind.METRIC, "train"), [START + 3 * SECOND], [Column("loss", "f", None, [0.125])])],
]

Row = tuple[int, int, str | None, int, dict[str, Any]]


def code_block(language: str) -> str:
    """The page's only block of code in this language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def dump_lines() -> Iterator[tuple[int, bytes, str]]:
    """Offset, bytes and meaning of each line of the example."""
    for line in code_block("text").splitlines():
        if match := re.fullmatch(r"([0-9a-f]{4})  ((?:[0-9a-f]{2} ?)+)(?: +(.*))?", line):
            yield int(match[1], 16), bytes.fromhex(match[2]), match[3] or ""
        else:
            assert line.startswith("# "), line


@pytest.fixture
def example() -> bytes:
    """The bytes of the example's hex dump."""
    return b"".join(data for _, data, _ in dump_lines())


@pytest.fixture
def name() -> str:
    (found,) = re.findall(r"`([\w-]+\.mldj)`, with two frames", PAGE)
    return str(found)


@pytest.fixture
def page_rows() -> Callable[[bytes], Iterator[Row]]:
    """The page's own reader, which knows nothing of ML-Dash."""
    code = code_block("python")
    assert "ml_dash" not in code
    names: dict[str, Any] = {}
    exec(code, names)
    reader: Callable[[bytes], Iterator[Row]] = names["rows"]
    return reader


def rows_of(raw: bytes) -> list[Row]:
    """What the code reads from a segment without damage."""
    header = decode_segment_header(raw, "segment")
    assert header is not None
    found: list[Row] = []
    offset = header.length
    while offset < len(raw):
        frame = parse_frame_header(raw[offset:])
        assert frame is not None
        split = offset + FRAME_HEADER.size + frame.meta_len
        meta, data = raw[offset + FRAME_HEADER.size : split], raw[split : split + frame.data_len]
        assert head_crc(raw[offset:], meta) == frame.head_crc
        assert data_crc(frame.seq, data) == frame.data_crc
        offset, at = split + frame.data_len, 0
        for head in decode_meta(meta, len(data)):
            block = decode_block(head, data[at : at + head.nbytes])
            at += head.nbytes
            for time, fields in zip(block.times, block_rows(block), strict=True):
                found.append((frame.seq, int(head.series.kind), head.series.name, int(time), fields))
    return found


def expected_rows() -> list[Row]:
    return [tuple(row) for row in json.loads(code_block("json"))]


def test_the_offsets_of_the_example_are_right(example: bytes) -> None:
    offset = 0
    for stated, data, _ in dump_lines():
        assert stated == offset
        offset += len(data)
    assert offset == len(example) == 430


def test_the_code_writes_the_example(example: bytes, name: str) -> None:
    parsed = parse_segment_name(name)
    assert parsed is not None
    writer, segment = parsed

    written = encode_segment_header(writer, segment, START, 1)
    for seq, blocks in enumerate(EXAMPLE_FRAMES, 1):
        written += encode_frame(seq, blocks)

    assert written == example


def test_the_code_reads_the_example(example: bytes, name: str) -> None:
    header = decode_segment_header(example, name)

    assert header is not None
    assert (header.writer, header.segment) == parse_segment_name(name)
    assert repr(rows_of(example)) == repr(expected_rows())


def test_the_pages_reader_reads_the_example(
    example: bytes, page_rows: Callable[[bytes], Iterator[Row]]
) -> None:
    assert repr(list(page_rows(example))) == repr(expected_rows())


def test_the_pages_reader_reads_on_after_damage(
    example: bytes, page_rows: Callable[[bytes], Iterator[Row]]
) -> None:
    """Wherever one byte of the first frame is wrong, the second is found; a torn second one is left out."""
    first = example.index(SYNC)
    second = example.index(SYNC, first + 1)

    for offset in range(first, second):
        damaged = bytearray(example)
        damaged[offset] ^= 0xFF
        assert [row[0] for row in page_rows(bytes(damaged))] == [2]
    for end in range(second, len(example)):
        assert {row[0] for row in page_rows(example[:end])} == {1}


def test_the_pages_reader_and_the_code_agree_on_every_kind_of_column(
    page_rows: Callable[[bytes], Iterator[Row]],
) -> None:
    block = Block(
        Series(Kind.TRACK, "robot/\udc80"),
        [-5, 7, -(2**63), 2**63 - 1],
        [
            Column("x", "f", [0, 3], [-0.0, math.inf]),
            Column("x", "i", [1], [-(2**63)]),
            Column("x", "o", [2], [2**64 - 1]),
            Column("b", "b", [2, 3], [False, True]),
            Column("o", "o", None, [None, {"a": [1, b"\xff"]}, "\ud800", {1.5: True}]),
        ],
    )
    raw = encode_segment_header("w", 1, START, 9) + encode_frame(9, [block]) + encode_frame(10, [])

    assert repr(list(page_rows(raw))) == repr(rows_of(raw))


def test_the_pages_reader_leaves_a_newer_version_alone(
    example: bytes, page_rows: Callable[[bytes], Iterator[Row]]
) -> None:
    with pytest.raises(ValueError, match="newer version"):
        next(page_rows(example[:4] + b"\x02\x00" + example[6:]))


def test_the_tables_name_every_offset_kind_and_type() -> None:
    """The numbers in the page's tables are those of the code."""
    sections = dict(re.findall(r"^##+ (.+?)\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE))

    def offsets(section: str) -> list[int]:
        return [int(offset) for offset in re.findall(r"^\| (\d+) \|", sections[section], re.MULTILINE)]

    assert offsets("Segment header") == [0, 4, 6, 8, SEGMENT_HEADER.size]
    assert offsets("Header, 28 bytes") == [0, 4, 8, 12, 20, 24]
    assert FRAME_HEADER.size == 28
    assert f"`{SYNC.hex(' ')}`" in sections["Header, 28 bytes"]
    assert offsets("Series") == [int(kind) for kind in Kind]
    assert re.findall(r"^\| `(\w)` \|", sections["Data"], re.MULTILINE) == [*"fibo"]


def test_the_checksum_is_the_one_that_the_page_names() -> None:
    assert "`0xCBF43926`" in PAGE
    assert zlib.crc32(b"123456789") == 0xCBF43926


def test_the_head_checksum_covers_what_the_page_says(example: bytes) -> None:
    """Held against the bytes by hand, without the code's own functions."""
    at = example.index(SYNC)
    meta_len, data_len, seq, stored_data, stored_head = struct.unpack("<IIQII", example[at + 4 : at + 28])
    meta, data = at + 28, at + 28 + meta_len

    assert zlib.crc32(example[at : at + 24] + example[meta:data]) == stored_head
    assert zlib.crc32(struct.pack("<Q", seq) + example[data : data + data_len]) == stored_data
