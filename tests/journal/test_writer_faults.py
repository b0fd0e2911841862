"""The writer on disks that fail: what it has accepted is in the journal exactly once nevertheless."""

from __future__ import annotations

import contextlib
import errno
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_dash.journal.frame import decode_segment_header
from ml_dash.journal.verify import verify
from ml_dash.journal.writer import JournalWriter
from tests.support.failing_disk import FailingDisk, FailingFile, files_in, frames_of, journal_of, rows

NO_SPACE = OSError(errno.ENOSPC, "No space left on device")
IO_ERROR = OSError(errno.EIO, "Input/output error")


@pytest.fixture
def disk() -> FailingDisk:
    return FailingDisk()


@pytest.fixture
def writer(disk: FailingDisk) -> JournalWriter:
    return JournalWriter("journal", "w", disk=disk)


def follow_one_another(raw: bytes) -> bool:
    """Whether the frames of a segment have the numbers from its first on, without a gap."""
    header = decode_segment_header(raw, "segment")
    if header is None:
        return True
    numbers = [seq for seq, _ in frames_of(raw, header.length)]
    return numbers == list(range(header.first_seq, header.first_seq + len(numbers)))


# --- writes that fail


@pytest.mark.parametrize("kept", [0, 1, 27, 60])
def test_after_a_failed_write_the_same_rows_go_to_a_new_segment(
    disk: FailingDisk, writer: JournalWriter, kept: int
) -> None:
    writer.append(rows(1))
    disk.fail("write", NO_SPACE, kept=kept)
    with pytest.raises(OSError, match="No space"):
        writer.append(rows(2))
    torn = disk.visible()["w-000001.mldj"]
    assert (writer.written_seq, writer.segment_path, writer.last_error) == (1, None, NO_SPACE)

    assert writer.append(rows(2)) == 2
    writer.sync()

    assert disk.visible()["w-000001.mldj"] == torn
    assert journal_of(disk.after_power_cut()) == {1: [1], 2: [2]}


def test_rows_before_a_failed_write_can_still_be_made_durable(
    disk: FailingDisk, writer: JournalWriter
) -> None:
    """On a full disk nothing more can be written, and what was written need not be lost."""
    writer.append(rows(1))
    disk.fail("write", NO_SPACE, kept=10)
    with pytest.raises(OSError, match="No space"):
        writer.append(rows(2))

    assert writer.sync() == 1

    assert journal_of(disk.after_power_cut()) == {1: [1]}
    assert writer.unsynced_bytes == 0


def test_a_new_segment_without_a_whole_frame_is_removed(disk: FailingDisk, writer: JournalWriter) -> None:
    disk.fail("write", NO_SPACE, kept=30)
    with pytest.raises(OSError, match="No space"):
        writer.append(rows(1))
    assert disk.files == {}
    assert (writer.bytes_written, writer.unsynced_bytes, writer.written_seq) == (0, 0, 0)

    assert writer.append(rows(1)) == 1
    assert journal_of(disk.visible()) == {1: [1]}


def test_a_useless_segment_that_cannot_be_removed_is_left_behind(
    disk: FailingDisk, writer: JournalWriter
) -> None:
    disk.fail("write", NO_SPACE, kept=30)
    disk.fail("remove", IO_ERROR)
    disk.fail("close", IO_ERROR)
    with pytest.raises(OSError, match="No space"):
        writer.append(rows(1))

    assert writer.append(rows(1)) == 1

    assert sorted(disk.visible()) == ["w-000001.mldj", "w-000002.mldj"]
    assert journal_of(disk.visible()) == {1: [1]}


def test_a_segment_that_cannot_be_created_is_tried_under_the_next_number(
    disk: FailingDisk, writer: JournalWriter
) -> None:
    """It is not known whether the name was made."""
    disk.fail("create", NO_SPACE)
    with pytest.raises(OSError, match="No space"):
        writer.append(rows(1))
    assert disk.files == {}

    assert writer.append(rows(1)) == 1
    assert sorted(disk.visible()) == ["w-000002.mldj"]


@pytest.mark.parametrize("before", [0, 1])
def test_a_frame_that_arrived_although_its_write_failed_keeps_its_number(
    disk: FailingDisk, writer: JournalWriter, before: int
) -> None:
    """A reader may have taken it already: under its number nothing else may be written."""
    for number in range(before):
        writer.append(rows(number))
    disk.fail("write", IO_ERROR, kept=10_000)

    assert writer.append(rows(7)) == before + 1
    assert journal_of(disk.visible())[before + 1] == [7]
    assert writer.append(rows(8)) == before + 2
    writer.sync()

    expected = {seq + 1: [number] for seq, number in enumerate([*range(before), 7, 8])}
    assert journal_of(disk.visible()) == journal_of(disk.after_power_cut()) == expected
    assert writer.unsynced_bytes == 0


