"""Frames of one segment file: found in windows, remembered between calls, and found again after damage.

Only headers and metas are read, in windows that grow while frames are small and that skip the data of large
ones. Nothing is believed that its checksum does not confirm, and no length before it fits the file. Work is bounded
by the bytes that are there, too: a file may come from a stranger, and have markers in it that claim long metas, frames
within frames, or nothing for terabytes.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ml_dash.errors import JournalVersionError
from ml_dash.journal.frame import (
    FRAME_HEADER,
    MAGIC,
    META_BYTES_MAX,
    SYNC,
    FrameHeader,
    SegmentHeader,
    decode_segment_header,
    head_crc,
    parse_frame_header,
    parse_segment_name,
)
from ml_dash.journal.reader import WINDOW_MAX, WINDOW_MIN, BadFrameError, Reader, Window, read_frame
from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.journal.blocks import BlockHead

_HEAD = FRAME_HEADER.size
_SEGMENT_HEADER_MAX = 0xFFFF
HOLES_MAX = 50_000
"""Places of a file where bytes are no frame. No disk fails like that; a stranger's file has room for millions."""
_TRIFLE = 4 << 10  # bytes: that much is read for any marker
_IN_VAIN_LEAST, _IN_VAIN_TIMES = 64 << 20, 4
_MARKER = re.escape(SYNC) + b"|" + re.escape(MAGIC)


class Frame(NamedTuple):
    """A frame whose header and meta are intact. `length` is that of the whole frame, in bytes."""

    offset: int
    length: int
    seq: int
    heads: list[BlockHead]


class Hole(NamedTuple):
    """Bytes of a segment in which no frame could be read. `after` is the number of the last frame before."""

    offset: int
    length: int
    reason: str
    after: int | None


