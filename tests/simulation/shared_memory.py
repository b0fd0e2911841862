"""The simulated machine's shared memory: real slabs, small ones, whose processes may die in the middle of any copy.

A death takes the slab's bytes as they are, with the copy that was being made torn: any of its bytes may have arrived.
From then on nothing that the dead process's code still does, on its way out of the simulation, changes them.
"""

from __future__ import annotations

import errno
import mmap
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ml_dash.slabs import found as found_module, slab as slab_module
from ml_dash.slabs.found import FoundSlab
from ml_dash.slabs.layout import SUFFIX, Taken, encode_taken, taken_at
from ml_dash.slabs.slab import Slab
from ml_dash.storage import recovery as recovery_module
from tests.support.simulated_disk import KilledError

__all__ = ["SharedMemory"]

_WORD = 8


class SharedMemory:
    """The slabs of all processes of one story, and whose death is planned.

    Args:
        place: an empty directory for them.
        rng: decides where a copy is torn.
        seen: counts what happened.

    Attributes:
        acting: who does something, the innermost last: processes, or recoverers.
        dead: paths of the slabs whose processes have died, and which nobody has recovered.
        removed: what the slab held that was recovered last.
    """

    def __init__(self, place: str, rng: random.Random, seen: Counter[str]) -> None:
        self.acting: list[object] = []
        self.dead: list[str] = []
        self.removed: bytes | None = None
        self._place = place
        self._rng = rng
        self._seen = seen
        self._slabs: list[RecordedSlab] = []
        self._doomed: object = None
        self._steps_left = 0
        self._dying: object = None

    def make(self, writer_id: str, directory: str, frame: int) -> Slab | None:
        """Give a channel a slab; now and then there is no room for one."""
        if self._rng.random() < 0.05:
            return None
        slab = RecordedSlab(self, self._place, writer_id, directory, frame)
        self._slabs.append(slab)
        self._seen["slabs"] += 1
        return slab

    def note_use(self, *, again: bool) -> None:
        """Count a region that is filled, where it was before."""
        self._seen["regions used again"] += again

    def share(self, slab: Slab) -> Slab:
        """Return a slab as a forked child has it: the same memory, by descriptors of its own."""
        assert isinstance(slab, RecordedSlab)
        return slab.shared()

    def paths(self) -> list[str]:
        """Return all slabs that are there."""
        return sorted(os.path.join(self._place, name) for name in os.listdir(self._place))

    def path_of(self, writer_id: str) -> str:
        """Return where a writer's slab is, if it has one."""
        return os.path.join(self._place, writer_id + SUFFIX)

    # --- deaths

    def plan_death(self, who: object, steps: int) -> None:
        """Have a process die after so many steps: copies into its slab, and operations of the disk."""
        self._doomed, self._steps_left = who, steps

    def forgive(self) -> None:
        """Have nobody die any more."""
        self._doomed = self._dying = None

    def is_due(self) -> bool:
        """Count a step of whoever acts; whether it is his last one."""
        if self._doomed is None or not self.acting or self.acting[-1] is not self._doomed:
            return False
        self._steps_left -= 1
        return self._steps_left < 0

    def die(self, step: str) -> None:
        """End the process that acts, in the middle of this step."""
        self._seen[f"killed in {step}"] += 1
        self._dying, self._doomed = self._doomed, None
        self.leave(getattr(self._dying, "writer_id", ""))
        raise KilledError(self._dying, step)

    def operate(self, name: str) -> None:
        """Count an operation of the disk; raises where it is the last one of who acts, or comes after that."""
        if self._dying is not None and self._dying in self.acting:
            raise KilledError(self._dying, name, is_late=True)
        if self.is_due():
            self.die(name)

    def bury(self) -> None:
        """Note that what the dead one's code still did is over."""
        self._dying = None

    def leave(self, writer_id: str) -> None:
        """Let the slab of a process that has died stay as it is: its lock is gone, and its code cannot change it."""
        path = self.path_of(writer_id)
        if path in self.dead or not os.path.exists(path):
            return
        with open(path, "rb") as file:
            data = file.read()
        os.unlink(path)
        self.put_back(path, data)

    def put_back(self, path: str, data: bytes) -> None:
        """Have a slab there that no process has."""
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        self.dead.append(path)

    def reboot(self) -> None:
        """Lose everything."""
        for path in self.paths():
            os.unlink(path)
        self.dead.clear()
        self.forgive()

    def close(self) -> None:
        """Let go of the memory of all that have died, or not."""
        for slab in self._slabs:
            if slab._fd >= 0:
                slab.forsake()
        self.reboot()

    def torn(self, before: bytes, data: bytes, *, is_word: bool = False) -> bytes:
        """Return what is there of a copy in the middle of it: copies do not go from front to back."""
        if is_word:
            return self._rng.choice((before, data))
        cut = self._rng.randrange(len(data) + 1)
        return self._rng.choice(
            (
                lambda: before,
                lambda: data,
                lambda: data[:cut] + before[cut:],
                lambda: before[:cut] + data[cut:],
                lambda: bytes(self._rng.choice(pair) for pair in zip(before, data, strict=True)),
            )
        )()

    def fails(self, probability: float) -> bool:
        """Whether something goes wrong."""
        return self._rng.random() < probability

    @contextmanager
    def limits(self) -> Iterator[None]:
        """Have room for few series at a time, and recoverers who can die at each of their steps."""
        memory = self

        class Found(RecordedFoundSlab):
            shared_memory = memory

        values = {
            (slab_module, "SERIES_BYTES"): 4096,
            (found_module, "SERIES_BYTES"): 4096,
            (recovery_module, "FoundSlab"): Found,
            (recovery_module, "_SLICE"): self._rng.choice((2, 7, 8192)),
        }
        before = {(module, name): getattr(module, name) for module, name in values}
        try:
            for (module, name), value in values.items():
                setattr(module, name, value)
            yield
        finally:
            for (module, name), value in before.items():
                setattr(module, name, value)


