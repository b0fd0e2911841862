"""Prepare the frames of a request for a transaction: on worker threads, outside of any lock.

A request with much data becomes one object in the object store, to which the blocks refer; so their bytes are written
once, and not to the database's log and then to the database as well. Many small blocks of one series become one.
"""

from __future__ import annotations

import zlib
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.journal.block_ops import can_merge, merge_blocks
from ml_dash.journal.blocks import Block, block_rows, encode_block
from ml_dash.journal.objects import to_msgpack
from ml_dash.series import Kind
from ml_dash.server.blobs.names import rows_name
from ml_dash.server.catalogue.kept import new_summaries
from ml_dash.server.charts.summaries import summarize
from ml_dash.server.db.tables import name_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ml_dash.series import Series
    from ml_dash.server.alerts.hits import Hit, WatchedRules
    from ml_dash.server.blobs.objects import ObjectStore
    from ml_dash.server.catalogue.kept import NewRow, NewSummaries
    from ml_dash.server.ingest.frames import FrameBlock, ParsedFrame

MERGED_ROWS = 16_384
MERGED_BYTES = 2 << 20
"""The largest block that is made of small ones: a read of a few of its rows reads all of it."""
# a block of more is worth its own entry: to join it would copy it, for one entry less in thousands of rows
_SMALL_ROWS = 1024
_SUMMARY_ROWS = 256
"""Blocks of fewer rows are summarised when a chart asks for them."""
_IN_ROW = frozenset({Kind.PARAMS, Kind.RUN})
"""Their rows are few and small, and read all together, writer by writer: they stay in the database."""
_MERGED_KINDS = frozenset({Kind.METRIC, Kind.TRACK, Kind.LOG, Kind.FILE, Kind.ALERT})


class NewBlock(NamedTuple):
    """A block that is to be stored. It has either its `data`, or its `offset` in the object.

    `starts` is how many starts of runs come before it in the request: it belongs to the last of them. `summary` is for
    charts; `summaries` are of its fields as a whole, see `ml_dash.server.catalogue.kept`.
    """

    starts: int
    kind: int
    name: bytes
    fields: list[str]
    rows: int
    seq: int
    min_ns: int
    max_ns: int
    first_ns: int
    last_ns: int
    entry: bytes
    data: bytes | None
    offset: int | None
    length: int
    crc: int
    summary: bytes | None
    summaries: NewSummaries | NewRow | None


class NewObject(NamedTuple):
    """An object that is stored already, and belongs to the blocks of one request."""

    name: str
    size: int


class NewRows(NamedTuple):
    """What one request stores, if the writer's watermark still is `after`.

    Attributes:
        experiment_id: Whose rows they are.
        writer: Who wrote them.
        after: The watermark that these frames follow.
        checks: The data checksum of each frame.
        blocks: The blocks of the frames.
        run_rows: The RUN rows among them, with their times.
        file_rows: The FILE rows among them, with their times.
        last_ns: The latest time in the last frame that has rows; None if no frame has.
        sent_ns: When they were sent, by the sender's clock; None if it does not say.
        object: Where the data of those blocks is that have no `data`.
        rows: The number of rows.
        nbytes: The bytes of data that are written to the database.
        hits: What in the rows may make rules fire.
    """

    experiment_id: str
    writer: str
    after: int
    checks: list[int]
    blocks: list[NewBlock]
    run_rows: list[tuple[int, dict[str, Any]]]
    file_rows: list[tuple[int, dict[str, Any]]]
    last_ns: int | None
    sent_ns: int | None
    object: NewObject | None
    rows: int
    nbytes: int
    hits: Sequence[Hit] = ()

    @property
    def metric_rows(self) -> int:
        """How many of the rows are of metrics: these alone are called rows, where people are told of them."""
        return sum(block.rows for block in self.blocks if block.kind == Kind.METRIC)

    @property
    def alerts(self) -> int:
        """How many of the rows are alerts."""
        return sum(block.rows for block in self.blocks if block.kind == Kind.ALERT)

    @property
    def age_ns(self) -> int | None:
        """How old the newest sign of life in it was when it was sent; None if there is none.

        By the sender's clock, which has given the rows their times. Where it is not known, they are as new as can be.
        """
        times = [time_ns for time_ns, _ in self.run_rows]
        # A `_ts` of the caller's own may lie in the future, and says nothing then.
        if self.last_ns is not None and (self.sent_ns is None or self.last_ns <= self.sent_ns):
            times.append(self.last_ns)
        if not times:
            return None
        return 0 if self.sent_ns is None else max(0, self.sent_ns - max(times))


