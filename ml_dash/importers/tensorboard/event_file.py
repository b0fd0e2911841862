"""TensorBoard's event files: records of TFRecord with a protocol buffer in each.

The formats are those of ``tensorflow/core/lib/io/record_writer.h`` and of ``event.proto``, ``summary.proto`` and
``tensor.proto`` beside it, of which the fields' numbers below are. They have not changed since 2015. What is read of
them is a dozen fields: TensorBoard itself, the one package that reads them, would bring thirty others with it, and
hides at which byte it is, so that no import could go on there.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.importers.growing_file import PIECE, GrowingFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.importers.source import Position

RECORD_BYTES_MAX = 64 << 20
"""A longer record is passed over, and named: it is no scalar and no text, and must not fill the memory."""
_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class BrokenError(Exception):
    """Bytes are not what they should be; the text says what is wrong."""


class Record(NamedTuple):
    """A record's bytes or what is wrong with it, and the position behind it; None where it may not be whole yet."""

    data: bytes | None
    fault: str
    position: Position | None


def read_records(file: GrowingFile) -> Iterator[Record]:
    """Yield the records; the last one is one without a position where the rest of the file cannot be read."""
    while header := file.read(_HEADER.size):
        if len(header) < _HEADER.size:
            yield Record(None, "the last record is cut off, or still being written", None)
            return
        size, checksum = _HEADER.unpack(header)
        if checksum != masked_crc(header[:8]):
            yield Record(None, "a record's length is damaged, so that nothing behind it can be read", None)
            return
        is_large = size > RECORD_BYTES_MAX
        left, data = size, b""
        while left and (piece := file.read(min(left, PIECE if is_large else left))):
            left, data = left - len(piece), data if is_large else data + piece
        footer = file.read(_FOOTER.size)
        if left or len(footer) < _FOOTER.size:
            yield Record(None, "the last record is cut off, or still being written", None)
            return
        if is_large:
            yield Record(None, f"a record has {size:,} bytes", file.position)
        elif _FOOTER.unpack(footer)[0] != masked_crc(data):
            yield Record(None, "a record is damaged", file.position)
        else:
            yield Record(data, "", file.position)


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)  # Castagnoli's polynomial, reflected
        table.append(value)
    return table


_TABLE = _crc_table()


def masked_crc(data: bytes) -> int:
    """Return CRC-32C as TFRecord stores it: rotated, and with a constant added."""
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


Message = dict[int, list[Any]]
"""Fields of a protocol buffer by their numbers: ints, or bytes, which are texts, messages, floats or packed numbers."""


def parse(data: Any) -> Message:
    """Return the fields of a message; BrokenError where this is none."""
    if not isinstance(data, bytes):
        raise BrokenError("a record is no event")
    message: Message = {}
    at = 0
    try:
        while at < len(data):
            tag, at = _varint(data, at)
            kind = tag & 7
            value: int | bytes
            if kind == _VARINT:
                value, at = _varint(data, at)
            else:
                if kind == _BYTES:
                    size, at = _varint(data, at)
                else:
                    size = {_FIXED64: 8, _FIXED32: 4}[kind]
                value, at = data[at : at + size], at + size
            message.setdefault(tag >> 3, []).append(value)
    except (IndexError, KeyError) as error:
        raise BrokenError("a record is no event") from error
    if at > len(data):
        raise BrokenError("a record is no event")
    return message


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise BrokenError("a record is no event")


def messages(message: Message, field: int) -> list[Message]:
    """Return the messages in a field."""
    return [parse(data) for data in message.get(field, [])]


def joined(message: Message, field: int) -> bytes:
    """Return the bytes in a field."""
    if not all(isinstance(data, bytes) for data in message.get(field, [])):
        raise BrokenError("a record is no event")
    return b"".join(message.get(field, []))


def signed(value: Any) -> int:
    """Return an int64 of its varint."""
    if not isinstance(value, int):
        raise BrokenError("a record is no event")
    unsigned: int = value & (2**64 - 1)
    return unsigned - 2**64 if unsigned >= 2**63 else unsigned


def number(data: Any, code: str) -> Any:
    """Return the number in a field of 4 or 8 bytes, by its `struct` code."""
    try:
        return struct.unpack(f"<{code}", data)[0]
    except (struct.error, TypeError) as error:
        raise BrokenError("a record is no event") from error


def text(data: Any) -> str:
    """Return a text; what is no UTF-8 is escaped."""
    return data.decode("utf-8", "backslashreplace") if isinstance(data, bytes) else str(data)


# dtype: code of its values, and in which field of TensorProto these are, of which size
_NUMBERS = {1: ("f", 5, 4), 2: ("d", 6, 8), 3: ("i", 7, 0), 9: ("q", 10, 0)}
_STRINGS = 7


def tensor_values(data: bytes) -> list[Any]:
    """Return the values of a TensorProto of floats, ints or strings; BrokenError where it is of anything else."""
    tensor = parse(data)
    dtype = tensor.get(1, [0])[0]
    if dtype == _STRINGS:
        return [text(value) for value in tensor.get(8, [])]
    if dtype not in _NUMBERS:
        raise BrokenError(f"it is a tensor of type {dtype}")
    code, field, size = _NUMBERS[dtype]
    if content := joined(tensor, 4):
        width = struct.calcsize(code)
        return [number(content[at : at + width], code) for at in range(0, len(content), width)]
    values: list[Any] = []
    for value in tensor.get(field, []):
        if isinstance(value, int):  # not packed
            values.append(signed(value))
        elif size:
            values += [number(value[at : at + size], code) for at in range(0, len(value), size)]
        else:
            at = 0
            try:
                while at < len(value):
                    item, at = _varint(value, at)
                    values.append(signed(item))
            except IndexError as error:
                raise BrokenError("a record is no event") from error
    return values
