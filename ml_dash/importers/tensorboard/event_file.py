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
from ml_dash.importers.protobuf import BrokenError, joined, number, packed_varints, parse, signed, text
from ml_dash.importers.tensorboard.crc32c import masked_crc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.importers.source import Position

RECORD_BYTES_MAX = 64 << 20
"""A longer record is passed over, and named: it is no scalar and no text, and must not fill the memory."""
_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")


class Record(NamedTuple):
    """A record's bytes or what is wrong with it, and the position behind it; None where it may not be whole yet."""

    data: bytes | None
    fault: str
    position: Position | None


def record_in(data: bytes) -> Record:
    """Return the record that these bytes are, of which the length was found right; its position is not known here."""
    content = data[_HEADER.size : -_FOOTER.size]
    if _FOOTER.unpack(data[-_FOOTER.size :])[0] != masked_crc(content):
        return Record(None, "a record is damaged", None)
    return Record(content, "", None)


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
            values += packed_varints(value)
    return values


def tensor_strings(data: bytes) -> list[bytes]:
    """Return the strings of a TensorProto as they are: images and sounds; BrokenError where it is of anything else."""
    tensor = parse(data)
    strings = tensor.get(8, [])
    if tensor.get(1, [0])[0] != _STRINGS or not all(isinstance(each, bytes) for each in strings):
        raise BrokenError("it is no tensor of strings")
    return strings