class RecordedMapping:
    """A mapping in whose copies its process may die."""

    def __init__(self, mapping: mmap.mmap, memory: SharedMemory) -> None:
        self._mapping = mapping
        self._memory = memory

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mapping, name)

    def __len__(self) -> int:
        return len(self._mapping)

    def __getitem__(self, place: Any) -> Any:
        return self._mapping[place]

    def __setitem__(self, place: slice, data: bytes) -> None:
        if self._memory.is_due():
            before = self._mapping[place]
            # Eight bytes in their place are copied at once.
            is_word = len(data) == _WORD and place.start % _WORD == 0
            self._mapping[place] = self._memory.torn(before, data, is_word=is_word)
            self._memory.die("a note" if len(data) <= 64 else "the clearing of a region")
        self._mapping[place] = data

    def write(self, data: bytes) -> int:
        """Copy an event, a mark, or a series."""
        start = self._mapping.tell()
        stop = start + len(data)
        if stop <= len(self._mapping) and self._memory.is_due():
            self._mapping[start:stop] = self._memory.torn(self._mapping[start:stop], data)
            self._memory.die("a mark" if len(data) == 4 else "the copy of an event")
        return self._mapping.write(data)


class RecordedSlab(Slab):
    """A small slab, in whose copies its process may die, and for whose regions there may be no room."""

    def __init__(self, memory: SharedMemory, place: str, writer_id: str, directory: str, frame: int) -> None:
        self._memory = memory
        self._is_born = False
        super().__init__(place, writer_id, directory, frame, regions=3, region_bytes=4096)
        self._is_born = True

    def _map(self, offset: int, size: int) -> mmap.mmap:
        if self._is_born and self._memory.fails(0.1):
            raise OSError(errno.ENOSPC, "no room for another region")
        return RecordedMapping(super()._map(offset, size), self._memory)  # type: ignore[return-value]

    def advance(self) -> bool:
        """See `Slab.advance`."""
        has_advanced = super().advance()
        self._memory.note_use(again=has_advanced and self._filling > len(self._regions))
        return has_advanced

    def shared(self) -> RecordedSlab:
        """Return what a forked child has of it."""
        child = RecordedSlab.__new__(RecordedSlab)
        child.__dict__.update(self.__dict__)
        child._fd = os.dup(self._fd)
        child._top = Slab._map(self, 0, mmap.PAGESIZE)
        child._series = Slab._map(self, self._series_at, mmap.PAGESIZE)
        child._regions = [
            Slab._map(self, self._head.region_at(number), self._head.region_bytes)
            for number in range(len(self._regions))
        ]
        return child


class RecordedFoundSlab(FoundSlab):
    """A slab that somebody takes over who may die, too."""

    shared_memory: SharedMemory

    def note(self, taken: Taken) -> None:
        """Die before, in the middle, or after."""
        memory = self.shared_memory
        if memory.is_due():
            at, data = taken_at(taken.frame), encode_taken(taken)
            os.pwrite(self._fd, memory.torn(os.pread(self._fd, len(data), at), data), at)
            memory.die("a recoverer's note")
        super().note(taken)

    def remove(self) -> None:
        """Die before, or after."""
        memory = self.shared_memory
        if memory.is_due():
            memory.die("the removal of a slab")
        memory.removed = os.pread(self._fd, 1 << 20, 0)
        super().remove()
        memory.dead.remove(self.path)
