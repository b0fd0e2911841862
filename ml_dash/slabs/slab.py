"""A slab of one writer: where its callers copy their events, and where its worker finds them.

It has several regions of a quarter of a megabyte, used one after the other. Callers hold the `write` of the region that
is being filled, which is `mmap.write`, and nothing else: no lock, and no look whether there is room. A region that is
full raises ValueError, and so does one that was *ended*: its position is at its end. That is the slow way, on which
`ml_dash.pipeline.queue` goes on with the next region, waits for one, or does without.

To end a region means to ask its position, and then to move it. A caller may write in between. So what lies behind the
position asked for is looked at afterwards; whatever is there was written by then, and nothing can be any more. A caller
that has written its event, and finds the region ended before its mark, need do nothing: where a region ends is written
in the slab, and says that all copies into it have ended.

What was tried and does not work: to close the mapping, as that needs a second one for reading, and so twice the file
descriptors; a lock around the two copies, which costs a call half as much again; huge regions, whose first bytes take
a page fault each, in the caller. What still can fail: a file system that has no room any more gives fewer regions, and
none at all where the first two cannot be had. A child made by the C library's own ``fork``, which no hook of Python's
notices, and which logs, writes over what its parent has written.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import sys
import time
import weakref
from typing import TYPE_CHECKING

import msgpack

from ml_dash.limits.system import largest_file
from ml_dash.notices import is_news, logger
from ml_dash.slabs.bell import own_bell
from ml_dash.slabs.cutting import count, cut, split
from ml_dash.slabs.layout import (
    HEAD_BYTES,
    MARK,
    NAMES_AT,
    NEW,
    OPEN,
    REGION,
    REGIONS_AT,
    SERIES_BYTES,
    SUFFIX,
    WORD,
    WRITTEN_AT,
    Head,
    Taken,
    encode_head,
    encode_names,
    encode_taken,
    names_of,
    taken_at,
)
from ml_dash.slabs.place import QUEUE_DIR, beside_standard_streams, boot_id, make_place, slab_places

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_dash.series import Series

try:
    import fcntl
    import resource
except ImportError:  # Windows, where no slab is made
    fcntl = resource = None  # type: ignore[assignment]

REGION_BYTES = 256 << 10
REGIONS = 16
_SLABS_MAX = 64
_DESCRIPTORS = 32
"""Of so many descriptors that a process may have, one slab's share."""
_DESCRIPTORS_LEAST = 256
"""Where there are fewer, each one is needed elsewhere."""
_ZEROS = bytes(REGION_BYTES)
"""Takes no memory, since nobody writes into it; made for each region, it would take a page fault for each page."""
_TOLD: set[str] = set()
_ALIVE: weakref.WeakSet[Slab] = weakref.WeakSet()
_POPULATE: int = getattr(mmap, "MAP_POPULATE", 0)
"""All pages at once: one after the other, they would cost the callers a page fault each."""


class Chunk:
    """Events of one region that were not taken yet, as they lie there; its length is in bytes, `rows` counts them."""

    __slots__ = ("_slab", "end", "generation", "rows", "start")

    def __init__(self, slab: Slab, generation: int, start: int) -> None:
        self._slab = slab
        self.generation = generation
        self.start = self.end = start
        self.rows = 0

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def memory(self) -> mmap.mmap:
        """The region, of which the bytes from `start` to `end` are these events and their marks."""
        return self._slab.region(self.generation)

    def data(self) -> bytes:
        """Return the events with their marks."""
        return self.memory[self.start : self.end]

    def events(self) -> list[bytes]:
        """Return the events, cut quickly; see `ml_dash.slabs.cutting`."""
        return split(self.data())

    def cut(self) -> list[bytes]:
        """Return the events, cut surely."""
        return cut(self.data(), is_ended=True)[0]


