"""Hundreds of stories in which everything goes wrong. See `tests.simulation.world` for what is told and checked.

Environment:

==================  =======  =====================================================================
variable            default  meaning
==================  =======  =====================================================================
SIMULATION_SEEDS    200      how many stories to tell, beside those drawn from the commit; `make sweep` tells thousands
SIMULATION_FIRST    0        the first one's seed
SIMULATION_DRAWN    200      how many stories to draw from the commit's hash
SIMULATION_SEED     –        tell only this one, of each world, with all its steps (``-s`` shows them)
==================  =======  =====================================================================
"""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from ml_dash.journal.index import JournalIndex
from ml_dash.pipeline.channel import Channel
from ml_dash.settings import Settings
from tests.simulation.process import DIRECTORY
from tests.simulation.safe_world import SafeWorld
from tests.simulation.world import World
from tests.support.project import PROJECT
from tests.support.rows import SERIES, random_row
from tests.support.simulated_clock import SimulatedClock
from tests.support.simulated_disk import SimulatedDisk

pytestmark = pytest.mark.simulation

CHUNK = 20
"""Stories a test: small enough to be shared among several workers."""


def seeds() -> dict[str, Sequence[int]]:
    """The seeds to run, in chunks with names: some are always the same, some are new with every commit."""
    if one := os.environ.get("SIMULATION_SEED"):
        return {one: [int(one)]}
    first = int(os.environ.get("SIMULATION_FIRST", "0"))
    stop = first + int(os.environ.get("SIMULATION_SEEDS", "200"))
    fixed = [range(start, min(start + CHUNK, stop)) for start in range(first, stop, CHUNK)]
    drawn = drawn_seeds(int(os.environ.get("SIMULATION_DRAWN", "200")))
    return {
        **{f"{chunk.start}-{chunk.stop - 1}": chunk for chunk in fixed},
        **{f"drawn-{start}": drawn[start : start + CHUNK] for start in range(0, len(drawn), CHUNK)},
    }


def drawn_seeds(count: int) -> list[int]:
    """Draw seeds from the commit's hash: other ones for each commit, the same in every run of it; none without git.

    The clock would do no better, and the workers of a run would not agree on the names of their tests.
    """
    try:
        command = ("git", "rev-parse", "HEAD")
        commit = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    rng = random.Random(commit)
    # beyond those that `make sweep` has been through
    return [rng.randrange(1 << 32, 1 << 33) for _ in range(count)]


@pytest.fixture(autouse=True)
def only_what_is_asked_for(request: pytest.FixtureRequest) -> None:
    """Who asks for one story wants no other one."""
    if "SIMULATION_SEED" in os.environ and "chunk" not in request.fixturenames:
        pytest.skip("SIMULATION_SEED asks for one story")


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """Nobody reads the warnings of thousands of failing disks."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def slabs() -> Iterator[str]:
    """A directory for slabs: in memory, where there is that, as they are in life."""
    memory = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=memory if os.path.isdir(memory) else None) as place:
        yield place


@pytest.mark.sample(10)
@pytest.mark.parametrize("chunk", seeds().values(), ids=seeds())
def test_every_promise_is_kept_whatever_the_disk_does(chunk: Sequence[int]) -> None:
    """Nothing that was acknowledged is lost, nothing is there twice or wrong, and the counters add up."""
    for seed in chunk:
        World(seed, aloud=len(chunk) == 1).run()


@pytest.mark.sample(10)
@pytest.mark.parametrize("chunk", seeds().values(), ids=seeds())
def test_every_promise_is_kept_for_rows_that_come_in_tables(chunk: Sequence[int]) -> None:
    """Many of them in a call, among those that come one by one; a quarter as many stories."""
    for seed in chunk[::4]:
        World(seed, aloud=len(chunk) == 1, tables=True).run()


@pytest.mark.sample(10)
@pytest.mark.parametrize("chunk", seeds().values(), ids=seeds())
def test_no_row_is_lost_by_the_death_of_a_process_whose_rows_wait_in_shared_memory(
    chunk: Sequence[int], slabs: str
) -> None:
    """At any byte of any copy, of those who recover as well; half as many stories."""
    for seed in chunk[::2]:
        safe_world(seed, slabs, aloud=len(chunk) == 1).run()


def safe_world(seed: int, slabs: str, *, aloud: bool = False) -> SafeWorld:
    """A seed is the same story in every test."""
    return SafeWorld(seed, slabs, aloud=aloud, tables=bool(seed & 2))


def test_a_story_that_fails_says_which_test_tells_it_again(slabs: str) -> None:
    asked = []
    for world in (World(7), World(7, tables=True), safe_world(7, slabs)):
        last = world._report(AssertionError("lost")).splitlines()[-1]
        assert last.startswith("To see it again: SIMULATION_SEED=7 pytest tests/simulation -k ")
        asked += [name for name in globals() if name.startswith("test_") and last.split()[-1] in name]
    assert asked == [
        name for name in globals() if name.startswith("test_every_promise") or "no_row_is_lost" in name
    ]


def test_a_fork_beside_a_process_whose_clock_was_ahead_belongs_to_the_attempt_of_its_parent() -> None:
    """The other one has written since the parent began: neither of the two attempts is the later one."""
    world = World(2051)  # the first to tell this, among other things
    world._start()
    world._clock.shift(-30.0)
    world._start()
    ahead, parent = world._processes
    ahead.round()
    world._fork_from(parent)
    child = world._processes[-1]
    assert parent.writer_id < child.writer_id < ahead.writer_id
    world._end()


def test_two_that_died_may_have_left_nothing_behind_the_same_latest_row(slabs: str) -> None:
    """It is told of each of them, with the time of that row."""
    SafeWorld(22, slabs).run()  # the first to tell this


def test_seeds_are_drawn_anew_for_each_commit_and_are_the_same_in_every_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without git there are none: a story that nobody can name again would be worth nothing."""
    commit = tmp_path / "git"
    commit.write_text("#!/bin/sh\nif [ -f commit ]; then cat commit; else exit 128; fi\n")
    commit.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("tests.simulation.test_simulation.PROJECT", tmp_path)
    assert drawn_seeds(3) == []
    drawn = []
    for text in ("a", "a", "b"):
        (tmp_path / "commit").write_text(text)
        drawn.append(drawn_seeds(200))
    assert drawn[0] == drawn[1]
    assert len({*drawn[0], *drawn[2]}) == 400


