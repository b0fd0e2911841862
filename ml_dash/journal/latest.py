"""The latest time in a journal, of the rows of which the later one wins: who writes next begins behind it.

It is asked for whenever a run starts, so it does not read the journal: it looks into the segments that were written
last, by the one clock that all writers share, which is the file system's, and in large ones at their ends first.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ml_dash.errors import JournalError
from ml_dash.journal.disk import REAL_DISK, Disk
from ml_dash.journal.frame import parse_segment_name
from ml_dash.journal.frame_table import times_of
from ml_dash.journal.reader import BadFrameError, Reader, read_frame
from ml_dash.journal.scan import Frame, SegmentScan
from ml_dash.series import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

_KINDS = frozenset({Kind.PARAMS, Kind.RUN, Kind.FILE})
_BIRTH = re.compile("([0-9a-f]{16})-")
"""How the ids of writers begin, see `ml_dash.journal.frame.new_writer_id`."""
_WRITERS = 8
"""How many writers are looked at: those of an attempt have been written to the end, or killed, together."""
_END_BYTES = 1 << 20


def latest_ns(directory: str, disk: Disk = REAL_DISK) -> int:
    """Return a time after which no row of the journal's runs, parameters and files is, and no writer was born; or 0.

    What cannot be read says nothing: a run starts all the same.
    """
    try:
        segments = _segments(directory, disk)
    except OSError:
        return 0
    births = [int(match[1], 16) for match in map(_BIRTH.match, segments) if match]
    newest = sorted(segments, key=lambda writer: _modified(segments[writer][-1], disk), reverse=True)
    reader = Reader(disk)
    found = [_latest_of(segments[writer], disk, reader) for writer in newest[:_WRITERS]]
    return max([*births, *found], default=0)


def _segments(directory: str, disk: Disk) -> dict[str, list[str]]:
    """Return the paths of each writer's segments, in order."""
    named = [(parsed, name) for name in disk.list(directory) if (parsed := parse_segment_name(name))]
    segments: dict[str, list[str]] = {}
    for (writer, _), name in sorted(named):
        segments.setdefault(writer, []).append(os.path.join(directory, name))
    return segments


def _modified(path: str, disk: Disk) -> int:
    try:
        return disk.modified_ns(path)
    except OSError:
        return 0


def _latest_of(paths: list[str], disk: Disk, reader: Reader) -> int:
    # A heartbeat comes every half minute: nearly always in the end of the last segment.
    for path in reversed(paths):
        try:
            size = disk.size(path)
            for start in (size - _END_BYTES, 0) if size > _END_BYTES else (0,):
                scan = SegmentScan(path, reader)
                scan.end = start  # which need not be where a frame begins: the next one is searched for
                # only those: a segment may have a hundred thousand frames of metrics, and this is asked at a start
                frames = [frame for frame in scan.advance(size) if _kinds_in(frame)]
                times = _latest_of_kinds(path, frames, reader)
                if times:
                    return max(times.values())
        except (OSError, JournalError):
            return 0
    return 0


def _kinds_in(frame: Frame) -> set[Kind]:
    """Return of which of these kinds a frame has rows."""
    return {head.series.kind for head in frame.heads if head.rows and head.series.kind in _KINDS}


def _latest_of_kinds(path: str, frames: Sequence[Frame], reader: Reader) -> dict[Kind, int]:
    """Return the latest time of each of these kinds in the last frame that has rows of it and can be read."""
    # The last one may be damaged, as a power cut leaves it; then the one before it tells.
    latest: dict[Kind, int] = {}
    for frame in reversed(frames):
        wanted = _kinds_in(frame) - latest.keys()
        if not wanted:
            continue
        try:
            heads, data = read_frame(reader, path, frame.offset, frame.length, frame.seq)
        except BadFrameError:
            continue
        times = {kind: times_of(heads, data, {kind}) for kind in wanted}
        latest |= {kind: found[1] for kind, found in times.items() if found is not None}
    return latest
