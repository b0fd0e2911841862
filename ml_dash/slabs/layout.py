"""The bytes of a slab, and what may be believed of them after a death.

Problem: a row is to survive SIGKILL as soon as the call that logged it has returned, at the cost of a copy. So callers
copy their packed events into memory that is shared with a file, and the kernel keeps what they have written. A process
may die in the middle of any copy, and a copy does not go from front to back. What holds:

- Copies are made one after the other, by `mmap.write`, under the interpreter's lock. Hence **what is followed by a
  `MARK` is whole**: it is written by a second copy, which begins when the first has ended. The last event may have no
  mark yet. Then the call that logged it has not returned, and it is left out.
- msgpack never begins anything with 0xC1, so that a parser that goes from event to event cannot take a mark for one.
  The mark's four bytes have no border, so that an event which ends in some of them is not cut short by a search. A
  search for marks can still hit one inside of a value; see `ml_dash.slabs.cutting`. What still can fail: the last copy
  before a death, torn right before a value whose bytes are a mark's, may be taken for a shorter event that is whole.
- Zeros follow what is written, for a region is cleared before it is used again.
- Eight bytes are copied at once. Those that must change together have a checksum: the `Taken` entries, of which there
  are two, so that one is good at any moment.

::

    0      head: magic, version, regions, bytes of each, process, time of birth, boot
    64     taken: two entries {frame, generation, offset, skip, checksum}
    192    number of the last frame written, for readers beside a live process
    200    when its process was first found dead, in ns; 0 before
    256    regions: {generation, end} each, 16 bytes; `OPEN` where nothing ends it yet
    1024   names: msgpack [writer id, directory, its device and inode, bell], behind its length and checksum
    8192   the regions
    …      the series: msgpack [number, kind, name] each, added before the first event that uses them. What does not fit
           into the rest of 64 KiB begins the next; zeros are left between

Regions that are filled one after the other have generations that count from 1, whichever of them it is: one that is
free. An entry of `Taken` says: the
writer's frame of this number, and those before it, have all events up to there, and `skip` more. It is written *before*
that frame is. So whoever finds the journal's last frame number finds the entry that belongs to it, and appends what is
behind: each row once, wherever the process has died.

Processes of several versions of the package may run side by side, and find the slabs of one another. Who takes another
layout for this one reads nonsense, finds nothing that waits, and removes the file. So the version is made from all that
is said here of the bytes, and nobody can change these and forget it. What only a meaning changes, `_RULES` tells, and a
test that holds the bytes of a slab against it.
"""

from __future__ import annotations

import os
import struct
import zlib

import msgpack

from ml_dash.records import NamedTuple

MARK = b"\xc1\x00\xff\x0a"
"""Follows each event."""
HEAD_BYTES = 8192
OPEN = 2**64 - 1
"""In the place of a region's end: nothing ends it yet."""
TAKEN_AT, WRITTEN_AT, REGIONS_AT, NAMES_AT = 64, 192, 256, 1024
DEAD_AT = 200
"""No part of the version: who does not know it reads the same events, and a slab that is in use has zeros there."""
REGIONS_MAX = 32
SERIES_BYTES = 64 << 10
"""By so much at a time the room for series grows."""
SUFFIX = ".slab"
NEW = ".new"
"""How the name of a slab ends that is being made."""

_MAGIC = b"MLDSLAB\x00"
_RULES = 2
"""Goes on where the same bytes mean something else: which events they are, and what is believed of them."""
_HEAD = struct.Struct("<8sHHIQQ16s")
_TAKEN = struct.Struct("<QQQQ")
_CRC = struct.Struct("<I")
_TAKEN_BYTES = 64
REGION = struct.Struct("<QQ")
WORD = struct.Struct("<Q")
_TEXT = struct.Struct("<II")


class Head(NamedTuple):
    """What a slab is: how many regions of how many bytes, whose, born when, and in which boot of the machine."""

    regions: int
    region_bytes: int
    pid: int
    born_ns: int
    boot: bytes

    @property
    def series_at(self) -> int:
        """Where the series begin."""
        return HEAD_BYTES + self.regions * self.region_bytes

    def region_at(self, number: int) -> int:
        """Return where a region begins."""
        return HEAD_BYTES + number * self.region_bytes


