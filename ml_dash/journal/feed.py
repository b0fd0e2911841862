"""One writer's frames in order, straight from the segment files: what an uploader reads.

There is no index here, whose size would grow with the frames: a segment's header says which number its frames begin
with, and each segment is gone through once. So a backlog of any length costs the memory of one batch, and of
a few numbers for each segment.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, TypeAlias

from ml_dash.errors import JournalError
from ml_dash.journal.disk import REAL_DISK, Disk
from ml_dash.journal.feed_segment import FeedSegment, logged_rows
from ml_dash.journal.frame import FRAME_HEADER, decode_segment_header, parse_segment_name, split_frame
from ml_dash.journal.reader import Reader
from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml_dash.journal.scan import Frame

_HEADER_USUAL = 4 << 10
_HEADER_MAX = 0xFFFF  # its length has 16 bits
_REWRITTEN_MAX = 32 << 20
"""More bytes of frames than a writer keeps to write them again."""


class FeedFrame(NamedTuple):
    """A frame, every byte of it checked. `rows` are those that count as logged: all but the run's own."""

    seq: int
    data: bytes
    rows: int


class Lost(NamedTuple):
    """A number whose frame is lost. `rows` is what its meta says, None where that is lost too."""

    seq: int
    rows: int | None
    reason: str


class Passed(NamedTuple):
    """Rows of frames that were passed over: of all of them, and of the one before `next_seq` (0 if it is not there)."""

    rows: int
    last: int


FeedItem: TypeAlias = "FeedFrame | Lost"


def writers(directory: str, disk: Disk = REAL_DISK) -> list[str]:
    """Return the ids of the writers that a journal has, in order; OSError where it cannot be listed."""
    names = [parse_segment_name(name) for name in disk.list(directory)]
    return sorted({name[0] for name in names if name})


