"""Frames and segment headers: the bytes of a journal, specified in ``docs/journal-format.md``.

A frame is a header, its meta (what blocks it has, and where their columns lie) and its data. The header's
own checksum covers the meta, and another covers the data, so that an index can be built from headers and
metas alone without ever trusting a byte that was not checked.
"""

from __future__ import annotations

import os
import reprlib
import struct
import zlib
from typing import TYPE_CHECKING, Any, cast

from ml_dash.errors import NEWER, JournalVersionError
from ml_dash.journal.blocks import (
    POSITION_BYTES,
    TIME_BYTES,
    VALUE_BYTES,
    Block,
    BlockHead,
    ColumnHead,
    encode_block,
    object_columns,
)
from ml_dash.journal.objects import (
    CONTAINERS_MAX,
    check_containers,
    from_msgpack,
    items_of,
    to_msgpack,
    weigh_objects,
)
from ml_dash.protocol import FRAMES_BYTES_MAX
from ml_dash.records import NamedTuple
from ml_dash.series import Kind, Series
from ml_dash.settings import FRAME_BYTES, frame_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMAT_VERSION = 1
MAGIC = b"MLDJ"
SEGMENT_HEADER = struct.Struct("<4sHHI")
"""Magic, format version, length of the whole header, checksum: these 12 bytes are so in every version."""

SYNC = b"\xf1mD\x9a"
"""Starts every frame. It is not valid UTF-8, so that no logged text holds it."""
FRAME_HEADER = struct.Struct("<4sIIQII")
"""Sync marker, length of the meta, length of the data, sequence number, data checksum, head checksum."""

_SEQ = struct.Struct("<Q")
_CHECKED = FRAME_HEADER.size - 4
"""The head checksum covers all that precedes it."""
FRAME_BYTES_MAX = FRAMES_BYTES_MAX
"""Bytes of a frame that a writer writes, by default: what a server takes, too. A frame has a row at least."""
_OF_OLDER_VERSIONS = 2
"""How many times as long a frame may be that is read. Older versions put all that they took at a time into one."""
META_BYTES_MAX = 16 << 20
HEADS_MAX = 1 << 19
"""Lists in a frame's meta: two a block, and one a column. Such a list becomes objects of 400 bytes."""
ROWS_MAX = 1 << 20
"""Rows of a frame. Those without a field take 8 bytes each, and become a dict each."""
BLOCKS_MAX = 0xFFFF
"""Blocks of a frame. A writer has at most as many as it takes events at a time, 8,192; an entry can have five bytes."""
_ARRAY_32 = b"\xdd"
"""How msgpack begins an array of more elements than two bytes can count."""
_KINDS = {int(kind): kind for kind in Kind}
SEGMENT_SUFFIX = ".mldj"
_SEGMENT_DIGITS = 6


class FrameHeader(NamedTuple):
    """The numbers of a frame's header. Lengths are in bytes."""

    meta_len: int
    data_len: int
    seq: int
    data_crc: int
    head_crc: int

    @property
    def length(self) -> int:
        """Length of the whole frame."""
        return FRAME_HEADER.size + self.meta_len + self.data_len

    def split(self, raw: bytes | memoryview) -> RawFrame:
        """Return the parts of the frame, given all its bytes."""
        split = FRAME_HEADER.size + self.meta_len
        return RawFrame(self, raw[:_CHECKED], raw[FRAME_HEADER.size : split], raw[split:])


class RawFrame(NamedTuple):
    """The parts of a frame, as bytes: views where the frame is one. Believe nothing that is not sound."""

    header: FrameHeader
    checked_head: bytes | memoryview
    meta: bytes | memoryview
    data: bytes | memoryview

    @property
    def head_is_sound(self) -> bool:
        """Whether the head checksum is that of header and meta."""
        return head_crc(self.checked_head, self.meta) == self.header.head_crc

    @property
    def data_is_sound(self) -> bool:
        """Whether the data checksum is that of the data."""
        return data_crc(self.header.seq, self.data) == self.header.data_crc

    @property
    def is_sound(self) -> bool:
        """Whether both checksums are right."""
        return self.head_is_sound and self.data_is_sound


class SegmentHeader(NamedTuple):
    """What the start of a segment file says. `length` is the header's own, in bytes."""

    version: int
    writer: str
    segment: int
    created_ns: int
    first_seq: int
    length: int


def data_crc(seq: int, data: bytes | memoryview) -> int:
    """Return a frame's data checksum. It covers the number, so that no frame passes for another."""
    return zlib.crc32(data, zlib.crc32(_SEQ.pack(seq)))


def head_crc(raw_header: bytes | memoryview, meta: bytes | memoryview) -> int:
    """Return a frame's head checksum. It covers the header up to the checksum itself, and the meta."""
    return zlib.crc32(meta, zlib.crc32(raw_header[:_CHECKED]))


def parse_frame_header(raw: bytes | memoryview) -> FrameHeader | None:
    """Return the header at the start of `raw`, unchecked; None where no whole header with its marker is."""
    if len(raw) < FRAME_HEADER.size or raw[: len(SYNC)] != SYNC:
        return None
    return FrameHeader._make(FRAME_HEADER.unpack_from(raw)[1:])


