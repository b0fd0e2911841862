"""What a dead process has left in its slab comes into the journal: each row once, in order, whoever comes and dies."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import shutil
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ml_dash.journal.blocks import Block, Column, block_rows
from ml_dash.journal.disk import RealDisk, SegmentFile
from ml_dash.journal.writer import JournalWriter
from ml_dash.query.journal_view import JournalView
from ml_dash.query.runs import RECOVERED
from ml_dash.series import Kind, Series
from ml_dash.slabs import place as place_module
from ml_dash.slabs.bell import Bell
from ml_dash.slabs.found import FoundSlab
from ml_dash.slabs.slab import Slab
from ml_dash.storage import recovery
from ml_dash.storage.recovery import Recovered, catch_up, recover, recover_dead
from tests.support.slabs import TRAIN, WRITER, SlabBench, at_each_line, log, recovered, rows_in


def numbers(rows: list[int]) -> list[int]:
    return list(range(len(rows)))


def test_a_death_at_any_line_loses_no_row_whose_call_had_returned_and_doubles_none(tmp_path: Path) -> None:
    """While rows are logged, written, and the slab's regions cleared and used again."""
    bench = SlabBench(tmp_path / "live", regions=3)
    deaths = 0

    def die() -> None:
        nonlocal deaths
        deaths += 1
        put = len(bench.put)
        place = bench.die(tmp_path / "dead")
        assert recovered(place) is not None
        found = rows_in(place / "experiment")
        assert found == numbers(found)
        assert put <= len(found) <= put + 1
        assert not any((place / "queue").iterdir())
        shutil.rmtree(place)

    with at_each_line(die, every=31):
        for start in range(0, 600, 60):
            bench.log(*range(start, start + 60))
            bench.channel.pump()
    assert deaths > 50
    assert bench.channel._slab.place[0] > 3, "no region was used again: this has tested nothing"


def test_rows_that_a_frame_has_already_are_not_appended_again(tmp_path: Path) -> None:
    bench = SlabBench(tmp_path / "live")
    bench.log(*range(10))
    bench.channel.pump()
    bench.log(*range(10, 15))
    place = bench.die(tmp_path / "dead")

    found = recovered(place)

    assert found is not None
    assert (found.rows, found.lost) == (5, 0)
    assert rows_in(place / "experiment") == list(range(15))
    assert recovered(place) is None


@pytest.mark.parametrize("written", [0, 1, 3])
def test_a_slab_that_is_made_while_frames_are_written_knows_which_was_the_last(
    written: int, tmp_path: Path
) -> None:
    """Else its rows would count as those of a journal that it knows nothing of, and wait there for ever."""

    def write() -> None:
        for _ in range(written):
            bench.log(len(bench.put))
            bench.channel.write_queued()

    bench = SlabBench(tmp_path / "live", armed=False, make=write)
    bench.channel.queue.leave_slab()
    bench.log(0)
    bench.channel.write_queued()
    bench.channel.resume("unused", is_shared=True)
    bench.channel.open_slab()
    bench.log(*range(len(bench.put), 10))
    place = bench.die(tmp_path / "dead")

    assert recovered(place) is not None
    assert rows_in(place / "experiment") == list(range(10))


def test_rows_that_are_on_their_way_when_a_slab_is_made_are_noted_as_none_of_it(tmp_path: Path) -> None:
    """A batch that was taken before another slab was used has a place in that one."""
    bench = SlabBench(tmp_path / "live")
    channel = bench.channel
    bench.log(*range(20))
    channel.queue.leave_slab()
    channel.close()
    channel.write_queued()
    assert channel.queue.slab is None
    channel.put_control({"event": "start"})
    channel.resume("unused", is_shared=True)
    made: list[Slab] = []

    def make_when_taken() -> None:
        if channel._mover.batch is not None and not made:
            channel.open_slab()
            made.append(bench.slab)
            bench.log(*range(20, 25))

    with at_each_line(make_when_taken):
        channel.pump()
    assert made
    place = bench.die(tmp_path / "dead")

    assert recovered(place) is not None
    assert rows_in(place / "experiment") == list(range(25))


