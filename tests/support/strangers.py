"""Frames as a stranger may make them: their checksums are right, and what is in them is anything."""

from __future__ import annotations

from pathlib import Path

from ml_dash.journal.frame import (
    FRAME_HEADER,
    SYNC,
    data_crc,
    encode_segment_header,
    head_crc,
    segment_name,
)
from ml_dash.journal.objects import to_msgpack
from ml_dash.series import Kind

__all__ = ["deep_values", "head", "long_frame", "numbers_meta", "objects"]

STRANGER = "0123456789abcdef-1f-89abcdef"
LONG = 3_500_000_000


def head(meta: bytes, data_len: int, seq: int = 2, data: bytes = b"") -> bytes:
    """The header and meta of a frame, whose checksum is right, and whose data may be anything."""
    raw = FRAME_HEADER.pack(SYNC, len(meta), data_len, seq, data_crc(seq, data), 0)
    return raw[:-4] + head_crc(raw, meta).to_bytes(4, "little") + meta


def objects(
    raw: bytes,
    count: int = 1,
    seq: int = 2,
    series: tuple[Kind, str | None] = (Kind.LOG, None),
    field: str = "message",
) -> bytes:
    """A frame of rows with one column of objects, which are these bytes."""
    data = bytes(8 * count) + raw
    meta = to_msgpack([[*series, count, [[field, "o", count, False, len(raw)]]]])
    return head(meta, len(data), seq, data) + data


def numbers_meta(nbytes: int) -> bytes:
    """The meta of one row of a metric with data of `nbytes` bytes."""
    return to_msgpack([[Kind.METRIC, "train", 1, [["n", "o", 1, False, nbytes - 8]]]])


def long_frame(directory: Path) -> Path:
    """A segment with a frame of 3.5 GB, and a hole of 200."""
    path = directory / "journal" / segment_name(STRANGER, 1)
    with path.open("xb") as file:
        file.write(encode_segment_header(STRANGER, 1, 0, 1) + head(numbers_meta(LONG), LONG, seq=1))
        file.truncate(file.tell() + LONG)
        file.seek(200 << 30)
        file.write(b"x")
    return path


def deep_values(directory: Path) -> Path:
    """A segment in which all that can hold a value has one that is a thousand levels deep."""
    path = directory / "journal" / segment_name(STRANGER, 1)
    deep = b"\x91" + b"\x81\xa1a\x91" * 490 + b"\xc0"
    fields = {
        Kind.METRIC: ("train", "deep"),
        Kind.TRACK: ("pose", "deep"),
        Kind.LOG: (None, "metadata"),
        Kind.PARAMS: (None, "set"),
        Kind.RUN: (None, "experiment"),
        Kind.FILE: (None, "metadata"),
    }
    frames = [
        objects(deep, seq=seq, series=(kind, name), field=field)
        for seq, (kind, (name, field)) in enumerate(fields.items(), 1)
    ]
    path.write_bytes(encode_segment_header(STRANGER, 1, 0, 1) + b"".join(frames))
    return path