class Slab:
    """Shared memory for the events of one writer. Callers use `write`; all else is for who holds the queue's lock.

    Args:
        place: directory for the slab's file.
        writer_id: whose events these are.
        directory: of the experiment, where whoever comes after a death looks for the journal.
        frame: number of the writer's last frame so far.
        bell: path of what this process hears, see `ml_dash.slabs.bell`; "" for nothing.

    Attributes:
        taken_offset: up to where events of the region that is being taken are taken; set by whoever has put them away.

    Raises:
        OSError: no memory can be had there.
        ValueError: the path of the experiment is too long.
    """

    def __init__(
        self,
        place: str,
        writer_id: str,
        directory: str,
        frame: int,
        bell: str = "",
        *,
        regions: int = REGIONS,
        region_bytes: int = REGION_BYTES,
    ) -> None:
        self.path = os.path.join(place, writer_id + SUFFIX)
        self._head = Head(regions, region_bytes, os.getpid(), time.time_ns(), boot_id())
        self._regions: list[mmap.mmap] = []
        self._used: dict[int, int] = {}  # by generation, which region holds it
        self._free: list[int] = []
        self._ends: dict[int, int] = {}  # of generations that were ended and not released
        self._filling = self._oldest = 1
        self._taken_generation, self.taken_offset = 1, 0
        self._released = (1, 0)
        self.is_left = False
        names = encode_names(names_of(writer_id, directory, bell))
        # Not by its name before it is locked: whoever finds it unlocked takes its process for dead.
        new = f"{self.path}.{os.getpid()}{NEW}"
        with beside_standard_streams():
            self._fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file = new
            self._top = self._map(0, HEAD_BYTES)
            self._series_at = self._head.series_at
            self._series = self._map(self._series_at, SERIES_BYTES)
            self._put(0, encode_head(self._head))
            self._put(NAMES_AT, names)
            self.begin_behind(lambda: frame)
            # Two: one is filled while the other one's rows are written, even where there is never room for a third.
            self._free = [self._add_region(), self._add_region()]
            self.write: Callable[[bytes], object] = self._begin(1).write
            os.rename(new, self.path)
            self._file = self.path
        except BaseException:
            os.close(self._fd)
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise

    def _map(self, offset: int, size: int) -> mmap.mmap:
        longest = largest_file()
        if longest is not None and offset + size > longest:  # asked here: the system sends a signal as well
            raise OSError(errno.EFBIG, f"files may have {longest} bytes (ulimit -f), and a slab takes more")
        with beside_standard_streams():
            # By a descriptor of its own: a mapping shares the lock of the one that it is made by, with forked children
            # too.
            fd = os.open(self._file, os.O_RDWR | os.O_NOFOLLOW)
            try:
                # Room first: without it, the first write into the page would kill the process.
                os.posix_fallocate(fd, offset, size)
                return mmap.mmap(fd, size, flags=mmap.MAP_SHARED | _POPULATE, offset=offset)
            finally:
                os.close(fd)

    def _put(self, at: int, data: bytes) -> None:
        self._top[at : at + len(data)] = data

    @property
    def event_bytes_max(self) -> int:
        """The longest event that a region takes."""
        return self._head.region_bytes - len(MARK)

    def declare(self, number: int, series: Series) -> None:
        """Write down which series a number stands for, before the first event that has it; OSError where it cannot."""
        entry = msgpack.packb([number, int(series.kind), series.name], unicode_errors="surrogatepass")
        # Copied like events, not written by the system: no call waits for a disk.
        if len(self._series) - self._series.tell() < len(entry):  # its `size` is that of the file
            full, self._series_at = self._series, self._series_at + SERIES_BYTES
            self._series = self._map(self._series_at, SERIES_BYTES)
            full.close()
        self._series.write(entry)

    def note(self, taken: Taken) -> None:
        """Write down what the frame that is written next takes along."""
        self._put(taken_at(taken.frame), encode_taken(taken))

    def begin_behind(self, written: Callable[[], int]) -> None:
        """Have nothing taken, after the frame that the journal ends with, while somebody may be writing the next.

        Whoever writes the one after that finds this slab already, and notes it.
        """
        frame = -1
        while frame != (frame := written()):
            self.note(Taken(frame + 1, 1, 0))
            self.note(Taken(frame, 1, 0))
            self.written(frame)

    def written(self, frame: int) -> None:
        """Write down that readers find this frame now."""
        self._put(WRITTEN_AT, WORD.pack(frame))

    # --- filling

    def advance(self) -> bool:
        """Go on with the next region; False where none is free."""
        try:
            if not self._free and len(self._regions) < self._head.regions:
                self._free.append(self._add_region())
            if not self._free:
                return False
            self.end()
            generation = self._filling + 1
            write = self._begin(generation).write
        except (OSError, MemoryError):  # no memory, or no descriptor: we do with the regions that there are
            return False
        self._filling, self.write = generation, write
        return True

    def _add_region(self) -> int:
        number = len(self._regions)
        self._regions.append(self._map(self._head.region_at(number), self._head.region_bytes))
        return number

    def _begin(self, generation: int) -> mmap.mmap:
        """Have a region ready for this generation, all zeros."""
        number = self._used.get(generation)
        if number is None:  # else it was begun before, and memory was short in the middle
            number = self._free.pop()
            try:
                self._used[generation] = number
            except MemoryError:
                self._free.append(number)  # which has kept its room
                raise
        region = self._regions[number]
        self._write_region(number, 8, OPEN)
        self._write_region(number, 0, generation)
        region.seek(0)
        return region

    def _write_region(self, number: int, offset: int, value: int) -> None:
        self._put(REGIONS_AT + number * REGION.size + offset, WORD.pack(value))

    def end(self) -> None:
        """Let nothing more come into the region that is being filled."""
        # Whoever comes in the middle, as a signal handler that logs may, does the same, and comes to the same end. It
        # may go on with the next region as well: what is ended here is the one that was being filled, and no other.
        generation = self._filling
        region = self.region(generation)
        end = self._ends.setdefault(generation, region.tell())
        region.seek(self._head.region_bytes)
        if end < self._head.region_bytes and region[end]:
            end += cut(region[end:], is_ended=True)[1]
        self._ends[generation] = end
        self._write_region(self._used[generation], 8, end)

    def region(self, generation: int) -> mmap.mmap:
        """Return the region of a generation that was not released."""
        return self._regions[self._used[generation]]

    # --- taking

    @property
    def has_more(self) -> bool:
        """Whether events wait that are in no chunk."""
        return self.has_full_region or self.taken_offset < self._end_of(self._filling)

    @property
    def has_full_region(self) -> bool:
        """Whether some of these are in another region than the one that is being filled."""
        return self._taken_generation < self._filling

    def _end_of(self, generation: int) -> int:
        end = self._ends.get(generation)
        return self.region(generation).tell() if end is None else end

    @property
    def place(self) -> tuple[int, int]:
        """The generation that is being filled, and up to where; all of it, where it is about to end."""
        generation = self._filling
        is_ended = generation in self._ends
        return generation, self._head.region_bytes if is_ended else self.region(generation).tell()

    def find_more(
        self, last: Chunk | None, until: tuple[int, int] | None = None
    ) -> tuple[Chunk, int, int] | None:
        """Return the next chunk, `last` itself where it goes on, up to where it goes, and how many rows are new in it.

        None where none are. Of one region at most: call it again, when they are taken: see `taken_offset`.

        Args:
            last: The chunk before.
            until: The place behind the last event; None for all that there are.
        """
        while self._taken_generation < self._oldest or self.taken_offset >= self._end_of(
            self._taken_generation
        ):
            if self._taken_generation == self._filling:
                return None
            self._taken_generation, self.taken_offset = self._taken_generation + 1, 0
        end = self._end_of(self._taken_generation)
        if until is not None and (self._taken_generation, end) > until:
            if (self._taken_generation, self.taken_offset) >= until:
                return None
            end = until[1]
        chunk = last
        if chunk is None or (chunk.generation, chunk.end) != (self._taken_generation, self.taken_offset):
            chunk = Chunk(self, self._taken_generation, self.taken_offset)
        return chunk, end, count(chunk.memory[chunk.end : end])

    def release(self, generation: int, offset: int) -> None:
        """Clear the regions whose events are all in the journal: those before this place."""
        self._released = max(self._released, (generation, offset))
        while self._oldest < self._filling and self._released >= (self._oldest, self._ends[self._oldest]):
            done, number = self._oldest, self._used[self._oldest]
            # In this order: who reads it from outside must not take the zeros for its content. And a thread that the
            # interpreter's end stops in between leaves a region that is never used again, and nothing worse.
            self._write_region(number, 0, 0)
            self._regions[number][: self._ends[done]] = memoryview(_ZEROS)[: self._ends[done]]
            following = done + 1  # before anything is changed: memory may be short
            self._free.append(number)
            self._oldest = following
            del self._used[done], self._ends[done]

    # --- the end

    def leave(self) -> None:
        """Take nothing more."""
        self.is_left = True
        self.end()

    @property
    def is_released(self) -> bool:
        """Whether nothing more comes, and all is in the journal."""
        return self.is_left and self._released >= (self._filling, self._end_of(self._filling))

    def remove(self) -> None:
        """Remove the file: all is in the journal."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        self.forsake()

    def forsake(self) -> None:
        """Let go of the memory and leave the file alone: a forked child's parent goes on writing to it."""
        for mapping in (self._top, self._series, *self._regions):
            # At its end nothing can be written, even where it cannot be closed since numpy looks at it: in a thread
            # that was in the middle of that when it was forked, or where a traceback keeps it.
            mapping.seek(0, os.SEEK_END)
            with contextlib.suppress(BufferError):
                mapping.close()
        _ALIVE.discard(self)
        fd, self._fd = self._fd, -1
        with contextlib.suppress(OSError):
            os.close(fd)


