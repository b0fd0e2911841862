"""CRC-32C, Castagnoli's, as TFRecord stores it: of one piece of bytes, and of many of one length at once.

Byte by byte Python takes 0.1 µs each, and a record of a scalar has fifty. So many records go through the table side
by side, two bytes a step, and a long one is cut into lanes, whose checksums are joined: a checksum is linear, and what
follows a lane shifts its checksum by as many zeros.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_POLYNOMIAL = 0x82F63B78
"""Reflected."""
_LONG = 16_384
"""Bytes from which on lanes are worth numpy's fixed cost."""


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc_table()


def masked_crc(data: bytes) -> int:
    """Return CRC-32C as TFRecord stores it: rotated, and with a constant added."""
    crc = (_long if len(data) >= _LONG else _short)(data) ^ 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def masked_crcs(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Return the checksum of each row, N×L, as `masked_crc` does."""
    import numpy as np

    crc = _columns(rows, np.full(len(rows), 0xFFFFFFFF, np.uint32)) ^ np.uint32(0xFFFFFFFF)
    return ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8)


def _short(data: bytes) -> int:
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc


def _long(data: bytes) -> int:
    import numpy as np

    width = 1 << (len(data).bit_length() // 2)
    # Zeros in front change nothing of a checksum that begins with zero; the bits that it should begin with are those
    # of the first four bytes.
    padding = -len(data) % width
    lanes = np.zeros(padding + len(data), np.uint8)
    lanes[padding:] = np.frombuffer(data, np.uint8)
    lanes[padding : padding + 4] ^= 0xFF
    rows = lanes.reshape(-1, width)
    shift = _shift(width)
    crc = 0
    for lane in _columns(rows, np.zeros(len(rows), np.uint32)).tolist():
        crc = (
            shift[0][crc & 0xFF]
            ^ shift[1][crc >> 8 & 0xFF]
            ^ shift[2][crc >> 16 & 0xFF]
            ^ shift[3][crc >> 24]
            ^ lane
        )
    return crc


def _columns(rows: npt.NDArray[np.uint8], crc: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    import numpy as np

    even = rows.shape[1] // 2 * 2
    words = np.ascontiguousarray(np.ascontiguousarray(rows[:, :even]).view("<u2").T)
    table = _pairs()
    for column in words:
        crc = table[(crc ^ column) & np.uint32(0xFFFF)] ^ (crc >> np.uint32(16))
    if even < rows.shape[1]:
        crc = _singles()[(crc ^ rows[:, even]) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    return crc


@cache
def _singles() -> npt.NDArray[np.uint32]:
    import numpy as np

    return np.array(_TABLE, np.uint32)


@cache
def _pairs() -> npt.NDArray[np.uint32]:
    """Return the table for two bytes at once."""
    import numpy as np

    singles = _singles()
    words = np.arange(0x10000, dtype=np.uint32)
    first = singles[words & np.uint32(0xFF)]
    found: npt.NDArray[np.uint32] = singles[(first ^ (words >> np.uint32(8))) & np.uint32(0xFF)] ^ (
        first >> np.uint32(8)
    )
    return found


@cache
def _shift(width: int) -> tuple[list[int], ...]:
    """Return tables, by the bytes of a checksum, of what so many zeros behind it make of it."""
    basis = [1 << bit for bit in range(32)]
    # what one zero byte makes of each bit, and then that again and again: width is a power of two
    images = [_TABLE[bit & 0xFF] ^ (bit >> 8) for bit in basis]
    for _ in range(width.bit_length() - 1):
        images = [_image(images, value) for value in images]
    return tuple([_image(images, byte << 8 * place) for byte in range(256)] for place in range(4))


def _image(images: list[int], value: int) -> int:
    found = 0
    for image in images:
        if value & 1:
            found ^= image
        value >>= 1
    return found
