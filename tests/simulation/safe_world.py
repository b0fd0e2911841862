"""A world whose processes have shared memory, which survives them: see `tests.simulation.world`.

What is checked besides: a process that dies, at any byte of a copy, and whoever comes after it leave everything in the
journal that a returned call has logged; each row once, and in order; and a second recovery adds nothing.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

from ml_dash.storage.recovery import Recovered, recover
from tests.simulation.checker import Found
from tests.simulation.process import DIRECTORY
from tests.simulation.safe_process import SafeProcess
from tests.simulation.shared_memory import SharedMemory
from tests.simulation.world import ACTIONS, World
from tests.support.simulated_disk import KilledError

if TYPE_CHECKING:
    from tests.simulation.process import Process

__all__ = ["SafeWorld"]


class _Recoverer:
    """Whoever comes after a death."""


class SafeWorld(World):
    """One story; `place` is a directory for slabs."""

    told_by = "wait_in_shared_memory"

    def __init__(self, seed: int, place: str, *, aloud: bool = False, tables: bool = False) -> None:
        super().__init__(seed, aloud=aloud, tables=tables)
        self._memory = SharedMemory(place, random.Random(seed), self.seen)
        self._disk.on_operation = self._memory.operate
        self._owed: dict[str, SafeProcess] = {}
        self._recovering: str | None = None
        self._actions = _ACTIONS

    def run(self) -> None:
        """Tell the story."""
        try:
            with self._memory.limits():
                super().run()
        finally:
            self._memory.close()

    def _new_process(self, writer_id: str) -> Process:
        return SafeProcess(self._memory, writer_id, *self._what_processes_share, tables=self._tables)

    def _latest_ns(self) -> int:
        # Who starts recovers what the dead have left, and so knows their times; here that may come later.
        left = (process.channel.times.next_ns() for process in self._owed.values())
        return max(super()._latest_ns(), *left, 0)

    # --- deaths

    def _step(self, action: object) -> None:
        try:
            super()._step(action)  # type: ignore[arg-type]
        except KilledError as killed:
            self._bury(killed)

    def _bury(self, killed: KilledError) -> None:
        self._memory.bury()
        self._between = False
        if isinstance(killed.process, SafeProcess):
            self._tell(f"{killed.process.writer_id} is killed in {killed}")
            self._die(killed.process)
            if not self._alive:
                self._start()
        else:
            self._tell(f"who recovers is killed in {killed}")
            self.seen["recoverers killed"] += 1

    def _die(self, process: Process) -> None:
        super()._die(process)
        assert isinstance(process, SafeProcess)
        self._memory.leave(process.writer_id)
        path = self._memory.path_of(process.writer_id)
        if path in self._memory.dead:
            self._owed[path] = process
        elif not self._between:
            self._check_promises(process, self._check_disk(view=False))

    def _power_cut(self) -> None:
        for process in self._alive:
            World._die(self, process)
        self._memory.reboot()
        self._owed.clear()
        super()._power_cut()

    def _end(self) -> None:
        self._memory.forgive()
        self._disk.cut_after = None
        self._disk.clear_up()
        for _ in range(len(self._memory.dead) * self._rng.choice((0, 0, 1, 3))):
            self._step(SafeWorld._recover)
        self._between = True
        for path in list(self._memory.dead):
            assert self._recover_from(path) is not None, "nobody can recover a slab on a disk that works"
        for process in self._alive:
            while process._stopped:  # type: ignore[attr-defined]
                process.go_on()  # type: ignore[attr-defined]
        super()._end()
        assert not self._memory.paths(), f"slabs are left: {self._memory.paths()}"

    # --- steps

    def _plan_death(self) -> None:
        process = self._someone()
        steps = self._rng.choice((0, 1, 2, 3, 5, 8, 13, 21, 40, 80))
        self._tell(f"{process.writer_id} will die after {steps} steps")
        self._memory.plan_death(process, steps)

    def _go_on(self) -> None:
        process = self._someone()
        self._tell(f"a thread of {process.writer_id} goes on")
        process.go_on()  # type: ignore[attr-defined]

    def _recover(self) -> None:
        if self._memory.dead:
            self._recover_from(self._rng.choice(self._memory.dead))

    def _recover_from(self, path: str) -> Recovered | None:
        self._tell(f"somebody recovers {os.path.basename(path)}")
        recoverer = _Recoverer()
        if not self._between and self._rng.random() < 0.6:
            self._memory.plan_death(recoverer, self._rng.randrange(6))
        self._recovering = path
        self._memory.removed = None
        self._memory.acting.append(recoverer)
        try:
            recovered = recover(path, DIRECTORY, self._disk, self._clock)
        finally:
            self._memory.acting.pop()
            self._recovering = None
        self._memory.forgive()
        if recovered is None:
            self.seen["recoveries put off"] += 1
            return None
        self.seen["recoveries"] += 1
        self.seen["rows recovered"] += recovered.rows
        self._tell(f"  {recovered.rows} rows")
        found = self._check_disk(view=False)
        self._check_promises(self._owed.pop(path), found)
        if self._rng.random() < 0.3:
            self._recover_again(path)
        return recovered

    def _recover_again(self, path: str) -> None:
        """Whoever has recovered it has died just before he would have removed it."""
        assert self._memory.removed is not None
        self._memory.put_back(path, self._memory.removed)
        with self._disk.calm():
            again = recover(path, DIRECTORY, self._disk, self._clock)
        assert again is not None
        assert not again.rows, f"{again.rows} rows were recovered twice"
        self.seen["recovered again"] += 1

    def _check_promises(self, process: SafeProcess, found: Found) -> None:
        if process.writer_id in self._disk.harmed:
            return
        lost = [row for row in process.promised if row.time not in found]
        assert not lost, (
            f"{len(lost)} of {len(process.promised)} rows of {process.writer_id} are lost whose calls had returned, "
            f"the first: {lost[0]}"
        )

    def _meanwhile(self, operation: str) -> None:
        if self._recovering is not None and self._rng.random() < 0.2:
            self.seen["recoverers that raced"] += 1
            assert recover(self._recovering, DIRECTORY, self._disk, self._clock) is None
        super()._meanwhile(operation)

    def _go_on_meanwhile(self, process: Process, operation: str) -> None:
        try:
            super()._go_on_meanwhile(process, operation)
        except KilledError as killed:
            if killed.process in self._memory.acting:
                raise
            self._bury(killed)
            self._between = True


_ACTIONS = (
    *ACTIONS,
    *[SafeWorld._plan_death] * 4,
    *[SafeWorld._go_on, SafeWorld._recover] * 3,
)
