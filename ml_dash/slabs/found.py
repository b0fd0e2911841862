"""A slab as somebody else finds it: a reader beside its process, or whoever comes after its death.

Whether its process lives is told by the lock that it holds on the file. No process number is asked, which may be
another's by now, or mean another one in this container.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

import msgpack

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.records import NamedTuple
from ml_dash.series import Kind, Series
from ml_dash.slabs.bell import SUFFIX as BELL, is_deserted
from ml_dash.slabs.cutting import cut
from ml_dash.slabs.layout import (
    DEAD_AT,
    HEAD_BYTES,
    MARK,
    NEW,
    OPEN,
    REGION,
    REGIONS_AT,
    SERIES_BYTES,
    SUFFIX,
    WORD,
    WRITTEN_AT,
    Head,
    Names,
    Taken,
    decode_head,
    decode_names,
    decode_taken,
    encode_taken,
    is_of_another_version,
    taken_at,
)
from ml_dash.slabs.place import beside_standard_streams, check_place, known_places

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # Windows, where no slab is made
    fcntl = None  # type: ignore[assignment]

_SERIES_MAX, _SERIES_COUNT = 1 << 30, 1 << 22
"""No slab of ours has more bytes, or series."""
_STEP_NS = 100_000_000
"""Nanoseconds: many times the step of the kernel's clock for files."""
_LISTED: dict[str, tuple[int, list[str]]] = {}
_MAKING = 60.0
"""Seconds that the making of a slab or a bell takes at most: before it is locked, or open, it looks deserted."""


class _Stretch(NamedTuple):
    """What a region holds from `begin` on; nothing more comes where `is_ended`, else zeros follow what is written."""

    generation: int
    begin: int
    data: bytes
    is_ended: bool


class Waiting(NamedTuple):
    """Events that no frame has, in order.

    Attributes:
        events: packed, each with what is to be noted with the frame whose last event it is.
        frame: the number that the next frame has.
        start: from where on they lie.
    """

    events: list[tuple[bytes, Taken]]
    frame: int
    start: Taken


class OtherVersionError(ValueError):
    """A slab is one of another version of the package, which alone knows what is in it."""


