"""A disk that does everything a disk may do: it fills up, fails, is slow, and loses what was not synced.

A file's bytes are *visible* (the page cache) as soon as they are written, and *durable* once a `sync` that was
called afterwards has returned. A name is durable after the first such sync. When the power is cut, each range of
bytes that is not durable meets a fate of its own: kept, lost, zeroed, or torn at any byte. A sync that fails does
as Linux does: the pages count as clean from then on, so that no later sync saves them; they stay visible until
the cache evicts them. A removed file may come back.

What the disk does wrong is decided by the one random number generator of the simulation. Everything that was ever
written as a frame is remembered, so that a checker can say, without asking the code under test, which frames are
still there to the last byte.
"""

from __future__ import annotations

import errno
import os
import random
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgpack

from tests.support.fates import FATES
from tests.support.simulated_clock import BIRTH_NS, SimulatedClock
from tests.support.weather import Weather

__all__ = [
    "InterruptError",
    "KilledError",
    "PowerCutError",
    "SimulatedDisk",
    "SimulatedFile",
    "WrittenFrame",
    "writer_of",
]

_FRAME_HEAD = struct.Struct("<4sIIQ")
_FRAME_HEAD_BYTES = 28


class InterruptError(KeyboardInterrupt):
    """Ctrl-C, in the middle of a disk's operation that the main thread does by itself."""


class PowerCutError(BaseException):
    """The machine is gone in the middle of a disk's operation; no code of the program may handle this."""


class KilledError(BaseException):
    """A process is gone in the middle of something; no code of the program may handle this.

    Attributes:
        process: which.
        is_late: whether it was gone before, and this is what its code tried on its way out of the simulation.
    """

    def __init__(self, process: object, step: str, *, is_late: bool = False) -> None:
        super().__init__(step)
        self.process = process
        self.is_late = is_late


