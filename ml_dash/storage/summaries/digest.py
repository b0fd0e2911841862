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
from ml_dash.journal.frame import FRAME_HEADER, parse_frame_header, parse_segment_name
from ml_dash.journal.index import SEGMENT_SUFFIX, JournalIndex
from ml_dash.journal.objects import from_msgpack, to_msgpack
from ml_dash.journal.reader import AheadReader, BadFrameError, Reader, read_frame
from ml_dash.journal.scan import SegmentScan
from ml_dash.query.row_source import read_params
from ml_dash.query.runs import WriterRuns
from ml_dash.series import Kind
from ml_dash.storage.summaries.folding import Cuts, Fold, Mark

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_dash.journal.damage import Damage
    from ml_dash.journal.disk import Disk
    from ml_dash.journal.frame import FrameHeader
    from ml_dash.journal.scan import Frame
    from ml_dash.query.listing.summary import Summaries

_TRIES = 3
"""So often a journal is read again whose attempts come to another answer each time: it is written just now."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What a journal amounts to.

    Attributes:
        runs: Of each writer, the RUN rows that count.
        params: Flat, by dotted names.
        metrics: The summaries of the fields of each metric.
        rows: Of the metrics.
        entries: Rows of all kinds.
        size: Bytes of the segments.
        damage: What is wrong.
        state: With which the next digest goes on; None where it cannot.
        rows_read: How many rows were read for it.
    """

    runs: dict[str, WriterRuns]
    params: dict[str, Any]
    metrics: dict[str | None, Summaries]
    rows: int
    entries: int
    size: int
    damage: Sequence[Damage] = ()
    state: bytes | None = None
    rows_read: int = 0


class _OddJournalError(Exception):
    """A journal is not as its writers leave one."""


def digest(journal: str, disk: Disk, state: bytes | None = None) -> Digest:
    """Return what a journal amounts to now.

    Args:
        journal: Its directory.
        disk: The file system.
        state: That of its last digest.

    Raises:
        JournalVersionError: A later version wrote one of the files.
        OSError: The directory cannot be listed, or there is nothing to read with, see `is_shortage`.
    """
    try:
        return _digest(journal, disk, None if state is None else Fold.from_state(from_msgpack(state)))
    except (_OddJournalError, BadFrameError, ValueError):
        return _by_index(journal, disk)


def _digest(journal: str, disk: Disk, known: Fold | None) -> Digest:
    fold = known or Fold()
    rows_read = 0
    for _ in range(_TRIES):
        segments = _segments(journal, disk)
        _take_in(journal, disk, fold, segments)
        rows_read += fold.rows_read
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
        fold.metrics(),
        fold.rows,
        fold.entries,
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


def _take_in(journal: str, disk: Disk, fold: Fold, segments: Mapping[str, Sequence[_Segment]]) -> None:
    reader = AheadReader(disk)
    fold.begin()
    for name, writer in fold.writers.items():
        if writer.marks.keys() - {each.name for each in segments.get(name, ())}:
            raise _OddJournalError  # a file is gone
    for writer_id, found in segments.items():
        for each in found:
            _take_segment(os.path.join(journal, each.name), each, fold, writer_id, reader)
        fold.flush()
    fold.finish()


def _take_segment(path: str, segment: _Segment, fold: Fold, writer_id: str, reader: Reader) -> None:
    writer = fold.writer(writer_id)
    scan = SegmentScan(path, reader)
    mark = writer.marks.get(segment.name)
    if mark is not None and segment.size == mark.end:
        return
    try:
        if mark is not None:
            _check_mark(path, mark, segment.size, reader)
            scan.go_on_behind(mark.end, mark.seq)
        last: Frame | None = None
        for last in scan.advance(segment.size):
            if last.seq > writer.next_seq:
                raise _OddJournalError  # one is missing
            if last.seq == writer.next_seq:
                heads, data = read_frame(reader, path, last.offset, last.length, last.seq)
                fold.add(writer_id, last.seq, heads, data)
            # else it is a copy of one that was read: it was written again after a failed fsync
        if last is not None:
            header = _header_at(path, last.offset, reader)
            writer.marks[segment.name] = Mark(last.offset, last.length, last.seq, header.head_crc)
    except OSError as error:
        if is_shortage(error):
            raise
        raise _OddJournalError from error
    if scan.holes or scan.foreign or scan.moved or (scan.header and scan.header.writer != writer_id):
        raise _OddJournalError


def _check_mark(path: str, mark: Mark, size: int, reader: Reader) -> None:
    """Raise an error unless the file still has the frame up to which it was read."""
    header = _header_at(path, mark.offset, reader) if size > mark.end else None
    if header is None or (header.length, header.seq, header.head_crc) != mark[1:]:
        raise _OddJournalError


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
            writer: WriterRuns(runs.rows, *came.get(writer, (None, None)))
            for writer, runs in fold.runs({}).items()
        },
        read_params(index),
        {**{series.name: {} for series in index.series(Kind.METRIC)}, **fold.metrics()},
        sum(map(index.count, index.series(Kind.METRIC))),
        sum(index.count(series) for kind in Kind for series in index.series(kind)),
        sum(writer.bytes for writer in index.writers),
        index.damage,
        rows_read=rows_read,
    )