class SegmentScan:
    """What is known of one segment file, and how far it has been read.

    Attributes:
        header: The segment's header; None as long as it is incomplete or if it is damaged.
        size: The file's length at the last call of `advance`.
        end: Where the last frame found ends. What follows is not there yet, torn, or another writer's.
        last_seq: The number of the last frame found.
        holes: Where bytes between frames are no frame.
        foreign: Whether another writer's segment follows at `end`, as after `cat a b > a`.
        moved: Whether the file no longer has what was found in it before: it must be scanned anew.
    """

    def __init__(self, path: str, reader: Reader) -> None:
        self.path = path
        self.header: SegmentHeader | None = None
        self.size = 0
        self.end = 0
        self.last_seq: int | None = None
        self.holes: list[Hole] = []
        self.foreign = False
        self.moved = False
        self._reader = reader
        name = os.path.basename(path)
        self._named = parse_segment_name(name) or (os.path.splitext(name)[0], 0)
        self._last: Frame | None = None
        self._stuck: tuple[int, int] | None = None
        self._in_vain = 0

    @property
    def writer(self) -> str:
        """The writer's id: what the header says, or else the file's name."""
        return self.header.writer if self.header else self._named[0]

    @property
    def number(self) -> int:
        """The segment's number: what the header says, or else the file's name."""
        return self.header.segment if self.header else self._named[1]

    def go_on_behind(self, end: int, last_seq: int) -> None:
        """Begin where another scan of this file ended: behind a frame with this number, which is still there."""
        self.end, self.last_seq = end, last_seq

    def advance(self, size: int) -> Iterator[Frame]:
        """Yield the frames that begin at or after `end`, in a file that is now `size` bytes long.

        Raises:
            JournalVersionError: A later version wrote the file.
            OSError: The file cannot be read. What was yielded before holds, and the next call goes on there.
        """
        self.size = size
        window = Window(self._reader, self.path, size)
        if self.end == 0:
            self.header = decode_segment_header(window.at(0, _SEGMENT_HEADER_MAX), self.path)
            self.end = self.header.length if self.header else 0
        while self.end < size:
            found = self._intact(window, self.end)
            if found is None:
                if not self._skip_damage(window):
                    return
            elif frame := self._accept(*found):
                yield frame

    def _intact(self, window: Window, offset: int) -> tuple[FrameHeader, bytes] | None:
        """Return the header and the meta of a frame that is all within the file, if they are right."""
        raw = window.at(offset, _HEAD)
        header = parse_frame_header(raw)
        if header is None or header.meta_len > META_BYTES_MAX or offset + header.length > self.size:
            return None
        if not self._is_worth(header.meta_len):
            return None
        meta = window.at(offset + _HEAD, header.meta_len)
        if len(meta) == header.meta_len and head_crc(raw, meta) == header.head_crc:
            return header, meta
        self._in_vain += header.meta_len
        return None

    def _is_worth(self, nbytes: int) -> bool:
        """Whether as much may be read for what may turn out to be nothing: a few times what the file has, in all."""
        return nbytes <= _TRIFLE or self._in_vain + nbytes <= _IN_VAIN_LEAST + _IN_VAIN_TIMES * self.size

    def _accept(self, header: FrameHeader, meta: bytes) -> Frame | None:
        """Move over an intact frame. None where this version cannot tell what its meta means."""
        offset, length = self.end, header.length
        try:
            heads = self._reader.heads(meta, header.data_len)
        except ValueError as error:
            self._add_hole(offset, length, f"a frame's meta is not of the known form: {error}")
            self.end += length
            return None
        self._last = frame = Frame(offset, length, header.seq, heads)
        self.last_seq = header.seq
        self.end += length
        return frame

    def _skip_damage(self, window: Window) -> bool:
        """Move `end` to where frames go on. False where they do not, perhaps only not yet."""
        # a search reads all the rest: the same rest is not searched again at each refresh
        if self._stuck == (self.end, self.size):
            return False
        if len(self.holes) >= HOLES_MAX:
            self._add_hole(
                self.end, self.size - self.end, f"behind {HOLES_MAX:,} such places nothing more is read"
            )
            self.end = self.size
            return False
        self.foreign = False
        start = self._sound_end()
        found = None if self.moved else self._behind(window, start) or self._search(window, start)
        if found is None:
            self._stuck = (self.end, self.size)
            return False
        offset, resume = found
        if offset > start:
            self._add_hole(start, offset - start, self._reason(window, start))
        self.end = resume
        return True

    def _sound_end(self) -> int:
        """Return from where on to search: after a frame whose data is bad, its length means little.

        Bytes may be missing in the middle of it, and then good frames begin before its end.
        """
        frame = self._last
        if frame is None or frame.offset + frame.length != self.end:
            return self.end
        if not self._is_worth(frame.length):
            return self.end
        self._in_vain += frame.length
        try:
            read_frame(self._reader, self.path, frame.offset, frame.length, frame.seq)
        except BadFrameError as error:
            self.moved = error.moved
            if error.unread:
                return self.end  # it is too long, and not bad
            return frame.offset + frame.length - sum(head.nbytes for head in frame.heads)
        return self.end

    def _behind(self, window: Window, start: int) -> tuple[int, int] | None:
        """Try the place to which the lengths in a bad header point, before searching byte by byte.

        A search would also find frames inside the bad frame's data, should someone have logged a journal's
        bytes. The number must be right, because the lengths themselves may be what is damaged.
        """
        header = parse_frame_header(window.at(start, _HEAD))
        if header is None or start != self.end:
            return None
        target = start + header.length
        found = self._intact(window, target) if target < self.size else None
        before = self.last_seq
        if before is None:
            before = self.header.first_seq - 1 if self.header else 0
        return (target, target) if found and found[0].seq == before + 2 else None

    def _search(self, window: Window, start: int) -> tuple[int, int] | None:
        """Find the next intact frame, or header of this writer (from `cat a b > a`): where, and where frames go on."""
        base, length = start, WINDOW_MIN  # growing: where damage is everywhere, the next frame is near
        while (base := self._reader.next_data(self.path, base)) < self.size:
            overlap = len(SYNC) - 1  # a marker may lie across the border of two windows
            chunk = window.at(base, min(length + overlap, self.size - base))
            for match in re.finditer(_MARKER, chunk):
                offset = base + match.start()
                if match[0] == SYNC:
                    if self._intact(window, offset):
                        return offset, offset
                elif header := self._header_length(window, offset):
                    return offset, offset + header
                if self.foreign:
                    return None
            base, length = base + length, min(2 * length, WINDOW_MAX)
        return None

    def _header_length(self, window: Window, offset: int) -> int:
        """Return the length of an intact segment header of this writer; 0 where none is."""
        try:
            header = decode_segment_header(window.at(offset, _SEGMENT_HEADER_MAX), self.path)
        except JournalVersionError:
            # no reason to refuse the file: it is of a known version, and has this one's bytes inside
            self.foreign = True
            return 0
        if header is None:
            return 0
        # numbers of another writer mean nothing here: its frames must not pass for this one's
        self.foreign = header.writer != self.writer
        return 0 if self.foreign else header.length

    def _reason(self, window: Window, start: int) -> str:
        if start == 0:
            return "the segment's header is damaged"
        if start < self.end and self._last and start > self._last.offset:
            return "bytes are missing in a frame's data"
        header = parse_frame_header(window.at(start, _HEAD))
        if header is not None and header.meta_len > META_BYTES_MAX:
            return f"a frame's meta has {header.meta_len:,} bytes, and {META_BYTES_MAX:,} are read at most"
        if window.at(start, len(SYNC)) == SYNC:
            return "a frame's header or meta is damaged"
        return "no frame begins where one should"

    def _add_hole(self, offset: int, length: int, reason: str) -> None:
        last = self.holes[-1] if self.holes else None
        if last and last.offset + last.length == offset and last.after == self.last_seq:
            self.holes[-1] = last._replace(length=last.length + length)
        else:
            self.holes.append(Hole(offset, length, reason, self.last_seq))
