"""How many values bytes hold, before they are decoded: one byte of them can become an object of 232."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import msgpack

if TYPE_CHECKING:
    from collections.abc import Sized

_JSON_STRING = rb'"[^"]*"'


class TooManyValuesError(ValueError):
    """Bytes hold more values than are decoded."""

    def __init__(self, most: int, what: str = "values") -> None:
        super().__init__(f"it has more than {most:,} {what}")


def count_json(raw: bytes, most: int) -> int:
    """Return how many values JSON has at most, or a little more.

    Raises:
        TooManyValuesError: There are more than `most`.
    """
    # Mostly this is all: few bytes of a body can begin a value.
    if (found := _structure(raw)) <= most:
        return found
    # Or a text has many commas. Texts cannot be taken out before their ends are sure, which needs no more than this:
    # behind these two, a quote that is left is one that begins or ends a text.
    bare = raw.replace(rb"\\", b"").replace(rb"\"", b"")
    if bare.count(b'"') > 4 * most:  # of a value and its key
        raise TooManyValuesError(most)
    if (found := _structure(re.sub(_JSON_STRING, b"", bare))) > most:
        raise TooManyValuesError(most)
    return found


def _structure(raw: bytes) -> int:
    return 1 + raw.count(b",") + raw.count(b"[") + raw.count(b"{")


def count_msgpack(raw: bytes | memoryview, most: int) -> int:
    """Return how many values msgpack has, keys included; nothing is kept of them.

    Raises:
        TooManyValuesError: There are more than `most`.
        ValueError: These are not the bytes of exactly one value.
    """
    found = 1

    def add(container: Sized, each: int) -> None:
        nonlocal found
        found += len(container) * each
        if found > most:
            raise TooManyValuesError(most)

    try:
        # the two limits hold before a container is given memory
        _walk(
            raw,
            list_hook=lambda items: add(items, 1),
            object_pairs_hook=lambda pairs: add(pairs, 2),
            max_array_len=most,
            max_map_len=most,
        )
    except ValueError as error:
        if "max_array_len" in str(error) or "max_map_len" in str(error):
            raise TooManyValuesError(most) from error
        raise
    return found


def weigh_msgpack(raw: bytes | memoryview, most: int) -> tuple[int, int]:
    """Return how many lists and dicts msgpack has, and how many bytes these take without what is in them.

    Nothing is kept of them. It must be certain that no list claims more elements than there are bytes: it would get
    memory for all of them.

    Raises:
        TooManyValuesError: There are more than `most` lists and dicts.
        ValueError: These are not the bytes of exactly one value.
    """
    found = size = 0

    def add(container: Any) -> None:
        nonlocal found, size
        found += 1
        size += sys.getsizeof(container)
        if found > most:
            raise TooManyValuesError(most, "lists and dicts")

    _walk(raw, list_hook=add, object_hook=add)
    return found, size


def _walk(raw: bytes | memoryview, **hooks_and_limits: Any) -> None:
    # a hook gives nothing, and nothing is what the container around it holds then
    msgpack.unpackb(raw, strict_map_key=False, unicode_errors="surrogatepass", **hooks_and_limits)