def test_an_interrupted_write_counts_only_if_the_frame_arrived(
    disk: FailingDisk, writer: JournalWriter
) -> None:
    """Ctrl-C can come between any two steps of the main thread."""
    disk.fail("write", KeyboardInterrupt(), kept=50)
    with pytest.raises(KeyboardInterrupt):
        writer.append(rows(1))
    assert writer.written_seq == 0
    disk.fail("write", KeyboardInterrupt(), kept=10_000)
    with pytest.raises(KeyboardInterrupt):
        writer.append(rows(2))
    assert writer.written_seq == 1

    writer.append(rows(3))
    writer.close()

    assert journal_of(disk.after_power_cut()) == {1: [2], 2: [3]}


def test_an_interrupted_create_does_not_stop_the_writer_for_ever(
    disk: FailingDisk, writer: JournalWriter
) -> None:
    """The file may be there already, and would then be taken for another writer's."""
    disk.fail("create", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        writer.append(rows(1))
    disk.files["journal/w-000001.mldj"] = FailingFile(disk)

    assert writer.append(rows(1)) == 1
    writer.close()

    assert journal_of(disk.visible()) == {1: [1]}


@pytest.mark.parametrize("kept", [0, 10_000])
def test_a_frame_of_which_nobody_can_say_whether_it_arrived_keeps_its_number(
    disk: FailingDisk, writer: JournalWriter, kept: int
) -> None:
    """It is written again under this number: if it did arrive, readers take the two for one."""
    disk.fail("write", IO_ERROR, kept=kept)
    disk.fail("size", IO_ERROR)

    assert writer.append(rows(1)) == 1
    assert writer.append(rows(2)) == 2
    writer.sync()

    assert journal_of(disk.visible()) == journal_of(disk.after_power_cut()) == {1: [1], 2: [2]}


LIMITED = """
import resource, sys
from ml_dash.series import *
from ml_dash.journal.blocks import *
from ml_dash.journal.writer import JournalWriter
import signal

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
before = resource.getrlimit(resource.RLIMIT_FSIZE)
writer, failures = JournalWriter(sys.argv[1], "w"), 0  # which has asked what the limit is
resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
for number in range(40):
    blocks = [Block(Series(Kind.METRIC, "train"), [0], [Column("n", "i", None, [number])])]
    try:
        writer.append(blocks)
    except OSError:
        failures += 1
        writer.append(blocks)
writer.close()
resource.setrlimit(resource.RLIMIT_FSIZE, before)  # a coverage file is longer
print(failures)
"""


@pytest.mark.crash
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of a file's size")
def test_real_files_that_can_grow_no_further_end_behind_a_whole_frame_and_are_followed_by_others(
    tmp_path: Path,
) -> None:
    out = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )

    files = files_in(tmp_path)
    assert int(out.stdout) == len(files) - 1 >= 3
    assert all(len(raw) < 500 for raw in files.values())  # the half of a frame that went in was cut off again
    assert verify(str(tmp_path)).ok
    assert journal_of(files) == {number + 1: [number] for number in range(40)}


# --- fsyncs that fail


def test_frames_whose_fsync_failed_are_written_again_to_a_new_segment(
    disk: FailingDisk, writer: JournalWriter
) -> None:
    writer.append(rows(1))
    writer.sync()
    writer.append(rows(2))
    writer.append(rows(3))
    disk.fail("sync", IO_ERROR)
    with pytest.raises(OSError, match="Input/output"):
        writer.sync()
    assert (writer.durable_seq, writer.written_seq, writer.last_error) == (1, 3, IO_ERROR)
    assert writer.unsynced_bytes > 0
    assert journal_of(disk.after_power_cut()) == {1: [1]}

    assert writer.sync() == 3

    assert journal_of(disk.after_power_cut()) == {1: [1], 2: [2], 3: [3]}
    assert writer.unsynced_bytes == 0
    header = decode_segment_header(disk.visible()["w-000002.mldj"], "")
    assert header is not None
    assert header.first_seq == 2


def test_frames_whose_fsync_failed_precede_what_is_appended_next(
    disk: FailingDisk, writer: JournalWriter
) -> None:
    writer.append(rows(1))
    disk.fail("sync", IO_ERROR)
    with pytest.raises(OSError, match="Input/output"):
        writer.sync()

    assert writer.append(rows(2)) == 2

    raw = disk.visible()["w-000002.mldj"]
    header = decode_segment_header(raw, "")
    assert header is not None
    assert list(frames_of(raw, header.length)) == [(1, [1]), (2, [2])]


