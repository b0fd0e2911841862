"""Checking every byte of a journal, and cutting out what is bad. The original is always kept beside."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_dash.journal.checked import counted
from ml_dash.journal.disk import REAL_DISK, Disk
from ml_dash.journal.frame import SEGMENT_SUFFIX, encode_segment_header
from ml_dash.journal.index import JournalIndex
from ml_dash.journal.reader import WINDOW_MAX, BadFrameError, Reader, read_frame
from ml_dash.journal.scan import Frame, SegmentScan
from ml_dash.processes import process_alive
from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml_dash.journal.damage import Damage

_WRITER_ID = re.compile(r"([0-9a-f]{16})-([0-9a-f]+)-[0-9a-f]+(-r[0-9]+)?")


class SegmentReport(NamedTuple):
    """What one file holds: what of it can be read, its size, and its torn bytes at the end."""

    path: str
    writer: str
    frames: int
    rows: int
    events: int
    bytes: int
    torn: int


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a journal holds.

    Attributes:
        frames: Frames that can be read.
        rows: Rows of metrics in them.
        events: All that was logged in them, see `ml_dash.journal.checked.Counts`.
        bytes: The files' sizes together.
        damage: All that cannot be read.
        torn: Bytes at the end of a file that are no complete frame, by path. In a writer's last file they are
            what it was writing when it stopped, or is writing now.
        segments: The same file by file, in the order of their writers and numbers.
    """

    frames: int
    rows: int
    events: int
    bytes: int
    damage: tuple[Damage, ...]
    torn: dict[str, int]
    segments: tuple[SegmentReport, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is nothing to complain of."""
        return not self.damage and not self.torn


class SegmentRepair(NamedTuple):
    """A file that was repaired: its path, where its original is now, and what was cut out."""

    path: str
    original: str
    frames_kept: int
    bytes_cut: int


@dataclass(frozen=True, slots=True)
class RepairReport:
    """The files that were bad and no longer are, and why others were left alone, by path."""

    repaired: tuple[SegmentRepair, ...]
    refused: dict[str, str]


class _Finding:
    """A segment, and where the frames lie in it that are good to the last byte."""

    def __init__(self, scan: SegmentScan) -> None:
        self.scan = scan
        self.frames = 0
        self.first_seq = 0
        self.bad = 0
        # Starts and ends of what lies without a gap: a file of tiny frames may have millions of them.
        self._runs = array("Q")

    def add(self, frame: Frame) -> None:
        """Enter a good frame."""
        if not self.frames:
            self.first_seq = frame.seq
        self.frames += 1
        if self._runs and self._runs[-1] == frame.offset:
            self._runs[-1] += frame.length
        else:
            self._runs.extend((frame.offset, frame.offset + frame.length))

    @property
    def needs_repair(self) -> bool:
        """Whether there is anything but good frames."""
        return bool(self.scan.holes or self.bad or self.scan.end < self.scan.size)

    @property
    def good_bytes(self) -> int:
        """Bytes of the good frames."""
        return sum(self._runs[1::2]) - sum(self._runs[::2])

    def pieces(self, disk: Disk) -> Iterator[bytes]:
        """Yield the bytes of the good frames."""
        for start, stop in zip(self._runs[::2], self._runs[1::2], strict=True):
            for offset in range(start, stop, WINDOW_MAX):
                yield disk.read_at(self.scan.path, offset, min(WINDOW_MAX, stop - offset))


def verify(directory: str, *, disk: Disk = REAL_DISK) -> VerifyReport:
    """Check every byte of a journal.

    Raises:
        JournalVersionError: A later version wrote one of the files.

    Example:
        >>> report = verify("runs/a/journal")
        >>> report.ok, report.rows
        (True, 10000)
    """
    index = JournalIndex(directory, disk=disk)
    index.refresh()
    files = index.check_files()
    segments = tuple(
        SegmentReport(path, scan.writer, frames, *counts, scan.size, index.torn.get(path, 0))
        for path, scan in index.files.items()
        for frames, counts in [files[path]]
    )
    return VerifyReport(
        frames=sum(each.frames for each in segments),
        rows=sum(each.rows for each in segments),
        events=sum(each.events for each in segments),
        bytes=sum(each.bytes for each in segments),
        damage=tuple(index.damage),
        torn=index.torn,
        segments=segments,
    )


def seems_alive(writer_id: str) -> bool:
    """Say whether a process of this machine has the number that is part of a writer's id.

    It may be another process by now, which only the writer's runs can tell, and a writer on another machine cannot be
    seen.
    """
    match = _WRITER_ID.fullmatch(writer_id)
    pid = int(match[2], 16) if match else 0
    # 0 would ask about this process's whole group
    return pid > 0 and process_alive(pid)


def repair(
    directory: str, *, disk: Disk = REAL_DISK, live: Callable[[str], bool] = seems_alive, force: bool = False
) -> RepairReport:
    """Cut out of each segment what is no good frame. Healthy files are not touched.

    The original stays beside as `<file>.torn` (`.torn.1`, …: none is ever overwritten); the good frames are
    written to another file, which then takes the segment's name. A file with a frame that is too long to be read is
    left as it is. A segment without any is removed. What is
    lost stays reported, as missing frames; the rows after it take up the numbers of those that were lost.

    A writer that still runs would go on appending to the original, where nobody looks. So the last segment of
    a writer that is `live` is left alone, except by `force`. A writer on another machine cannot be seen: stop it first.

    Raises:
        JournalVersionError: A later version wrote one of the files. Nothing was changed.
        OSError: A file could not be written. The segment that it was for is unchanged.
    """
    # all before any: a file of a later version must stop the repair before it has begun
    findings, refused = _examine_all(directory, disk)
    last = {finding.scan.writer: finding.scan.path for finding in findings}
    repaired = []
    for finding in findings:
        if not finding.needs_repair:
            continue
        scan = finding.scan
        if not force and last[scan.writer] == scan.path and live(scan.writer):
            refused[scan.path] = f"writer {scan.writer} seems to be running: stop it first, or use force"
        elif disk.size(scan.path) != scan.size:
            refused[scan.path] = "the file changed while it was examined: somebody is writing to it"
        else:
            repaired.append(_rewrite(finding, disk))
    return RepairReport(tuple(repaired), refused)


def _examine_all(directory: str, disk: Disk) -> tuple[list[_Finding], dict[str, str]]:
    """Return what is in the segments, in the order of their writers and numbers, and what cannot be read."""
    findings = []
    refused = {}
    reader = Reader(disk)
    for name in disk.list(directory):
        if name.endswith(SEGMENT_SUFFIX):
            path = os.path.join(directory, name)
            try:
                scan = SegmentScan(path, reader)
                finding = _Finding(scan)
                for frame in scan.advance(disk.size(path)):
                    if _is_good(path, frame, reader):
                        finding.add(frame)
                    else:
                        finding.bad += 1
                findings.append(finding)
            except OSError as error:
                refused[path] = f"the file cannot be read: {error}"
    findings.sort(key=lambda finding: (finding.scan.writer, finding.scan.number, finding.scan.path))
    return findings, refused


def _is_good(path: str, frame: Frame, reader: Reader) -> bool:
    # what cannot be read is neither good nor bad: the OSError leaves the whole file as it is
    try:
        counted(*read_frame(reader, path, frame.offset, frame.length, frame.seq))
    except BadFrameError as error:
        if error.unread:
            raise OSError(str(error)) from error
        return False
    except ValueError:
        return False
    return True


def _rewrite(finding: _Finding, disk: Disk) -> SegmentRepair:
    scan = finding.scan
    original = _keep(scan.path, disk)  # durably, before anything of it is changed
    kept = 0
    try:
        if finding.frames:
            header = _header_of(finding, disk)
            kept = len(header) + finding.good_bytes
            disk.replace(scan.path, itertools.chain([header], finding.pieces(disk)))
        else:
            disk.remove(scan.path)
    except OSError:
        with contextlib.suppress(OSError):
            disk.remove(original)
        raise
    return SegmentRepair(scan.path, original, finding.frames, max(scan.size - kept, 0))


def _header_of(finding: _Finding, disk: Disk) -> bytes:
    scan = finding.scan
    if scan.header:
        return disk.read_at(scan.path, 0, scan.header.length)
    # made anew from the file's name: a writer's id begins with the time of its birth
    match = _WRITER_ID.fullmatch(scan.writer)
    born = int(match[1], 16) if match else 0
    return encode_segment_header(scan.writer, scan.number, born, finding.first_seq)


def _keep(path: str, disk: Disk) -> str:
    """Keep the original under a name beside it that nothing has yet."""
    kept, number = f"{path}.torn", 0
    while True:
        try:
            disk.keep(path, kept)
            return kept
        except FileExistsError:
            number += 1
            kept = f"{path}.torn.{number}"
