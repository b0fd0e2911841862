"""What a journal amounts to, for lists: read from where the last look ended.

Frames are read once, as they follow one another, and folded: how the runs stand, the parameters, and a summary of each
field of each metric. What the fold knows is kept (`Digest.state`), so that the next one reads the frames that have come
since, and none of those before. Rows that a later attempt has superseded are left out, as they are in every answer;
when that changes for rows that were folded already, all are read again.

A journal that is not as its writers leave one (damaged, with gaps, cut off, changed in the middle) is read by its index
instead, which finds what can be found and says what is wrong; of that nothing is kept to go on with.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.journal.disk import is_shortage
from ml_dash.journal.frame import FRAME_HEADER, SEGMENT_SUFFIX, parse_frame_header, parse_segment_name
from ml_dash.journal.index import JournalIndex
from ml_dash.journal.objects import from_msgpack, to_msgpack
from ml_dash.journal.reader import AheadReader, BadFrameError, Reader, read_frame
from ml_dash.journal.scan import SegmentScan
from ml_dash.query.listing.definitions import fold_definitions
from ml_dash.query.row_source import param_rows, read_params
from ml_dash.query.runs import WriterRuns
from ml_dash.series import Kind
from ml_dash.storage.summaries.folding import Cuts, Fold, Mark

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ml_dash.journal.damage import Damage
    from ml_dash.journal.disk import Disk
    from ml_dash.journal.frame import FrameHeader
    from ml_dash.journal.scan import Frame
    from ml_dash.query.listing.listed import Best
    from ml_dash.query.listing.naming import Field
    from ml_dash.query.listing.summary import Summaries

_TRIES = 3
"""So often a journal is read again whose attempts come to another answer each time: it is written just now."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What a journal amounts to.

    Attributes:
        runs: Of each writer, the RUN rows that count.
        params: Flat, by dotted names.
        definitions: Which value of a field is its best.
        metrics: The summaries of the fields of each metric.
        rows: Of the metrics.
        entries: Rows of all kinds.
        alerts: Rows that are alerts.
        size: Bytes of the segments.
        damage: What is wrong.
        state: With which the next digest goes on; None where it cannot.
        rows_read: How many rows were read for it.
        is_whole: Whether the journal was read to its end; else `state` alone is of any use.
    """

    runs: dict[str, WriterRuns]
    params: dict[str, Any]
    definitions: dict[Field, Best]
    metrics: dict[str | None, Summaries]
    rows: int
    entries: int
    alerts: int
    size: int
    damage: Sequence[Damage] = ()
    state: bytes | None = None
    rows_read: int = 0
    is_whole: bool = True


class _OddJournalError(Exception):
    """A journal is not as its writers leave one."""


def digest(
    journal: str, disk: Disk, state: bytes | None = None, is_late: Callable[[], bool] = lambda: False
) -> Digest:
    """Return what a journal amounts to now.

    Args:
        journal: Its directory.
        disk: The file system.
        state: That of its last digest.
        is_late: Is asked behind each frame whether to stop there, and to go on at the next digest. A journal that only
            its index can read is read to its end.

    Raises:
        JournalVersionError: A later version wrote one of the files.
        OSError: The directory cannot be listed, or there is nothing to read with, see `is_shortage`.
    """
    try:
        return _digest(
            journal, disk, None if state is None else Fold.from_state(from_msgpack(state)), is_late
        )
    except (_OddJournalError, BadFrameError, ValueError):
        return _by_index(journal, disk)


def _digest(journal: str, disk: Disk, known: Fold | None, is_late: Callable[[], bool]) -> Digest:
    fold = known or Fold()
    rows_read = 0
    for _ in range(_TRIES):
        segments = _segments(journal, disk)
        is_whole = _take_in(journal, disk, fold, segments, is_late)
        rows_read += fold.rows_read
        if not is_whole:
            state = to_msgpack(fold.state())
            return Digest({}, {}, {}, {}, 0, 0, 0, 0, state=state, rows_read=rows_read, is_whole=False)
        cuts = fold.cuts_now()
        if fold.agrees(cuts) and not fold.params_are_late:
            break
        # with what is known now, from the start
        fold = Fold(cuts)
    else:
        raise _OddJournalError
    came = {
        writer: _modified_ns(os.path.join(journal, found[-1].name), disk)
        for writer, found in segments.items()
    }
    return Digest(
        fold.runs(came),
        fold.params,
        fold.definitions,
        fold.metrics(),
        fold.rows,
        fold.entries,
        fold.alerts,
        sum(each.size for found in segments.values() for each in found),
        state=to_msgpack(fold.state()),
        rows_read=rows_read,
    )


class _Segment(NamedTuple):
    number: int
    name: str
    size: int


def _segments(journal: str, disk: Disk) -> dict[str, list[_Segment]]:
    """Return the segments of each writer in their order, and the writers in that of their ids."""
    found: dict[str, list[_Segment]] = {}
    for name in disk.list(journal):
        if not name.endswith(SEGMENT_SUFFIX):
            continue
        named = parse_segment_name(name)
        if named is None:
            raise _OddJournalError
        try:
            size = disk.size(os.path.join(journal, name))
        except OSError as error:
            if is_shortage(error):
                raise
            raise _OddJournalError from error
        found.setdefault(named[0], []).append(_Segment(named[1], name, size))
    return {writer: sorted(found[writer]) for writer in sorted(found)}


def _take_in(
    journal: str,
    disk: Disk,
    fold: Fold,
    segments: Mapping[str, Sequence[_Segment]],
    is_late: Callable[[], bool],
) -> bool:
    """Fold what has come; return whether that is all."""
    reader = AheadReader(disk)
    fold.begin()
    for name, writer in fold.writers.items():
        if writer.marks.keys() - {each.name for each in segments.get(name, ())}:
            raise _OddJournalError  # a file is gone
    is_whole = all(
        _take_segment(os.path.join(journal, each.name), each, fold, writer_id, reader, is_late)
        for writer_id, found in segments.items()
        for each in found
    )
    fold.finish()
    return is_whole


def _take_segment(
    path: str, segment: _Segment, fold: Fold, writer_id: str, reader: Reader, is_late: Callable[[], bool]
) -> bool:
    """Fold the frames of a segment that have come; return whether these are all."""
    writer = fold.writer(writer_id)
    scan = SegmentScan(path, reader)
    mark = writer.marks.get(segment.name)
    if mark is not None and segment.size == mark.end:
        return True
    is_whole = True
    try:
        if mark is not None:
            _go_on_behind(mark, scan, segment.size, reader)
        last: Frame | None = None
        for last in scan.advance(segment.size):
            _take_frame(path, last, fold, writer_id, reader)
            if is_late():
                is_whole = False
                break
        if last is not None:
            writer.marks[segment.name] = _mark_of(path, last, reader)
    except OSError as error:
        if is_shortage(error):
            raise
        raise _OddJournalError from error
    if _is_odd(scan, writer_id):
        raise _OddJournalError
    return is_whole


def _take_frame(path: str, frame: Frame, fold: Fold, writer_id: str, reader: Reader) -> None:
    next_seq = fold.writer(writer_id).next_seq
    if frame.seq > next_seq:
        raise _OddJournalError  # one is missing
    if frame.seq == next_seq:
        heads, data = read_frame(reader, path, frame.offset, frame.length, frame.seq)
        fold.add(writer_id, frame.seq, heads, data)
    # else it is a copy of one that was read: it was written again after a failed fsync


def _is_odd(scan: SegmentScan, writer_id: str) -> bool:
    is_other = scan.header is not None and scan.header.writer != writer_id
    return bool(scan.holes) or scan.foreign or scan.moved or is_other


def _go_on_behind(mark: Mark, scan: SegmentScan, size: int, reader: Reader) -> None:
    """Have a scan begin behind the frame up to which the file was read, if it still has that."""
    header = _header_at(scan.path, mark.offset, reader) if size > mark.end else None
    if header is None or (header.length, header.seq, header.head_crc) != mark[1:]:
        raise _OddJournalError
    scan.go_on_behind(mark.end, mark.seq)


def _mark_of(path: str, frame: Frame, reader: Reader) -> Mark:
    header = _header_at(path, frame.offset, reader)
    return Mark(frame.offset, frame.length, frame.seq, header.head_crc)


def _header_at(path: str, offset: int, reader: Reader) -> FrameHeader:
    header = parse_frame_header(reader.read(path, offset, FRAME_HEADER.size))
    if header is None:
        raise _OddJournalError
    return header


def _modified_ns(path: str, disk: Disk) -> int | None:
    try:
        return disk.modified_ns(path)
    except OSError:
        return None


def _by_index(journal: str, disk: Disk) -> Digest:
    """Return what can be read of a journal that is not as its writers leave one."""
    index = JournalIndex(journal, disk=disk)
    index.refresh()
    cuts: Cuts = {}
    rows_read = 0
    for _ in range(_TRIES):
        fold = Fold(cuts)
        fold.begin()
        for writer_id, catalogue in index.catalogues.items():
            fold.writer(writer_id)
            for at, seq in sorted(catalogue.entered_since(0), key=lambda each: each[1]):
                blocks = index.read_frame(catalogue, at)
                # rows that cannot be read keep their numbers
                starts = {block.series: catalogue.rows_before(block.series, seq) for block in blocks}
                fold.add_blocks(writer_id, seq, blocks, starts)
        fold.finish()
        rows_read += fold.rows_read
        cuts = fold.cuts_now()
        if fold.agrees(cuts):
            break
    came = {writer.id: (writer.last_ns, index.modified_ns(writer.id)) for writer in index.writers}
    return Digest(
        {
            writer: WriterRuns(runs.rows, *came.get(writer, (None, None)), writer)
            for writer, runs in fold.runs({}).items()
        },
        read_params(index),
        fold_definitions(param_rows(index)),
        {**{series.name: {} for series in index.series(Kind.METRIC)}, **fold.metrics()},
        sum(map(index.count, index.series(Kind.METRIC))),
        sum(index.count(series) for kind in Kind for series in index.series(kind)),
        sum(map(index.count, index.series(Kind.ALERT))),
        sum(writer.bytes for writer in index.writers),
        index.damage,
        rows_read=rows_read,
    )
