"""Checking every byte of a journal, and cutting out what is bad. The original is always kept beside."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ml_dash.journal.checked import count_rows
from ml_dash.journal.disk import REAL_DISK, Disk
from ml_dash.journal.frame import encode_segment_header
from ml_dash.journal.index import SEGMENT_SUFFIX, JournalIndex
from ml_dash.journal.reader import BadFrameError, Reader, read_frame
from ml_dash.journal.scan import Frame, SegmentScan
from ml_dash.processes import process_alive

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_dash.journal.damage import Damage

_WRITER_ID = re.compile(r"([0-9a-f]{16})-([0-9a-f]+)-[0-9a-f]+")


class SegmentReport(NamedTuple):
    """What one file holds: frames and rows that can be read, its size, and its torn bytes at the end."""

    path: str
    writer: str
    frames: int
    rows: int
    bytes: int
    torn: int


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a journal holds.

    Attributes:
        frames: Frames that can be read.
        rows: Rows in them, of all series.
        bytes: The files' sizes together.
        damage: All that cannot be read.
        torn: Bytes at the end of a file that are no complete frame, by path. In a writer's last file they are
            what it was writing when it stopped, or is writing now.
        segments: The same file by file, in the order of their writers and numbers.
    """

    frames: int
    rows: int
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


class _Finding(NamedTuple):
    """A segment, and the frames in it that are good to the last byte. `bad` is how many are not."""

    scan: SegmentScan
    good: list[Frame]
    bad: int

    @property
    def needs_repair(self) -> bool:
        return bool(self.scan.holes or self.bad or self.scan.end < self.scan.size)


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
        SegmentReport(path, scan.writer, *files[path], scan.size, index.torn.get(path, 0))
        for path, scan in index.files.items()
    )
    return VerifyReport(
        frames=sum(each.frames for each in segments),
        rows=sum(each.rows for each in segments),
        bytes=sum(each.bytes for each in segments),
        damage=tuple(index.damage),
        torn=index.torn,
        segments=segments,
    )


def seems_alive(writer_id: str) -> bool:
    """Say whether a process of this machine has the number that is part of a writer's id.

    It may be another process by now, and a writer on another machine cannot be seen.
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
    written to another file, which then takes the segment's name. A segment without any is removed. What is
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
                frames = list(scan.advance(disk.size(path)))
                good = [frame for frame in frames if _is_good(path, frame, reader)]
                findings.append(_Finding(scan, good, len(frames) - len(good)))
            except OSError as error:
                refused[path] = f"the file cannot be read: {error}"
    findings.sort(key=lambda finding: (finding.scan.writer, finding.scan.number, finding.scan.path))
    return findings, refused


def _is_good(path: str, frame: Frame, reader: Reader) -> bool:
    # what cannot be read is neither good nor bad: the OSError leaves the whole file as it is
    try:
        count_rows(*read_frame(reader, path, frame.offset, frame.length, frame.seq))
    except (BadFrameError, ValueError):
        return False
    return True


def _rewrite(finding: _Finding, disk: Disk) -> SegmentRepair:
    scan, good = finding.scan, finding.good
    raw = disk.read_at(scan.path, 0, scan.size)
    original = _keep(scan.path, raw, disk)  # durably, before anything of it is changed
    if good:
        if scan.header:
            header = raw[: scan.header.length]
        else:
            # made anew from the file's name: a writer's id begins with the time of its birth
            match = _WRITER_ID.fullmatch(scan.writer)
            born = int(match[1], 16) if match else 0
            header = encode_segment_header(scan.writer, scan.number, born, good[0].seq)
        pieces = [header, *(raw[frame.offset : frame.offset + frame.length] for frame in good)]
        disk.replace(scan.path, b"".join(pieces))
        kept = sum(map(len, pieces))
    else:
        disk.remove(scan.path)
        kept = 0
    return SegmentRepair(scan.path, original, len(good), max(len(raw) - kept, 0))


def _keep(path: str, raw: bytes, disk: Disk) -> str:
    """Write the original to a name beside it that nothing has yet, durably."""
    kept, number = f"{path}.torn", 0
    while True:
        try:
            file = disk.create(kept)
            break
        except FileExistsError:
            number += 1
            kept = f"{path}.torn.{number}"
    try:
        file.write(raw)
        file.sync()
    except OSError:
        with contextlib.suppress(OSError):
            disk.remove(kept)
        raise
    finally:
        file.close()
    return kept