def make_slab(chosen: str | None, writer_id: str, directory: str, frame: int) -> Slab | None:
    """Make a slab in the best place that there is, or in the one that was chosen; None where there can be none.

    `Experiment.status` says how rows wait. A warning tells of the one that was chosen, once: somebody counts on it.
    """
    if len(_ALIVE) >= _most_slabs() or sys.is_finalizing():
        return None
    for place in slab_places(chosen):
        try:
            make_place(place, REGIONS * REGION_BYTES, is_chosen=chosen is not None)
            slab = Slab(place, writer_id, directory, frame, own_bell(place))
        except (OSError, ValueError, MemoryError) as error:
            if chosen is not None and is_news(place, _TOLD):
                logger().warning(
                    "No shared memory can be had in %s=%s: %s. Rows wait in the process's own memory, and a kill loses "
                    "those of its last moment: choose another directory, or unset it.",
                    QUEUE_DIR, chosen, error,
                )  # fmt: skip
            continue
        _ALIVE.add(slab)
        return slab
    return None


def _most_slabs() -> int:
    """Return how many slabs a process may have: each takes descriptors, of which others need some as well."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _SLABS_MAX
    return 0 if soft < _DESCRIPTORS_LEAST else min(_SLABS_MAX, soft // _DESCRIPTORS)
