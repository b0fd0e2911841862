"""Where every frame and every block of one writer is: numbers in arrays, about 44 bytes a block.

A run of a week has hundreds of thousands of frames; an object for each would cost more memory than their rows
are worth, and more time than reading them.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from ml_dash.journal.blocks import TIME_BYTES
from ml_dash.records import NamedTuple
from ml_dash.series import Kind, Series

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, KeysView, Sequence

    from ml_dash.journal.blocks import BlockHead
    from ml_dash.journal.scan import Frame

KNOWN_KINDS = frozenset(Kind)
"""Blocks of other kinds are a later version's: they are skipped, not lost."""


class FramePlace(NamedTuple):
    """Where a frame is: `length` bytes at `offset` of the file at `path`."""

    path: str
    offset: int
    length: int
    seq: int


class BlockPlace(NamedTuple):
    """A block: its frame's index in the catalogue, its position among the frame's blocks, and its rows."""

    frame: int
    position: int
    first: int
    rows: int


class _Track:
    """The blocks of one series, in the order of their frames. `ends` are running totals of rows."""

    __slots__ = ("ends", "fields", "frames", "positions")

    def __init__(self, fields: dict[str, None] | None = None) -> None:
        self.fields = fields or {}
        self.frames = array("I")  # 2**32 frames: at one a second, 136 years
        self.positions = array("I")
        self.ends = array("Q")

    @property
    def rows(self) -> int:
        return self.ends[-1] if self.ends else 0

    def add(self, frame: int, position: int, rows: int) -> None:
        self.frames.append(frame)
        self.positions.append(position)
        self.ends.append(self.rows + rows)

    def block(self, at: int) -> BlockPlace:
        before = self.ends[at - 1] if at else 0
        return BlockPlace(self.frames[at], self.positions[at], before, self.ends[at] - before)

    def ordered(self, seqs: array[int]) -> _Track:
        """Return the same blocks in the order of their frames' numbers."""
        track = _Track(self.fields)
        for at in sorted(range(len(self.frames)), key=lambda at: seqs[self.frames[at]]):
            track.add(self.frames[at], self.positions[at], self.block(at).rows)
        return track