class _Piece(NamedTuple):
    # a block as it arrived, or one that was merged of several, and then has bytes of its own
    first: FrameBlock
    last: FrameBlock
    seq: int
    block: Block | None
    rows: int
    min_ns: int
    max_ns: int
    entry: bytes
    merged: bytes | None
    starts: int = 0

    @property
    def length(self) -> int:
        return self.first.head.nbytes if self.merged is None else len(self.merged)


def summary_of(block: Block, *, least: int = _SUMMARY_ROWS) -> bytes | None:
    """Return the summary that is stored with a block; None if it is no metric, or has too few rows."""
    return summarize(block) if block.series.kind is Kind.METRIC and block.count >= least else None


def prepare(
    experiment_id: str,
    writer: str,
    body: bytes | bytearray | memoryview,
    frames: Sequence[ParsedFrame],
    *,
    sent_ns: int | None = None,
    objects: ObjectStore,
    object_bytes: int,
    rules: WatchedRules | None = None,
) -> NewRows:
    """Turn frames into what is to be stored; write their object if there is enough data for one.

    Args:
        experiment_id: Whose frames they are.
        writer: Who wrote them.
        body: The bytes that they were parsed from.
        frames: At least one frame.
        sent_ns: When they were sent, by the sender's clock.
        objects: Where objects go.
        object_bytes: How much data is enough for an object.
        rules: What is looked for in the rows; None for nothing.

    Raises:
        OSError: The object cannot be stored.
    """
    view = memoryview(body)
    pieces = [piece._replace(starts=starts) for starts, part in _parts(frames) for piece in _pieces(part)]
    far = [piece for piece in pieces if piece.first.head.series.kind not in _IN_ROW]
    stored: NewObject | None = None
    offsets: dict[int, int] = {}
    if sum(piece.length for piece in far) >= object_bytes:
        stored, offsets = _write_object(experiment_id, view, frames, far, objects)
    # by id: the arrays in a piece have no hash, and `pieces` keeps them all alive, so that no id is used twice
    blocks = [_new_block(piece, view, offsets.get(id(piece))) for piece in pieces]
    return NewRows(
        experiment_id,
        writer,
        frames[0].seq - 1,
        [frame.crc for frame in frames],
        blocks,
        list(_rows_of(Kind.RUN, frames)),
        list(_rows_of(Kind.FILE, frames)),
        _last_ns(frames),
        sent_ns,
        stored,
        sum(frame.rows for frame in frames),
        sum(len(block.data) for block in blocks if block.data is not None),
        rules.hits((piece.starts, piece.block) for piece in pieces if piece.block is not None)
        if rules
        else (),
    )


def _parts(frames: Iterable[ParsedFrame]) -> Iterator[tuple[int, list[ParsedFrame]]]:
    """Yield the frames up to each that starts a run, and how many starts there are: rows of two runs stay apart."""
    starts = 0
    part: list[ParsedFrame] = []
    for frame in frames:
        rows = _rows_of(Kind.RUN, [frame])
        new = sum(fields.get("event") == "start" for _, fields in rows)
        if new and part:
            yield starts, part
            part = []
        starts += new
        part.append(frame)
    yield starts, part


def _pieces(frames: Iterable[ParsedFrame]) -> Iterator[_Piece]:
    # by series: blocks of one metric lie apart in a body, with those of others and in other frames between them
    by_series: dict[Series, list[tuple[int, FrameBlock]]] = {}
    for frame in frames:
        for block in frame.blocks:
            by_series.setdefault(block.head.series, []).append((frame.seq, block))
    for series, found in by_series.items():
        if series.kind not in _MERGED_KINDS or len(found) == 1:
            yield from (_single(seq, block) for seq, block in found)
            continue
        for small, group in groupby(found, key=_is_small):
            together = list(group)
            if small and len(together) > 1:
                yield from _merged(together)
            else:
                yield from (_single(seq, block) for seq, block in together)