class Taken(NamedTuple):
    """Up to where the events are in the journal, with its frame of number `frame`; of those behind, `skip` are, too."""

    frame: int
    generation: int
    offset: int
    skip: int = 0


class Names(NamedTuple):
    """Whose the events are: the writer's, in the experiment that lies in this directory.

    The directory's device and inode tell it from another one of the same path: containers may share their memory, and
    not their disks. They are 0 where it is not there.
    """

    writer_id: str
    directory: bytes
    device: int
    inode: int
    bell: str


def version_of(*parts: object) -> int:
    """Return the number of a layout that these describe; none is that of the first ones, which was 1."""
    return zlib.crc32(repr(parts).encode()) & 0xFFFF | 0x8000


_VERSION = version_of(
    _RULES,
    (MARK, HEAD_BYTES, OPEN, TAKEN_AT, _TAKEN_BYTES, WRITTEN_AT, REGIONS_AT, NAMES_AT, SERIES_BYTES),
    [part.format for part in (_HEAD, _TAKEN, _CRC, REGION, WORD, _TEXT)],
    [kind._fields for kind in (Head, Taken, Names)],
)


def encode_head(head: Head) -> bytes:
    """Return the bytes that a slab begins with."""
    return _HEAD.pack(_MAGIC, _VERSION, *head)


def decode_head(data: bytes) -> Head | None:
    """Return the head of a slab; None where this is none of this version."""
    if len(data) < HEAD_BYTES:
        return None
    magic, version, *fields = _HEAD.unpack_from(data)
    head = Head(*fields)
    is_known = magic == _MAGIC and version == _VERSION
    return head if is_known and 1 < head.regions <= REGIONS_MAX and head.region_bytes % 4096 == 0 else None


def is_of_another_version(data: bytes) -> bool:
    """Whether this is the head of a slab that some other version of the package has made."""
    if len(data) < HEAD_BYTES:
        return False
    magic, version, *_ = _HEAD.unpack_from(data)
    return bool(magic == _MAGIC and version not in (0, _VERSION))


def encode_taken(taken: Taken) -> bytes:
    """Return the bytes of an entry."""
    data = _TAKEN.pack(*taken)
    return data + _CRC.pack(zlib.crc32(data))


def taken_at(frame: int) -> int:
    """Return where the entry of a frame is written: two frames that follow one another have different places."""
    return TAKEN_AT + frame % 2 * _TAKEN_BYTES


def decode_taken(data: bytes) -> list[Taken]:
    """Return the entries of a slab that are whole, by their frames."""
    found = []
    for place in (0, 1):
        at = TAKEN_AT + place * _TAKEN_BYTES
        raw = data[at : at + _TAKEN.size]
        if _CRC.unpack_from(data, at + _TAKEN.size)[0] == zlib.crc32(raw):
            found.append(Taken(*_TAKEN.unpack(raw)))
    return sorted(found)


def names_of(writer_id: str, directory: str, bell: str) -> Names:
    """Return what is to be written down of a writer, and of where its experiment is now."""
    path = os.path.abspath(directory)
    return Names(writer_id, os.fsencode(path), *place_of(path), bell)


def place_of(directory: str) -> tuple[int, int]:
    """Return the device and inode of a directory; zeros where it is not there."""
    try:
        status = os.stat(directory)
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


def encode_names(names: Names) -> bytes:
    """Return the bytes of the names; ValueError where they are too long."""
    text: bytes = msgpack.packb(list(names))
    if len(text) > HEAD_BYTES - NAMES_AT - _TEXT.size:
        raise ValueError("the path of the experiment is too long for a slab")
    return _TEXT.pack(len(text), zlib.crc32(text)) + text


def decode_names(data: bytes) -> Names | None:
    """Return the names; None where they are damaged."""
    size, crc = _TEXT.unpack_from(data, NAMES_AT)
    start = NAMES_AT + _TEXT.size
    text = data[start : start + size] if size <= HEAD_BYTES else b""
    return Names(*msgpack.unpackb(text)) if zlib.crc32(text) == crc and text else None
