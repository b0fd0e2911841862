"""What the system refuses to read is not damaged: readers raise, or leave it out and say so, and lose nothing by it."""

from __future__ import annotations

import errno
import warnings
from pathlib import Path

import pytest

from ml_dash.errors import JournalDamageWarning
from ml_dash.journal.feed import FeedFrame, JournalFeed
from ml_dash.journal.index import JournalIndex
from ml_dash.journal.verify import repair, verify
from ml_dash.journal.writer import JournalWriter
from ml_dash.query.journal_view import JournalView
from tests.support.journals import LATER_WRITER, WRITER
from tests.support.unreadable import RefusingDisk, no_descriptors
from tests.support.view_journals import TRAIN, block_of, metric_rows, write_rows

SHORTAGES = [errno.EMFILE, errno.ENFILE, errno.ENOMEM]
REFUSALS = [errno.EIO, errno.EACCES, errno.ESTALE]


@pytest.fixture
def journal(tmp_path: Path) -> str:
    """Two writers of 20 rows each, one of them in several segments."""
    directory = tmp_path / "journal"
    writer = JournalWriter(str(directory), WRITER, segment_bytes=300)
    for start in range(0, 20, 5):
        writer.append([block_of(TRAIN, metric_rows(5, start))])
    writer.close()
    write_rows(directory, TRAIN, metric_rows(20, 20), LATER_WRITER)
    return str(directory)


def steps(index: JournalIndex) -> list[int]:
    """The rows that can be read, by their numbers."""
    return [step for _, block in index.blocks(TRAIN) for step in block.columns[1].values]


def test_a_process_out_of_descriptors_is_told_so_and_no_row_counts_as_lost(journal: str) -> None:
    """Before the journal is opened, while it is, and when rows are read; afterwards all is there."""
    opened = JournalView(journal)
    assert opened.read(TRAIN, 0, 100)["total"] == 40
    fresh = JournalView(journal)
    with warnings.catch_warnings():
        warnings.simplefilter("error", JournalDamageWarning)
        with no_descriptors():
            for view in (opened, fresh):
                with pytest.raises(OSError, match="Too many open files"):
                    view.read(TRAIN, 0, 100)
            with pytest.raises(OSError, match="Too many open files"):
                list(opened.index.blocks(TRAIN))
        for view in (opened, fresh):
            assert len(view.read(TRAIN, 0, 100)["data"]) == 40
            assert view.index.damage == []


@pytest.mark.parametrize("operation", ["list", "size", "read_at"])
@pytest.mark.parametrize("number", SHORTAGES, ids=errno.errorcode.get)
def test_a_shortage_is_raised_wherever_it_is_met(journal: str, operation: str, number: int) -> None:
    disk = RefusingDisk(**{operation: number})
    index = JournalIndex(journal, disk=disk)
    with pytest.raises(OSError, match=r".*") as raised:
        index.refresh()
    assert raised.value.errno == number
    assert index.damage == []
    disk.refuses.clear()
    index.refresh()
    if operation == "read_at":
        disk.refuses["read_at"] = number
        with pytest.raises(OSError, match=r".*"):
            steps(index)
        disk.refuses.clear()
    assert steps(index) == list(range(40))
    assert index.damage == []


@pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.get)
def test_a_file_that_is_refused_is_left_out_and_told_and_is_read_when_it_can_be(
    journal: str, number: int
) -> None:
    """When it is opened, and when it is read later; the others are read, and nothing is called lost."""
    name = JournalIndex(journal)
    name.refresh()
    path = next(path for path in name.files if "-000002" in path or path.endswith("2.mldj"))
    disk = RefusingDisk(path, read_at=number)
    view = JournalView(journal, disk=disk)
    with pytest.warns(JournalDamageWarning, match="cannot be read") as told:
        found = view.read(TRAIN, 0, 100)["data"]
    assert len(found) < 40
    assert not any("lost" in str(each.message) for each in told if path in str(each.message))
    refused = [damage for damage in view.index.damage if damage.path == path]
    assert [damage.unread for damage in refused] == [True]
    assert view.index.unreadable.keys() == {path}
    disk.refuses.clear()
    assert len(view.read(TRAIN, 0, 100)["data"]) == 40
    assert (view.index.damage, view.index.unreadable) == ([], {})

    disk.refuses["read_at"] = number
    index = view.index
    assert len(steps(index)) < 40
    assert all(damage.unread for damage in index.damage)
    disk.refuses.clear()
    assert steps(index) == list(range(40))
    assert index.damage == []


@pytest.mark.parametrize("number", [*SHORTAGES, *REFUSALS], ids=errno.errorcode.get)
def test_a_repair_cuts_out_nothing_that_it_cannot_read(journal: str, number: int) -> None:
    """It leaves the file as it is, and says why."""
    before = {path.name: path.read_bytes() for path in Path(journal).iterdir()}
    disk = RefusingDisk(".mldj", read_at=number)
    report = repair(journal, disk=disk, force=True)
    assert report.repaired == ()
    assert len(report.refused) == len(before)
    assert {path.name: path.read_bytes() for path in Path(journal).iterdir()} == before
    assert verify(journal).ok


@pytest.mark.parametrize("number", [*SHORTAGES, *REFUSALS], ids=errno.errorcode.get)
@pytest.mark.parametrize("operation", ["list", "size", "read_at"])
def test_an_uploader_sends_no_empty_frame_for_what_it_cannot_read(
    journal: str, operation: str, number: int
) -> None:
    """Not even of a writer that is known to be done; it goes on where it was."""
    disk = RefusingDisk()
    feed = JournalFeed(journal, WRITER, disk, settled=lambda: float("inf"))
    assert [item.seq for item in feed.next_batch(1)] == [1]
    disk.refuses[operation] = number
    with pytest.raises(OSError, match=r".*"):
        feed.next_batch(1 << 20)
    disk.refuses.clear()
    items = feed.next_batch(1 << 20)
    assert [item.seq for item in items] == [2, 3, 4]
    assert all(isinstance(item, FeedFrame) for item in items)
