"""The writer on disks that work: what is written when, and what threads and forked children may do."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from ml_dash.journal.frame import SegmentHeader, decode_segment_header
from ml_dash.journal.writer import JournalWriter
from tests.support.failing_disk import FailingDisk, FailingFile, files_in, journal_of, rows

DEADLINE = 30.0


@pytest.fixture
def disk() -> FailingDisk:
    return FailingDisk()


@pytest.fixture
def writer(disk: FailingDisk) -> JournalWriter:
    return JournalWriter("journal", "w", disk=disk)


class FixedClock:
    def time_ns(self) -> int:
        return 1_700_000_000_000_000_000

    def monotonic(self) -> float:
        return 0.0


# --- on a disk that works


def test_frames_are_on_disk_when_append_returns(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path / "journal"), "w")
    assert writer.append(rows(1, 2)) == 1
    assert writer.append(rows(3)) == 2

    assert journal_of(files_in(tmp_path / "journal")) == {1: [1, 2], 2: [3]}
    assert (writer.written_seq, writer.durable_seq) == (2, 0)
    writer.close()


def test_nothing_is_made_on_disk_before_the_first_append(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path / "journal"), "w")

    assert writer.sync() == 0
    writer.close()

    assert list(tmp_path.iterdir()) == []
    assert writer.segment_path is None


def test_a_segment_says_whose_it_is_and_where_it_starts(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path), "w", clock=FixedClock())
    writer.append(rows(1))
    writer.close()
    writer.append(rows(2))
    writer.close()

    headers = [decode_segment_header(raw, name) for name, raw in sorted(files_in(tmp_path).items())]

    assert [header and header._replace(length=0) for header in headers] == [
        SegmentHeader(1, "w", 1, 1_700_000_000_000_000_000, 1, 0),
        SegmentHeader(1, "w", 2, 1_700_000_000_000_000_000, 2, 0),
    ]


def test_the_properties_say_what_is_written_and_what_is_durable(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path), "w")
    writer.append(rows(1))
    path = writer.segment_path
    assert path == str(tmp_path / "w-000001.mldj")
    assert 0 < writer.unsynced_bytes < writer.bytes_written == os.path.getsize(path)

    assert writer.sync() == 1

    assert (writer.durable_seq, writer.unsynced_bytes, writer.last_error) == (1, 0, None)
    writer.close()
    assert writer.segment_path is None


def test_a_full_segment_is_made_durable_and_followed_by_a_new_one(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path), "w", segment_bytes=200)
    for number in range(10):
        writer.append(rows(number))

    files = files_in(tmp_path)
    headers = [decode_segment_header(raw, name) for name, raw in sorted(files.items())]
    firsts = [header.first_seq for header in headers if header]
    assert len(firsts) == len(files) > 3
    assert all(200 <= len(raw) < 300 for _, raw in sorted(files.items())[:-1])
    assert writer.durable_seq == firsts[-1] - 1
    assert journal_of(files) == {number + 1: [number] for number in range(10)}
    writer.close()


def test_a_closed_writer_goes_on_in_a_new_segment(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path), "w")
    writer.append(rows(1))
    writer.close()
    writer.close()
    assert writer.durable_seq == 1

    assert writer.append(rows(2)) == 2

    assert sorted(files_in(tmp_path)) == ["w-000001.mldj", "w-000002.mldj"]
    writer.close()
    assert journal_of(files_in(tmp_path)) == {1: [1], 2: [2]}


def test_blocks_that_cannot_be_encoded_leave_no_trace(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path / "journal"), "w")
    with pytest.raises(ValueError, match="not of type 'i'"):
        writer.append(rows(2**63))
    assert list(tmp_path.iterdir()) == []

    assert writer.append(rows(1)) == 1
    writer.close()


def test_a_name_that_another_writer_has_is_never_used(tmp_path: Path) -> None:
    """Readers would keep one of two frames of the same number: better to fail than to lose rows."""
    first, second = JournalWriter(str(tmp_path), "w"), JournalWriter(str(tmp_path), "w")
    first.append(rows(1))

    for _ in range(2):
        with pytest.raises(FileExistsError):
            second.append(rows(2))

    first.close()
    assert journal_of(files_in(tmp_path)) == {1: [1]}


# --- threads


class SlowSync:
    """Holds the first fsync until it is told to go on."""

    def __init__(self, disk: FailingDisk) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        disk.during_sync = self

    def __call__(self, _: FailingFile) -> None:
        self.begun.set()
        assert self.go_on.wait(DEADLINE)


def started(target: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def finish(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.join(DEADLINE)
    assert not any(thread.is_alive() for thread in threads)


def test_a_slow_fsync_stalls_no_append(disk: FailingDisk) -> None:
    """Not even one that fills a segment. That this test ends is what it shows."""
    writer = JournalWriter("journal", "w", disk=disk, segment_bytes=150)
    writer.append(rows(0))
    slow = SlowSync(disk)
    syncing = started(writer.sync)
    assert slow.begun.wait(DEADLINE)

    for number in range(1, 20):
        writer.append(rows(number))
    assert (writer.written_seq, writer.durable_seq) == (20, 0)

    slow.go_on.set()
    finish(syncing)
    writer.close()
    assert journal_of(disk.after_power_cut()) == {number + 1: [number] for number in range(20)}


@pytest.mark.parametrize("method", ["sync", "close"])
def test_sync_and_close_wait_for_the_fsync_under_way(
    disk: FailingDisk, writer: JournalWriter, method: str
) -> None:
    writer.append(rows(1))
    slow = SlowSync(disk)
    first = started(writer.sync)
    assert slow.begun.wait(DEADLINE)
    writer.append(rows(2))
    second = started(getattr(writer, method))
    assert writer.durable_seq == 0

    slow.go_on.set()
    finish(first, second)

    assert writer.durable_seq == 2
    assert (writer.segment_path is None) == (method == "close")


def test_many_threads_append_and_sync_without_losing_or_doubling_a_row(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path), "w", segment_bytes=2000)

    def work(first: int) -> None:
        for number in range(first, first + 100):
            writer.append(rows(number))
            if number % 10 == 0:
                assert writer.sync() >= 1

    finish(*[started(partial(work, first)) for first in (0, 100, 200)])
    writer.close()

    found = journal_of(files_in(tmp_path))
    assert list(found) == list(range(1, 301))
    assert sorted(number for numbers in found.values() for number in numbers) == list(range(300))
    assert (writer.durable_seq, writer.unsynced_bytes) == (300, 0)


# --- forks


def test_an_abandoned_writer_forgets_what_it_kept_and_leaves_the_files_alone(
    disk: FailingDisk, writer: JournalWriter
) -> None:
    writer.append(rows(1))
    writer.sync()
    writer.append(rows(2))
    before = disk.visible(), disk.after_power_cut()

    writer.abandon()

    assert (writer.unsynced_bytes, writer.segment_path, writer.sync()) == (0, None, 1)
    writer.close()
    assert (disk.visible(), disk.after_power_cut()) == before
    assert [file.closed for file in disk.files.values()] == [1]
    with pytest.raises(RuntimeError, match="abandoned"):
        writer.append(rows(3))


def in_a_forked_child(action: Callable[[], None]) -> int:
    """Return the exit status of a child that does this: 0, or 1 where it raised; an alarm ends a hang."""
    child = os.fork()
    if child == 0:
        signal.alarm(int(DEADLINE))
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_closes_its_copy_of_the_file_and_the_parent_goes_on(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path), "w")
    writer.append(rows(1))
    assert writer._current is not None
    descriptor = writer._current.file._fd  # type: ignore[attr-defined]

    def abandon() -> None:
        writer.abandon()
        with pytest.raises(OSError, match="descriptor"):
            os.fstat(descriptor)

    assert in_a_forked_child(abandon) == 0

    writer.append(rows(2))
    writer.close()
    assert journal_of(files_in(tmp_path)) == {1: [1], 2: [2]}
    assert len(files_in(tmp_path)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_forked_during_an_fsync_and_an_append_does_not_hang(
    disk: FailingDisk, writer: JournalWriter
) -> None:
    """Its copies of both locks are held by threads that it does not have."""
    writer.append(rows(1))
    slow = SlowSync(disk)
    syncing = started(writer.sync)
    assert slow.begun.wait(DEADLINE)

    def abandon() -> None:
        writer.abandon()
        writer.sync()
        writer.close()

    with writer._lock:
        assert in_a_forked_child(abandon) == 0

    slow.go_on.set()
    finish(syncing)
    assert writer.durable_seq == 1