def split_frame(raw: bytes | memoryview) -> RawFrame | None:
    """Return the parts of a frame; None where these are not the bytes of exactly one. Checksums are not looked at."""
    header = parse_frame_header(raw)
    return None if header is None or header.length != len(raw) else header.split(raw)


def longest_read(environ: Mapping[str, str] = os.environ) -> int:
    """Return how many bytes a frame of a journal may have that is read: it is in memory as a whole then.

    Whoever has written longer ones, or trusts who has, says so.
    """
    return _OF_OLDER_VERSIONS * frame_bytes(environ)


def encode_frame(seq: int, blocks: Sequence[Block], *, most: int = FRAME_BYTES_MAX) -> bytes:
    """Return the bytes of the frame with this number.

    Raises:
        ValueError: A column does not fit its block, there are too many blocks, columns or rows, or more than `most`
            bytes, or lists and dicts: no reader would take them.
    """
    entries: list[list[Any]] = []
    pieces: list[bytes | memoryview] = []
    if len(blocks) > BLOCKS_MAX:
        raise ValueError(f"{len(blocks)} blocks do not fit into a frame: {BLOCKS_MAX} do")
    for block in blocks:
        entry, data = encode_block(block)
        entries.append(entry)
        pieces += data
    _check_numbers(
        sum([block.count for block in blocks]), 1 + sum([2 + len(block.columns) for block in blocks])
    )
    meta = to_msgpack(entries)
    data_len = sum(map(len, pieces))
    if len(meta) > META_BYTES_MAX:
        raise ValueError(f"the names of its fields have {len(meta):,} bytes, and {META_BYTES_MAX:,} are read")
    if (length := FRAME_HEADER.size + len(meta) + data_len) > most:
        raise ValueError(
            f"{length:,} bytes are more than the {most:,} of a frame: save what is as large as a file (`exp.files`), "
            f"or set {FRAME_BYTES} where you log and where you read"
        )
    if data_len > CONTAINERS_MAX:
        weigh_frame(decode_meta(meta), b"".join(pieces), CONTAINERS_MAX)
    crc = zlib.crc32(_SEQ.pack(seq))
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    unsealed = FRAME_HEADER.pack(SYNC, len(meta), data_len, seq, crc, 0)
    return b"".join((unsealed[:_CHECKED], head_crc(unsealed, meta).to_bytes(4, "little"), meta, *pieces))


def decode_meta(
    meta: bytes | memoryview, data_len: int | None = None, known: dict[bytes, BlockHead] | None = None
) -> list[BlockHead]:
    """Return what a frame's meta says of its blocks, in order.

    The blocks must fill `data_len` bytes; None leaves that unchecked. The meta's checksum was found right. `known`
    has what entries were decoded to before, and gets those that are new: of a run with thousands of metrics, the same
    come again and again, and to decode one takes thirty times as long as to find it.

    Raises:
        ValueError: The meta is not of the form, has too many blocks, or its sizes do not agree.
    """
    # before anything is decoded: of a megabyte, a million entries would become some hundred megabytes of objects
    if meta[:1] == _ARRAY_32:
        raise ValueError(f"a frame with over {BLOCKS_MAX} blocks")
    if len(meta) > META_BYTES_MAX:
        raise ValueError(f"its meta has {len(meta)} bytes, more than {META_BYTES_MAX}")
    check_containers(meta, HEADS_MAX)
    if known is None:
        match from_msgpack(meta):
            case list() as entries:
                heads = [_block_head(entry) for entry in entries]
            case _:
                raise ValueError("a frame's meta is no array of blocks")
    else:
        heads = [_known_head(entry, known) for entry in items_of(meta)]
    _check_numbers(sum([head.rows for head in heads]))
    total = sum(head.nbytes for head in heads)
    if data_len is not None and total != data_len:
        raise ValueError(f"the blocks of a frame have {total} bytes, its data {data_len}")
    return heads


def weigh_frame(heads: Sequence[BlockHead], data: bytes | memoryview, most: int = CONTAINERS_MAX) -> int:
    """Return about how many bytes the lists and dicts of a frame will take; see `weigh_objects`."""
    view, offset = memoryview(data), 0
    columns: list[memoryview] = []
    for head in heads:
        columns += object_columns(head, view[offset : offset + head.nbytes])
        offset += head.nbytes
    return weigh_objects(columns, most)


def _check_numbers(rows: int, heads: int = 0) -> None:
    if rows > ROWS_MAX:
        raise ValueError(f"a frame of {rows:,} rows, more than {ROWS_MAX:,}")
    if heads > HEADS_MAX:
        raise ValueError(f"a frame of {heads:,} blocks and columns, more than {HEADS_MAX:,}")


def _known_head(entry: bytes, known: dict[bytes, BlockHead]) -> BlockHead:
    head = known.get(entry)
    if head is None:
        head = known[entry] = _block_head(from_msgpack(entry))
    return head


