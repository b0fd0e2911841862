"""Reading the files of a journal: in windows, counted, and never more than was asked to be believed."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from ml_dash.journal.frame import decode_meta, longest_read, split_frame, weigh_frame
from ml_dash.journal.objects import READ_CONTAINERS_MAX
from ml_dash.settings import FRAME_BYTES

if TYPE_CHECKING:
    from ml_dash.journal.blocks import BlockHead
    from ml_dash.journal.disk import Disk

WINDOW_MAX = 1 << 20
WINDOW_MIN = 4 << 10
_NEAR = 32 << 10
"""Reading this many unwanted bytes costs about as much as another call to the system."""
# Beyond it all are dropped: a steady run has few different metas, so that keeping the newest is not worth any books.
_CACHED_BYTES = 8 << 20
_HEAD_BYTES, _POINTER_BYTES = 600, 8
"""About what a decoded entry takes in memory, besides its bytes; and a block of a meta whose entries are known."""


class BadFrameError(Exception):
    """A frame that was indexed is not whole now.

    Attributes:
        heads: What its meta says of its blocks; None where header or meta are bad too.
        moved: Whether the file has something else in that place: it was changed since it was indexed.
        unread: Whether the system refuses to read it, so that nobody knows how it is.
    """

    def __init__(
        self,
        reason: str,
        heads: list[BlockHead] | None = None,
        *,
        moved: bool = False,
        unread: bool = False,
    ) -> None:
        super().__init__(reason)
        self.heads = heads
        self.moved = moved
        self.unread = unread


class Reader:
    """Reads a journal's files, counts the bytes, and remembers metas: a steady run repeats the same one."""

    __slots__ = ("_digest", "_disk", "_entries", "_longest", "_metas", "_size", "bytes_read")

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._metas: dict[tuple[bytes, int], list[BlockHead]] = {}
        self._entries: dict[bytes, BlockHead] = {}
        self._size = 0
        self._longest = longest_read()
        self.bytes_read = 0
        # Here: a script that reads no journal has no use for it, and its import takes 2 ms. And not where it is used,
        # for a `__del__` may read, and import nothing.
        from hashlib import blake2b

        self._digest = blake2b

    def too_long(self, length: int) -> str:
        """Say why a frame of this length is not read; "" where it is."""
        if length <= self._longest:
            return ""
        return (
            f"the frame has {length:,} bytes, and {self._longest:,} are read at most: set {FRAME_BYTES}={length} if "
            "you trust where it comes from"
        )

    def next_data(self, path: str, offset: int) -> int:
        """Return from where on a file has bytes that are not known to be zeros."""
        return self._disk.next_data(path, offset)

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Return `length` bytes, fewer only where the file ends."""
        data = self._disk.read_at(path, offset, length)
        self.bytes_read += len(data)
        return data

    def heads(self, meta: bytes, data_len: int) -> list[BlockHead]:
        """Return the decoded meta; the very same list for equal metas, as long as it is remembered."""
        # metas of thousands of metrics are long, and each frame has another one: their entries are kept, once each
        key = (self._digest(meta, digest_size=16).digest(), data_len)
        heads = self._metas.get(key)
        if heads is None:
            before = len(self._entries)
            try:
                heads = self._metas[key] = decode_meta(meta, data_len, self._entries)
                self._size += _POINTER_BYTES * len(heads)
            finally:  # of a meta that is none, some entries may be kept all the same
                new = islice(reversed(self._entries), len(self._entries) - before)
                self._size += sum([_HEAD_BYTES + 2 * len(entry) for entry in new])
                if self._size > _CACHED_BYTES:
                    self._metas.clear()
                    self._entries.clear()
                    self._size = 0
        return heads


class AheadReader(Reader):
    """A reader of files that are gone through once from front to back, and of each frame a second time: see `Reader`.

    What was read ahead is kept, so that many small frames take one call to the system.
    """

    __slots__ = ("_ahead", "_path", "_start")

    def __init__(self, disk: Disk) -> None:
        super().__init__(disk)
        self._path = ""
        self._start = 0
        self._ahead = b""

    def read(self, path: str, offset: int, length: int) -> bytes:
        """See `Reader.read`; what is appended meanwhile may be missing."""
        first = offset - self._start
        if path != self._path or first < 0 or first + length > len(self._ahead):
            self._path, self._start, first = path, offset, 0
            self._ahead = super().read(path, offset, max(length, WINDOW_MAX))
        return self._ahead[first : first + length]


def read_frame(
    reader: Reader, path: str, offset: int, length: int, seq: int
) -> tuple[list[BlockHead], memoryview]:
    """Read a frame that was indexed before, check all of it again, and return its meta and its data.

    Raises:
        BadFrameError: It is not what it was, or longer than is read.
        OSError: The system refuses to read it.
    """
    if reason := reader.too_long(length):
        raise BadFrameError(reason, unread=True)
    raw = memoryview(reader.read(path, offset, length))
    frame = split_frame(raw)
    if frame is None or frame.header.seq != seq:
        raise BadFrameError("the frame is no longer there", moved=True)
    if not frame.head_is_sound:
        raise BadFrameError("the frame's header or meta was damaged after it was indexed", moved=True)
    try:
        heads = reader.heads(bytes(frame.meta), frame.header.data_len)
    except ValueError as error:
        raise BadFrameError(
            f"the frame's meta was replaced after it was indexed: {error}", moved=True
        ) from error
    if not frame.data_is_sound:
        raise BadFrameError("the frame's data is damaged", heads)
    try:
        if len(frame.data) > READ_CONTAINERS_MAX:
            weigh_frame(heads, frame.data, READ_CONTAINERS_MAX)
    except ValueError as error:
        raise BadFrameError(f"the frame's data is not read: {error}", heads) from error
    return heads, memoryview(frame.data)


class Window:
    """Some of a file's bytes, kept while they are asked for piece by piece, front to back."""

    __slots__ = ("_ahead", "_data", "_path", "_reader", "_size", "_start")

    def __init__(self, reader: Reader, path: str, size: int) -> None:
        self._reader = reader
        self._path = path
        self._size = size
        self._start = 0
        self._data = b""
        self._ahead = WINDOW_MIN

    def at(self, offset: int, length: int) -> bytes:
        """Return `length` bytes, fewer only where the file ends."""
        first = offset - self._start
        if first < 0 or first + length > len(self._data):
            self._fill(offset, length)
            first = 0
        return self._data[first : first + length]

    def _fill(self, offset: int, length: int) -> None:
        skipped = offset - self._start - len(self._data)
        self._ahead = min(4 * self._ahead, WINDOW_MAX) if skipped <= _NEAR else WINDOW_MIN
        self._data = self._reader.read(self._path, offset, min(max(length, self._ahead), self._size - offset))
        self._start = offset