@pytest.mark.slow
def test_every_kind_of_fault_comes_often() -> None:
    """A simulation in which nothing happens proves nothing."""
    assert rare_faults(map(World, range(200)), FAULTS) == {}


@pytest.mark.slow
def test_every_kind_of_death_comes_often(slabs: str) -> None:
    """Of processes, and of those who recover what these have left."""
    assert rare_faults((safe_world(seed, slabs) for seed in range(400)), DEATHS) == {}


def rare_faults(worlds: Iterable[World], names: Iterable[str]) -> dict[str, int]:
    """Return how often those things happened that hardly ever did."""
    seen: Counter[str] = Counter()
    for world in worlds:
        world.run()
        seen += world.seen
    return {name: seen[name] for name in names if seen[name] < 2}


DEATHS = (
    *(
        "killed in the copy of an event",
        "killed in a mark",
        "killed in a note",
        "killed in a recoverer's note",
    ),
    *("killed in the clearing of a region", "killed in the removal of a slab"),
    *("killed in create", "killed in write", "killed in sync", "power cuts", "forks", "kills"),
    *("recoverers killed", "recoverers that raced", "recoveries", "recoveries put off", "recovered again"),
    *("calls stopped", "writes held", "marks in values", "regions ended before a mark", "regions used again"),
    *("dropped: disk", "dropped: overflow", "malformed", "write ENOSPC", "write EIO", "size EIO", "evicted"),
)

FAULTS = (
    *(
        "power cuts",
        "power cut in write",
        "power cut in sync",
        "power cut in create",
        "files that lost bytes",
    ),
    *("write ENOSPC", "write EIO", "create EACCES", "create ENOSPC", "sync EIO", "size EIO", "close EIO"),
    *("remove EIO", "replace EIO", "read EIO", "read EMFILE", "evicted", "bits flipped"),
    *("interrupts", "forks", "kills"),
    *("clock set back", "clock set ahead"),
    *("dropped: disk", "dropped: overflow", "malformed", "frames reported missing", "frames written again"),
)


def test_a_seed_tells_the_same_story_every_time() -> None:
    """So that a failure can be looked at again: in this process and in another one, whose hashes are others."""
    stories = set()
    for _ in range(2):
        world = World(7)
        world.run()
        stories.add(world.story())
    script = "from tests.simulation.world import World; world = World(7); world.run(); print(world.story())"
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(PROJECT)}
    told = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert {*stories, told.stdout.rstrip("\n")} == stories
    assert len(stories) == 1


def test_a_seed_of_shared_memory_tells_the_same_story_every_time(slabs: str) -> None:
    """Though real files are in it, whose names, times and process numbers are others."""
    stories = set()
    for _ in range(2):
        world = SafeWorld(1731, slabs)  # one with many deaths
        world.run()
        stories.add(world.story())
    assert len(stories) == 1


def test_bytes_are_written_once_and_read_once() -> None:
    """On a disk that works, the cost of a row does not depend on how many there are."""
    once, twice = cost_of(100), cost_of(200)
    assert max(now / before for before, now in zip(once, twice, strict=True)) < 2.1


def cost_of(flushes: int) -> tuple[int, int, int]:
    """Bytes written for so many flushes, read by a reader that looks after each, and by one that opens the journal."""
    rng, clock = random.Random(0), SimulatedClock()
    disk = SimulatedDisk(rng, clock)
    channel = Channel(DIRECTORY, "writer", Settings(), lambda: None, clock=clock, disk=disk)
    for series in SERIES:
        channel.series_id(*series)
    follower = JournalIndex(channel.journal, disk=disk)
    for number in range(flushes):
        for _ in range(10):
            channel.queue.put(random_row(rng, clock, number)[1])
        channel.flush()
        follower.refresh()
    assert disk.bytes_written == sum(len(file.data) for file in disk.files.values())
    assert follower.bytes_read <= disk.bytes_written
    opened = JournalIndex(channel.journal, disk=disk)
    opened.refresh()
    return disk.bytes_written, follower.bytes_read, opened.bytes_read
