"""Frames as they arrive: checked byte by byte before anything is stored.

Nothing that a client sends is trusted: lengths are compared with what there is, checksums are computed, every block is
decoded once, and counts, names and depths are limited. The limits are far beyond what ML-Dash itself writes.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ml_dash.journal.blocks import (
    TIME_BYTES,
    Block,
    BlockHead,
    block_rows,
    decode_block,
)
from ml_dash.journal.frame import FRAME_HEADER, META_BYTES_MAX, decode_meta, parse_frame_header, weigh_frame
from ml_dash.journal.frame_table import KNOWN_KINDS
from ml_dash.journal.objects import CONTAINERS_MAX, from_msgpack, to_msgpack
from ml_dash.protocol import ErrorCode
from ml_dash.series import Kind
from ml_dash.values.counting import TooManyValuesError

if TYPE_CHECKING:
    from collections.abc import Iterator

# PostgreSQL refuses index entries of more than about 2700 bytes, and a series' name is in one
NAME_BYTES_MAX = 1024
FIELD_BYTES_MAX = 65_536
COLUMNS_MAX = 65_536
# what a column of the database holds
SEQ_MAX = 2**63 - 1
KIND_MAX = 2**31 - 1
_CACHED_BYTES = 1 << 20
_DECODED_BYTES_MAX = 256 << 20
"""Bytes of lists and dicts of all frames of a request; a frame alone may have more."""
_FOLDED = frozenset({Kind.RUN, Kind.FILE})
"""Read as rows before they are stored, which must not fail then."""


class FrameBlock(NamedTuple):
    """A block of a frame.

    Attributes:
        head: What the meta says of it.
        entry: Its entry in the meta, as bytes.
        offset: Where its data begins in the request's body.
        block: The block, decoded; None if its kind is of a later version.
        min_ns: The earliest time of its rows.
        max_ns: The latest.
        first_ns: That of its first row.
        last_ns: That of its last row.
    """

    head: BlockHead
    entry: bytes
    offset: int
    block: Block | None
    min_ns: int
    max_ns: int
    first_ns: int
    last_ns: int


class ParsedFrame(NamedTuple):
    """A valid frame. `start` and `end` are where it lies in the body."""

    seq: int
    crc: int
    start: int
    end: int
    blocks: list[FrameBlock]

    @property
    def rows(self) -> int:
        """How many rows its blocks have together."""
        return sum(block.head.rows for block in self.blocks)


class Problem(NamedTuple):
    """Why parsing ended before the end of the body: the answer, once the frames before are stored."""

    status: int
    code: ErrorCode
    message: str
    seq: int | None


class ParsedFrames(NamedTuple):
    """The valid frames at the start of a body, numbered without a gap, and what is wrong with the next one."""

    frames: list[ParsedFrame]
    problem: Problem | None


_Meta = tuple[list[BlockHead], list[bytes]]
"""A frame's meta, decoded and checked: the heads of its blocks, and the entries that they were made of."""