def test_writing_again_can_fail_halfway_and_go_on_later(disk: FailingDisk, writer: JournalWriter) -> None:
    for number in (1, 2, 3):
        writer.append(rows(number))
    kept = writer.unsynced_bytes
    disk.fail("sync", IO_ERROR)
    with pytest.raises(OSError, match="Input/output"):
        writer.close()
    assert all(file.closed for file in disk.files.values())

    disk.fail("write", NO_SPACE, kept=12, after=1)
    with pytest.raises(OSError, match="No space"):
        writer.sync()
    assert writer.unsynced_bytes == kept
    disk.fail("create", NO_SPACE)
    with pytest.raises(OSError, match="No space"):
        writer.append(rows(4))

    assert writer.append(rows(4)) == 4
    writer.close()
    assert journal_of(disk.after_power_cut()) == {number: [number] for number in (1, 2, 3, 4)}
    assert all(file.closed for file in disk.files.values())


def test_a_frame_that_arrives_when_written_again_although_that_failed_is_written_once_more(
    disk: FailingDisk, writer: JournalWriter
) -> None:
    for number in (1, 2, 3):
        writer.append(rows(number))
    disk.fail("sync", IO_ERROR)
    with pytest.raises(OSError, match="Input/output"):
        writer.sync()
    disk.fail("write", NO_SPACE, kept=10_000)
    with pytest.raises(OSError, match="No space"):
        writer.sync()

    assert writer.sync() == 3

    assert journal_of(disk.after_power_cut()) == {1: [1], 2: [2], 3: [3]}
    assert all(follow_one_another(raw) for raw in disk.visible().values())
    assert writer.unsynced_bytes == 0


def test_a_failed_fsync_at_a_roll_is_no_failure_of_the_append(disk: FailingDisk) -> None:
    """The frame is written; what is not durable is kept, and the error can be asked for."""
    writer = JournalWriter("journal", "w", disk=disk, segment_bytes=1)
    disk.fail("sync", IO_ERROR)

    assert writer.append(rows(1)) == 1
    assert (writer.durable_seq, writer.last_error) == (0, IO_ERROR)
    assert writer.append(rows(2)) == 2

    assert writer.durable_seq == 2
    assert journal_of(disk.after_power_cut()) == {1: [1], 2: [2]}


