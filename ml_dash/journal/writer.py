"""The writer: appends frames to segment files, and knows which of them would survive a power cut.

What a disk can do wrong, and what is done then:

- A write fails, perhaps halfway. Nothing is appended to that segment again, for a reader would take what
  follows half a frame for damage. What it holds already can still be made durable.
- An fsync fails. The kernel may have dropped the pages and forgotten the error, so that a second fsync would
  succeed and prove nothing. The segment is given up, and every frame that is not known to be durable is
  written again, from memory, under its old number. Readers keep the first good copy of a number.

Frames are therefore kept in memory until an fsync has covered them.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from typing import TYPE_CHECKING

from ml_dash.clock import SYSTEM_CLOCK, Clock
from ml_dash.journal.disk import REAL_DISK, Disk, SegmentFile
from ml_dash.journal.frame import (
    FRAME_BYTES_MAX,
    encode_frame,
    encode_segment_header,
    parse_segment_name,
    segment_name,
)
from ml_dash.limits.system import largest_file
from ml_dash.locks import MortalLock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_dash.journal.blocks import Block

# A repair holds one segment in memory, and whatever is counted by segments should stay a small number.
SEGMENT_BYTES = 64 << 20
_HEADER_BYTES_MAX = 256
"""Of a segment's header, at most: what a frame leaves of a file that may have so many bytes."""
_FILE_BYTES_LEAST = 8 << 10
"""Where files may have fewer, frames are not made to fit: what a run says of itself at its start may be so long."""


class _Segment:
    """A segment file that is open: how long it is, and the number of the last whole frame in it (0: none)."""

    __slots__ = ("file", "last_seq", "path", "size")

    def __init__(self, file: SegmentFile, path: str) -> None:
        self.file = file
        self.path = path
        self.size = 0
        self.last_seq = 0

    def close(self) -> None:
        # after a successful fsync nothing can be lost here, and after a failed one it is lost already
        with contextlib.suppress(OSError):
            self.file.close()


def _fitting(frame_bytes: int, file_bytes: int) -> int:
    """Return how long a frame may be where files have so many bytes; 0 for as many as one likes.

    The system would tell of that limit in the middle of a frame, each time anew.
    """
    return frame_bytes if file_bytes < _FILE_BYTES_LEAST else min(frame_bytes, file_bytes - _HEADER_BYTES_MAX)


def _may_hold(disk: Disk, path: str, size: int) -> bool:
    """Whether a file may be as long as that."""
    try:
        return disk.size(path) >= size
    except OSError:
        return True  # nobody can tell: a frame too many is harmless, a number given twice is not


class _Member:
    """What a writer's own journal has of it."""

    _directory: str
    _disk: Disk
    _writer_id: str
    _homeless: deque[tuple[int, bytes]]
    _written_seq: int

    @property
    def is_in_doubt(self) -> bool:
        """Whether frames that count as written may not be there: `append`, `sync` or `rewrite` writes them again."""
        return bool(self._homeless)

    @property
    def certain_seq(self) -> int:
        """The number of the last frame that readers find: of those in doubt, only the last one may not be there."""
        return self._written_seq - 1 if self._homeless else self._written_seq

    @property
    def is_gone(self) -> bool:
        """Whether somebody has removed, or moved away, all that this writer has written."""
        writers = _writers(self._directory, self._disk) if self._written_seq else None
        return writers is not None and self._writer_id not in writers

    @property
    def is_overtaken(self) -> bool:
        """Whether a writer that was born later has written: readers put its rows behind all of this one's."""
        return self._writer_id < max(_writers(self._directory, self._disk) or (), default="")