class _Metas:
    """Decoded metas by their bytes: a steady run repeats the same one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[bytes, int], _Meta] = {}
        self._size = 0

    def decode(self, meta: bytes, data_len: int) -> _Meta:
        key = meta, data_len
        # without the lock: one `get` is atomic, and a miss that was none costs only a second decoding
        found = self._known.get(key)
        if found is None:
            found = _decode_meta(meta, data_len)
            with self._lock:
                self._size += len(meta)
                if self._size > _CACHED_BYTES:
                    # all at once: to know which are the oldest would cost every frame something
                    self._known.clear()
                    self._size = len(meta)
                self._known[key] = found
        return found


_METAS = _Metas()


def weigh_frames(body: bytes | bytearray | memoryview) -> list[int | None]:
    """Return about how many bytes the lists and dicts of each frame of a body will take, up to the first that is none.

    Nothing of them is decoded. None stands for a frame that has more of them than anybody writes.
    """
    view, at = memoryview(body), 0
    found: list[int | None] = []
    while (header := parse_frame_header(view[at : at + FRAME_HEADER.size])) is not None:
        frame = header.split(view[at : at + header.length])
        at += header.length
        if at > len(view) or not frame.head_is_sound:
            break
        try:
            heads, _ = _METAS.decode(bytes(frame.meta), header.data_len)
            found.append(weigh_frame(heads, frame.data))
        except TooManyValuesError:
            found.append(None)
        except ValueError:
            break  # it will be told when it is parsed
    return found


def parse_frames(
    body: bytes | bytearray | memoryview, weights: list[int | None] | None = None
) -> ParsedFrames:
    """Return the frames that lie back to back in a body, up to the first one that is invalid.

    And up to the one with which their objects would fill the memory: the answer says which were taken, and the client
    goes on from there. `weights` are what `weigh_frames` returns.
    """
    view = memoryview(body)
    frames: list[ParsedFrame] = []
    at = weight = 0
    if weights is None:
        weights = weigh_frames(body)
    try:
        while at < len(view):
            own = weights[len(frames)] if len(frames) < len(weights) else 0
            weight += own or 0
            if frames and weight > _DECODED_BYTES_MAX:
                break
            frames.append(_parse_frame(view, at, frames[-1].seq if frames else None, is_fit=own is not None))
            at = frames[-1].end
    except _UnfitError as error:
        return ParsedFrames(frames, error.problem)
    return ParsedFrames(frames, None)


def _parse_frame(view: memoryview, at: int, before: int | None, *, is_fit: bool) -> ParsedFrame:
    header = parse_frame_header(view[at : at + FRAME_HEADER.size])
    # in this order: the length is believed only as far as the body goes, and nothing else before the head's checksum
    if header is None:
        raise _damaged(f"no frame begins at byte {at} of {len(view)}")
    end = at + header.length
    if end > len(view):
        raise _damaged(
            f"the frame at byte {at} says that it ends at byte {end}, and the body has {len(view)}"
        )
    frame = header.split(view[at:end])
    if not frame.head_is_sound:
        raise _damaged(f"the head checksum of the frame at byte {at} is wrong")
    if not frame.data_is_sound:
        raise _damaged(f"the data checksum of frame {header.seq} is wrong", header.seq)
    if header.meta_len > META_BYTES_MAX:
        raise _malformed(header.seq, f"its meta has {header.meta_len} bytes, more than {META_BYTES_MAX}")
    if not 1 <= header.seq <= SEQ_MAX:
        raise _malformed(header.seq, "frames are numbered from 1 on")
    if before is not None and header.seq != before + 1:
        text = f"frame {header.seq} follows frame {before}: send them in order, without a gap"
        raise _UnfitError(Problem(409, ErrorCode.GAP, text, header.seq))
    if not is_fit:
        raise _malformed(header.seq, f"its objects have more than {CONTAINERS_MAX:,} lists and dicts")
    try:
        blocks = list(_blocks(bytes(frame.meta), frame.data, end - header.data_len))
    except ValueError as error:
        raise _malformed(header.seq, str(error)) from error
    return ParsedFrame(header.seq, header.data_crc, at, end, blocks)


class _UnfitError(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def _damaged(message: str, seq: int | None = None) -> _UnfitError:
    text = f"{message}: what arrived is not what was sent; send it again"
    return _UnfitError(Problem(400, ErrorCode.DAMAGED, text, seq))


def _malformed(seq: int, message: str) -> _UnfitError:
    text = f"frame {seq} arrived whole, but is malformed: {message}; send an empty one instead"
    return _UnfitError(Problem(422, ErrorCode.MALFORMED, text, seq))


def _blocks(meta: bytes, data: bytes | memoryview, data_at: int) -> Iterator[FrameBlock]:
    offset = 0
    for head, entry in zip(*_METAS.decode(meta, len(data)), strict=True):
        yield _block(head, entry, data[offset : offset + head.nbytes], data_at + offset)
        offset += head.nbytes


def _block(head: BlockHead, entry: bytes, data: bytes | memoryview, offset: int) -> FrameBlock:
    if head.series.kind not in KNOWN_KINDS:
        # of any kind, the data begins with the times: enough to store rows that only a later version can read
        times = np.frombuffer(data[: TIME_BYTES * head.rows], "<i8")
        return FrameBlock(head, entry, offset, None, *_times(times))
    block = decode_block(head, data, strict=True)
    _check_values(block)
    return FrameBlock(head, entry, offset, block, *_times(block.times))


def _times(times: Any) -> tuple[int, int, int, int]:
    # one row is the usual block of a slow run, and numpy takes microseconds for each of the four
    if len(times) == 1:
        only = int(times[0])
        return only, only, only, only
    if isinstance(times, list):
        return min(times), max(times), times[0], times[-1]
    return int(times.min()), int(times.max()), int(times[0]), int(times[-1])


def _decode_meta(meta: bytes, data_len: int) -> _Meta:
    heads = decode_meta(meta, data_len)
    entries = from_msgpack(meta)
    for head in heads:
        _check_head(head)
    return heads, [to_msgpack(entry) for entry in entries]


def _check_head(head: BlockHead) -> None:
    # of a later version, the kind may be a number that is no Kind
    kind: Any = head.series.kind
    name = head.series.name
    if not 0 < kind <= KIND_MAX:
        raise ValueError(f"a kind of series is a number from 1 on, not {kind}")
    # ours has none; with no rows, a million of them fit into a request
    if not head.rows:
        raise ValueError("a block without rows")
    if isinstance(head.rows, bool):
        raise ValueError("a number of rows is not a bool")  # noqa: TRY004 - as all that is wrong with a frame
    if name is not None and len(name.encode("utf-8", "surrogatepass")) > NAME_BYTES_MAX:
        raise ValueError(f"the name of series {name[:40]!r}… has over {NAME_BYTES_MAX} bytes")
    if len(head.columns) > COLUMNS_MAX:
        raise ValueError(f"{len(head.columns)} columns in a block, more than {COLUMNS_MAX}")
    seen = set()
    for column in head.columns:
        # a character has at most 4 bytes in UTF-8: nearly all names are short enough to need no encoding
        if (
            len(column.field) * 4 > FIELD_BYTES_MAX
            and len(column.field.encode("utf-8", "surrogatepass")) > FIELD_BYTES_MAX
        ):
            raise ValueError(f"the name of field {column.field[:40]!r}… has over {FIELD_BYTES_MAX} bytes")
        if (column.field, column.type) in seen:
            raise ValueError(f"two columns of field {column.field!r:.80} and type {column.type!r:.20}")
        seen.add((column.field, column.type))


def _check_values(block: Block) -> None:
    fields = set()
    for column in block.columns:
        if column.field in fields:
            _check_apart(block, column.field)
        fields.add(column.field)
    if block.series.kind in _FOLDED:
        block_rows(block)


def _check_apart(block: Block, field: str) -> None:
    # a field with several types has a column for each, and no row in two of them
    seen: set[int] = set()
    for column in block.columns:
        if column.field == field:
            rows = set(range(block.count) if column.rows is None else map(int, column.rows))
            if seen & rows:
                raise ValueError(f"field {field!r:.80} has two values in one row")
            seen |= rows
