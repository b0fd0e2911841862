"""A disk in memory that fails on command and whose power can be cut, and a plain reader of what is on it."""

from __future__ import annotations

import errno
import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ml_dash.journal.blocks import Block, Column, block_rows, decode_block
from ml_dash.journal.frame import (
    FRAME_HEADER,
    data_crc,
    decode_meta,
    decode_segment_header,
    head_crc,
    parse_frame_header,
)
from ml_dash.series import Kind, Series

__all__ = ["FailingDisk", "FailingFile", "files_in", "frames_of", "journal_of", "rows"]


def rows(*numbers: int) -> list[Block]:
    """Blocks of rows that hold these numbers."""
    column = Column("n", "i", None, numbers)
    return [Block(Series(Kind.METRIC, "train"), [0] * len(numbers), [column])]


def frames_of(raw: bytes, offset: int) -> Iterator[tuple[int, list[int]]]:
    """Number and rows of the frames of a segment, up to the first that is not whole and right."""
    while header := parse_frame_header(raw[offset:]):
        split = offset + FRAME_HEADER.size + header.meta_len
        meta, data = raw[offset + FRAME_HEADER.size : split], raw[split : split + header.data_len]
        if head_crc(raw[offset:], meta) != header.head_crc or data_crc(header.seq, data) != header.data_crc:
            return
        (head,) = decode_meta(meta, len(data))
        yield header.seq, [row["n"] for row in block_rows(decode_block(head, data))]
        offset = split + header.data_len


def journal_of(files: dict[str, bytes]) -> dict[int, list[int]]:
    """The rows of each frame, as a reader finds them: the first copy of a number counts."""
    found: dict[int, list[int]] = {}
    for _, raw in sorted(files.items()):
        if header := decode_segment_header(raw, "segment"):
            for seq, numbers in frames_of(raw, header.length):
                found.setdefault(seq, numbers)
    return dict(sorted(found.items()))


def files_in(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


class FailingFile:
    """What the page cache shows of a file, and what the platter has of it (None: not even the name)."""

    def __init__(self, disk: FailingDisk) -> None:
        self.disk = disk
        self.visible = b""
        self.platter: bytes | None = None
        self.dirty_from = 0
        self.closed = 0

    def write(self, data: bytes) -> None:
        assert not self.closed
        error, kept = self.disk.next_fault("write") or (None, len(data))
        self.visible += data[:kept]
        if error:
            raise error

    def sync(self) -> None:
        """Like Linux: a failure is reported once, the pages count as clean from then on, and are lost."""
        dirty_from, self.dirty_from = self.dirty_from, len(self.visible)
        cached = self.visible
        self.disk.during_sync(self)
        assert not self.closed
        if fault := self.disk.next_fault("sync"):
            raise fault[0]
        self.platter = (self.platter or b"").ljust(dirty_from, b"\0")[:dirty_from] + cached[dirty_from:]

    def close(self) -> None:
        self.closed += 1
        if fault := self.disk.next_fault("close"):
            raise fault[0]


class FailingDisk:
    """A disk that fails on command, and whose power can be cut."""

    def __init__(self) -> None:
        self.files: dict[str, FailingFile] = {}
        self.plans: defaultdict[str, deque[tuple[BaseException, int] | None]] = defaultdict(deque)
        self.during_sync: Callable[[FailingFile], object] = lambda _: None

    def fail(self, operation: str, error: BaseException, *, kept: int = 0, after: int = 0) -> None:
        """Let such an operation fail, after so many more that do not; a write keeps some bytes."""
        self.plans[operation].extend([None] * after)
        self.plans[operation].append((error, kept))

    def next_fault(self, operation: str) -> tuple[BaseException, int] | None:
        waiting = self.plans[operation]
        return waiting.popleft() if waiting else None

    def visible(self) -> dict[str, bytes]:
        return {os.path.basename(path): file.visible for path, file in self.files.items()}

    def after_power_cut(self) -> dict[str, bytes]:
        names = {os.path.basename(path): file.platter for path, file in self.files.items()}
        return {name: data for name, data in names.items() if data is not None}

    def create(self, path: str) -> FailingFile:
        if fault := self.next_fault("create"):
            raise fault[0]
        assert path not in self.files
        self.files[path] = FailingFile(self)
        return self.files[path]

    def size(self, path: str) -> int:
        if fault := self.next_fault("size"):
            raise fault[0]
        return len(self.files[path].visible)

    def modified_ns(self, path: str) -> int:
        raise OSError(errno.ENOTSUP, "this disk keeps no times", path)

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        return self.files[path].visible[offset : offset + length]

    def next_data(self, path: str, offset: int) -> int:
        return offset

    def list(self, directory: str) -> list[str]:
        return sorted(os.path.basename(path) for path in self.files if os.path.dirname(path) == directory)

    def replace(self, path: str, data: bytes | Iterable[bytes], *, durable: bool = True) -> None:
        self.remove(path)
        self.create(path).write(data if isinstance(data, bytes) else b"".join(data))

    def keep(self, path: str, kept: str) -> None:
        raise NotImplementedError("nothing is repaired in these tests")

    def remove(self, path: str) -> None:
        if fault := self.next_fault("remove"):
            raise fault[0]
        assert self.files[path].closed
        del self.files[path]

    def secure(self, path: str, root: str, *, rewrite: bool = False) -> None:
        assert path.startswith(root)
        if rewrite:
            self.files[path].dirty_from = 0
        self.files[path].sync()
