"""Values of any kind as msgpack bytes, which may come from a stranger: nothing becomes many times what is there.

Three things could. A list that claims more elements than there are bytes gets memory for all of them when its head is
read: so the structure of larger bytes is gone through first, which makes no object. A list of one byte becomes an
object of 56: containers are counted, where there could be too many. And what is nested a thousand levels deep can be
decoded, but not walked over, since Python's recursion ends there: a mark stands for what is deeper than `DEPTH_MAX`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgpack

from ml_dash.values.counting import TooManyValuesError, weigh_msgpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CONTAINERS_MAX = 4_000_000
"""Lists and dicts in the columns of objects of one frame, as writers write them; see `READ_CONTAINERS_MAX`."""
READ_CONTAINERS_MAX = 2 * CONTAINERS_MAX
"""As readers take them: each is some 64 to 240 bytes of memory when it is decoded."""
DEPTH_MAX = 128
"""Levels of lists and dicts in one value. What walks over it recurses, and Python stops at 1000 frames of its stack."""
_UNCHECKED_BYTES = 4096
"""Of so few, even a thousand lists within each other that claim the most get a few megabytes."""
_FEW_CONTAINERS = 1 << 15
_BUFFER_BYTES = 1 << 14
"""What packing begins with, instead of 256 KiB: there is one for each column, and memory may be short."""
_CONTAINER_BYTES = 64
_NO_CONTAINERS = bytes(byte for byte in range(256) if not (0x80 <= byte <= 0x9F or 0xDC <= byte <= 0xDF))
_TOO_DEEP = f"<nested more than {DEPTH_MAX} levels deep>"


def to_msgpack(value: Any) -> bytes:
    """Return msgpack bytes. Strings keep lone surrogates, which Python has in file names and the like."""
    return msgpack.packb(value, unicode_errors="surrogatepass", buf_size=_BUFFER_BYTES)  # type: ignore[no-any-return]


def from_msgpack(data: bytes | memoryview) -> Any:
    """Return the value of msgpack bytes, which has no more elements than `data` has bytes.

    Raises:
        ValueError: These are not the bytes of exactly one value.
    """
    if len(data) > _UNCHECKED_BYTES:
        _check_structure(data)
    try:
        return msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogatepass")
    except (ValueError, TypeError, OverflowError) as error:  # TypeError: a map's key that Python cannot hash
        raise _not_one(error) from error


def items_of(data: bytes | memoryview) -> list[bytes]:
    """Return the bytes of each item of an array; none of them is decoded.

    Raises:
        ValueError: These are not the bytes of exactly one array.
    """
    data = bytes(data)
    unpacker = msgpack.Unpacker(max_buffer_size=max(len(data), 1))
    unpacker.feed(data)
    ends = []
    try:
        count = unpacker.read_array_header()
        start = unpacker.tell()
        for _ in range(count):
            unpacker.skip()
            ends.append(unpacker.tell())
    except (ValueError, msgpack.OutOfData) as error:
        raise _not_one(error) from error
    if (ends[-1] if ends else start) != len(data):
        raise ValueError("not the bytes of one msgpack value: there is more behind it")
    return [data[first:stop] for first, stop in zip([start, *ends[:-1]], ends, strict=False)]


def check_containers(data: bytes | memoryview, most: int = CONTAINERS_MAX) -> None:
    """Refuse msgpack bytes with more than `most` arrays and maps: one of a byte becomes an object of 56 to 232.

    Nothing is kept of what is decoded, so that this takes hardly any memory itself.

    Raises:
        ValueError: There are more, or these are not the bytes of exactly one value.
    """
    if len(data) > most:  # each takes a byte at least
        weigh_objects([data], most)


def weigh_objects(columns: Sequence[bytes | memoryview], most: int = CONTAINERS_MAX) -> int:
    """Return about how many bytes the lists and dicts of columns of objects will take; nothing is kept of them.

    Raises:
        ValueError: These are more than `most`, or a column is not the bytes of exactly one value.
    """
    # Mostly there are few bytes that could begin one: all of ASCII, and small numbers, cannot.
    few = sum(len(bytes(each).translate(None, _NO_CONTAINERS)) for each in columns)
    if few <= _FEW_CONTAINERS:
        return few * _CONTAINER_BYTES
    size, left = 0, most
    for each in columns:
        try:
            number, more = _weigh(each, left)
        except TooManyValuesError:
            raise TooManyValuesError(most, "lists and dicts") from None
        size, left = size + more, left - number
    return size


def _weigh(data: bytes | memoryview, most: int) -> tuple[int, int]:
    _check_structure(data)
    try:
        return weigh_msgpack(data, most)
    except (TypeError, OverflowError) as error:
        raise _not_one(error) from error


def objects_of(data: bytes | memoryview, *, strict: bool = False) -> Any:
    """Do as `from_msgpack` does, with a mark in the place of what is nested too deep; `strict` refuses that.

    Raises:
        ValueError: These are not the bytes of exactly one value, there are too many containers, or they are too deep.
    """
    check_containers(data)
    value = from_msgpack(data)
    # Texts and numbers need no look at each value: there are few bytes that could begin a list or a dict.
    deepest = len(bytes(data).translate(None, _NO_CONTAINERS))
    if deepest > DEPTH_MAX and isinstance(value, list) and not is_shallow(value):
        if strict:
            raise ValueError(f"a value is nested more than {DEPTH_MAX} levels deep")
        flatten(value)
    return value


def is_shallow(values: Iterable[Any], levels: int = DEPTH_MAX) -> bool:
    """Say whether dicts and lists are nested at most so many levels deep."""
    # level by level: recursion would fail at just the depth that is to be refused
    level = _containers(values)
    while level and levels:
        level = _inside(level)
        levels -= 1
    return not level


def flatten(values: Iterable[Any]) -> None:
    """Put a mark in the place of what is nested too deep; see `ml_dash.values.pack.represent`."""
    level = _containers(values)
    for _ in range(DEPTH_MAX - 1):
        level = _inside(level)
    for each in level:
        for place, item in list(each.items() if isinstance(each, dict) else enumerate(each)):
            if isinstance(item, (dict, list)):
                each[place] = {"__repr__": _TOO_DEEP, "__type__": f"builtins.{type(item).__name__}"}


def _inside(containers: list[Any]) -> list[Any]:
    return _containers(
        item for each in containers for item in (each.values() if isinstance(each, dict) else each)
    )


def _containers(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, (dict, list))]


def _check_structure(data: bytes | memoryview) -> None:
    unpacker = msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    try:
        unpacker.skip()
    except (ValueError, msgpack.OutOfData) as error:
        raise _not_one(error) from error


def _not_one(error: Exception) -> ValueError:
    return ValueError(f"not the bytes of one msgpack value: {str(error) or type(error).__name__}")