def waiting_rows(root: Path, count: int = 20) -> Path:
    """Return what a process leaves of which half of the rows wait in the slab."""
    bench = SlabBench(root / "live")
    bench.log(*range(count // 2))
    bench.channel.pump()
    bench.log(*range(count // 2, count))
    return bench.die(root / "dead")


def test_whoever_recovers_may_die_at_any_line_of_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one goes on, with more than one frame to append, behind what the one before has appended."""
    monkeypatch.setattr(recovery, "_SLICE", 4)
    place = waiting_rows(tmp_path)
    deaths = 0

    def die() -> None:
        nonlocal deaths
        deaths += 1
        again = tmp_path / str(deaths)
        shutil.copytree(place, again)
        recovered(again)
        assert rows_in(again / "experiment") == list(range(20))
        assert not any((again / "queue").iterdir())
        shutil.rmtree(again)

    with at_each_line(die, every=17):
        assert recovered(place) is not None
    assert deaths > 10


@pytest.mark.parametrize("damaged", [0, 1], ids=["whole", "damaged"])
@pytest.mark.parametrize("waiting", [0, 10])
def test_what_has_become_of_a_slab_is_told_once_though_who_tells_it_dies_before_he_removes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: int, damaged: int
) -> None:
    bench = SlabBench(tmp_path / "live")
    bench.log(*range(10))
    bench.channel.pump()
    bench.log(*range(10, 10 + waiting))
    for _ in range(damaged):
        log(bench.channel, b"\xc1")
    place = bench.die(tmp_path / "dead")
    monkeypatch.setattr(FoundSlab, "remove", lambda _slab: None)
    first = recovered(place)
    assert first is not None
    assert (first.rows, first.lost) == (waiting, damaged)
    told = notes_in(place / "experiment")
    assert len(told) == max(1, (waiting > 0) + damaged)
    assert (sum(note["rows"] for note in told), sum(note.get("lost", 0) for note in told)) == first[1:]

    for _ in range(3):
        assert recovered(place) is not None

    assert notes_in(place / "experiment") == told
    assert rows_in(place / "experiment") == list(range(10 + waiting))


def notes_in(directory: Path) -> list[dict[str, Any]]:
    view = JournalView(str(directory / "journal"))
    view.refresh()
    rows = [
        row
        for _, block in view.index.blocks(Series(Kind.RUN, None))
        for row in block_rows(block, 0, block.count)
    ]
    return [row for row in rows if row["event"] == RECOVERED]


def test_of_many_who_recover_at_once_one_does(tmp_path: Path) -> None:
    place = waiting_rows(tmp_path)
    barrier = threading.Barrier(8)
    found: list[Recovered | None] = []

    def come() -> None:
        barrier.wait()
        found.append(recovered(place))

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [each.rows for each in found if each is not None] == [10]
    assert rows_in(place / "experiment") == list(range(20))


def test_who_comes_while_another_recovers_waits_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a reader would show a journal of which the end is being appended."""
    place = waiting_rows(tmp_path)
    slab = as_shared_memory(place, monkeypatch) / f"{WRITER}.slab"
    other = FoundSlab(str(slab), is_mine=True)
    looks = 0

    def recover_meanwhile() -> None:
        nonlocal looks
        looks += 1
        other.close()
        recover(str(slab), str(place / "experiment"))

    monkeypatch.setattr(recovery, "_pause", recover_meanwhile)
    catch_up(str(place / "experiment"))

    assert looks == 1
    assert rows_in(place / "experiment") == list(range(20))


def test_who_recovers_is_waited_for_however_long_that_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A reader that waited only as long as for a live process answered without the rows, and said nothing."""
    place = waiting_rows(tmp_path)
    slab = as_shared_memory(place, monkeypatch) / f"{WRITER}.slab"
    other = FoundSlab(str(slab), is_mine=True)
    other.find_dead()
    clock = PassingClock(monkeypatch, 0.1)

    def recover_meanwhile() -> None:
        if clock.now > 5 and slab.exists():
            other.close()
            recover(str(slab), str(place / "experiment"))

    monkeypatch.setattr(recovery, "_pause", recover_meanwhile)
    assert catch_up(str(place / "experiment")) == []

    assert rows_in(place / "experiment") == list(range(20))
    assert caplog.records == []


def test_who_recovers_for_ever_is_waited_for_in_vain_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its disk may hang. The time passes only where somebody looks at it."""
    place = waiting_rows(tmp_path)
    slab = as_shared_memory(place, monkeypatch) / f"{WRITER}.slab"
    other = FoundSlab(str(slab), is_mine=True)
    other.find_dead()
    clock = PassingClock(monkeypatch, 0.1)
    monkeypatch.setattr(recovery, "_pause", lambda: None)

    assert catch_up(str(place / "experiment")) == []

    assert 5 < clock.now < 60
    (told,) = caplog.records
    assert str(place / "experiment") in told.getMessage()
    other.close()
    assert [found.rows for found in catch_up(str(place / "experiment"))] == [10]


def test_a_live_process_that_does_not_write_is_waited_for_shortly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = SlabBench(tmp_path / "live")
    bench.log(*range(5))
    bench.channel.write_queued()
    bench.log(*range(5, 8))
    as_shared_memory(tmp_path / "live", monkeypatch)
    clock = PassingClock(monkeypatch, 0.01)
    monkeypatch.setattr(recovery, "_pause", lambda: None)

    assert catch_up(str(bench.directory)) == []

    assert 0.2 < clock.now < 1
    assert caplog.records == []


class PassingClock:
    """Time that goes on by a step whenever somebody asks for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: float) -> None:
        self.now = 0.0
        self._step = step
        monkeypatch.setattr(recovery, "SYSTEM_CLOCK", self)

    def monotonic(self) -> float:
        self.now += self._step
        return self.now

    def time_ns(self) -> int:
        return 10**18


def test_a_reader_that_looks_whether_a_slab_is_locked_keeps_no_other_one_from_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To look takes the lock for a moment: once, twice and more, while another one wants it."""
    place = waiting_rows(tmp_path)
    slab = as_shared_memory(place, monkeypatch) / f"{WRITER}.slab"
    looking = FoundSlab(str(slab))
    take_over, looks = recovery._take_over, 0

    def take_over_while_it_is_looked_at(*args: Any) -> Recovered | None:
        nonlocal looks
        if (looks := looks + 1) > 3:
            return take_over(*args)
        fcntl.flock(looking._fd, fcntl.LOCK_SH)
        try:
            return take_over(*args)
        finally:
            fcntl.flock(looking._fd, fcntl.LOCK_UN)

    monkeypatch.setattr(recovery, "_take_over", take_over_while_it_is_looked_at)

    assert [found.rows for found in catch_up(str(place / "experiment"))] == [10]


def test_a_lock_that_outlives_its_process_for_a_moment_keeps_no_reader_from_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that the process was about to start has its descriptors until it runs, as `git` at each run's begin."""
    place = waiting_rows(tmp_path)
    slab = as_shared_memory(place, monkeypatch) / f"{WRITER}.slab"
    started = FoundSlab(str(slab), is_mine=True)
    monkeypatch.setattr(recovery, "ring", lambda _bell: True)  # it has the bell as well
    monkeypatch.setattr(recovery, "_pause", started.close)

    assert [found.rows for found in catch_up(str(place / "experiment"))] == [10]

    assert rows_in(place / "experiment") == list(range(20))


def test_the_slab_of_a_process_that_lives_is_left_alone(tmp_path: Path) -> None:
    bench = SlabBench(tmp_path)
    bench.log(*range(5))

    assert recover(str(bench.path), str(bench.directory)) is None

    assert bench.path.exists()
    bench.channel.flush()
    assert bench.found() == list(range(5))


def test_what_follows_a_torn_frame_is_recovered(tmp_path: Path) -> None:
    """The process was killed in the middle of its last append: the frame's rows are in the slab still."""
    bench = SlabBench(tmp_path / "live")
    bench.log(*range(5))
    bench.channel.pump()
    bench.log(*range(5, 9))
    sizes = {path: path.stat().st_size for path in bench.directory.rglob("*.mldj")}
    bench.channel.pump()
    ((segment, before),) = sizes.items()
    after = segment.stat().st_size
    for cut in range(before, after + 1, 5):
        place = bench.die(tmp_path / str(cut))
        os.truncate(place / segment.relative_to(tmp_path / "live"), cut)
        assert recovered(place) is not None
        assert rows_in(place / "experiment") == list(range(9))


def test_where_the_disk_has_no_room_the_slab_waits_until_there_is(tmp_path: Path) -> None:
    place = waiting_rows(tmp_path)
    slab = str(place / "queue" / f"{WRITER}.slab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recovery, "_SLICE", 4)
        disk = FullDisk(files=1)
        assert recover(slab, str(place / "experiment"), disk) is None
    assert os.path.exists(slab)
    assert rows_in(place / "experiment") == list(range(14))

    assert recovered(place) is not None

    assert rows_in(place / "experiment") == list(range(20))


class FullDisk(RealDisk):
    """A disk with room for so many files, of which each takes one write."""

    def __init__(self, files: int) -> None:
        self._files = files

    def create(self, path: str) -> SegmentFile:
        if not self._files:
            raise OSError(errno.ENOSPC, "no room")
        self._files -= 1
        return _FullFile(super().create(path))


class _FullFile:
    def __init__(self, file: SegmentFile) -> None:
        self._file = file
        self._is_full = False
        self.sync, self.close = file.sync, file.close

    def write(self, data: bytes) -> None:
        if self._is_full:
            raise OSError(errno.ENOSPC, "no room")
        self._is_full = True
        self._file.write(data)


def test_a_journal_that_was_moved_is_found_by_its_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = waiting_rows(tmp_path)
    as_shared_memory(place, monkeypatch)
    moved = tmp_path / "elsewhere"
    (place / "experiment").rename(moved)

    assert [found.rows for found in catch_up(str(moved))] == [10]

    assert rows_in(moved) == list(range(20))


def test_what_is_left_of_an_experiment_that_is_gone_is_kept_for_a_week(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = waiting_rows(tmp_path)
    as_shared_memory(place, monkeypatch)
    shutil.rmtree(tmp_path / "live")
    (slab,) = place.glob("*/*.slab")

    old = slab.stat().st_mtime - 8 * 86_400
    os.utime(slab, (old, old))
    recover_dead()
    assert slab.exists(), "its process may have lived for long: nothing that it writes there changes the time"
    recover_dead()
    assert slab.exists()
    os.utime(slab, (old, old))
    recover_dead()
    assert not slab.exists()


def test_rows_are_recovered_where_they_belong_by_whoever_begins_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here as in a copy, which lacks them: the slab is used up by the first who comes."""
    place = waiting_rows(tmp_path)
    as_shared_memory(place, monkeypatch)
    shutil.rmtree(tmp_path / "live" / "experiment")
    shutil.copytree(place / "experiment", tmp_path / "live" / "experiment")

    assert [found.rows for found in recover_dead() if str(tmp_path) in found.directory] == [10]

    assert rows_in(tmp_path / "live" / "experiment") == list(range(20))


def test_an_experiment_of_the_same_path_in_another_container_gets_no_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers may share their memory and not their disks. Where the writer is known, they belong."""
    experiment = tmp_path / "live" / "experiment"
    experiment.mkdir(parents=True)
    bench = SlabBench(tmp_path / "live")
    bench.log(*range(5))
    place = bench.die(tmp_path / "dead")
    (slab,) = as_shared_memory(place, monkeypatch).glob("*.slab")
    mine = tmp_path / "mine"
    experiment.rename(mine)
    (experiment / "journal").mkdir(parents=True)

    assert recover_dead() == []
    assert catch_up(str(experiment)) == []
    assert slab.exists()
    assert list((experiment / "journal").iterdir()) == []

    (mine / "journal").mkdir()
    assert [found.rows for found in catch_up(str(mine))] == [5]
    assert rows_in(mine) == list(range(5))
    assert not slab.exists()


@pytest.mark.parametrize(
    ("has_written", "has_begun"), [(True, True), (True, False), (False, True)], ids=["both", "old", "new"]
)
def test_a_directory_that_is_made_where_one_was_removed_gets_no_rows_of_that(
    *, has_written: bool, has_begun: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File systems give the inodes of what is removed away again: the new directory often has the old one's.

    Rows of a removed run came back in the next one of that name, with a gap before them.
    """
    experiment = tmp_path / "live" / "experiment"
    experiment.mkdir(parents=True)
    bench = SlabBench(tmp_path / "live")
    bench.log(*range(5))
    if has_written:
        bench.channel.write_queued()
        bench.log(*range(5, 9))
    place = bench.die(tmp_path / "dead")
    (slab,) = as_shared_memory(place, monkeypatch).glob("*.slab")
    # Emptied, which is all that there is to tell it from one that has the same inode.
    for path in experiment.iterdir():
        shutil.rmtree(path)
    if has_begun:
        writer = JournalWriter(str(experiment / "journal"), f"f{WRITER[1:]}")
        writer.append([Block(TRAIN, [1], [Column("n", "i", None, [0])])])
        writer.release()

    assert [found.rows for found in recover_dead() if found.directory == str(experiment)] == []
    assert [found.rows for found in catch_up(str(experiment))] == []

    assert rows_in(experiment) == [0] * has_begun
    assert slab.exists(), "it may have been moved"


def test_a_child_that_has_written_nothing_is_recovered_into_its_parents_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no segment there by which it would be known; but the journal is older than it."""
    writer = JournalWriter(str(tmp_path / "live" / "experiment" / "journal"), f"00{WRITER[2:]}")
    writer.append([Block(TRAIN, [1], [Column("n", "i", None, [0])])])
    writer.release()
    bench = SlabBench(tmp_path / "live")
    bench.log(*range(1, 5))
    dead = bench.die(tmp_path / "dead")
    as_shared_memory(dead, monkeypatch)

    assert [found.rows for found in catch_up(str(bench.directory))] == [4]

    assert rows_in(bench.directory) == list(range(5))


def test_a_bell_goes_with_the_slab_of_a_dead_process(tmp_path: Path) -> None:
    bell = Bell(str(tmp_path))
    bench = SlabBench(tmp_path / "live")
    bench.slab.remove()
    bench._make_slab = partial(bench._make_slab, bell=bell.path)
    bench.channel.queue.slab = None
    bench.channel._slab.arm()
    bench.channel.open_slab()
    bench.log(*range(5))
    first, second = bench.die(tmp_path / "first"), bench.die(tmp_path / "second")

    assert recovered(first) is not None
    assert os.path.exists(bell.path), "somebody hears it"
    os.close(bell.fd)
    assert recovered(second) is not None
    assert not os.path.exists(bell.path)


def test_a_slab_of_another_version_is_told_once_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A version whose layout differs, and was taken for this one, once read nothing from it and removed it."""
    place = waiting_rows(tmp_path)
    (slab,) = as_shared_memory(place, monkeypatch).glob("*.slab")
    with slab.open("r+b") as file:
        file.seek(8)
        file.write(b"\x01\x00")
    before = slab.read_bytes()

    assert recover_dead() == []
    assert caplog.records == [], "it is no concern of who opens something else"
    for _ in range(2):
        assert catch_up(str(place / "experiment")) == []
    assert slab.read_bytes() == before
    assert [record.getMessage().startswith(str(slab)) for record in caplog.records] == [True]
    old = slab.stat().st_mtime - 30 * 86_400
    os.utime(slab, (old, old))
    recover_dead()
    assert slab.exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking with threads
def test_recoverers_that_race_may_be_killed_at_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real processes, of which each is killed at another line, while the others go on: each row is there once."""
    monkeypatch.setattr(recovery, "_SLICE", 4)
    place = waiting_rows(tmp_path)
    killed = 0
    for first in range(1, 700, 45):
        again = tmp_path / "again"
        shutil.copytree(place, again)
        children = [_recoverer(again, first + number * 15) for number in range(3)]
        ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert set(ends) <= {0, -signal.SIGKILL}
        killed += ends.count(-signal.SIGKILL)
        recovered(again)
        assert rows_in(again / "experiment") == list(range(20)), (first, ends)
        assert not any((again / "queue").iterdir())
        shutil.rmtree(again)
    assert killed > 10


def _recoverer(place: Path, line: int) -> int:
    """Return a process that recovers, and is killed when it comes to a line of that."""
    child = os.fork()
    if child:
        return child
    try:
        lines = itertools.count(1)

        def die_at() -> None:
            if next(lines) == line:
                os.kill(os.getpid(), signal.SIGKILL)

        with at_each_line(die_at):
            recovered(place)
        os._exit(0)
    finally:
        os._exit(1)


def as_shared_memory(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the slabs of `place` lie where they are looked for; return its directory of them."""
    queue = place / f"ml-dash-{os.getuid()}"
    (place / "queue").rename(queue)
    monkeypatch.setattr(place_module, "_SHARED", str(place))
    return queue
