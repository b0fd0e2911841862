"""``run-<id>.wandb``: a log of records in blocks, with a protocol buffer in each record.

The form is that of LevelDB's log (https://github.com/google/leveldb/blob/main/doc/log_format.md) behind a header of
seven bytes: blocks of 32 KiB, records that are whole or in pieces and never cross the end of a block. Its checksum is
the plain CRC-32 of zlib. So damage hides at most the rest of its block, and the next block is read again.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

from ml_dash.importers.protobuf import BrokenError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.importers.growing_file import GrowingFile
    from ml_dash.importers.source import Position

HEADER = b":W&B\xe1\xbe\x00"
"""Identity, a magic number, and the version, which has been 0 since 2020."""
RECORD_BYTES_MAX = 64 << 20
_BLOCK = 32_768
_HEAD = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_CUT = "the last record is cut off, or still being written"
_SEEDS = {kind: zlib.crc32(bytes([kind])) for kind in (_FULL, _FIRST, _MIDDLE, _LAST)}


class LogRecord(NamedTuple):
    """A record's bytes or what is wrong with it, and the position behind it; None where it may not be whole yet."""

    data: bytes | None
    fault: str
    position: Position | None


_MORE = LogRecord(None, "", None)


def read_log(file: GrowingFile) -> Iterator[LogRecord]:
    """Yield the records.

    Raises:
        BrokenError: It is no log of wandb.
    """
    if not file.position["bytes"]:
        header = file.read(len(HEADER))
        if header != HEADER:
            raise BrokenError("it is empty" if not header else "it is no log of wandb, or of another version")
    pieces = _Pieces()
    while (record := _next(file, pieces)) is not None:
        if record is not _MORE:
            yield record
        if record.position is None and record is not _MORE:
            return


def _next(file: GrowingFile, pieces: _Pieces) -> LogRecord | None:  # noqa: PLR0911 - one for each thing that may be there
    """Return the next record, `_MORE` where what was read ends none, and None at the end of the file."""
    left = _BLOCK - file.position["bytes"] % _BLOCK
    if left < _HEAD.size:  # too few for a head: filled with zeros
        return _MORE if len(file.read(left)) == left else None
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return LogRecord(None, _CUT, None) if head or pieces else None
    checksum, length, kind = _HEAD.unpack(head)
    left -= _HEAD.size
    if kind not in _SEEDS or length > left:
        # behind a length that is wrong, the next place that is known is the next block
        pieces.forget()
        if len(file.read(left)) < left:
            return LogRecord(None, "the end is damaged, or still being written", None)
        return LogRecord(None, "a block is damaged, of which the rest is left out", file.position)
    data = file.read(length)
    if len(data) < length:
        return LogRecord(None, _CUT, None)
    if zlib.crc32(data, _SEEDS[kind]) != checksum:
        pieces.forget()
        return LogRecord(None, "a record is damaged", file.position)
    whole = pieces.take(kind, data)
    if whole is None:
        return _MORE
    if pieces.is_large:
        return LogRecord(None, f"a record has more than {RECORD_BYTES_MAX:,} bytes", file.position)
    return LogRecord(whole, "", file.position)


class _Pieces:
    """The pieces of a record, of which the last has not come yet."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._is_open = False
        self.is_large = False

    def __bool__(self) -> bool:
        return self._is_open

    def forget(self) -> None:
        """Take none of the pieces before, nor those of their record that follow."""
        self._pieces, self._size, self._is_open = [], 0, False

    def take(self, kind: int, data: bytes) -> bytes | None:
        """Return the record that is whole with this piece; None where there is none."""
        if kind in (_FULL, _FIRST):
            self.forget()
            self._is_open, self.is_large = True, False
        if not self._is_open:
            return None
        self._size += len(data)
        if self._size > RECORD_BYTES_MAX:
            self._pieces, self.is_large = [], True
        else:
            self._pieces.append(data)
        if kind not in (_FULL, _LAST):
            return None
        whole = b"".join(self._pieces)
        self.forget()
        return whole