def test_an_interrupted_fsync_proves_nothing(disk: FailingDisk, writer: JournalWriter) -> None:
    writer.append(rows(1))
    disk.fail("sync", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        writer.sync()

    assert writer.sync() == 1
    assert journal_of(disk.after_power_cut()) == {1: [1]}


# --- appends while an fsync is under way (the disk itself does them, so that the order is known)


def test_rows_appended_during_an_fsync_wait_for_the_next_one(
    disk: FailingDisk, writer: JournalWriter
) -> None:
    writer.append(rows(1))
    disk.during_sync = lambda _: writer.append(rows(2))

    assert writer.sync() == 1

    assert writer.written_seq == 2
    disk.during_sync = lambda _: None
    assert writer.sync() == 2
    assert journal_of(disk.after_power_cut()) == {1: [1], 2: [2]}


def once(action: Callable[[], object]) -> Callable[[FailingFile], object]:
    """Do this during the first fsync, and nothing during those that follow."""
    waiting = [action]
    return lambda _: waiting.pop()() if waiting else None


def test_a_roll_during_an_fsync_does_not_close_the_file_under_it(disk: FailingDisk) -> None:
    writer = JournalWriter("journal", "w", disk=disk, segment_bytes=150)
    writer.append(rows(1))
    disk.during_sync = once(lambda: [writer.append(rows(number)) for number in range(2, 9)])

    assert writer.sync() == 1

    assert len(disk.files) > 2
    assert not any(file.closed for file in disk.files.values())
    assert writer.sync() == 8
    assert journal_of(disk.after_power_cut()) == {number: [number] for number in range(1, 9)}
    writer.close()
    assert [file.closed for file in disk.files.values()] == [1] * len(disk.files)


def test_segments_that_rolled_during_an_fsync_are_synced_by_the_next_append(disk: FailingDisk) -> None:
    writer = JournalWriter("journal", "w", disk=disk, segment_bytes=1)
    disk.during_sync = once(lambda: writer.append(rows(2)))
    writer.append(rows(1))
    assert writer.durable_seq == 1

    writer.append(rows(3))

    assert writer.durable_seq == 3
    assert [file.closed for file in disk.files.values()] == [1, 1, 1]


def test_a_failed_fsync_gives_up_the_segments_that_were_begun_meanwhile(disk: FailingDisk) -> None:
    """So that in every segment the frames follow one another."""
    writer = JournalWriter("journal", "w", disk=disk, segment_bytes=150)
    writer.append(rows(1))
    disk.during_sync = once(lambda: [writer.append(rows(number)) for number in range(2, 9)])
    disk.fail("sync", IO_ERROR)
    with pytest.raises(OSError, match="Input/output"):
        writer.sync()
    assert all(file.closed == 1 for file in disk.files.values())

    assert writer.sync() == 8

    assert journal_of(disk.after_power_cut()) == {number: [number] for number in range(1, 9)}
    assert all(follow_one_another(raw) for raw in disk.visible().values())


def test_a_write_that_fails_during_an_fsync_does_not_close_the_file_under_it(
    disk: FailingDisk, writer: JournalWriter
) -> None:
    def append_to_a_full_disk() -> None:
        disk.fail("write", NO_SPACE, kept=5)
        with pytest.raises(OSError, match="No space"):
            writer.append(rows(2))
        writer.append(rows(2))

    writer.append(rows(1))
    disk.during_sync = once(append_to_a_full_disk)

    assert writer.sync() == 1
    assert [file.closed for file in disk.files.values()] == [1, 0]
    assert writer.sync() == 2
    assert journal_of(disk.after_power_cut()) == {1: [1], 2: [2]}


def test_rows_appended_while_the_writer_closes_go_to_a_new_segment(
    disk: FailingDisk, writer: JournalWriter
) -> None:
    writer.append(rows(1))
    disk.during_sync = once(lambda: writer.append(rows(2)))

    writer.close()

    assert writer.durable_seq == 1
    assert [file.closed for file in disk.files.values()] == [1, 0]
    assert sorted(disk.visible()) == ["w-000001.mldj", "w-000002.mldj"]


# --- any order of faults


class Story:
    """A writer to which random things happen, and the numbers that it has accepted."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.disk = FailingDisk()
        self.disk.during_sync = self.maybe_append
        size = self.chance.choice([1, 200, 500, 100_000])
        self.writer = JournalWriter("journal", "w", disk=self.disk, segment_bytes=size)
        self.accepted: dict[int, list[int]] = {}
        self.number = 0

    def step(self) -> None:
        actions = [self.append, self.sync, self.close, self.plan_fault]
        with contextlib.suppress(OSError):
            self.chance.choices(actions, [8, 3, 1, 4])[0]()

    def append(self) -> None:
        """Each try has another number: a caller may well have more rows when it tries again."""
        self.number += 1
        number = self.number
        self.accepted[self.writer.append(rows(number))] = [number]

    def maybe_append(self, _: FailingFile) -> None:
        if self.chance.random() < 0.5:
            with contextlib.suppress(OSError):
                self.append()

    def sync(self) -> None:
        goal = self.writer.written_seq
        assert self.writer.sync() >= goal

    def close(self) -> None:
        goal = self.writer.written_seq
        self.writer.close()
        assert self.writer.durable_seq >= goal

    def plan_fault(self) -> None:
        operation = self.chance.choice(
            ["write", "write", "sync", "sync", "create", "remove", "size", "close"]
        )
        kept = self.chance.choice([0, 5, 40, 90, 10_000])
        self.disk.fail(operation, self.chance.choice([NO_SPACE, IO_ERROR]), kept=kept)


@pytest.mark.sample(3)
@pytest.mark.simulation
@pytest.mark.parametrize("first_seed", range(0, 60, 10))
def test_what_was_accepted_is_there_exactly_once_in_order_whatever_failed(first_seed: int) -> None:
    """What counts as durable survives a power cut, after every step; all does, once the faults are over."""
    for seed in range(first_seed, first_seed + 10):
        story = Story(seed)
        disk, writer = story.disk, story.writer
        for _ in range(80):
            story.step()
            survived = journal_of(disk.after_power_cut())
            assert writer.written_seq == len(story.accepted) == max(story.accepted, default=0)
            assert survived.items() <= story.accepted.items()
            assert set(range(1, writer.durable_seq + 1)) <= survived.keys()

        disk.plans.clear()
        disk.during_sync = lambda _: None
        writer.close()
        assert journal_of(disk.after_power_cut()) == journal_of(disk.visible()) == story.accepted
        assert (writer.durable_seq, writer.unsynced_bytes) == (len(story.accepted), 0)
        assert all(file.closed and follow_one_another(file.visible) for file in disk.files.values())
