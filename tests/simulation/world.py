"""A world in which everything goes wrong, and always in the same way: one seed is one story.

A seed decides everything: what several processes log to one experiment, when their workers come round, how the disk
fails and recovers, when a process forks or is killed, and when the power is cut, even in the middle of a write. In
the middle of an fsync the other threads go on. Processes are simulated by `Process`, the machine by
`SimulatedDisk` and `SimulatedClock`; everything in between is the real code: queue, batcher, journal, readers.

What is checked, and when:

- after every step the law of the counters, and that memory is bounded (`Process.check_law`);
- after every power cut, now and then in between, and at the end: what a reader finds (`checker`). Each row is one
  that was logged, exact, once, in order; whatever was acknowledged is there; every frame that is whole on the disk
  is read, and every other one is reported; of parameters the later process's win, though clocks are set back;
- at the end, on a disk that works again, that a flush leaves nothing pending.

To tell a story again, with all its steps: ``SIMULATION_SEED=123 pytest tests/simulation``, or as
its failure says, which names the world as well.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ml_dash.journal.disk import is_shortage
from ml_dash.journal.frame import SEGMENT_SUFFIX
from ml_dash.journal.index import JournalIndex
from ml_dash.journal.latest import latest_ns
from ml_dash.pipeline import channel as channel_module, mover as mover_module, queue as queue_module
from ml_dash.settings import Settings
from tests.simulation.checker import (
    JOURNAL,
    Found,
    Life,
    Logged,
    check_complete,
    check_params,
    check_reader,
    check_repair,
    check_view,
)
from tests.simulation.process import Process
from tests.support.rows import Row
from tests.support.simulated_clock import SimulatedClock
from tests.support.simulated_disk import InterruptError, PowerCutError, SimulatedDisk, writer_of
from tests.support.weather import WEATHERS

__all__ = ["ACTIONS", "World", "WorldError"]

_MOST_PROCESSES = 3


class WorldError(AssertionError):
    """A promise was broken, in the story of this seed."""


class World:
    """One story.

    Args:
        seed: which.
        aloud: whether to print every step.
        tables: whether processes log many rows in a call, too.

    Attributes:
        steps: what happened, for people.
    """

    told_by = "whatever_the_disk_does"
    """The test that tells such stories, by words of its name that no other one has."""

    def __init__(self, seed: int, *, aloud: bool = False, tables: bool = False) -> None:
        self.seed = seed
        self.steps: list[str] = []
        self._aloud = aloud
        self._rng = rng = random.Random(seed)
        # Of its own: a story without tables is to stay as it is.
        self._tables = random.Random(seed) if tables else None
        if tables and type(self) is World:
            self.told_by = "come_in_tables"
        self._clock = SimulatedClock()
        self._disk = SimulatedDisk(rng, self._clock, self._meanwhile)
        self._settings = Settings(
            queue_events=rng.choice((5, 20, 50)),
            queue_bytes=rng.choice((9_000, 20_000)),
            overflow=rng.choice(("block", "block", "drop")),
            segment_bytes=rng.choice((1, 600, 3_000, 1 << 20)),
            sync_interval=rng.choice((0.0, 0.3, 1.0)),
        )
        self._slice = rng.choice((3, 20, 8192))
        self._serial = 0
        self._logged: dict[int, Logged] = {}
        self._processes: list[Process] = []
        self._lives: dict[str, Life] = {}
        self._between = False
        self._actions: tuple[Callable[[Any], None], ...] = ACTIONS
        self._reader = JournalIndex(JOURNAL, disk=self._disk)

    @property
    def seen(self) -> Counter[str]:
        """How often each thing happened."""
        return self._disk.seen

    @property
    def rows(self) -> int:
        """How many rows were logged."""
        return len(self._logged)

    def story(self) -> str:
        """Return what tells this story from all others."""
        told = [*self.steps, *(f"{path} {bytes(file.data)!r}" for path, file in self._disk.files.items())]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    def run(self) -> None:
        """Tell the story.

        Raises:
            WorldError: A promise was broken.
        """
        try:
            with _limits(self._slice):
                self._live()
                self._end()
        except Exception as error:
            raise WorldError(self._report(error)) from error

    # --- the story

    def _live(self) -> None:
        self._start()
        for _ in range(self._rng.randrange(5, 40)):
            action = self._rng.choice(self._actions)
            try:
                self._step(action)
            except InterruptError as interrupt:
                self._tell(f"Ctrl-C in {interrupt}")
            except PowerCutError as cut:
                self._tell(f"the power is cut in {cut}")
                self._power_cut()

    def _step(self, action: Callable[[World], None]) -> None:
        self._disk.interruptible = action in _MAIN_THREAD
        try:
            action(self)
        finally:
            self._disk.interruptible = False
        for process in self._alive:
            process.check_law()

    def _end(self) -> None:
        """Let the disk work again, finish, and check everything."""
        self._tell("the end")
        self._between = True  # nobody logs any more
        self._disk.cut_after = None
        self._disk.clear_up()
        self._clock.advance(2.0)
        for process in self._processes:
            self.seen["frames written again"] += self._disk.copies_of(process.writer_id)
        for process in self._alive:
            process.flush()
            # What gives the contents of the two side files may fail twice each, and is asked again after a second.
            for _ in range(4):
                self._clock.advance(1.1)
                process.flush()
            process.check_law()
            process.check_recovered()
            process.close()
            process.check_law()
            process.check_closed()
        self._disk.cut_power()
        found = self._check_disk(view=self._rng.random() < 0.1)
        if self._rng.random() < 0.1:
            self._tell("repair")
            check_repair(self._disk, found, self._logged)

    @property
    def _alive(self) -> list[Process]:
        return [process for process in self._processes if process.alive]

    def _someone(self) -> Process:
        return self._rng.choice(self._alive)

    def _start(self) -> None:
        latest = self._latest_ns()
        writer_id = self._writer_id(max(self._clock.time_ns(), latest + 1))
        self._tell(f"{writer_id} starts")
        process = self._new_process(writer_id)
        # A reader puts the rows of writers in the order of their names.
        written = (writer_of(path) for path in self._disk.files if path.endswith(SEGMENT_SUFFIX))
        self._born(process, latest, behind=max(written, default=""), attempt=len(self._logged))
        process.put_control()

    def _latest_ns(self) -> int:
        with self._disk.calm():
            return latest_ns(JOURNAL, self._disk)

    def _new_process(self, writer_id: str) -> Process:
        return Process(writer_id, *self._what_processes_share, tables=self._tables)

    @property
    def _what_processes_share(self) -> tuple[Any, ...]:
        shared = self._rng, self._clock, self._disk, self._settings
        return *shared, self._next_serial, self._remember

    def _power_cut(self) -> None:
        for process in self._alive:
            self._die(process)
        self._between = False
        if self._rng.random() < 0.3:
            self._set_clock()
        self._disk.cut_power()
        self._reader = JournalIndex(JOURNAL, disk=self._disk)
        self._check_disk(view=self._rng.random() < 0.05)
        if self._rng.random() < 0.7:
            self._disk.clear_up()
        self._start()

    # --- steps

    def _put(self) -> None:
        process = self._someone()
        count = self._rng.choice((1, 1, 3, 3, 10, 40))
        self._tell(f"{process.writer_id} logs {count}")
        for _ in range(count):
            process.put()

    def _control(self) -> None:
        process = self._someone()
        self._tell(f"{process.writer_id} leaves a sign of life")
        process.put_control()

    def _snapshot(self) -> None:
        process = self._someone()
        self._tell(f"{process.writer_id} posts a side file")
        process.post_snapshot()

    def _pump(self) -> None:
        process = self._someone()
        self._tell(f"{process.writer_id} pumps")
        process.pump()

    def _sync(self) -> None:
        process = self._someone()
        self._tell(f"{process.writer_id} syncs")
        process.sync()

    def _settle(self) -> None:
        """A process reads what it has written."""
        process = self._someone()
        self._tell(f"{process.writer_id} settles")
        rows = list(process.rows)
        process.settle()
        # What a write may or may not have left is written again by the next sync, for a reader to find.
        in_doubt = process.channel.writer._homeless or self._disk.changed
        if not process.channel.failing and not in_doubt:
            found = self._check_disk(view=False)
            unread = [row for row in rows if row.time not in found]
            assert not unread, f"{len(unread)} rows cannot be read after settle, the first: {unread[0]}"

    def _flush(self) -> None:
        process = self._someone()
        self._tell(f"{process.writer_id} flushes")
        process.flush()

    def _close(self) -> None:
        process = self._someone()
        self._tell(f"{process.writer_id} closes")
        process.close()

    def _round(self) -> None:
        self._clock.advance(0.05)
        for process in self._alive:
            if process.alive:  # others go on meanwhile, and may die
                self._tell(f"{process.writer_id}: a round")
                process.round()

    def _rest(self) -> None:
        self._someone().rest()

    def _wait(self) -> None:
        seconds = self._rng.choice((0.01, 0.5, 1.1, 5.0))
        self._tell(f"{seconds} s pass")
        self._clock.advance(seconds)

    def _set_clock(self) -> None:
        """Somebody sets the machine's clock, or a run is resumed on another machine."""
        seconds = self._rng.uniform(-100.0, 50.0)
        self._tell(f"the clock is set by {seconds} s")
        for process in self._alive:
            self._set_apart(process, process.channel.times.next_ns())
        self._clock.shift(seconds)
        self.seen["clock set back" if seconds < 0 else "clock set ahead"] += 1

    def _change_weather(self) -> None:
        self._disk.weather = self._rng.choice(WEATHERS)(self._rng)
        self._tell(f"the disk: {self._disk.weather}")

    def _evict(self) -> None:
        self._tell("the cache is evicted")
        self._disk.evict()

    def _rot(self) -> None:
        self._tell("a bit flips")
        self._disk.rot()

    def _plan_power_cut(self) -> None:
        self._disk.cut_after = self._rng.choice((0, 1, 2, 5, 10, 20))
        self._tell(f"the power will be cut after {self._disk.cut_after} operations")

    def _cut_now(self) -> None:
        raise PowerCutError("peace")

    def _kill(self) -> None:
        """SIGKILL: the process's memory is gone, and the disk's cache is not."""
        process = self._someone()
        self._tell(f"{process.writer_id} is killed")
        self._die(process)
        self.seen["kills"] += 1
        if not self._alive:
            self._start()

    def _fork(self) -> None:
        if len(self._alive) < _MOST_PROCESSES:
            self._fork_from(self._someone())

    def _fork_from(self, parent: Process) -> None:
        latest = parent.channel.times.next_ns()
        child = parent.fork(self._writer_id(latest))
        self._tell(f"{parent.writer_id} forks {child.writer_id}")
        self.seen["forks"] += 1
        # A part of its parent's attempt: behind all that had ended when that began, and of those that have run
        # meanwhile neither is the later one, whatever their clocks say.
        self._born(child, latest, behind=parent.writer_id, attempt=self._lives[parent.writer_id].born)

    def _start_another(self) -> None:
        if len(self._alive) < _MOST_PROCESSES:
            self._start()

    def _look(self) -> None:
        """A reader that has been there all the time looks again, perhaps while the disk refuses to read."""
        self._tell("a reader looks")
        try:
            self._reader.refresh()
        except OSError as error:
            assert is_shortage(error), f"a reader gives up where it could leave something out: {error}"  # noqa: PT017
        if self._disk.changed:
            return
        with self._disk.calm():
            self._reader.refresh()
            check_reader(self._reader, self._disk, self._logged, self._writers)
            before = self._disk.bytes_read
            self._reader.refresh()
            # The end of a file that is no frame is looked at again: it may have become one.
            assert self._disk.bytes_read - before <= 2 * sum(self._reader.torn.values()), (
                "read what has not changed"
            )

    # --- what it takes

    def _meanwhile(self, operation: str) -> None:
        """Let others do something in the middle of a disk's operation."""
        if self._between or self._rng.random() < 0.6:
            return
        self._between = True
        self.seen["something happened meanwhile"] += 1
        process = self._someone()
        self._tell(f"  in the middle of a {operation}: {process.writer_id} goes on")
        with self._disk.uninterrupted():
            self._go_on_meanwhile(process, operation)
        self._between = False

    def _go_on_meanwhile(self, process: Process, operation: str) -> None:
        process.meanwhile(operation)

    def _remember(self, writer_id: str, row: Row) -> None:
        assert row.time not in self._logged
        self._logged[row.time] = Logged(row, writer_id, len(self._logged))

    def _check_disk(self, *, view: bool) -> Found:
        with self._disk.calm():
            index = JournalIndex(JOURNAL, disk=self._disk)
            index.refresh()
            found = check_reader(index, self._disk, self._logged, self._writers)
            sound = [process for process in self._processes if process.writer_id not in self._disk.rotten]
            check_complete(found, sound)
            check_params(index, self._logged, self._lives)
            if view:
                check_view(self._disk, found, self._logged, self._clock.time_ns())
        return found

    @property
    def _writers(self) -> Iterator[str]:
        return (process.writer_id for process in self._processes)

    def _writer_id(self, born_ns: int) -> str:
        return f"{born_ns:016x}-1-{self._rng.randrange(1 << 32):08x}"

    def _born(self, process: Process, latest_ns: int, *, behind: str, attempt: int) -> None:
        self._set_apart(process, latest_ns)
        assert process.writer_id > behind, (
            f"{process.writer_id} comes before {behind}, which was there before it"
        )
        self._processes.append(process)
        self._lives[process.writer_id] = Life(attempt)

    def _set_apart(self, process: Process, latest_ns: int) -> None:
        # A time is the name of a row here: processes that wait for the clock must not give the same ones meanwhile.
        process.channel.times.next_ns(latest_ns + self._rng.randrange(1_000, 1_000_000))

    def _die(self, process: Process) -> None:
        process.alive = False
        self._lives[process.writer_id] = self._lives[process.writer_id]._replace(died=len(self._logged))

    def _next_serial(self) -> int:
        self._serial += 1
        return self._serial

    def _tell(self, step: str) -> None:
        self.steps.append(step)
        if self._aloud:
            print(f"{self._clock.monotonic():12.6f}  {step}")

    def _report(self, error: Exception) -> str:
        steps = "\n".join(f"  {step}" for step in self.steps[-40:])
        return (
            f"seed {self.seed}: {error}\n{self._settings}\nslice {self._slice}; "
            f"the last of {len(self.steps)} steps:\n{steps}\n"
            f"To see it again: SIMULATION_SEED={self.seed} pytest tests/simulation -k {self.told_by}"
        )


