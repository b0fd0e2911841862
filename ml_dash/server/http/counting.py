"""How many values a body has, before it is decoded: a byte of it can become an object of 232."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgpack

if TYPE_CHECKING:
    from collections.abc import Sized

VALUES_MAX = 1 << 18
"""Values in one body. Each costs time on the event loop, several times over: it is decoded, checked and stored."""
VALUE_BYTES = 128
"""What a value takes in memory, or a little less than that: an empty list 56 bytes, an empty dict 64, a text 50."""

_JSON_STRING = re.compile(rb'"[^"]*"')


class TooManyValuesError(ValueError):
    """A body has more than `VALUES_MAX` values."""

    def __init__(self) -> None:
        super().__init__(f"it has more than {VALUES_MAX:,} values")


def count_json(raw: bytes) -> int:
    """Return how many values JSON has at most, or a little more.

    Raises:
        TooManyValuesError: These are too many.
    """
    # Mostly this is all: few bytes of a body can begin a value.
    if (found := _structure(raw)) <= VALUES_MAX:
        return found
    # Or a text has many commas. Texts cannot be taken out before their ends are sure, which needs no more than this:
    # behind these two, a quote that is left is one that begins or ends a text.
    bare = raw.replace(rb"\\", b"").replace(rb"\"", b"")
    if bare.count(b'"') > 4 * VALUES_MAX:  # of a value and its key
        raise TooManyValuesError
    if (found := _structure(_JSON_STRING.sub(b"", bare))) > VALUES_MAX:
        raise TooManyValuesError
    return found


def _structure(raw: bytes) -> int:
    return 1 + raw.count(b",") + raw.count(b"[") + raw.count(b"{")


def count_msgpack(raw: bytes) -> int:
    """Return how many values msgpack has, keys included; nothing is kept of them.

    Raises:
        TooManyValuesError: These are too many.
        ValueError: These are not the bytes of exactly one value.
    """
    found = 1

    def add(container: Sized, each: int) -> None:
        nonlocal found
        found += len(container) * each
        if found > VALUES_MAX:
            raise TooManyValuesError

    def of_list(items: list[Any]) -> None:
        add(items, 1)

    def of_pairs(pairs: list[Any]) -> None:
        add(pairs, 2)

    # The two limits hold before a container is given memory.
    try:
        msgpack.unpackb(
            raw,
            list_hook=of_list,
            object_pairs_hook=of_pairs,
            strict_map_key=False,
            unicode_errors="surrogatepass",
            max_array_len=VALUES_MAX,
            max_map_len=VALUES_MAX,
        )
    except ValueError as error:
        if "max_array_len" in str(error) or "max_map_len" in str(error):
            raise TooManyValuesError from error
        raise
    return found
