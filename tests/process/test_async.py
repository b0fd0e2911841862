"""Asynchronous code: `async with`, decorated coroutines, `aflush`; and the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
import pytest

from ml_dash import Experiment
from tests.support.processes import Journal

PREFIX = "alice/vision/async"
PROGRESS = 20
"""Turns of the event loop that must go by while the disk takes its time."""


Run: TypeAlias = Callable[[Callable[[], Awaitable[Any]]], Any]


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine function on each kind of event loop; trio where it is installed."""
    if request.param == "trio":
        pytest.importorskip("trio", reason="trio is not installed")
    return functools.partial(anyio.run, backend=request.param)


class StalledDisk:
    """Holds back every fsync until `release`. The seam is the system call."""

    def __init__(self) -> None:
        self._fsync = os.fsync
        self._free = threading.Event()
        self._free.set()
        self.waiting = threading.Event()

    def fsync(self, fd: int) -> None:
        """Stand for `os.fsync`."""
        if not self._free.is_set():
            self.waiting.set()
            self._free.wait()
        self._fsync(fd)

    def stall(self) -> None:
        """Hold back from now on."""
        self._free.clear()

    def release(self) -> None:
        """Let all go on."""
        self._free.set()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[StalledDisk]:
    """A disk that can be stalled; released at the end of the test."""
    disk = StalledDisk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    yield disk
    disk.release()


@pytest.fixture
def exp(tmp_path: Path) -> Experiment:
    """A quiet experiment, not started."""
    return Experiment(PREFIX, dash_root=tmp_path, echo=False)


async def turns(disk: StalledDisk) -> None:
    """Go on until the disk holds somebody back, and then for some turns more; then let it go."""
    while not disk.waiting.is_set():  # noqa: ASYNC110 - a thread sets it
        await anyio.sleep(0.001)
    for _ in range(PROGRESS):
        await anyio.lowlevel.checkpoint()
    disk.release()


def test_async_with_records_a_run(exp: Experiment, run: Run, tmp_path: Path) -> None:
    """As the plain `with` does: the experiment comes out of it, and the status is that of the way it was left."""

    async def main() -> None:
        async with exp.run as inside:
            assert inside is exp
            exp.metrics("train").log(loss=0.5)
        with pytest.raises(ValueError, match="diverged"):  # noqa: PT012 - it is the block that is tested
            async with exp.run:
                exp.metrics("train").log(loss=0.6)
                raise ValueError("diverged")
        journal = Journal(tmp_path, PREFIX)
        assert journal.values("loss") == [0.5, 0.6]
        assert journal.ends() == ["COMPLETED", "FAILED"]
        assert journal.view.run().error == "ValueError: diverged"

    run(main)


def test_a_decorated_coroutine_function_is_a_run_of_its_own(
    exp: Experiment, run: Run, tmp_path: Path
) -> None:
    """It gets the experiment first, keeps its name, and its value comes back."""

    async def main() -> None:
        @exp.run
        async def train(experiment: Experiment, steps: int, *, start: int = 0) -> int:
            """Train."""
            for step in range(start, start + steps):
                experiment.metrics("train").log(step=step)
                await anyio.lowlevel.checkpoint()
            return steps

        assert (train.__name__, train.__doc__) == ("train", "Train.")
        assert asyncio.iscoroutinefunction(train)
        assert await train(10) == 10
        assert await train(5, start=10) == 5
        journal = Journal(tmp_path, PREFIX)
        assert journal.values("step") == list(range(15))
        assert journal.ends() == ["COMPLETED"] * 2

    run(main)


def test_aflush_vouches_as_flush_does(exp: Experiment, run: Run) -> None:
    """Its answer is the same; before the start there is nothing to vouch for."""

    async def main() -> None:
        assert (await exp.aflush()).durable == 0
        async with exp.run:
            for count in range(1, 20):
                exp.metrics("train").log(step=count)
                result = await exp.aflush()
                assert (result.durable, result.pending, result.reason) == (count, 0, None)

    run(main)