class JournalFeed:
    """Hands out one writer's frames in order, each once, and tells which cannot be had. Not for several threads.

    A torn tail is waited for. A frame that is damaged is lost only when that is certain, since a writer whose fsync
    failed writes its frames again. It is certain

    - of a writer of this process, as soon as the writer says that the frame is durable (`settled`);
    - of one that will never write again, when a later frame is there (`settled` returns infinity);
    - else when the writer has begun a later segment with a later number.

    `settled` gives the number up to which the writer will not write any frame again; None where nobody knows.

    Attributes:
        next_seq: The number that is handed out next.

    Example:
        >>> feed = JournalFeed("runs/a/journal", writers("runs/a/journal")[0])
        >>> feed.seek(12)
        >>> [item.seq for item in feed.next_batch(1 << 20)]
        [12, 13, 14]
    """

    def __init__(
        self,
        directory: str,
        writer: str,
        disk: Disk = REAL_DISK,
        *,
        settled: Callable[[], float | None] | None = None,
    ) -> None:
        self.next_seq = 1
        self._directory = directory
        self._writer = writer
        self._disk = disk
        self._settled = settled
        self._reader = Reader(disk)
        self._segments: list[FeedSegment] = []
        self._at: FeedSegment | None = None
        self._lost_stop = 0  # kept between calls: a long gap is proven once, and not for each of its numbers
        self._sure: float | None = None

    @property
    def pending_bytes(self) -> int:
        """Bytes of frames from `next_seq` on, by the sizes of the files at the last look."""
        if self._at is None:
            return sum(segment.size for segment in self._segments if not segment.ends_before(self.next_seq))
        later = [segment for segment in self._segments if segment.number > self._at.number]
        return sum(segment.size for segment in later) + self._at.left

    @property
    def total_bytes(self) -> int:
        """Bytes of all segments at the last look."""
        return sum(segment.size for segment in self._segments)

    @property
    def is_held_up(self) -> bool:
        """Whether frames lie behind the next one, which is damaged and may still be written again."""
        return self._at is None and any(number > self.next_seq for number in self._ahead)

    def seek(self, seq: int) -> None:
        """Go on with the frame of this number."""
        if seq != self.next_seq:
            self.next_seq = seq
            self._at = None
            self._lost_stop = 0

    def look(self) -> None:
        """Take in which segments there are, and how long they are; `next_batch` does so by itself.

        Raises:
            JournalVersionError: A later version wrote one of them.
            OSError: The directory cannot be listed, or a header cannot be read.
        """
        if self._settled is not None:
            self._sure = self._settled()  # before looking: what is settled now must be found below
        known = {segment.path: segment for segment in self._segments}
        found: list[FeedSegment] = []
        for name in self._disk.list(self._directory):
            named = parse_segment_name(name) if name.startswith(self._writer) else None
            if named and named[0] == self._writer:
                path = os.path.join(self._directory, name)
                segment = known.get(path) or FeedSegment(path, named[1], self._reader)
                if self._measure(segment):
                    found.append(segment)
        found.sort(key=lambda segment: segment.number)
        if self._at not in found:
            self._at = None
        self._segments = found

    def measure(self) -> None:
        """Look, and find the next frame: `pending_bytes` is up to date then, and has no frames that were handed out."""
        self.look()
        self._locate()

    def next_batch(self, max_bytes: int) -> list[FeedItem]:
        """Return what comes next, `max_bytes` at most or one frame; nothing where the journal ends, for now.

        Raises:
            JournalVersionError: A later version wrote one of the segments.
            JournalError: The next frame is longer than is read.
            OSError: Something cannot be read; the next call goes on where this one would have.
        """
        self.look()
        items: list[FeedItem] = []
        room = max_bytes
        while room > 0:
            segment = self._locate()
            frames = self._run(segment, room, at_least_one=not items) if segment else []
            if segment and not frames:
                break  # the next one does not fit
            found: list[FeedItem] = [*self._read(frames)] if frames else [*self._next_lost()]
            if not found and self._locate() is None:
                break
            if not found:
                continue  # a look with fresh eyes has found what was missing
            items += found
            self.next_seq = found[-1].seq + 1
            # a lost frame costs a little too: damage of any length comes in batches of bounded size
            room -= sum(
                len(item.data) if isinstance(item, FeedFrame) else FRAME_HEADER.size + 1 for item in found
            )
        return items

    def skip_to(self, seq: int) -> Passed:
        """Pass over the frames before `seq` that are there; no data is read. `next_seq` says how far that went."""
        self.look()
        rows = last = 0
        while self.next_seq < seq:
            segment = self._locate()
            if segment is not None:
                last = logged_rows(segment.take().heads)
                rows += last
                self.next_seq += 1
                continue
            following = min((number for number in self._ahead if number > self.next_seq), default=None)
            if following is None:
                break  # nothing is there behind this
            last, self.next_seq = 0, int(min(following, seq))
        return Passed(rows, last)

    @property
    def _ahead(self) -> list[float]:
        """Numbers of some frames that are there, or were; the next one that is there is among them."""
        return [number for segment in self._segments for number in segment.ahead]

    # --- which frames come next

    def _measure(self, segment: FeedSegment) -> bool:
        """Bring a segment's length up to date; False where it is none of this writer's, or gone."""
        try:
            size = self._disk.size(segment.path)
        except FileNotFoundError:
            return False
        segment.size = size
        # cut off, or repaired: what its header said may not hold either
        if segment.is_changed:
            segment.forget()
            segment.first_seq, segment.header_tried = None, 0
        if segment.first_seq is None and size > segment.header_tried:
            segment.header_tried = size
            raw = self._reader.read(segment.path, 0, min(size, _HEADER_USUAL))
            if len(raw) >= 8 and int.from_bytes(raw[6:8], "little") > len(raw):
                raw = self._reader.read(segment.path, 0, min(size, _HEADER_MAX))
            header = decode_segment_header(raw, segment.path)
            if header is not None:
                segment.first_seq = header.first_seq
                segment.foreign = header.writer != self._writer
        return not segment.foreign

    def _run(self, segment: FeedSegment, room: int, *, at_least_one: bool) -> list[Frame]:
        """Return the next frames that lie one behind the other in a segment that has the first, as many as fit."""
        frames: list[Frame] = []
        seq, end, size = self.next_seq, -1, 0
        while (frame := segment.find(seq)) and (not frames or frame.offset == end):
            size += frame.length
            if size > room and (frames or not at_least_one):
                break
            frames.append(segment.take())
            seq, end = seq + 1, frame.offset + frame.length
        return frames

    def _locate(self) -> FeedSegment | None:
        """Return the segment that has the next frame; None where none has it, or it does not count as there."""
        if self._at is None or self._at.find(self.next_seq) is None:
            self._at = next(self._having(self.next_seq), None)
        return self._at

    def _having(self, seq: int) -> Iterator[FeedSegment]:
        """Yield the segments that have a frame of this number, from the last one backwards.

        No further than necessary. Where segments follow one another without a number in common, the later ones hold no
        frames written again, or some of those, the rest of which may be in a segment before. As a writer keeps fewer
        bytes in memory than `_REWRITTEN_MAX`, so many bytes of such segments show that there is no rest.
        """
        begun: int | None = None
        plain_bytes = 0
        for segment in reversed(self._segments):
            plain_bytes += segment.size
            if segment.first_seq is None or segment.first_seq <= seq:
                if segment.find(seq):
                    yield segment
                if begun is not None and begun <= seq:
                    if not segment.ends_with(begun - 1):
                        plain_bytes = 0
                    elif plain_bytes >= _REWRITTEN_MAX:
                        return
            begun = segment.first_seq

    # --- reading

    def _read(self, frames: list[Frame]) -> Iterator[FeedItem]:
        """Read frames of the present segment that lie one behind the other, up to the first that is bad."""
        segment = self._at
        assert segment is not None  # noqa: S101 - `_run` has just found them in it
        start = frames[0].offset
        if reason := self._reader.too_long(frames[0].length):
            raise JournalError(f"{segment.path} at byte {start}: {reason}")
        length = frames[-1].offset + frames[-1].length - start
        view = memoryview(self._reader.read(segment.path, start, length))
        for frame in frames:
            at = frame.offset - start
            raw = view[at : at + frame.length]
            if not _is_sound(raw, frame):
                segment.spoil(frame)
                self._at = None
                if frame is frames[0]:
                    copy = self._sound_copy(frame.seq)
                    yield from [copy] if copy else self._next_lost()
                return
            yield FeedFrame(frame.seq, bytes(raw), logged_rows(frame.heads))

    def _sound_copy(self, seq: int) -> FeedFrame | None:
        """Return a copy of a frame that is sound, and remember of the others that they are not."""
        for segment in self._having(seq):
            frame = segment.find(seq)
            if frame is not None:
                raw = self._reader.read(segment.path, frame.offset, frame.length)
                if _is_sound(memoryview(raw), frame):
                    return FeedFrame(seq, raw, logged_rows(frame.heads))
                segment.spoil(frame)
        return None

    # --- what is lost

    def _next_lost(self) -> Iterator[Lost]:
        """Yield the next number as lost, if that is certain."""
        if self.next_seq >= self._lost_stop:
            self._lost_stop = self._find_lost_stop()
        if self.next_seq < self._lost_stop:
            known = [segment.bad[self.next_seq] for segment in self._segments if self.next_seq in segment.bad]
            reason = "its data is damaged" if known else "it is missing, or its head is damaged"
            yield Lost(self.next_seq, known[0] if known else None, reason)

    def _find_lost_stop(self) -> int:
        """Return the number before which all from the next one on are lost; 0 where it is not certain that any is."""
        if not self._stop_of_loss():
            return 0
        # With fresh eyes: what was not there when it was looked for may be by now.
        for segment in self._segments:
            segment.forget()
        self.look()
        return 0 if self._sound_copy(self.next_seq) else self._stop_of_loss()

    def _stop_of_loss(self) -> int:
        later = [number for number in self._ahead if number > self.next_seq]
        if self._sure is None:
            begun = [segment.first_seq for segment in self._segments if segment.first_seq is not None]
            certain = bool(begun) and begun[-1] > self.next_seq
        else:
            certain = self.next_seq <= self._sure
            later.append(self._sure + 1)
        stop = min(later, default=math.inf)
        return int(stop) if certain and stop < math.inf else 0


def _is_sound(raw: memoryview, frame: Frame) -> bool:
    """Whether these are all bytes of the frame that was found, and both its checksums are right."""
    found = split_frame(raw) if len(raw) == frame.length else None
    return found is not None and found.header.seq == frame.seq and found.is_sound
