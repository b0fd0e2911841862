"""Protocol buffers without their schemas: the fields of a message by their numbers.

The wire format is that of https://protobuf.dev/programming-guides/encoding. Which field means what is told where it is
read: of the messages of TensorBoard and wandb a few fields are, and their packages would bring dozens of others along.
"""

from __future__ import annotations

import struct
from typing import Any

NO_MESSAGE = "a record is no message that is known"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class BrokenError(Exception):
    """Bytes are not what they should be; the text says what is wrong."""


Message = dict[int, list[Any]]
"""Fields of a protocol buffer by their numbers: ints, or bytes, which are texts, messages, floats or packed numbers."""


def parse(data: Any) -> Message:
    """Return the fields of a message; BrokenError where this is none."""
    if not isinstance(data, bytes):
        raise BrokenError(NO_MESSAGE)
    message: Message = {}
    at = 0
    try:
        while at < len(data):
            tag, at = varint(data, at)
            kind = tag & 7
            value: int | bytes
            if kind == _VARINT:
                value, at = varint(data, at)
            else:
                if kind == _BYTES:
                    size, at = varint(data, at)
                else:
                    size = {_FIXED64: 8, _FIXED32: 4}[kind]
                value, at = data[at : at + size], at + size
            message.setdefault(tag >> 3, []).append(value)
    except (IndexError, KeyError) as error:
        raise BrokenError(NO_MESSAGE) from error
    if at > len(data):
        raise BrokenError(NO_MESSAGE)
    return message


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the unsigned number that begins there, and the place behind it; IndexError where it is cut off."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise BrokenError(NO_MESSAGE)


def messages(message: Message, field: int) -> list[Message]:
    """Return the messages in a field."""
    return [parse(data) for data in message.get(field, [])]


def joined(message: Message, field: int) -> bytes:
    """Return the bytes in a field."""
    if not all(isinstance(data, bytes) for data in message.get(field, [])):
        raise BrokenError(NO_MESSAGE)
    return b"".join(message.get(field, []))


def doubles(message: Message, field: int) -> tuple[float, ...]:
    """Return the doubles in a field, packed or not."""
    data = joined(message, field)
    if len(data) % 8:
        raise BrokenError(NO_MESSAGE)
    return struct.unpack(f"<{len(data) // 8}d", data)


def packed_varints(data: bytes) -> list[int]:
    """Return the whole numbers that are packed in a field."""
    values, at = [], 0
    try:
        while at < len(data):
            value, at = varint(data, at)
            values.append(signed(value))
    except IndexError as error:
        raise BrokenError(NO_MESSAGE) from error
    return values


def signed(value: Any) -> int:
    """Return an int64 of its varint."""
    if not isinstance(value, int):
        raise BrokenError(NO_MESSAGE)
    unsigned: int = value & (2**64 - 1)
    return unsigned - 2**64 if unsigned >= 2**63 else unsigned


def number(data: Any, code: str) -> Any:
    """Return the number in a field of 4 or 8 bytes, by its `struct` code."""
    try:
        return struct.unpack(f"<{code}", data)[0]
    except (struct.error, TypeError) as error:
        raise BrokenError(NO_MESSAGE) from error


def text(data: Any) -> str:
    """Return a text; what is no UTF-8 is escaped."""
    return data.decode("utf-8", "backslashreplace") if isinstance(data, bytes) else str(data)
