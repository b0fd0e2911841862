"""A segment file as a feed goes through it: forward, frame by frame, and from the start again where it must."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.journal.scan import Frame, SegmentScan
from ml_dash.series import CONTROL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.journal.blocks import BlockHead
    from ml_dash.journal.reader import Reader


def logged_rows(heads: list[BlockHead]) -> int:
    """Return how many rows of a frame count as logged: what runs say of themselves does not."""
    return sum(head.rows for head in heads if head.series.kind not in CONTROL)


class FeedSegment:
    """A segment file: how far it was gone through, and what was found.

    Attributes:
        size: Its length at the last look, in bytes.
        first_seq: The number that its header says it begins with; None as long as there is no sound header.
        header_tried: The length at which the header was last looked for.
        foreign: Whether the header names another writer.
        bad: Frames whose data is damaged: how many rows they have, by number.
    """

    def __init__(self, path: str, number: int, reader: Reader) -> None:
        self.path = path
        self.number = number
        self.size = 0
        self.first_seq: int | None = None
        self.header_tried = 0
        self.foreign = False
        self.bad: dict[int, int] = {}
        self._reader = reader
        self._scan = SegmentScan(path, reader)
        self._frames: Iterator[Frame] | None = None
        self._held: Frame | None = None
        self._passed: int | None = None

    def forget(self) -> None:
        """Forget all that was found in it, and go through it again."""
        self.bad.clear()
        self._restart()

    @property
    def is_changed(self) -> bool:
        """Whether the file does not have any more what was found in it."""
        return self._scan.moved or self.size < self._scan.end

    @property
    def left(self) -> int:
        """How many bytes follow behind the frames that were taken."""
        return self.size - (self._held.offset if self._held else self._scan.end)

    @property
    def ahead(self) -> list[float]:
        """Numbers of frames that it has or had: the one that comes next in it, and its first."""
        found = (self._held.seq if self._held else None, self.first_seq)
        return [seq for seq in found if seq is not None]

    def ends_before(self, seq: int) -> bool:
        """Whether all of it was gone through, and the last frame has a lower number."""
        return self._is_at_end and (self._passed or 0) < seq

    def ends_with(self, seq: int) -> bool:
        """Whether all of it was gone through, and this is the last frame's number."""
        return self._is_at_end and self._passed == seq

    def find(self, seq: int) -> Frame | None:
        """Return the frame with this number, if it is here and not known to be bad; `take` moves on behind it.

        In any case, what comes behind it is `ahead` then.
        """
        # a segment is gone through forward only: what lies behind costs another pass, which is rare
        is_bad = seq in self.bad
        if self._passed is not None and (self._passed > seq or (self._passed == seq and not is_bad)):
            self._restart()
        self._advance(seq + is_bad)
        return self._held if self._held is not None and self._held.seq == seq else None

    def take(self) -> Frame:
        """Move on behind the frame that was found."""
        frame = self._held
        assert frame is not None  # noqa: S101 - `find` has just returned it
        self._passed, self._held = frame.seq, None
        return frame

    def spoil(self, frame: Frame) -> None:
        """Remember that a frame's data is damaged, and look what comes behind it."""
        self.bad[frame.seq] = logged_rows(frame.heads)
        self.find(frame.seq)

    @property
    def _is_at_end(self) -> bool:
        return self._held is None and self._frames is None and self._scan.size == self.size

    def _restart(self) -> None:
        self._scan = SegmentScan(self.path, self._reader)
        self._frames = self._held = self._passed = None

    def _advance(self, seq: int) -> None:
        """Go on to the first frame whose number is at least this, and hold it."""
        while self._held is None or self._held.seq < seq:
            if self._held is not None:
                self._passed, self._held = self._held.seq, None
            if self._frames is None:
                if self._scan.size == self.size:
                    return
                self._frames = self._scan.advance(self.size)
            try:
                self._held = next(self._frames, None)
            except OSError:
                self._frames, self._scan.size = None, 0  # so that the next call goes on there
                raise
            if self._held is None:
                self._frames = None