class FoundSlab:
    """A slab file that is open for reading; see `find_slabs`."""

    def __init__(self, path: str, *, is_mine: bool = False) -> None:
        """Open it.

        Args:
            path: of the file.
            is_mine: whether it is to be taken over: that is for one process only, after the death of its owner.

        Raises:
            BlockingIOError: it is to be taken over, and its process lives, or somebody else takes it over.
            OSError: it cannot be opened, or is none of ours.
            OtherVersionError: it is a slab of another version.
            ValueError: it is no slab.
        """
        self.path = path
        self.damaged = 0  # events that `waiting` has found to be there, and could not read
        flags = os.O_RDWR if is_mine else os.O_RDONLY
        with beside_standard_streams():
            self._fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            status = os.fstat(self._fd)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                raise OSError(f"{path} is not a file of this user's own")
            if is_mine:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not os.path.samestat(status, os.stat(path)):
                    raise FileNotFoundError(f"{path} has been taken over meanwhile")
            top = self._read(0, HEAD_BYTES)
            if is_of_another_version(top):
                raise OtherVersionError(f"{path} is of another version of ml-dash")
            head = decode_head(top)
            names = None if head is None else decode_names(top)
            if head is None or names is None or status.st_size < head.series_at:
                raise ValueError(f"{path} is damaged")
            self.head: Head = head
            self.names: Names = names
        except BaseException:
            self.close()
            raise

    @property
    def bell(self) -> str:
        """What its process hears."""
        return self.names.bell

    @property
    def writer_id(self) -> str:
        """Whose the events are."""
        return self.names.writer_id

    @property
    def directory(self) -> str:
        """Where the experiment was when the slab was made."""
        return os.fsdecode(self.names.directory)

    def close(self) -> None:
        """Let go of it."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _read(self, offset: int, size: int) -> bytes:
        return os.pread(self._fd, size, offset)

    @property
    def is_locked(self) -> bool:
        """Whether its process lives, or somebody is taking it over."""
        return _is_locked(self._fd)

    @property
    def written(self) -> int:
        """The number of the last frame that readers find, as far as its process has noted it."""
        return _word_at(self._fd, WRITTEN_AT)

    @property
    def is_of_the_dead(self) -> bool:
        """Whether somebody has found its process dead: who has its lock now is taking it over."""
        return _word_at(self._fd, DEAD_AT) != 0

    def find_dead(self) -> bool:
        """Write down that its process is dead, for who finds it locked; False where that is known. It must be ours."""
        if self.is_of_the_dead:
            return False
        os.pwrite(self._fd, WORD.pack(SYSTEM_CLOCK.time_ns()), DEAD_AT)
        return True

    def series(self) -> list[Series | None]:
        """Return the series by their numbers."""
        found: dict[int, Series] = {}
        at = self.head.series_at
        while at < _SERIES_MAX and (area := self._read(at, SERIES_BYTES)):
            at += SERIES_BYTES
            unpacker = msgpack.Unpacker(unicode_errors="surrogatepass", max_buffer_size=SERIES_BYTES)
            unpacker.feed(area)
            with contextlib.suppress(
                Exception
            ):  # the last one may be half written, and was used by nothing then
                for entry in unpacker:
                    if not entry:  # zeros: nothing follows here
                        break
                    number, kind, name = entry
                    # Zeros in a torn one are the number 0, which is another's, and a name that is none.
                    if name is None or isinstance(name, str):
                        found.setdefault(number, Series(Kind(kind), name))
        return [found.get(number) for number in range(min(max(found, default=-1) + 1, _SERIES_COUNT))]

    def waiting(self, last_frame: int) -> Waiting | None:
        """Return the events that are in none of the journal's frames, of which the last one has this number.

        None where the slab knows nothing of such a frame. It must be the caller's: nobody else changes it meanwhile.
        """
        top = self._read(0, HEAD_BYTES)
        start = _start(decode_taken(top), last_frame)
        if start is None:
            return None
        return Waiting(list(self._events(top, start)), max(last_frame, start.frame) + 1, start)

    def _stretches(self, top: bytes, start: Taken) -> Iterator[_Stretch]:
        """Yield what the regions hold from a place on."""
        for generation, end, number in sorted(_regions(top, self.head)):
            if generation >= start.generation:
                begin = start.offset if generation == start.generation else 0
                # All of it where nothing ends it yet, for a search of its end would be no quicker.
                stop = min(end, self.head.region_bytes)
                data = self._read(self.head.region_at(number) + begin, max(stop - begin, 0))
                yield _Stretch(generation, begin, data, is_ended=end != OPEN)

    def _events(self, top: bytes, start: Taken) -> Iterator[tuple[bytes, Taken]]:
        skip = start.skip
        for stretch in self._stretches(top, start):
            first = Taken(0, stretch.generation, stretch.begin)
            events, end = cut(stretch.data, is_ended=stretch.is_ended)
            # Half an event at the end was being copied when the process died: behind it there is no mark.
            self.damaged += stretch.data.count(MARK, end)
            for place, event in enumerate(events, 1):
                if skip:
                    skip -= 1
                else:
                    # Counted from the region's begin, for threads may have put their marks anywhere.
                    yield event, first._replace(skip=place)

    def rows_wait(self) -> Taken | None:
        """Return up to where events are waiting that no frame has which readers find; None where none are."""
        top = self._read(0, HEAD_BYTES)
        taken = decode_taken(top)
        if not taken:
            return None
        goal = Taken(0, taken[-1].generation, taken[-1].offset)
        for stretch in self._stretches(top, taken[-1]):
            data = stretch.data if stretch.is_ended else stretch.data.rstrip(bytes(1))
            goal = Taken(0, stretch.generation, stretch.begin + len(data))
        return None if self.has_written(goal) else goal

    def has_written(self, goal: Taken) -> bool:
        """Whether readers find all up to this place in the journal."""
        top = self._read(0, HEAD_BYTES)
        (written,) = WORD.unpack_from(top, WRITTEN_AT)
        return any(
            entry.frame <= written and entry[1:3] >= goal[1:3] and not entry.skip
            for entry in decode_taken(top)
        )

    def note(self, taken: Taken) -> None:
        """Write down what the frame that is written next takes along."""
        os.pwrite(self._fd, encode_taken(taken), taken_at(taken.frame))

    def remove(self) -> None:
        """Remove the file: all is in the journal; and the bell, which nobody hears any more."""
        os.unlink(self.path)
        _remove_deserted(self.bell)


def _word_at(fd: int, place: int) -> int:
    data = os.pread(fd, WORD.size, place)
    return int(WORD.unpack(data)[0]) if len(data) == WORD.size else 0


def _start(taken: list[Taken], last_frame: int) -> Taken | None:
    """Return from where on events are missing; None where a frame is there that the slab knows nothing of."""
    if not taken or last_frame > taken[-1].frame:
        return None
    exact = [entry for entry in taken if entry.frame == last_frame]
    # Else a frame is missing that was written, or would have been: behind it something may have waited.
    return exact[0] if exact else taken[0]


def _regions(top: bytes, head: Head) -> Iterator[tuple[int, int, int]]:
    """Yield generation, end and number of the regions that hold something."""
    for number in range(head.regions):
        generation, end = REGION.unpack_from(top, REGIONS_AT + number * REGION.size)
        if generation:
            yield generation, end, number


def find_slabs(ending: str = SUFFIX) -> Iterator[str]:
    """Yield the paths of all slabs that this user has on this machine, whether their processes live or not."""
    for place in known_places():
        try:
            names = _names_in(place)
        except OSError:
            continue
        yield from (os.path.join(place, name) for name in names if name.endswith(ending))


def _names_in(place: str) -> list[str]:
    """Return what a directory holds: as it was found last time, where nothing has come or gone since."""
    changed = check_place(place).st_mtime_ns
    known = _LISTED.get(place)
    if known is not None and known[0] == changed:
        return known[1]
    names = sorted(os.listdir(place))
    # One that has just been changed may change again and have the same time: that has steps.
    if SYSTEM_CLOCK.time_ns() - changed > _STEP_NS:
        _LISTED[place] = changed, names
    return names


def is_locked(path: str) -> bool:
    """Whether the process of a slab, whichever its version, lives, or somebody is taking it over."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return True
    try:
        return _is_locked(fd)
    finally:
        os.close(fd)


def _is_locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    fcntl.flock(fd, fcntl.LOCK_UN)
    return False


def discard(path: str) -> None:
    """Remove a slab, unless its process lives."""
    with contextlib.suppress(OSError):
        with beside_standard_streams():
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
        finally:
            os.close(fd)


def discard_unborn() -> None:
    """Remove what processes have left that died while they made a slab, and the bells that nobody hears."""
    for path in find_slabs(NEW):
        if age(path) > _MAKING:
            discard(path)
    for path in find_slabs(BELL):
        if age(path) > _MAKING:
            _remove_deserted(path)


def _remove_deserted(bell: str) -> None:
    if bell.endswith(BELL) and is_deserted(bell):
        with contextlib.suppress(OSError):
            os.unlink(bell)


def age(path: str) -> float:
    """Return for how many seconds a file has not been written; 0 where that cannot be told."""
    try:
        return SYSTEM_CLOCK.time_ns() / 1e9 - os.lstat(path).st_mtime
    except OSError:
        return 0.0
