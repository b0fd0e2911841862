"""Following a journal: every frame is handed out, and none twice."""

from __future__ import annotations

from ml_dash.journal.blocks import block_rows
from ml_dash.journal.follow import Follower
from ml_dash.journal.frame import segment_name
from ml_dash.journal.index import JournalIndex
from tests.support.journals import EVAL, LATER_WRITER, NAME, WRITER, MemoryDisk, disk_with, frame, segment

PATH = f"j/{NAME}"


def following(disk: MemoryDisk) -> Follower:
    return Follower(JournalIndex("j", disk=disk))


def news(follower: Follower) -> list[tuple[str, list[int]]]:
    """Writer and numbers of each new frame."""
    return [
        (writer, [row["n"] for block in blocks for row in block_rows(block)])
        for writer, blocks in follower.news()
    ]


def test_a_frame_is_handed_out_once() -> None:
    """First those that are there, then those that come."""
    disk = disk_with(segment(frame(1, 10), frame(2, 20, 21)))
    follower = following(disk)
    assert news(follower) == [(WRITER, [10]), (WRITER, [20, 21])]
    assert news(follower) == []
    disk.files[PATH] += frame(3, 30)
    assert news(follower) == [(WRITER, [30])]
    assert news(follower) == []


def test_what_is_skipped_is_not_handed_out() -> None:
    """Only what the index knew then."""
    disk = disk_with(segment(frame(1, 10)))
    index = JournalIndex("j", disk=disk)
    index.refresh()
    follower = Follower(index)
    disk.files[PATH] += frame(2, 20)
    follower.skip()
    assert news(follower) == [(WRITER, [20])]


def test_all_series_and_writers_are_followed() -> None:
    """An older writer's frames come as they do, though rows before others move those in number."""
    disk = disk_with(segment(frame(1, 10)))
    disk.files[f"j/{segment_name(LATER_WRITER, 1)}"] = segment(frame(1, 99), writer=LATER_WRITER)
    follower = following(disk)
    assert news(follower) == [(WRITER, [10]), (LATER_WRITER, [99])]
    disk.files[PATH] += frame(2, 20, series=EVAL)
    assert news(follower) == [(WRITER, [20])]


def test_a_frame_that_turns_up_late_is_handed_out_then() -> None:
    """A network file system may show a new segment before the end of the one before it."""
    disk = disk_with(segment(frame(1, 10)), segment(frame(3, 30), number=2, first_seq=3))
    follower = following(disk)
    assert news(follower) == [(WRITER, [10]), (WRITER, [30])]
    disk.files[PATH] += frame(2, 20)
    assert news(follower) == [(WRITER, [20])]
    assert news(follower) == []


def test_a_second_copy_of_a_frame_is_not_handed_out() -> None:
    """It was written again after a failed fsync."""
    disk = disk_with(segment(frame(1, 10)))
    follower = following(disk)
    assert news(follower) == [(WRITER, [10])]
    disk.files[f"j/{segment_name(WRITER, 2)}"] = segment(frame(1, 10), frame(2, 20), number=2)
    assert news(follower) == [(WRITER, [20])]


def test_a_torn_frame_is_handed_out_when_it_is_whole() -> None:
    """Not before, and not in pieces."""
    whole = frame(2, 20)
    disk = disk_with(segment(frame(1, 10)) + whole[:-1])
    follower = following(disk)
    assert news(follower) == [(WRITER, [10])]
    disk.files[PATH] += whole[-1:]
    assert news(follower) == [(WRITER, [20])]


def test_a_file_that_is_rewritten_hands_out_only_what_is_new_in_it() -> None:
    """By a repair at once, or by something that empties it first."""
    disk = disk_with(segment(frame(1, 10), frame(2, 20), frame(3, 30)))
    follower = following(disk)
    assert len(news(follower)) == 3
    disk.files[PATH] = segment(frame(1, 10), frame(3, 30))
    assert news(follower) == []
    disk.files[PATH] = b""
    assert news(follower) == []
    disk.files[PATH] = segment(frame(1, 10), frame(3, 30), frame(4, 40))
    assert news(follower) == [(WRITER, [40])]


def test_a_damaged_frame_is_handed_out_empty_and_listed() -> None:
    """Those behind it come all the same."""
    bad = bytearray(frame(1, 10))
    bad[-1] ^= 1
    disk = disk_with(segment(bytes(bad), frame(2, 20)))
    index = JournalIndex("j", disk=disk)
    assert news(Follower(index)) == [(WRITER, []), (WRITER, [20])]
    assert len(index.damage) == 1