def _is_small(numbered: tuple[int, FrameBlock]) -> bool:
    head = numbered[1].head
    return head.rows < _SMALL_ROWS and head.nbytes < MERGED_BYTES // 4 and can_merge(head)


def _single(seq: int, block: FrameBlock) -> _Piece:
    return _Piece(
        block, block, seq, block.block, block.head.rows, block.min_ns, block.max_ns, block.entry, None
    )


def _merged(found: list[tuple[int, FrameBlock]]) -> Iterator[_Piece]:
    batch: list[tuple[int, FrameBlock]] = []
    rows = size = 0
    for numbered in found:
        head = numbered[1].head
        if batch and (rows + head.rows > MERGED_ROWS or size + head.nbytes > MERGED_BYTES):
            yield _one_of(batch)
            batch, rows, size = [], 0, 0
        batch.append(numbered)
        rows, size = rows + head.rows, size + head.nbytes
    yield _one_of(batch)


def _one_of(found: list[tuple[int, FrameBlock]]) -> _Piece:
    if len(found) == 1:
        return _single(*found[0])
    blocks = [block for _, block in found]
    merged = merge_blocks([block.block for block in blocks if block.block is not None])
    entry, data = encode_block(merged)
    return _Piece(
        blocks[0],
        blocks[-1],
        found[0][0],
        merged,
        merged.count,
        min(block.min_ns for block in blocks),
        max(block.max_ns for block in blocks),
        to_msgpack(entry),
        b"".join(data),
    )


def _write_object(
    experiment_id: str,
    view: memoryview,
    frames: Sequence[ParsedFrame],
    pieces: list[_Piece],
    objects: ObjectStore,
) -> tuple[NewObject, dict[int, int]]:
    if any(piece.merged is not None for piece in pieces):
        parts = [_data(piece, view) for piece in pieces]
        data: bytes | memoryview = b"".join(parts)
        offsets, at = {}, 0
        for piece, part in zip(pieces, parts, strict=True):
            offsets[id(piece)] = at
            at += len(part)
    else:
        # the frames as they came: nothing is copied
        start = frames[0].start
        data = view[start : frames[-1].end]
        offsets = {id(piece): piece.first.offset - start for piece in pieces}
    name = rows_name(experiment_id)
    objects.put(name, data)
    return NewObject(name, len(data)), offsets


def _data(piece: _Piece, view: memoryview) -> bytes | memoryview:
    if piece.merged is not None:
        return piece.merged
    return view[piece.first.offset : piece.first.offset + piece.first.head.nbytes]


def _new_block(piece: _Piece, view: memoryview, offset: int | None) -> NewBlock:
    series, head = piece.first.head.series, piece.first.head
    data = _data(piece, view)
    columns = head.columns if piece.merged is None or piece.block is None else piece.block.columns
    return NewBlock(
        piece.starts,
        int(series.kind),
        name_key(series.name),
        list(dict.fromkeys(column.field for column in columns)),
        piece.rows,
        piece.seq,
        piece.min_ns,
        piece.max_ns,
        piece.first.first_ns,
        piece.last.last_ns,
        piece.entry,
        bytes(data) if offset is None else None,
        offset,
        len(data),
        zlib.crc32(data),
        None if piece.block is None else summary_of(piece.block),
        None if piece.block is None or series.kind is not Kind.METRIC else new_summaries(piece.block),
    )


def _rows_of(kind: Kind, frames: Iterable[ParsedFrame]) -> Iterator[tuple[int, dict[str, Any]]]:
    for frame in frames:
        for each in frame.blocks:
            if each.block is not None and each.head.series.kind is kind:
                yield from zip(map(int, each.block.times), block_rows(each.block), strict=True)


def _last_ns(frames: Sequence[ParsedFrame]) -> int | None:
    # times may go back, so the latest is not that of the last row; kinds of a later version tell of no life
    for frame in reversed(frames):
        times = [block.max_ns for block in frame.blocks if block.block is not None]
        if times:
            return max(times)
    return None
