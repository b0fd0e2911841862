"""Small journals made byte by byte, a disk in memory to keep them on, and a way to read them whole."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from ml_dash.journal.blocks import Block, Column, block_rows
from ml_dash.journal.disk import SegmentFile
from ml_dash.journal.frame import MAGIC, SEGMENT_HEADER, encode_frame, encode_segment_header, segment_name
from ml_dash.journal.index import JournalIndex
from ml_dash.series import Kind, Series

WRITER = "0123456789abcdef-1f-89abcdef"
LATER_WRITER = "0123456789abcdf0-20-01234567"
TRAIN = Series(Kind.METRIC, "train")
EVAL = Series(Kind.METRIC, "eval")
NAME = segment_name(WRITER, 1)

Rows = list[tuple[int, str]]
"""Time and fields of rows; the fields as text, because NaN is not equal to itself and True is to 1."""


class MemoryDisk:
    """A disk whose files are bytes in a dict, by path. `reads` records what was read: (offset, length)."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = dict(files or {})
        self.reads: list[tuple[int, int]] = []
        self.broken: OSError | None = None
        """What every read raises."""

    def create(self, path: str) -> SegmentFile:
        if path in self.files:
            raise FileExistsError(path)
        self.files[path] = b""
        return _MemoryFile(self, path)

    def size(self, path: str) -> int:
        if path not in self.files:
            raise FileNotFoundError(path)
        return len(self.files[path])

    def modified_ns(self, path: str) -> int:
        raise OSError(errno.ENOTSUP, "this disk keeps no times", path)

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        if self.broken:
            raise self.broken
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path][offset : offset + length]

    def next_data(self, path: str, offset: int) -> int:
        return offset

    def list(self, directory: str) -> list[str]:
        return sorted(os.path.basename(path) for path in self.files if os.path.dirname(path) == directory)

    def replace(self, path: str, data: bytes | Iterable[bytes], *, durable: bool = True) -> None:
        self.files[path] = data if isinstance(data, bytes) else b"".join(data)

    def keep(self, path: str, kept: str) -> None:
        if kept in self.files:
            raise FileExistsError(kept)
        self.files[kept] = self.files[path]

    def secure(self, path: str, root: str, *, rewrite: bool = False) -> None:
        raise NotImplementedError("no file is saved in these tests")

    def remove(self, path: str) -> None:
        del self.files[path]


class _MemoryFile:
    def __init__(self, disk: MemoryDisk, path: str) -> None:
        self._disk = disk
        self._path = path

    def write(self, data: bytes) -> None:
        self._disk.files[self._path] += data

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass


def numbers(*values: int, series: Series = TRAIN) -> Block:
    """A block with one row a number, at that time."""
    return Block(series, values, [Column("n", "i", None, values)])


def frame(seq: int, *values: int, series: Series = TRAIN) -> bytes:
    """A frame with one block of these numbers."""
    return encode_frame(seq, [numbers(*values, series=series)])


def segment(*frames: bytes, writer: str = WRITER, number: int = 1, first_seq: int = 1) -> bytes:
    """The bytes of a segment file."""
    return encode_segment_header(writer, number, 1_700_000_000_000_000_000, first_seq) + b"".join(frames)


def disk_with(*segments: bytes, writer: str = WRITER) -> MemoryDisk:
    """A disk with one journal, `j`, of one writer's segments."""
    names = [f"j/{segment_name(writer, number)}" for number in range(1, len(segments) + 1)]
    return MemoryDisk(dict(zip(names, segments, strict=True)))


def opened(disk: MemoryDisk) -> JournalIndex:
    """The journal `j` of this disk, up to date."""
    index = JournalIndex("j", disk=disk)
    index.refresh()
    return index


def rows_of(blocks: Sequence[Block]) -> Rows:
    """The rows of some blocks."""
    return [
        (int(time), repr(row))
        for block in blocks
        for time, row in zip(block.times, block_rows(block), strict=True)
    ]


def read(index: JournalIndex, series: Series = TRAIN, start: int = 0, stop: int | None = None) -> list[Any]:
    """The field `n` of the rows that can be read, with their numbers: `[(number, n), …]`."""
    found = []
    for first, block in index.blocks(series, start, stop):
        rows = enumerate(block_rows(block), first)
        found += [(at, row["n"]) for at, row in rows if at >= start and (stop is None or at < stop)]
    return found


def read_everything(index: JournalIndex) -> dict[Series, Rows]:
    """All rows of all series that can be read."""
    found = {
        series: rows_of([block for _, block in index.blocks(series)])
        for kind in Kind
        for series in index.series(kind)
    }
    return {series: rows for series, rows in found.items() if rows}


def later_version(header: bytes) -> bytes:
    """The header of a segment with version 2, and a right checksum."""
    _, _, length, _ = SEGMENT_HEADER.unpack_from(header)
    payload = header[SEGMENT_HEADER.size :]
    start = SEGMENT_HEADER.pack(MAGIC, 2, length, 0)[:8]
    return SEGMENT_HEADER.pack(MAGIC, 2, length, zlib.crc32(start + payload)) + payload