@contextmanager
def _limits(slice_events: int) -> Iterator[None]:
    """Make the limits that are no settings so small that they matter, and waits that nobody ends short."""
    values = {
        (channel_module, "SLICE"): slice_events,
        (channel_module, "SLICE_BYTES"): 8_000,
        (mover_module, "SLICE"): slice_events,
        (mover_module, "SLICE_BYTES"): 8_000,
        (channel_module, "_UNSYNCED_BYTES"): 3_000,
        (queue_module, "_WAIT"): 0.0,
        (queue_module, "_SHORT_WAIT"): 0.0,
    }
    before = {(module, name): getattr(module, name) for module, name in values}
    try:
        for (module, name), value in values.items():
            setattr(module, name, value)
        yield
    finally:
        for (module, name), value in before.items():
            setattr(module, name, value)


ACTIONS: tuple[Callable[[World], None], ...] = (
    *[World._put] * 10,
    *[World._round] * 6,
    *[World._pump] * 4,
    *[World._sync] * 3,
    *[World._wait] * 3,
    *[World._change_weather] * 4,
    *[World._flush] * 2,
    *[World._snapshot, World._look] * 2,
    *[World._control, World._settle, World._close, World._rest, World._set_clock],
    *[World._plan_power_cut] * 2,
    *[World._cut_now, World._kill, World._fork, World._start_another, World._evict, World._rot],
)

_MAIN_THREAD = (World._pump, World._sync, World._settle, World._flush, World._close)
"""What the main thread does by itself when the interpreter exits, and Ctrl-C may interrupt."""
