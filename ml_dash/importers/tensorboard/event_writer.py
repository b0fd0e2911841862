"""Event files written: what `ml-dash export --format tensorboard` makes of an experiment.

Records and messages are those that `event_file` reads. Scalars of one tag differ in a few bytes, so thousands are made
as one array of bytes.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO

from ml_dash.importers.tensorboard.crc32c import masked_crc, masked_crcs

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

_VERSION = b"brain.Event:2"
_HEAD, _FOOT = 12, 4
_SESSION = "_hparams_/session_{}_info"
ENDS = {"COMPLETED": 1, "FAILED": 2}
"""Statuses of ``plugins/hparams/api.proto``."""


def varint(value: int) -> bytes:
    """Return an int64 as a varint."""
    value &= 2**64 - 1
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def packed(number: int, data: bytes) -> bytes:
    """Return a field of bytes."""
    return varint(number << 3 | 2) + varint(len(data)) + data


class EventWriter:
    """Writes one event file."""

    def __init__(self, out: BinaryIO, started_ns: int) -> None:
        self._out = out
        self._event(started_ns, None, packed(3, _VERSION))

    def scalars(
        self,
        tag: str,
        times_ns: npt.NDArray[np.int64],
        steps: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
    ) -> None:
        """Write the values of a tag, which event files hold as floats of 32 bits."""
        import numpy as np

        name = packed(1, _utf8(tag))
        lengths = _lengths(steps)
        # in order: where the steps take more bytes, another array begins
        ends = [*(np.flatnonzero(np.diff(lengths)) + 1).tolist(), len(steps)]
        start = 0
        for end in ends:
            if end > start:
                some = slice(start, end)
                self._out.write(
                    _records(name, int(lengths[start]), times_ns[some], steps[some], values[some]).tobytes()
                )
            start = end

    def text(self, tag: str, time_ns: int, step: int, text: str) -> None:
        """Write a text."""
        tensor = b"\x08\x07" + packed(2, packed(2, b"\x08\x01")) + packed(8, _utf8(text))
        self._value(tag, time_ns, step, packed(8, tensor), "text")

    def image(self, tag: str, time_ns: int, step: int, data: bytes, width: int, height: int) -> None:
        """Write an image that is encoded already."""
        image = b"\x08" + varint(height) + b"\x10" + varint(width) + b"\x18\x03" + packed(4, data)
        self._value(tag, time_ns, step, packed(4, image))

    def audio(self, tag: str, time_ns: int, step: int, data: bytes, about: Mapping[str, Any]) -> None:
        """Write a sound, as WAV."""
        rate = float(about.get("sampleRate") or 0)
        frames = round(rate * float(about.get("seconds") or 0))
        sound = b"\x0d" + struct.pack("<f", rate) + b"\x10\x01\x18" + varint(frames) + packed(4, data)
        self._value(tag, time_ns, step, packed(6, sound + packed(5, b"audio/wav")))

    def histogram(self, tag: str, time_ns: int, step: int, counts: list[float], edges: list[float]) -> None:
        """Write counts between edges."""
        middles = [(left + right) / 2 for left, right in pairwise(edges)]
        total = sum(count * middle for count, middle in zip(counts, middles, strict=True))
        squares = sum(count * middle**2 for count, middle in zip(counts, middles, strict=True))
        told = (edges[0], edges[-1], sum(counts), total, squares)
        histogram = b"".join(
            bytes([at << 3 | 1]) + struct.pack("<d", number) for at, number in enumerate(told, 1)
        )
        # a first bucket without a count, whose limit is where the second one begins
        limits, buckets = edges, [0.0, *counts]
        histogram += packed(6, struct.pack(f"<{len(limits)}d", *limits))
        histogram += packed(7, struct.pack(f"<{len(buckets)}d", *buckets))
        self._value(tag, time_ns, step, packed(5, histogram))

    def hparams(
        self, params: Mapping[str, Any], started_ns: int, ended_ns: int | None, status: str | None
    ) -> None:
        """Write parameters, and how the run ended."""
        start = b"".join(
            packed(1, packed(1, _utf8(name)) + packed(2, _struct_value(value)))
            for name, value in params.items()
        )
        start += b"\x29" + struct.pack("<d", started_ns / 1e9)
        self._plugin("start", started_ns, packed(3, start))
        if ended_ns is not None and status in ENDS:
            end = b"\x08" + varint(ENDS[status]) + b"\x11" + struct.pack("<d", ended_ns / 1e9)
            self._plugin("end", ended_ns, packed(4, end))

    def _plugin(self, name: str, time_ns: int, content: bytes) -> None:
        data = packed(1, packed(1, b"hparams") + packed(2, content))
        value = packed(1, _SESSION.format(name).encode()) + packed(9, data)
        # a tensor that says nothing, as TensorBoard's own writer puts it there
        value += packed(8, b"\x08\x01" + packed(2, b"") + packed(5, struct.pack("<f", 0.0)))
        self._event(time_ns, None, packed(5, packed(1, value)))

    def _value(self, tag: str, time_ns: int, step: int, value: bytes, plugin: str = "") -> None:
        metadata = packed(9, packed(1, packed(1, plugin.encode()))) if plugin else b""
        self._event(time_ns, step, packed(5, packed(1, packed(1, _utf8(tag)) + value + metadata)))

    def _event(self, time_ns: int, step: int | None, rest: bytes) -> None:
        data = b"\x09" + struct.pack("<d", time_ns / 1e9)
        data += (b"\x10" + varint(step) if step is not None else b"") + rest
        size = struct.pack("<Q", len(data))
        self._out.write(
            size + struct.pack("<I", masked_crc(size)) + data + struct.pack("<I", masked_crc(data))
        )


def _lengths(steps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return how many bytes each step takes."""
    import numpy as np

    unsigned = steps.view(np.uint64)
    lengths = np.ones(len(steps), np.int64)
    for bits in range(7, 64, 7):
        lengths += unsigned >= np.uint64(1) << np.uint64(bits)
    return lengths


