"""The index of a journal: which blocks of which series lie where, kept up to date as writers append.

Opening and refreshing read headers and metas only; rows are read when asked for, block by block, and checked
then. Rows of a series are numbered in the order of the writers' ids, which sort by birth, and of the frames'
numbers.
"""

from __future__ import annotations

import os
from itertools import accumulate
from typing import TYPE_CHECKING

from ml_dash.journal.blocks import Block, BlockHead, decode_block
from ml_dash.journal.checked import CheckedFrames, Counts, counted, known_blocks
from ml_dash.journal.damage import Damage, writer_damage
from ml_dash.journal.disk import REAL_DISK, Disk, is_shortage
from ml_dash.journal.frame import SEGMENT_SUFFIX, parse_segment_name
from ml_dash.journal.frame_table import BlockPlace, Catalogue, times_of
from ml_dash.journal.reader import Reader
from ml_dash.journal.scan import SegmentScan
from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml_dash.series import Kind, Series

"""What the names of segment files end with."""


class WriterInfo(NamedTuple):
    """What one writer left: how many segments, frames (copies count once), rows of all series, and bytes of files.

    `first_ns` is the earliest time of a row in the first frame and `last_ns` the latest in the last, None where that
    cannot be read; `torn_bytes` at the end are no complete frame, yet.
    """

    id: str
    segments: int
    frames: int
    rows: int
    bytes: int
    first_ns: int | None
    last_ns: int | None
    torn_bytes: int