class SimulatedFile:
    """A file's visible bytes, and which of them are not durable.

    Attributes:
        data: what a reader sees.
        dirty: ranges that the next sync makes durable.
        failed: ranges that a failed sync has given up.
        named: whether the file's name is durable.
        gone: whether no name leads to it any more.
        modified_ns: when it was last written.
    """

    __slots__ = ("data", "dirty", "failed", "gone", "modified_ns", "named", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.data = bytearray()
        self.dirty: list[tuple[int, int]] = []
        self.failed: list[tuple[int, int]] = []
        self.named = False
        self.gone = False
        self.modified_ns = 0


class WrittenFrame(NamedTuple):
    """A frame that somebody wanted to append: its bytes, and where they would be."""

    file: SimulatedFile
    offset: int
    data: bytes
    head: int  # bytes of header and meta
    seq: int
    rows: int

    @property
    def intact(self) -> bool:
        """Whether all of it is there."""
        return self.file.data.startswith(self.data, self.offset)

    @property
    def head_intact(self) -> bool:
        """Whether header and meta are there, and the file is long enough for the data."""
        whole = len(self.file.data) >= self.offset + len(self.data)
        return whole and self.file.data.startswith(self.data[: self.head], self.offset)


class SimulatedDisk:
    """See the module; implements `ml_dash.journal.disk.Disk`.

    Args:
        rng: decides what goes wrong.
        clock: moved on by slow operations.
        on_wait: called with the operation's name in the middle of every write and sync: what others do meanwhile.

    Attributes:
        weather: what goes wrong at present.
        cut_after: operations until the power is cut; None for never.
        harmed: writers of whose bytes the disk lost some.
        seen: how often each thing happened.
        errors: how many operations were refused.
        interruptible: whether the main thread is at work.
        largest_frame: bytes of the largest frame that was to be written.
        changed: whether bytes have changed under a reader's eyes, with no power cut.
        on_operation: called with the name of every operation that changes something, before it.
        in_child: whether what happens now happens in a forked child, whose descriptors are its own.
        opened: files that are open.
        rotten: writers of whose durable bytes some have changed.
    """

    def __init__(
        self, rng: random.Random, clock: SimulatedClock, on_wait: Callable[[str], None] = lambda _: None
    ) -> None:
        self.weather = Weather()
        self.cut_after: int | None = None
        self.files: dict[str, SimulatedFile] = {}
        self.harmed: set[str] = set()
        self.seen: Counter[str] = Counter()
        self.errors = 0
        self.largest_frame = 0
        self.changed = False
        self.rotten: set[str] = set()
        self.interruptible = False
        self.bytes_written = 0
        self.bytes_read = 0
        self.in_child = False
        self.on_operation: Callable[[str], None] = lambda _: None
        self.opened: dict[_Handle, None] = {}
        self._frames: dict[str, list[WrittenFrame]] = {}
        self._rng = rng
        self._clock = clock
        self._on_wait = on_wait
        self._removed: list[SimulatedFile] = []

    # --- what the journal asks

    def create(self, path: str) -> _Handle:
        """See `Disk.create`. One that fails may have made the name."""
        if path in self.files:
            raise FileExistsError(errno.EEXIST, "File exists", path)
        file = SimulatedFile(path)
        try:
            self._operate("create")
            if self.weather.free == 0 and self._rng.random() < 0.5:
                raise self._error("create", errno.ENOSPC)
            if self._fails(self.weather.create):
                raise self._error("create", errno.EACCES)
        except BaseException:
            if self._rng.random() < 0.3:
                self.files[path] = file
            raise
        self.files[path] = file
        return _Handle(self, file)

    def size(self, path: str) -> int:
        """See `Disk.size`."""
        if self._fails(self.weather.size):
            raise self._error("size", errno.EIO)
        return len(self._file(path).data)

    def modified_ns(self, path: str) -> int:
        """See `Disk.modified_ns`."""
        return self._file(path).modified_ns

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        """See `Disk.read_at`."""
        if self._fails(self.weather.read):
            raise self._error("read", self._rng.choice((errno.EIO, errno.EIO, errno.EMFILE)))
        data = bytes(self._file(path).data[offset : offset + length])
        self.bytes_read += len(data)
        return data

    def next_data(self, path: str, offset: int) -> int:
        """See `Disk.next_data`."""
        return offset

    def list(self, directory: str) -> list[str]:
        """See `Disk.list`."""
        return sorted(os.path.basename(path) for path in self.files if os.path.dirname(path) == directory)

    def keep(self, path: str, kept: str) -> None:
        """See `Disk.keep`."""
        if kept in self.files:
            raise FileExistsError(kept)
        copy = SimulatedFile(kept)
        copy.data += self._file(path).data
        copy.named = True
        self.files[kept] = copy

    def replace(self, path: str, data: bytes | Iterable[bytes], *, durable: bool = True) -> None:
        """See `Disk.replace`. Where it fails or the power is cut, the old or the new content is there.

        What need not be durable is lost with the power as other bytes are that were not synced.
        """
        data = data if isinstance(data, bytes) else b"".join(data)
        old = self.files.get(path)
        new = SimulatedFile(path)
        new.data += data
        new.named = durable
        if not durable:
            new.dirty.append((0, len(data)))
        try:
            self._operate("replace")
            if self._is_full(len(data)):
                raise self._error("replace", errno.ENOSPC)
            if self._fails(self.weather.replace):
                raise self._error("replace", errno.EIO)
        except BaseException as error:
            full = isinstance(error, OSError) and error.errno == errno.ENOSPC
            if not full and self._rng.random() < 0.5:
                self.files[path] = new
            elif self._rng.random() < 0.2:
                litter = SimulatedFile(f"{path}.{self._rng.randrange(1 << 32):08x}.tmp")
                litter.data += data[: self._rng.randrange(len(data) + 1)]
                self.files[litter.path] = litter
            raise
        if old:
            old.gone = True
        self.files[path] = new
        self.bytes_written += len(data)

    def remove(self, path: str) -> None:
        """See `Disk.remove`. Until something else is synced, a power cut may bring the file back."""
        self._operate("remove")
        if self._fails(self.weather.remove):
            raise self._error("remove", errno.EIO)
        file = self._file(path)
        del self.files[path]
        file.gone = True
        self._removed.append(file)

    def secure(self, path: str, root: str, *, rewrite: bool = False) -> None:
        """See `Disk.secure`."""
        assert path.startswith(root)
        file = self._file(path)
        if rewrite:
            file.dirty, file.failed = [(0, len(file.data))], []
        self.sync(file)

    # --- what the open files ask

    def write(self, file: SimulatedFile, data: bytes) -> None:
        """Append. One that fails may have appended anything from nothing to all of it."""
        start = len(file.data)
        self._remember_frame(file, start, data)
        try:
            self._operate("write")
            self._wait("write")
            if self._is_full(len(data)):
                data = data[: self.weather.free]
                self.weather.free = 0
                raise self._error("write", errno.ENOSPC)
            if self._fails(self.weather.write):
                data = data[: self._some_of(len(data))]
                raise self._error("write", errno.EIO)
            if self.weather.free is not None:
                self.weather.free -= len(data)
        except (PowerCutError, InterruptError, KilledError) as error:
            is_late = isinstance(error, KilledError) and error.is_late
            data = b"" if is_late else data[: self._some_of(len(data))]
            raise
        finally:
            if data:
                file.data += data
                file.modified_ns = int(self._clock.monotonic() * 1e9) + BIRTH_NS
                file.dirty.append((start, start + len(data)))
                self.bytes_written += len(data)

    def sync(self, file: SimulatedFile) -> None:
        """Make durable what is written now. What is written while the sync goes on may not be."""
        dirty, file.dirty = file.dirty, []
        try:
            self._operate("sync")
            self._wait("sync")
            if self._fails(self.weather.sync):
                raise self._error("sync", errno.EIO)
        except OSError:
            file.failed += [span for span in dirty if self._rng.random() < 0.8]
            file.named = file.named or self._rng.random() < 0.5
            raise
        except (PowerCutError, InterruptError, KilledError):
            file.dirty = [span for span in dirty if self._rng.random() < 0.5] + file.dirty
            raise
        file.named = True
        self.seen["synced"] += 1

    def close(self) -> None:
        """Close a file. One that fails has closed it all the same."""
        if self._fails(self.weather.close):
            raise self._error("close", errno.EIO)

    # --- what the world does to it

    def cut_power(self) -> None:
        """Lose what is not durable, or some of it, and come back with all that is left durable."""
        for file in self._removed:
            if self._rng.random() < 0.5 and file.path not in self.files:
                file.gone = False
                self.files[file.path] = file
        self._removed = []
        for path, file in list(self.files.items()):
            if not file.named and self._rng.random() < 0.5:
                del self.files[path]
                file.gone = True
                self._harm(file)
            else:
                self._lose(file)
            file.named = True
        self.cut_after = None
        self.changed = False
        self.seen["power cuts"] += 1

    def evict(self) -> None:
        """Let the cache forget the pages that a failed sync has given up: now readers see zeros there."""
        for file in self.files.values():
            for start, stop in file.failed:
                file.data[start:stop] = bytes(stop - start)
                self._harm(file)
                self.changed = True
                self.seen["evicted"] += 1
            file.failed = []

    def rot(self) -> None:
        """Flip a bit of a segment, be it durable or not."""
        files = [file for path, file in self.files.items() if path.endswith(".mldj") and file.data]
        if files:
            file = self._rng.choice(files)
            file.data[self._rng.randrange(len(file.data))] ^= 1 << self._rng.randrange(8)
            self._harm(file)
            self.rotten.add(writer_of(file.path))
            self.changed = True
            self.seen["bits flipped"] += 1

    def clear_up(self) -> None:
        """Work from now on."""
        self.weather = Weather()

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Let other threads go on: Ctrl-C only ever comes to the main thread."""
        interruptible, self.interruptible = self.interruptible, False
        try:
            yield
        finally:
            self.interruptible = interruptible

    @contextmanager
    def calm(self) -> Iterator[None]:
        """Let nothing happen while a checker reads."""
        weather, self.weather = self.weather, Weather()
        cut_after, self.cut_after = self.cut_after, None
        try:
            yield
        finally:
            self.weather, self.cut_after = weather, cut_after

    # --- what the checker asks

    def frames_of(self, writer: str) -> Iterator[WrittenFrame]:
        """Yield the frames that a writer wanted to write, in the order of its tries."""
        return (frame for frame in self._frames.get(writer, ()) if not frame.file.gone)

    def copies_of(self, writer: str) -> int:
        """Count the frames that a writer wanted to write again."""
        frames = self._frames.get(writer, ())
        return len(frames) - len({frame.seq for frame in frames})

    # --- inside

    def _file(self, path: str) -> SimulatedFile:
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return self.files[path]

    def _operate(self, name: str) -> None:
        self.seen[name] += 1
        self.on_operation(name)
        if self.interruptible and self._fails(self.weather.interrupt):
            self.seen["interrupts"] += 1
            raise InterruptError(name)
        if self.cut_after is not None:
            self.cut_after -= 1
            if self.cut_after < 0:
                self.cut_after = None
                self.seen[f"power cut in {name}"] += 1
                raise PowerCutError(name)

    def _wait(self, name: str) -> None:
        if self.weather.seconds:
            self._clock.advance(self.weather.seconds * self._rng.random())
        self._on_wait(name)

    def _fails(self, probability: float) -> bool:
        return probability > 0 and self._rng.random() < probability

    def _is_full(self, size: int) -> bool:
        return self.weather.free is not None and size > self.weather.free

    def _error(self, name: str, number: int) -> OSError:
        self.errors += 1
        self.seen[f"{name} {errno.errorcode[number]}"] += 1
        return OSError(number, os.strerror(number))

    def _some_of(self, size: int) -> int:
        """Choose how many bytes arrive of a write that goes wrong: now and then none, or all."""
        return self._rng.choice((0, size, self._rng.randrange(size + 1), self._rng.randrange(size + 1)))

    def _harm(self, file: SimulatedFile) -> None:
        self.harmed.add(writer_of(file.path))

    def _lose(self, file: SimulatedFile) -> None:
        """Let the ranges that are not durable meet their fates."""
        spans = sorted([*file.dirty, *file.failed])
        file.dirty, file.failed = [], []
        if not spans:
            return
        before = bytes(file.data)
        fate = self._rng.choice(FATES)
        for start, stop in fate(self._rng, spans):
            file.data[start:stop] = bytes(stop - start)
        # What is lost at the end leaves zeros where the new length was recorded first, else a shorter file.
        if self._rng.random() < 0.7:
            end = len(file.data)
            for start, stop in reversed(spans):
                end = start if stop == end else end
            del file.data[max(end, len(file.data.rstrip(b"\0"))) :]
        if file.data != before:
            self._harm(file)
            self.seen["files that lost bytes"] += 1

    def _remember_frame(self, file: SimulatedFile, offset: int, data: bytes) -> None:
        frame = data
        if data[:4] == b"MLDJ":
            length = int.from_bytes(data[6:8], "little")
            offset, frame = offset + length, data[length:]
        if frame[:4] != b"\xf1mD\x9a" or not file.path.endswith(".mldj"):
            return
        _, meta_len, _, seq = _FRAME_HEAD.unpack_from(frame)
        head = _FRAME_HEAD_BYTES + meta_len
        meta = frame[_FRAME_HEAD_BYTES:head]
        rows = sum(block[2] for block in msgpack.unpackb(meta, unicode_errors="surrogatepass"))
        self.largest_frame = max(self.largest_frame, len(frame))
        written = WrittenFrame(file, offset, frame, head, seq, rows)
        self._frames.setdefault(writer_of(file.path), []).append(written)


def writer_of(path: str) -> str:
    """Return the writer's id that a segment's path holds."""
    return os.path.basename(path).rpartition("-")[0]


class _Handle:
    """An open file."""

    __slots__ = ("_closed", "_disk", "_file")

    def __init__(self, disk: SimulatedDisk, file: SimulatedFile) -> None:
        self._disk = disk
        self._file = file
        self._closed = False
        disk.opened[self] = None

    @property
    def writer(self) -> str:
        return writer_of(self._file.path)

    def write(self, data: bytes) -> None:
        assert not self._closed, f"{self._file.path} was written to after its close"
        self._disk.write(self._file, data)

    def sync(self) -> None:
        assert not self._closed, f"{self._file.path} was synced after its close"
        self._disk.sync(self._file)

    def close(self) -> None:
        if self._disk.in_child:
            return
        self._closed = True
        self._disk.opened.pop(self, None)
        self._disk.close()