def _records(
    name: bytes,
    length: int,
    times_ns: npt.NDArray[np.int64],
    steps: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
) -> npt.NDArray[np.uint8]:
    """Return records of scalars whose steps take so many bytes, N×bytes."""
    import numpy as np

    value = packed(1, name + b"\x15" + bytes(4))
    event = b"\x09" + bytes(8) + b"\x10" + bytes(length) + packed(5, value)
    head = struct.pack("<Q", len(event))
    whole = head + struct.pack("<I", masked_crc(head)) + event + bytes(_FOOT)
    rows = np.tile(np.frombuffer(whole, np.uint8), (len(steps), 1))
    at = _HEAD + 1
    rows[:, at : at + 8] = _bytes((times_ns / 1e9).astype("<f8"), 8)
    at += 9
    left = steps.view(np.uint64).copy()
    for place in range(length):
        goes_on = 0x80 if place < length - 1 else 0
        rows[:, at + place] = (left & np.uint64(0x7F)).astype(np.uint8) | np.uint8(goes_on)
        left >>= np.uint64(7)
    with np.errstate(over="ignore"):  # what is beyond a float of 32 bits is an infinity there
        rows[:, -8:-4] = _bytes(values.astype("<f4"), 4)
    rows[:, -_FOOT:] = _bytes(masked_crcs(rows[:, _HEAD:-_FOOT]).astype("<u4"), 4)
    return rows


def _bytes(numbers: npt.NDArray[Any], size: int) -> npt.NDArray[np.uint8]:
    import numpy as np

    return np.ascontiguousarray(numbers).view(np.uint8).reshape(len(numbers), size)


def _struct_value(value: Any) -> bytes:
    """Return a google.protobuf.Value: a number, a truth value, or a text."""
    if isinstance(value, bool):
        return b"\x20" + varint(int(value))
    if isinstance(value, (int, float)):
        return b"\x11" + struct.pack("<d", float(value))
    return packed(3, _utf8(value if isinstance(value, str) else repr(value)))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
