"""Damage that knows what it damages: frames whose checksums are right again, lengths that lie, spliced inputs."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence

from ml_dash.journal.frame import FRAME_HEADER, parse_frame_header, split_frame
from tests.support.serving import frame_around

__all__ = ["mutated", "mutated_frames", "sound_frames"]

_LENGTHS = (0, 1, 7, 0x7F, 0x80, 0xFF, 0xFFFF, 1 << 20, 0x7FFF_FFFF, 0xFFFF_FFFF)
_TOKENS = (
    *(
        b"\x90",
        b"\xdc\xff\xff",
        b"\xdd\x7f\xff\xff\xff",
        b"\x80",
        b"\xdf\x00\x00\x00\x02",
        b"\xc0",
        b"\xc1",
        b"\xc2",
    ),
    *(
        b"\xcb" + b"\xff" * 8,
        b"\xcf" + b"\xff" * 8,
        b"\xd3\x80" + bytes(7),
        b"\xd9\x02\xed\xa0",
        b"\xd9\x03\xed\xa0\x80",
    ),
    *(
        b"\xd6\xff\x00\x00\x00\x00",
        b"\xc7\x0c\xff" + b"\xff" * 12,
        b"\xc7\x00\x05",
        b"\x91" * 40,
        b"\x81\xa0" * 40,
    ),
    *(b"\xf1mD\x9a", b"MLDJ", b"\0" * 9, b"NaN", b"{", b"[", b'"\\ud800"', b"1e999", b"\xff\xfe"),
)


def mutated(rng: random.Random, raw: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return bytes after one to three accidents; pieces of the others may get among them."""
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(raw) + 1)
        raw = rng.choice(_ACCIDENTS)(rng, raw, at, rng.choice(others) if others else raw)
    return raw


def _flip(rng: random.Random, raw: bytes, at: int, _other: bytes) -> bytes:
    return raw[:at] + bytes(byte ^ 1 << rng.randrange(8) for byte in raw[at : at + 1]) + raw[at + 1 :]


def _insert(rng: random.Random, raw: bytes, at: int, _other: bytes) -> bytes:
    return raw[:at] + rng.choice(_TOKENS) + raw[at:]


def _replace(rng: random.Random, raw: bytes, at: int, _other: bytes) -> bytes:
    token = rng.choice(_TOKENS)
    return raw[:at] + token + raw[at + len(token) :]


def _length(rng: random.Random, raw: bytes, at: int, _other: bytes) -> bytes:
    width = rng.choice((1, 2, 4, 8))
    number = (rng.choice(_LENGTHS) % (1 << 8 * width)).to_bytes(width, rng.choice(("little", "big")))
    return raw[:at] + number + raw[at + width :]


def _cut(rng: random.Random, raw: bytes, at: int, _other: bytes) -> bytes:
    return raw[:at]


def _remove(rng: random.Random, raw: bytes, at: int, _other: bytes) -> bytes:
    return raw[:at] + raw[at + rng.randrange(1, 40) :]


def _repeat(rng: random.Random, raw: bytes, at: int, _other: bytes) -> bytes:
    return raw[:at] + raw[max(at - rng.randrange(1, 80), 0) :]


def _splice(rng: random.Random, raw: bytes, at: int, other: bytes) -> bytes:
    return raw[:at] + other[rng.randrange(len(other) + 1) :]


_ACCIDENTS: tuple[Callable[[random.Random, bytes, int, bytes], bytes], ...] = (
    *(_flip, _flip, _insert, _replace, _length, _cut, _remove, _repeat, _splice),
)


def mutated_frames(rng: random.Random, frames: Sequence[bytes], *, loose: bool = True) -> list[bytes]:
    """Return frames of which one or two were changed, nearly always so that their checksums are right again.

    Not `loose`, all of them stay frames whose checksums are right.
    """
    changed = list(frames)
    for _ in range(rng.randrange(1, 3)):
        at = rng.randrange(len(changed))
        parts = split_frame(changed[at])
        if parts is None:
            continue
        seq, meta, data = parts.header.seq, bytes(parts.meta), bytes(parts.data)
        other = split_frame(rng.choice(frames)) or parts
        luck = rng.randrange(7 if loose else 5)
        if luck == 0:
            changed[at] = frame_around(seq, mutated(rng, meta, [bytes(other.meta)]), data)
        elif luck in {1, 2}:
            # of the same length, or the meta would not fit it
            changed[at] = frame_around(seq, meta, (mutated(rng, data) + bytes(len(data)))[: len(data)])
        elif luck == 3:
            changed[at] = frame_around(seq, bytes(other.meta), data)
        elif luck == 4:
            changed[at] = frame_around(
                rng.choice((0, seq - 1, seq + 1, 2**63, 2**64 - 1)) % 2**64, meta, data
            )
        elif luck == 5:
            changed[at] = mutated(rng, changed[at], frames)
        else:
            rng.shuffle(changed)
    return changed


def sound_frames(raw: bytes) -> list[bytes]:
    """Return the frames at the start of a body whose checksums are right."""
    found = []
    while header := parse_frame_header(raw[: FRAME_HEADER.size]):
        one, raw = raw[: header.length], raw[header.length :]
        parts = split_frame(one)
        if parts is None or not parts.is_sound:
            break
        found.append(one)
    return found


def deflated(raw: bytes) -> bytes:
    """Return a body as a client compresses it."""
    return zlib.compress(raw, 1)