class JournalIndex:
    """Reads a journal: a directory of segment files. Not safe for use by several threads at once.

    Nothing that is wrong in a file raises: it is listed in `damage`, and the rest is read. So is a file that the system
    refuses to read, unless it is short of descriptors or memory: that is raised. No file is ever changed.

    Example:
        >>> index = JournalIndex("runs/a/journal")
        >>> index.refresh()
        >>> for first, block in index.blocks(Series(Kind.METRIC, "train"), 9_000_000, 9_000_100):
        ...     rows = block_rows(block)
    """

    def __init__(self, directory: str, *, disk: Disk = REAL_DISK) -> None:
        self._directory = directory
        self._disk = disk
        self._reader = Reader(disk)
        self._scans: dict[str, SegmentScan] = {}
        self._catalogues: dict[str, Catalogue] = {}
        self._segments: dict[str, list[SegmentScan]] = {}
        self._next_seqs: dict[str, int] = {}
        self._series: dict[Series, None] = {}
        self._listed: list[tuple[Catalogue, int]] = []
        self._structural: list[Damage] | None = None
        self._frames = CheckedFrames(self._reader)
        self._unreadable: dict[str, str] = {}
        self._times: dict[str, dict[int, tuple[int, int] | None]] = {}

    @property
    def bytes_read(self) -> int:
        """How many bytes were read from files so far."""
        return self._reader.bytes_read

    def refresh(self) -> None:
        """Take in what was appended since the last call, and notice which files have been removed.

        Raises:
            JournalVersionError: A later version wrote one of the files; the message names it.
            OSError: The directory cannot be listed, or there is nothing to read with, see `is_shortage`.
        """
        self._refresh_once()
        # found while reading: only the next pass forgets the file and reads it anew. No third one: a file that
        # is changed again and again must not hold a reader for ever.
        if any(scan.moved for scan in self._scans.values()):
            self._refresh_once()

    def series(self, kind: Kind) -> list[Series]:
        """Return the series of a kind, in order of first appearance."""
        return [series for series in self._series if series.kind == kind]

    def count(self, series: Series) -> int:
        """Return the number of rows of a series, those included that turn out damaged when they are read."""
        return sum(catalogue.count(series) for catalogue in self._catalogues.values())

    def fields(self, series: Series) -> list[str]:
        """Return the names of a series' fields, in order of first appearance; no row is read for it."""
        catalogues = self._catalogues.values()
        return list(dict.fromkeys(field for catalogue in catalogues for field in catalogue.fields(series)))

    def blocks(self, series: Series, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Block]]:
        """Iterate over the blocks that have any of the rows `start` to `stop`, each with its first row's number.

        A block that is damaged is left out and listed in `damage`; the rows of the others keep their numbers.
        """
        spans: list[tuple[int, Catalogue, Iterator[BlockPlace]]] = []
        base = 0
        for catalogue in self._catalogues.values():
            count = catalogue.count(series)
            last = count if stop is None else min(stop - base, count)
            spans.append((base, catalogue, catalogue.blocks(series, max(start - base, 0), last)))
            base += count
        return self._decoded(series, spans)

    def blocks_by_writer(self, series: Series) -> Iterator[tuple[str, Iterator[Block]]]:
        """Yield each writer's id, in the order of the ids, with its blocks of a series; those damaged are left out."""
        for writer, catalogue in self._catalogues.items():
            places = catalogue.blocks(series, 0, catalogue.count(series))
            yield writer, (block for _, block in self._decoded(series, [(0, catalogue, places)]))

    @property
    def catalogues(self) -> dict[str, Catalogue]:
        """Where the frames of each writer are, in the order of the writers' ids."""
        return dict(self._catalogues)

    def read_frame(
        self, catalogue: Catalogue, at: int, wanted: Sequence[tuple[Series, BlockPlace]] | None = None
    ) -> list[Block]:
        """Read one frame, once; `blocks` of several series would read it once for each of them.

        `at` is the frame's index in the catalogue. Without `wanted`, all its blocks are meant that have rows, of known
        kinds. A damaged frame has none, and is listed in `damage` then.
        """

        def decode(heads: list[BlockHead], data: memoryview) -> list[Block]:
            if wanted is None:
                return list(known_blocks(heads, data))
            starts = list(accumulate([head.nbytes for head in heads], initial=0))
            view = memoryview(data)
            blocks = []
            for series, place in wanted:
                head = _head_of(series, place, heads)
                start = starts[place.position]
                blocks.append(decode_block(head, view[start : start + head.nbytes]))
            return blocks

        return self._frames.first(catalogue.copies(at), decode) or []

    @property
    def damage(self) -> list[Damage]:
        """All that was found wrong so far, by file and offset. Data is only checked when it is read."""
        if self._structural is None:
            self._structural = [
                damage
                for writer, catalogue in self._catalogues.items()
                for damage in writer_damage(self._segments[writer], catalogue, self._next_seqs[writer])
            ]
        unreadable = [
            Damage(path, 0, 0, f"the file cannot be read: {reason}", 0, None, unread=True)
            for path, reason in self._unreadable.items()
        ]
        found = [*self._frames.bad.values(), *self._structural, *unreadable]
        return sorted(found, key=lambda damage: damage[:3])

    @property
    def unreadable(self) -> dict[str, str]:
        """Why files, by path, could not be read to their ends; what was read of them before holds."""
        return dict(self._unreadable)

    @property
    def torn(self) -> dict[str, int]:
        """How many bytes at the end of a file are no complete frame, for the files that have any and can be read."""
        scans = [scan for scan in self._scans.values() if scan.path not in self._unreadable]
        torn = {scan.path: scan.size - scan.end for scan in scans if not scan.foreign}
        return {path: size for path, size in torn.items() if size > 0}

    @property
    def files(self) -> dict[str, SegmentScan]:
        """What is known of the segment files, by path, in the order of their writers and numbers."""
        return {scan.path: scan for scans in self._segments.values() for scan in scans}

    @property
    def writers(self) -> list[WriterInfo]:
        """What each writer left, in the order of their ids. Reads a writer's first and last frame."""
        return [self._writer_info(writer, catalogue) for writer, catalogue in self._catalogues.items()]

    def modified_ns(self, writer: str) -> int | None:
        """Return when a writer's last segment was last written, by the file system's clock; None if it does not say."""
        try:
            return self._disk.modified_ns(self._segments[writer][-1].path)
        except OSError:
            return None

    def check_files(self) -> dict[str, tuple[int, Counts]]:
        """Read all data, and return how many frames can be read, and what is in them, by file.

        A frame that was written twice counts once, where its first good copy is. What is damaged is in `damage` then.
        """
        found = dict.fromkeys(self.files, (0, Counts(0, 0)))
        for catalogue in self._catalogues.values():
            for copies in catalogue.all_copies():
                counts = self._frames.first(copies, counted, check_all=True)
                if counts is not None:
                    path = next(place.path for place in copies if place[:2] not in self._frames.bad)
                    frames, before = found[path]
                    found[path] = frames + 1, Counts(before.rows + counts.rows, before.events + counts.events)
        return found

    def _refresh_once(self) -> None:
        sizes, refused = self._sizes()
        self._forget_changed(sizes)
        try:
            for name in sorted(sizes, key=lambda name: (*(parse_segment_name(name) or (name, 0)), name)):
                self._extend(name, sizes[name])
        finally:
            self._unreadable |= refused
            self._group()
            self._list_series()

    def _group(self) -> None:
        """Put segments to their writers, and writers in order."""
        self._structural = None
        self._segments = {}
        for scan in sorted(self._scans.values(), key=lambda scan: (scan.writer, scan.number, scan.path)):
            self._segments.setdefault(scan.writer, []).append(scan)
        self._catalogues = {writer: self._catalogues.get(writer) or Catalogue() for writer in self._segments}
        # the highest number that was ever seen: what a removed file had is missing, and not as good as never written
        highest = self._next_seqs
        self._next_seqs = {}
        for writer, catalogue in self._catalogues.items():
            catalogue.sort()
            self._next_seqs[writer] = max(highest.get(writer, 0), catalogue.next_seq)

    def _list_series(self) -> None:
        known = [(catalogue, len(catalogue.series)) for catalogue in self._catalogues.values()]
        if known != self._listed:
            self._listed = known
            present = dict.fromkeys(series for catalogue, _ in known for series in catalogue.series)
            self._series = {series: None for series in self._series if series in present} | present

    def _sizes(self) -> tuple[dict[str, int], dict[str, str]]:
        """Return the length of every segment file that is there, by name, and why others are out of reach."""
        sizes = {}
        refused = {}
        for name in self._disk.list(self._directory):
            if name.endswith(SEGMENT_SUFFIX):
                try:
                    sizes[name] = self._disk.size(os.path.join(self._directory, name))
                except FileNotFoundError:
                    continue  # removed since it was listed, by a repair for instance
                except OSError as error:
                    if is_shortage(error):
                        raise
                    # there, but out of reach: what is known of it holds until it can be read again
                    sizes[name] = self._scans[name].size if name in self._scans else 0
                    refused[os.path.join(self._directory, name)] = str(error)
        return sizes, refused

    def _forget_changed(self, sizes: dict[str, int]) -> None:
        """Drop what is known of writers that have lost frames: what they still have is read anew."""
        for name in [name for name in self._scans if name not in sizes]:
            self._unreadable.pop(self._scans[name].path, None)
            if self._scans[name].last_seq is None:
                del self._scans[name]
        changed = {
            scan.writer
            for name, scan in self._scans.items()
            # a file that is gone counts as one that was cut off
            if sizes.get(name, -1) < scan.end or scan.moved or scan.path in self._frames.moved
        }
        for writer in changed:
            self._frames.forget({scan.path for scan in self._scans.values() if scan.writer == writer})
            self._scans = {name: scan for name, scan in self._scans.items() if scan.writer != writer}
            self._catalogues.pop(writer, None)
            self._times.pop(writer, None)

    def _extend(self, name: str, size: int) -> None:
        path = os.path.join(self._directory, name)
        scan = self._scans.setdefault(name, SegmentScan(path, self._reader))
        catalogue: Catalogue | None = None
        try:
            for frame in scan.advance(size):
                if catalogue is None:
                    catalogue = self._catalogues.setdefault(scan.writer, Catalogue())
                catalogue.add(path, frame)
        except OSError as error:
            if is_shortage(error):
                raise
            self._unreadable[path] = str(error)
        else:
            self._unreadable.pop(path, None)

    def _decoded(
        self, series: Series, spans: list[tuple[int, Catalogue, Iterator[BlockPlace]]]
    ) -> Iterator[tuple[int, Block]]:
        for base, catalogue, places in spans:
            for place in places:
                block = self._block(series, catalogue, place)
                if block is not None:
                    yield base + place.first, block

    def _block(self, series: Series, catalogue: Catalogue, place: BlockPlace) -> Block | None:
        def decode(heads: list[BlockHead], data: memoryview) -> Block:
            head = _head_of(series, place, heads)
            start = sum([head.nbytes for head in heads[: place.position]])
            return decode_block(head, memoryview(data)[start : start + head.nbytes])

        return self._frames.first(catalogue.copies(place.frame), decode)

    def _writer_info(self, writer: str, catalogue: Catalogue) -> WriterInfo:
        scans = self._segments[writer]
        first, last = self._first_and_last(writer, catalogue)
        size = sum(scan.size for scan in scans)
        torn = 0 if scans[-1].foreign else scans[-1].size - scans[-1].end
        return WriterInfo(writer, len(scans), catalogue.frames, catalogue.rows, size, first, last, torn)

    def _first_and_last(self, writer: str, catalogue: Catalogue) -> tuple[int | None, int | None]:
        ends = catalogue.ends()
        if ends is None:
            return None, None
        known = self._times.get(writer, {})
        times = {
            index: known.get(index) or self._frames.first(catalogue.copies(index), times_of) for index in ends
        }
        self._times[writer] = times
        first, last = (times[index] for index in ends)
        return first and first[0], last and last[1]


def _head_of(series: Series, place: BlockPlace, heads: list[BlockHead]) -> BlockHead:
    """Return what a frame's meta says of a block, which was indexed in one copy of it and is read in another."""
    head = heads[place.position] if place.position < len(heads) else None
    if head is None or (head.series, head.rows) != (series, place.rows):
        raise ValueError("a copy of the frame has other blocks")
    return head