def test_aflush_lets_the_event_loop_go_on(exp: Experiment, run: Run, disk: StalledDisk) -> None:
    """The disk is let go only after other tasks have had many turns: a blocked loop would wait for ever."""

    async def main() -> None:
        async with exp.run:
            await exp.aflush()
            exp.metrics("train").log(loss=0.5)
            disk.stall()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(turns, disk)
                assert (await exp.aflush()).durable == 1

    run(main)


def test_the_end_of_async_with_lets_the_event_loop_go_on(
    exp: Experiment, run: Run, disk: StalledDisk
) -> None:
    """The end waits for the disk as a plain `with` does, and nobody else has to."""

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            async with exp.run:
                await exp.aflush()
                exp.metrics("train").log(loss=0.5)
                disk.stall()
                tasks.start_soon(turns, disk)
            assert exp.status().durable == 1

    run(main)


def test_many_tasks_flush_at_once(exp: Experiment, run: Run) -> None:
    """More than any pool of threads would have room for."""

    async def main() -> None:
        async with exp.run:

            async def work(number: int) -> None:
                exp.metrics("train").log(number=number)
                assert (await exp.aflush()).durable >= 1

            async with anyio.create_task_group() as tasks:
                for number in range(100):
                    tasks.start_soon(work, number)
            assert exp.status().durable == 100

    run(main)


def test_a_timeout_of_aflush_ends_it_while_the_disk_is_stalled(
    exp: Experiment, run: Run, disk: StalledDisk
) -> None:
    """It says what is pending; so does the caller's own deadline, for it can be cancelled."""

    async def main() -> None:
        async with exp.run:
            await exp.aflush()
            exp.metrics("train").log(loss=0.5)
            disk.stall()
            result = await exp.aflush(timeout=0.01)
            assert (result.durable, result.pending) == (0, 1)
            assert result.reason == "not yet on disk"
            with anyio.move_on_after(0.01) as scope:
                await exp.aflush()
            assert scope.cancelled_caught
            disk.release()
            assert (await exp.aflush()).pending == 0

    run(main)


def test_a_cancelled_block_still_ends_its_run(exp: Experiment, run: Run, tmp_path: Path) -> None:
    """Cancellation is an exception like others: FAILED, and everything is on disk."""

    async def main() -> None:
        with anyio.CancelScope() as scope:
            async with exp.run:
                exp.metrics("train").log(loss=0.5)
                scope.cancel()
                await anyio.sleep(3600)
        assert not exp.run.is_open
        journal = Journal(tmp_path, PREFIX)
        assert journal.values("loss") == [0.5]
        assert journal.ends() == ["FAILED"]

    run(main)


async def test_a_cancelled_asyncio_task_ends_its_run(exp: Experiment, tmp_path: Path) -> None:
    """The same with asyncio's own way of cancelling."""

    async def train() -> None:
        async with exp.run:
            exp.metrics("train").log(loss=0.5)
            await asyncio.sleep(3600)

    task = asyncio.create_task(train())
    while not exp.status().logged:  # noqa: ASYNC110 - the other task tells nobody
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert Journal(tmp_path, PREFIX).ends() == ["FAILED"]


async def test_the_plain_calls_work_inside_a_running_loop(exp: Experiment, tmp_path: Path) -> None:
    """Notebooks have one: nothing of ours may ask for the loop of the caller."""
    with exp.run:
        exp.metrics("train").log(loss=0.5)
        assert exp.flush().durable == 1
        assert exp.metrics("train").read()["total"] == 1
    assert Journal(tmp_path, PREFIX).ends() == ["COMPLETED"]


def test_each_asyncio_run_may_use_the_same_experiment(exp: Experiment) -> None:
    """An event loop that has closed leaves nothing behind that the next one would trip over."""

    async def step(number: int) -> Any:
        exp.metrics("train").log(number=number)
        return (await exp.aflush()).durable

    with exp.run:
        assert [asyncio.run(step(number)) for number in range(5)] == [1, 2, 3, 4, 5]