def _block_head(entry: object) -> BlockHead:
    match entry:
        # `int() as kind`, for `int(kind)` costs ten times as much
        case [int() as kind, str() | None as name, int() as rows, list() as columns, *_] if rows >= 0:
            heads = tuple([_column_head(column, rows) for column in columns])
            nbytes = TIME_BYTES * rows + sum([head.nbytes for head in heads])
            # an unknown number stays a number: data of a later version, to be skipped and not to be lost
            return BlockHead(Series(_KINDS.get(kind, cast("Kind", kind)), name), rows, heads, nbytes)
    raise ValueError(f"not a block's entry: {reprlib.repr(entry)}")


def _column_head(entry: object, rows: int) -> ColumnHead:
    match entry:
        case [str() as field, str() as kind, int() as count, bool() as sparse, int() as nbytes, *_] if (
            0 <= count <= rows and (sparse or count == rows) and _size_fits(kind, count, sparse, nbytes)
        ):
            return ColumnHead(field, kind, count, sparse, nbytes)
    raise ValueError(f"not a column's entry in a block of {rows} rows: {reprlib.repr(entry)}")


def _size_fits(kind: str, count: int, sparse: bool, nbytes: int) -> bool:
    values = nbytes - (POSITION_BYTES * count if sparse else 0)
    if kind in VALUE_BYTES:
        return values == VALUE_BYTES[kind] * count
    # an object is at least a byte, as is the array around them; nothing is known of later types
    return values > count if kind == "o" else values >= 0


def encode_segment_header(writer: str, segment: int, created_ns: int, first_seq: int) -> bytes:
    """Return the bytes at the start of a segment file."""
    payload = to_msgpack(
        {"writer": writer, "segment": segment, "created_ns": created_ns, "first_seq": first_seq}
    )
    length = SEGMENT_HEADER.size + len(payload)
    crc = _segment_crc(FORMAT_VERSION, length, payload)
    return SEGMENT_HEADER.pack(MAGIC, FORMAT_VERSION, length, crc) + payload


def decode_segment_header(raw: bytes, path: str) -> SegmentHeader | None:
    """Return the header at the start of `raw` (64 KiB hold any); None where it is damaged or incomplete.

    Raises:
        JournalVersionError: A later version of ML-Dash wrote this file.
    """
    if len(raw) < SEGMENT_HEADER.size:
        return None
    magic, version, length, crc = SEGMENT_HEADER.unpack_from(raw)
    payload = raw[SEGMENT_HEADER.size : length]
    whole = SEGMENT_HEADER.size <= length <= len(raw)
    if magic != MAGIC or not whole or crc != _segment_crc(version, length, payload):
        return None
    if version > FORMAT_VERSION:
        raise JournalVersionError(
            f"{path} has journal format {version}; this version of ML-Dash reads up to {FORMAT_VERSION}. "
            f"Nothing was changed. To read it, {NEWER}"
        )
    return _segment_fields(version, payload, length)


def _segment_crc(version: int, length: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(SEGMENT_HEADER.pack(MAGIC, version, length, 0)[:8]))


def _segment_fields(version: int, payload: bytes, length: int) -> SegmentHeader | None:
    try:
        fields = from_msgpack(payload)
    except ValueError:
        return None
    match fields:
        case {
            "writer": str(writer),
            "segment": int(number),
            "created_ns": int(born),
            "first_seq": int(first),
        }:
            return SegmentHeader(version, writer, number, born, first, length)
    return None


def segment_name(writer: str, segment: int) -> str:
    """Return the name of a segment's file."""
    return f"{writer}-{segment:0{_SEGMENT_DIGITS}d}{SEGMENT_SUFFIX}"


def parse_segment_name(name: str) -> tuple[str, int] | None:
    """Return the writer and the segment's number that a file's name says; None for another kind of file."""
    if not name.endswith(SEGMENT_SUFFIX) or not name.isascii():
        return None
    writer, _, number = name[: -len(SEGMENT_SUFFIX)].rpartition("-")
    letters = writer.replace("-", "").replace("_", "")
    is_sound = len(number) >= _SEGMENT_DIGITS and number.isdigit() and (letters.isalnum() or not letters)
    return (writer, int(number)) if writer and is_sound else None


def has_segments(directory: str, *, but_of: str | None = None) -> bool:
    """Whether a journal has anything in it, but for what one writer has written: where not, no reader need be imported.

    True as well where it cannot be listed: whoever reads it says why.
    """
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    segments = [parse_segment_name(name) or (name, 0) for name in names if name.endswith(SEGMENT_SUFFIX)]
    return any(writer != but_of for writer, _ in segments)


def new_writer_id(born_ns: int, rank: int | None = None) -> str:
    """Name a writer of journals: sorts by birth, no two are alike, and one that is a rank of a training says so.

    One that goes on with a journal is born behind the others in it, whatever this machine's clock says.
    """
    rank_text = "" if rank is None else f"-r{rank}"  # see `ml_dash.query.axes.ranks`
    return f"{born_ns:016x}-{os.getpid():x}-{os.urandom(4).hex()}{rank_text}"