class Catalogue:
    """The frames that one writer left, by number, and the blocks of every series in them.

    Each number counts once: a second frame that has it (written again after a failed fsync) is a spare copy.

    Attributes:
        gaps: Ranges of numbers, `(start, stop)`, that are missing between the frames, ascending.
        next_seq: One more than the highest number.
        frames: How many frames there are, without the spare copies.
        rows: How many rows they have, of all series.
    """

    def __init__(self) -> None:
        self.gaps: list[tuple[int, int]] = []
        self.next_seq = 1
        self.frames = 0
        self.rows = 0
        self._paths: list[str] = []
        self._files = array("I")
        self._offsets = array("Q")
        self._lengths = array("Q")
        self._seqs = array("Q")
        self._spares = array("I")
        self._tracks: dict[Series, _Track] = {}
        self._sorted = True
        self._oldest = self._newest = 0
        self._found: dict[int, FramePlace] = {}
        self._heads: list[BlockHead] = []
        self._targets: list[tuple[_Track, int, int]] = []

    @property
    def series(self) -> KeysView[Series]:
        """All series that have rows, in order of first appearance."""
        return self._tracks.keys()

    @property
    def found(self) -> int:
        """How many frames were entered, with the spare copies; their indices go up to here."""
        return len(self._seqs)

    def entered_since(self, found: int) -> Iterator[tuple[int, int]]:
        """Yield index and number of the frames entered since `found` was that many, without spare copies."""
        spares = set(self._spares[bisect_left(self._spares, found) :])
        return ((at, self._seqs[at]) for at in range(found, len(self._seqs)) if at not in spares)

    def add(self, path: str, frame: Frame) -> None:
        """Enter a frame. Call `sort` after the last one."""
        index = len(self._seqs)
        if not self._paths or self._paths[-1] != path:
            self._paths.append(path)
        self._files.append(len(self._paths) - 1)
        self._offsets.append(frame.offset)
        self._lengths.append(frame.length)
        self._seqs.append(frame.seq)
        if not self._claim(frame.seq):
            self._spares.append(index)
            return
        self.frames += 1
        if frame.seq < self._seqs[self._oldest]:
            self._oldest = index
        if frame.seq > self._seqs[self._newest]:
            self._newest = index
        # equal metas come as the same list: a steady run looks its series up once
        if frame.heads is not self._heads:
            self._heads = frame.heads
            self._targets = self._find_targets(frame.heads)
        for track, position, rows in self._targets:
            track.add(index, position, rows)
            self.rows += rows

    def sort(self) -> None:
        """Put frames in their place that came late: from a segment seen only after its successor."""
        if not self._sorted:
            # new tracks, not sorted ones: somebody may be in the middle of reading the old
            self._tracks = {series: track.ordered(self._seqs) for series, track in self._tracks.items()}
            self._heads, self._targets = [], []
            self._sorted = True

    def count(self, series: Series) -> int:
        """Return how many rows a series has."""
        track = self._tracks.get(series)
        return track.rows if track else 0

    def fields(self, series: Series) -> KeysView[str]:
        """Return the names of a series' fields, in order of first appearance."""
        track = self._tracks.get(series)
        return (track.fields if track else {}).keys()

    def blocks(self, series: Series, start: int, stop: int) -> Iterator[BlockPlace]:
        """Return the places of the blocks that have any of the rows `start` to `stop` (exclusive).

        Which these are is settled by the call, whatever is added while they are iterated over.
        """
        track = self._tracks.get(series)
        if not track or start >= stop:
            return iter(())
        first = bisect_right(track.ends, start)
        last = min(bisect_left(track.ends, stop) + 1, len(track.ends))
        return (track.block(at) for at in range(first, last))

    def rows_before(self, series: Series, seq: int) -> int:
        """Return how many rows of a series are in frames with lower numbers than this."""
        track = self._tracks.get(series)
        if track is None:
            return 0
        at = bisect_left(track.frames, seq, key=lambda frame: self._seqs[frame])
        return track.ends[at - 1] if at else 0

    def place(self, index: int) -> FramePlace:
        """Return where a frame is."""
        path = self._paths[self._files[index]]
        return FramePlace(path, self._offsets[index], self._lengths[index], self._seqs[index])

    def copies(self, index: int) -> Iterator[FramePlace]:
        """Yield where a frame is, and then where its spare copies are."""
        yield self.place(index)
        # a few at most: they are what was written again after a failed fsync
        for spare in self._spares:
            if self._seqs[spare] == self._seqs[index]:
                yield self.place(spare)

    def all_copies(self) -> Iterator[list[FramePlace]]:
        """Yield what `copies` does for every frame, in the order in which they were found."""
        spares: dict[int, list[FramePlace]] = {}
        for spare in self._spares:
            spares.setdefault(self._seqs[spare], []).append(self.place(spare))
        is_spare = set(self._spares)
        for index in range(len(self._seqs)):
            if index not in is_spare:
                yield [self.place(index), *spares.get(self._seqs[index], ())]

    def ends(self) -> tuple[int, int] | None:
        """Return the indices of the frames with the lowest and the highest number; None if there are none."""
        return (self._oldest, self._newest) if self.frames else None

    def find(self, seqs: set[int]) -> dict[int, FramePlace]:
        """Return the places of the frames with these numbers, of those that there are."""
        unknown = {seq for seq in seqs if seq < self.next_seq and seq not in self._found}
        if unknown:
            # one pass for all of them, and remembered: only a journal with gaps ever asks
            for index, seq in enumerate(self._seqs):
                if seq in unknown:
                    self._found.setdefault(seq, self.place(index))
        return {seq: self._found[seq] for seq in seqs if seq in self._found}

    def _find_targets(self, heads: list[BlockHead]) -> list[tuple[_Track, int, int]]:
        """Say to which tracks the blocks of a frame belong. Series of unknown kinds have none."""
        targets = []
        for position, head in enumerate(heads):
            if head.rows and head.series.kind in KNOWN_KINDS:
                track = self._tracks.setdefault(head.series, _Track())
                track.fields.update(dict.fromkeys(column.field for column in head.columns))
                targets.append((track, position, head.rows))
        return targets

    def _claim(self, seq: int) -> bool:
        """Take a number off those that are missing. False where it is not missing."""
        if seq >= self.next_seq:
            if seq > self.next_seq:
                self.gaps.append((self.next_seq, seq))
            self.next_seq = seq + 1
            return True
        at = bisect_right(self.gaps, seq, key=lambda gap: gap[0]) - 1
        if at < 0 or seq >= self.gaps[at][1]:
            return False
        start, stop = self.gaps[at]
        self.gaps[at : at + 1] = [part for part in ((start, seq), (seq + 1, stop)) if part[0] < part[1]]
        self._sorted = False
        return True


def times_of(
    heads: Sequence[BlockHead], data: bytes | memoryview, kinds: Container[Kind] = KNOWN_KINDS
) -> tuple[int, int] | None:
    """Return the earliest and the latest time in a frame's data, of the rows of these kinds; None if there are none.

    It is asked of every run's status and at every start: numpy stays out of it.
    """
    earliest, latest, offset = [], [], 0
    for head in heads:
        if head.rows and head.series.kind in kinds:
            times = array("q")
            times.frombytes(data[offset : offset + TIME_BYTES * head.rows])
            if sys.byteorder == "big":
                times.byteswap()
            earliest.append(min(times))
            latest.append(max(times))
        offset += head.nbytes
    return (min(earliest), max(latest)) if earliest else None
