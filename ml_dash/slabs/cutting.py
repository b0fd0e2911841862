"""Cutting the bytes of a region into events.

`split` is as quick as a search for marks, and wrong where the bytes of a mark are in a value, which can be one of four
billion numbers, or bytes that somebody has chosen. What comes of that is told from events: no proper beginning of
msgpack is msgpack, so the first piece that is cut wrongly cannot be read. Then `cut`, which goes from event to event,
is asked, at some ten times the cost. It is asked at once where a process has died, since nothing there is certain.
"""

from __future__ import annotations

import msgpack

from ml_dash.slabs.layout import MARK

_EVENT = 0x93  # an array of three
_BEGINS = MARK[:1]


def split(data: bytes) -> list[bytes]:
    """Return the events of a live region, cut at each mark."""
    # Threads that write at the same moment leave two marks behind two events.
    return [event for event in data.split(MARK) if event]


def count(data: bytes) -> int:
    """Return how many events these are, or are likely to be: what is cut later tells for sure."""
    start = len(MARK) if data.startswith(MARK) else 0
    first = data.find(MARK, start)
    if first < 0:
        return int(len(data) > start)
    # A search for each mark costs fifty times as much as a look at where they are if all events have one length.
    length = first + len(MARK) - start
    number, rest = divmod(len(data) - start, length)
    if rest in (0, length - len(MARK)) and data[first::length] == _BEGINS * number:
        return number + (rest > 0)
    return len(split(data))


def cut(data: bytes, *, is_ended: bool) -> tuple[list[bytes], int]:
    """Return the events, and how many bytes they and their marks take.

    Args:
        data: What lies in a region, from the first byte of an event or of a mark on.
        is_ended: Whether all copies into it have ended; else what no mark follows is left out.
    """
    unpacker = msgpack.Unpacker(
        max_buffer_size=max(len(data), 1),
        strict_map_key=False,
        unicode_errors="surrogatepass",
        max_str_len=len(data),
        max_bin_len=len(data),
        max_array_len=len(data),
        max_map_len=len(data),
        max_ext_len=len(data),
    )
    unpacker.feed(data)
    events: list[bytes] = []
    unmarked: list[bytes] = []
    at = sure = 0
    while at < len(data):
        if data[at] == _BEGINS[0]:
            if data[at : at + len(MARK)] != MARK:
                break
            unpacker.read_bytes(len(MARK))
            at += len(MARK)
            sure = at
            events += unmarked
            unmarked.clear()
            continue
        if data[at] != _EVENT:
            break
        try:
            unpacker.skip()
        except Exception:  # noqa: BLE001 - msgpack has errors of several kinds for what is none
            break
        end = unpacker.tell()
        unmarked.append(data[at:end])
        at = end
    if is_ended:
        return events + unmarked, at
    return events, sure