class JournalWriter(_Member):
    """One writer's part of a journal. Nothing is created on disk before the first `append`.

    `append` and `sync` may be called by different threads; no append waits for an fsync, but for the one that
    fills a segment. After a failed fsync the frames in memory are written anew, so a caller should not try
    again at full speed, and should look at `unsynced_bytes`.

    No other writer may have or ever have had `writer_id`: readers keep one frame of each number of it. Of one that is
    gone, `after` are the numbers of the last segment and frame. A segment of `segment_bytes` is followed by a new one.
    `frame_bytes` bound a frame: of a longer one `append` raises ValueError.
    """

    _lock = MortalLock("_mistrust_segment")
    _sync_lock = MortalLock()

    def __init__(
        self,
        directory: str,
        writer_id: str,
        *,
        disk: Disk = REAL_DISK,
        clock: Clock = SYSTEM_CLOCK,
        segment_bytes: int = SEGMENT_BYTES,
        frame_bytes: int = FRAME_BYTES_MAX,
        after: tuple[int, int] = (0, 0),
    ) -> None:
        self._directory = directory
        self._writer_id = writer_id
        self._disk, self._clock = disk, clock
        self._segment_bytes, self._file_bytes = segment_bytes, largest_file() or 0
        self.frame_bytes = _fitting(frame_bytes, self._file_bytes)

        self._lock = threading.Lock()
        """Guards all that follows; never held during an fsync."""
        self._sync_lock = threading.Lock()
        """Held by the one thread that runs fsyncs. Taken before `_lock`, never while holding it."""
        self._current: _Segment | None = None
        self._sealed: list[_Segment] = []
        """Segments that get no more frames and have frames that are not durable, in the frames' order."""
        self._unsynced: deque[tuple[int, bytes]] = deque()
        """Frames in these segments that are not durable, in order."""
        self._homeless: deque[tuple[int, bytes]] = deque()
        """Frames whose segment was given up; they follow the unsynced ones, and precede all others."""
        self._next_segment = after[0] + 1
        self._written_seq = self._durable_seq = after[1]
        self._unsynced_bytes = 0
        self._bytes_written = 0
        self._last_error: OSError | None = None
        self._abandoned = False

    @property
    def written_seq(self) -> int:
        """The number of the last frame appended, 0 before the first."""
        return self._written_seq

    @property
    def durable_seq(self) -> int:
        """The number up to which all frames would survive a power cut."""
        return self._durable_seq

    @property
    def unsynced_bytes(self) -> int:
        """Bytes of the frames that are kept in memory because they are not durable."""
        return self._unsynced_bytes

    @property
    def bytes_written(self) -> int:
        """Bytes given to the disk with success: headers, frames, and frames written again."""
        return self._bytes_written

    @property
    def segment_path(self) -> str | None:
        """The path of the segment that the next frame goes to, None if it will be a new one."""
        segment = self._current
        return segment.path if segment else None

    @property
    def last_error(self) -> OSError | None:
        """Why a segment was last given up, None if that never happened."""
        return self._last_error

    def append(self, blocks: Sequence[Block]) -> int:
        """Write a frame, and return its number.

        Raises:
            OSError: It was not written, and the same blocks may be appended again, to a new segment.
            ValueError: The blocks cannot be encoded; nothing was written.
            RuntimeError: The writer was abandoned.
        """
        with self._lock:
            if self._abandoned:
                raise RuntimeError("this writer was abandoned: its name belongs to the parent process")
            self._write_homeless()
            seq = self._written_seq + 1
            self._write(seq, encode_frame(seq, blocks, most=self.frame_bytes))
            sealed_seq = self._sealed[-1].last_seq if self._sealed else 0
        sync_lock = self._sync_lock
        if sealed_seq and sync_lock.acquire(blocking=False):
            # Where another thread is at an fsync, it or the next to come will do this one too. And the
            # frame is written: an fsync that fails leaves it kept, and is no failure of this call.
            try:
                with contextlib.suppress(OSError):
                    self._make_durable(sealed_seq)
            finally:
                sync_lock.release()
        return seq

    def rewrite(self) -> None:
        """Write again what may not be there; OSError where some of it still may not."""
        with self._lock:
            self._write_homeless()

    def sync(self) -> int:
        """Make all frames durable that were appended before the call; return the number up to which they are.

        Raises:
            OSError: Some are not. They are kept, and the next `append` or `sync` writes them anew.
        """
        with self._sync_lock:
            with self._lock:
                self._write_homeless()
                goal = self._written_seq
            return self._make_durable(goal)

    def close(self) -> None:
        """Make all frames durable and close the file. A later `append` opens a new segment.

        Raises:
            OSError: As for `sync`. The frames are kept, and `close` may be called again.
        """
        with self._sync_lock:
            with self._lock:
                self._write_homeless()
                if self._current:
                    self._seal(self._current)
                goal = self._written_seq
            self._make_durable(goal)

    def abandon(self) -> None:
        """Let go of everything and leave the files alone: for a forked child, whose parent goes on writing.

        No lock is taken, since a thread that is not there in the child may have held it at the fork.
        Afterwards `append` raises, and `sync` and `close` have nothing to do.
        """
        self._abandoned = True
        self._lock = threading.Lock()
        self._sync_lock = threading.Lock()
        for segment in self._open_segments():
            segment.close()
        self._current = None
        self._sealed = []
        self._unsynced = deque()
        self._homeless = deque()
        self._unsynced_bytes = 0
        self._written_seq = self._durable_seq

    def release(self) -> None:
        """Write nothing more, not even what is not durable: for one whose files were removed, or moved away."""
        with self._sync_lock, self._lock:
            self.abandon()

    def _mistrust_segment(self) -> None:
        """Begin a new segment: a thread that is gone may have left half a frame in this one."""
        if self._current:
            self._seal(self._current)

    def _open_segments(self) -> list[_Segment]:
        return [*self._sealed, *([self._current] if self._current else [])]

    # --- writing: the caller holds `_lock`

    def _write_homeless(self) -> None:
        while self._homeless:
            self._write(*self._homeless[0])

    def _write(self, seq: int, frame: bytes) -> None:
        """Append a frame to the current segment or to a new one, and count it."""
        if self._current and 0 < self._file_bytes < self._current.size + len(frame):
            self._seal(self._current)
        segment = self._current or self._create_segment()
        data = frame
        # header and first frame in one write: a segment without frames is hardly ever left
        if not segment.size:
            number = self._next_segment - 1
            data = encode_segment_header(self._writer_id, number, self._clock.time_ns(), seq) + frame
        size, written = segment.size + len(data), self._bytes_written + len(data)
        try:
            segment.file.write(data)
        except BaseException as error:
            self._note(error)
            arrived = _may_hold(self._disk, segment.path, size)
            self._drop(segment, keep_file=arrived)
            if not arrived or seq <= self._written_seq:
                raise
            # A reader may find this frame whole, so that its number cannot be given to other rows. It
            # counts as one whose fsync failed: it is written again, byte for byte the same.
            self._count(seq, frame, self._homeless)
            if not isinstance(error, OSError):
                raise
            return
        segment.size, segment.last_seq, self._bytes_written = size, seq, written
        self._count(seq, frame, self._unsynced)
        if segment.size >= self._segment_bytes:
            self._seal(segment)

    def _count(self, seq: int, frame: bytes, where: deque[tuple[int, bytes]]) -> None:
        unsynced = self._unsynced_bytes + len(frame)
        where.append((seq, frame))  # before the rest, which takes no memory
        if seq > self._written_seq:
            self._written_seq, self._unsynced_bytes = seq, unsynced
        else:
            self._homeless.popleft()

    def _create_segment(self) -> _Segment:
        path = os.path.join(self._directory, segment_name(self._writer_id, self._next_segment))
        self._next_segment += 1  # whatever comes now, Ctrl-C too: the file may be there
        try:
            file = self._disk.create(path)
        except FileExistsError:
            # Not ours: another writer has this name, and going around its files would only hide that
            # readers drop the frames of one of us.
            self._next_segment -= 1
            raise
        except OSError as error:
            self._note(error)
            raise
        self._current = _Segment(file, path)
        return self._current

    def _seal(self, segment: _Segment) -> None:
        """Write no more to this segment; it is closed once its frames are durable."""
        self._current = None
        # one that is being fsynced has frames that are not durable, and so is never closed here
        if segment.last_seq > self._durable_seq:
            self._sealed.append(segment)
        else:
            segment.close()

    def _drop(self, segment: _Segment, *, keep_file: bool) -> None:
        """Seal a segment after a failed write; remove it where no frame is in it."""
        empty = segment.last_seq == 0
        self._seal(segment)
        if empty and not keep_file:
            with contextlib.suppress(OSError):
                self._disk.remove(segment.path)

    def _note(self, error: BaseException) -> None:
        if isinstance(error, OSError):
            self._last_error = error

    # --- syncing: the caller holds `_sync_lock`, and not `_lock`

    def _make_durable(self, goal: int) -> int:
        """Run fsyncs until the frames up to `goal` are durable; on failure give up what is not."""
        try:
            while target := self._next_target(goal):
                segment, last_seq = target
                segment.file.sync()
                self._forget_durable(segment, last_seq)
        except BaseException as error:
            self._give_up(error)
            raise
        return self._durable_seq

    def _next_target(self, goal: int) -> tuple[_Segment, int] | None:
        """Return the first segment with frames that are not durable, and the last of those there now."""
        with self._lock:
            segments = self._open_segments()
            if self._durable_seq >= goal or not segments:
                return None
            return segments[0], segments[0].last_seq

    def _forget_durable(self, segment: _Segment, last_seq: int) -> None:
        """Forget the frames that an fsync has covered, and close the segment if there can be no others."""
        with self._lock:
            self._durable_seq = last_seq
            while self._unsynced and self._unsynced[0][0] <= last_seq:
                left = self._unsynced_bytes - len(self._unsynced[0][1])
                self._unsynced.popleft()
                self._unsynced_bytes = left
            if segment is not self._current and segment.last_seq == last_seq:
                self._sealed.remove(segment)
                segment.close()

    def _give_up(self, error: BaseException) -> None:
        """Have all frames that are not durable written again, those in later segments too.

        So the frames of a segment always follow one another, and whatever is in a segment comes after all
        that still has to be written again.
        """
        with self._lock:
            self._note(error)
            for segment in self._open_segments():
                segment.close()
            self._current = None
            self._sealed.clear()
            # in front: what was homeless before has higher numbers
            self._homeless.extendleft(reversed(self._unsynced))
            self._unsynced.clear()


def _writers(directory: str, disk: Disk) -> set[str] | None:
    """Return the writers that a journal has segments of; None where nobody can tell."""
    try:
        names = [parse_segment_name(name) for name in disk.list(directory)]
    except OSError:
        return None
    return {name[0] for name in names if name}
