"""The feed hands out one writer's frames in order, whatever the segments look like, and says what is lost."""

from __future__ import annotations

import math
import random
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ml_dash.errors import JournalVersionError
from ml_dash.journal.blocks import Block, Column
from ml_dash.journal.feed import FeedFrame, FeedItem, JournalFeed, Lost, writers
from ml_dash.journal.frame import FRAME_HEADER, encode_frame, encode_segment_header, segment_name
from ml_dash.journal.index import JournalIndex
from ml_dash.journal.writer import JournalWriter
from ml_dash.series import Kind, Series
from tests.support.journals import LATER_WRITER, NAME, WRITER, MemoryDisk, disk_with, frame, numbers, segment

BIG = 1 << 20


def feed_of(disk: MemoryDisk, settled: Callable[[], float] | None = None) -> JournalFeed:
    return JournalFeed("j", WRITER, disk, settled=settled)


def seqs(items: Sequence[FeedItem]) -> list[int]:
    """The numbers that were handed out, those of lost frames negative."""
    return [-item.seq if isinstance(item, Lost) else item.seq for item in items]


def everything(feed: JournalFeed, max_bytes: int = BIG) -> list[int]:
    found = []
    while items := feed.next_batch(max_bytes):
        found += seqs(items)
    return found


def flipped(raw: bytes, at: int) -> bytes:
    """The same bytes with one of them changed."""
    return raw[:at] + bytes([raw[at] ^ 0xFF]) + raw[at + 1 :]


def bad_data(seq: int, *values: int) -> bytes:
    raw = frame(seq, *values)
    return flipped(raw, len(raw) - 1)


def bad_head(seq: int, *values: int) -> bytes:
    return flipped(frame(seq, *values), FRAME_HEADER.size - 1)


def test_frames_come_in_order_with_their_bytes_and_the_rows_that_count() -> None:
    run = encode_frame(2, [numbers(5, series=Series(Kind.RUN, None)), numbers(6, 7)])
    disk = disk_with(segment(frame(1, 1, 2, 3), run), segment(frame(3, 8), number=2, first_seq=3))

    assert feed_of(disk).next_batch(BIG) == [
        FeedFrame(1, frame(1, 1, 2, 3), 3),
        FeedFrame(2, run, 2),
        FeedFrame(3, frame(3, 8), 1),
    ]


def test_a_journal_that_is_not_there_has_no_writers_and_no_frames() -> None:
    assert writers("j", MemoryDisk()) == []
    assert feed_of(MemoryDisk()).next_batch(BIG) == []


def test_writers_are_named_by_the_files() -> None:
    disk = disk_with(segment(frame(1, 1)), segment(frame(2, 1), number=2, first_seq=2))
    disk.files[f"j/{segment_name(LATER_WRITER, 1)}"] = segment(frame(1, 1), writer=LATER_WRITER)
    disk.files["j/notes.txt"] = disk.files[f"j/{NAME}.torn"] = b""

    assert writers("j", disk) == [WRITER, LATER_WRITER]
    assert everything(JournalFeed("j", LATER_WRITER, disk)) == [1]


@pytest.mark.parametrize("max_bytes", [1, 150, 400, BIG])
def test_a_batch_holds_as_much_as_was_asked_for_and_at_least_a_frame(max_bytes: int) -> None:
    disk = disk_with(segment(*(frame(seq, *range(seq)) for seq in range(1, 20))))
    feed = feed_of(disk)

    found: list[FeedItem] = []
    while items := feed.next_batch(max_bytes):
        size = sum(len(item.data) for item in items if isinstance(item, FeedFrame))
        assert len(items) == 1 or size <= max_bytes
        found += items

    assert seqs(found) == list(range(1, 20))


@pytest.mark.parametrize("start", [1, 2, 5, 6, 9, 10])
def test_seek_goes_forward_and_back(start: int) -> None:
    disk = disk_with(
        segment(*(frame(seq, seq) for seq in range(1, 6))),
        segment(*(frame(seq, seq) for seq in range(6, 10)), number=2, first_seq=6),
    )
    feed = feed_of(disk)
    for before in range(1, 11):
        feed.seek(before)
        feed.next_batch(1)
        feed.seek(start)
        assert everything(feed) == list(range(start, 10))


def test_frames_written_again_after_a_failed_fsync_come_once() -> None:
    disk = disk_with(
        segment(*(frame(seq, seq) for seq in range(1, 8))),
        segment(frame(8, 8), number=2, first_seq=8),
        segment(*(frame(seq, seq) for seq in range(4, 11)), number=3, first_seq=4),
        segment(*(frame(seq, seq) for seq in range(9, 13)), number=4, first_seq=9),
    )

    assert everything(feed_of(disk), max_bytes=250) == list(range(1, 13))


def test_a_copy_stands_in_for_a_frame_whose_data_is_damaged() -> None:
    disk = disk_with(
        segment(frame(1, 1), bad_data(2, 2), bad_head(3, 3), frame(4, 4)),
        segment(frame(2, 2), frame(3, 3), bad_data(4, 4), frame(5, 5), number=2, first_seq=2),
    )

    assert everything(feed_of(disk)) == [1, 2, 3, 4, 5]


def test_the_rest_of_frames_that_were_not_all_written_again_is_found_where_it_was_first() -> None:
    """The writer was killed in the middle of writing again, after two more failures."""
    disk = disk_with(
        segment(*(frame(seq, seq) for seq in range(1, 13))),
        segment(frame(6, 6), frame(7, 7), frame(8, 8)[:-3], number=2, first_seq=6),
        segment(frame(8, 8), frame(9, 9)[:-3], number=3, first_seq=8),
        segment(frame(9, 9), number=4, first_seq=9),
    )

    assert everything(feed_of(disk)) == list(range(1, 13))


def test_a_torn_tail_is_waited_for_until_it_is_whole() -> None:
    disk = disk_with(b"")
    path = f"j/{NAME}"
    feed = feed_of(disk)
    whole = segment(frame(1, 1), frame(2, 2, 22), frame(3, 3))
    found = []
    for size in range(len(whole) + 1):
        disk.files[path] = whole[:size]
        found += seqs(feed.next_batch(BIG))

    assert found == [1, 2, 3]


def test_a_frame_torn_by_a_failed_write_is_found_in_the_next_segment() -> None:
    disk = disk_with(segment(frame(1, 1), frame(2, 2)[:-5]))
    feed = feed_of(disk)

    assert everything(feed) == [1]
    disk.files[f"j/{segment_name(WRITER, 2)}"] = segment(frame(2, 2), number=2, first_seq=2)
    assert everything(feed) == [2]


@pytest.mark.parametrize("spoil", [bad_data, bad_head])
def test_a_damaged_frame_is_waited_for_as_long_as_its_writer_may_write_it_again(
    spoil: Callable[..., bytes],
) -> None:
    disk = disk_with(segment(frame(1, 1), spoil(2, 2), frame(3, 3)))
    feed = feed_of(disk)

    assert everything(feed) == [1]
    disk.files[f"j/{segment_name(WRITER, 2)}"] = segment(frame(2, 2), frame(3, 3), number=2, first_seq=2)
    assert everything(feed) == [2, 3]


@pytest.mark.parametrize(("spoil", "rows"), [(bad_data, 2), (bad_head, None)])
def test_a_damaged_frame_is_lost_once_the_writer_has_gone_on(
    spoil: Callable[..., bytes], rows: int | None
) -> None:
    disk = disk_with(
        segment(frame(1, 1), spoil(2, 2, 22), frame(3, 3)), segment(frame(4, 4), number=2, first_seq=4)
    )
    feed = feed_of(disk)
    items = feed.next_batch(BIG)

    assert seqs(items) == [1, -2, 3, 4]
    assert items[1].rows == rows


def test_a_writer_of_this_process_says_itself_what_is_durable() -> None:
    """Neither a later frame nor a later segment is proof enough: its frames may yet be written again."""
    durable = 1
    disk = disk_with(
        segment(frame(1, 1), bad_data(2, 2), frame(3, 3)), segment(frame(4, 4), number=2, first_seq=4)
    )
    feed = feed_of(disk, settled=lambda: durable)

    assert everything(feed) == [1]
    durable = 2
    assert everything(feed) == [-2, 3, 4]


def test_all_is_lost_that_a_writer_calls_durable_and_whose_files_are_gone() -> None:
    assert everything(feed_of(MemoryDisk(), settled=lambda: 3)) == [-1, -2, -3]


def test_of_a_writer_that_is_gone_a_torn_tail_is_no_loss_and_a_damaged_frame_is() -> None:
    disk = disk_with(segment(frame(1, 1), bad_data(2, 2), frame(3, 3), frame(4, 4)[:-1]))

    assert everything(feed_of(disk, settled=lambda: math.inf)) == [1, -2, 3]


def test_a_segment_that_was_deleted_is_lost_number_by_number() -> None:
    disk = disk_with(
        segment(*(frame(seq, seq) for seq in (1, 2))),
        segment(*(frame(seq, seq) for seq in (3, 4)), number=2, first_seq=3),
        segment(*(frame(seq, seq) for seq in (5, 6)), number=3, first_seq=5),
    )
    del disk.files[f"j/{segment_name(WRITER, 2)}"]

    assert everything(feed_of(disk)) == [1, 2, -3, -4, 5, 6]


def test_a_header_that_is_damaged_hides_no_frame() -> None:
    damaged = flipped(segment(frame(1, 1), frame(2, 2)), 20)
    disk = disk_with(damaged, segment(frame(3, 3), number=2, first_seq=3))

    assert everything(feed_of(disk)) == [1, 2, 3]


def test_a_file_that_was_repaired_under_its_eyes_is_read_anew() -> None:
    disk = disk_with(segment(frame(1, 1), bad_head(2, 2), frame(3, 3), frame(4, 4)))
    feed = feed_of(disk)
    assert everything(feed) == [1]

    disk.files[f"j/{NAME}"] = segment(frame(1, 1), frame(2, 2), frame(3, 3), frame(4, 4))
    disk.files[f"j/{segment_name(WRITER, 2)}"] = segment(frame(5, 5), number=2, first_seq=5)
    assert everything(feed) == [2, 3, 4, 5]


def test_what_a_later_version_wrote_is_refused_by_name() -> None:
    raw = bytearray(segment(frame(1, 1)))
    raw[4] = 2
    length = int.from_bytes(raw[6:8], "little")
    import zlib

    raw[8:12] = zlib.crc32(raw[12:length], zlib.crc32(raw[:8])).to_bytes(4, "little")
    with pytest.raises(JournalVersionError, match=NAME):
        feed_of(disk_with(bytes(raw))).next_batch(BIG)


def test_an_error_of_the_disk_is_told_and_nothing_is_skipped_by_it() -> None:
    disk = disk_with(segment(*(frame(seq, seq) for seq in range(1, 6))))
    feed = feed_of(disk)
    assert seqs(feed.next_batch(1)) == [1]
    disk.broken = OSError(5, "Input/output error")
    with pytest.raises(OSError, match="Input/output"):
        everything(feed)
    disk.broken = None

    assert everything(feed) == [2, 3, 4, 5]


def test_rows_that_are_skipped_are_counted_from_the_heads() -> None:
    disk = disk_with(
        segment(frame(1, 1, 2), frame(2, 3), bad_head(3, 3)),
        segment(frame(4, 4, 5), frame(5, 6, 7, 8), number=2, first_seq=4),
    )
    feed = feed_of(disk)

    assert feed.skip_to(5) == (5, 2)
    assert feed.next_seq == 5
    assert everything(feed) == [5]
    feed.seek(2)
    assert feed.skip_to(100) == (6, 3)
    assert feed.next_seq == 6
    assert feed.skip_to(4) == (0, 0)


def test_a_look_at_a_journal_that_has_not_changed_reads_nothing() -> None:
    disk = disk_with(
        *(segment(frame(seq, seq), frame(seq + 1, 1), number=seq, first_seq=seq) for seq in (1, 3, 5))
    )
    feed = feed_of(disk, settled=lambda: 6)
    assert everything(feed) == [1, 2, 3, 4, 5, 6]
    disk.reads.clear()

    for _ in range(10):
        assert feed.next_batch(BIG) == []
    assert disk.reads == []


def test_pending_bytes_are_those_behind_the_next_frame() -> None:
    first, second = segment(frame(1, 1), frame(2, 2)), segment(frame(3, 3), number=2, first_seq=3)
    feed = feed_of(disk_with(first, second))
    feed.look()
    assert feed.pending_bytes == feed.total_bytes == len(first) + len(second)

    feed.next_batch(1)
    assert feed.pending_bytes == len(frame(2, 2)) + len(second)
    everything(feed)
    assert feed.pending_bytes == 0


@pytest.mark.parametrize("seed", range(60))
def test_of_random_journals_it_hands_out_what_the_index_finds(seed: int) -> None:
    """Rewritten, torn, damaged segments: every frame that a reader can read is sent, and no other."""
    rng = random.Random(seed)
    disk, last = _random_journal(rng)
    index = JournalIndex("j", disk=disk)
    index.refresh()
    readable = set()
    for at, seq in index.catalogues[WRITER].entered_since(0):
        if index.read_frame(index.catalogues[WRITER], at):
            readable.add(seq)

    feed = feed_of(disk, settled=lambda: math.inf)
    found = everything(feed, rng.choice((1, 300, BIG)))

    assert [seq for seq in found if seq > 0] == sorted(readable), f"seed {seed}"
    assert [abs(seq) for seq in found] == list(range(1, max(readable) + 1)), f"seed {seed}"
    assert max(readable) <= last


def _random_journal(rng: random.Random) -> tuple[MemoryDisk, int]:
    """A journal as a writer leaves it on a bad disk: segments begin again at what was not durable."""
    files, written, first = [], 0, 1
    for number in range(1, rng.randrange(2, 7)):
        stop = max(first, written) + rng.randrange(1, 6)
        if rng.random() < 0.3:
            stop = first + rng.randrange(1, 4)
        frames = [frame(seq, *range(seq % 4 + 1)) for seq in range(first, stop)]
        written = max(written, stop - 1)
        spoiled = [flipped(raw, rng.randrange(len(raw))) if rng.random() < 0.1 else raw for raw in frames]
        if rng.random() < 0.4:
            spoiled[-1] = spoiled[-1][: rng.randrange(len(spoiled[-1]))]
        files.append(segment(*spoiled, number=number, first_seq=first))
        first = rng.randrange(first, stop + 1) if rng.random() < 0.4 else stop
    files.append(segment(frame(written + 1, 1), number=len(files) + 1, first_seq=written + 1))
    return disk_with(*files), written + 1


@pytest.mark.slow
def test_a_large_backlog_costs_the_memory_of_a_batch(tmp_path: Path) -> None:
    """200 MB in 4 segments, written cheaply: the same frame under other numbers."""
    journal = tmp_path / "journal"
    journal.mkdir()
    block = Block(Series(Kind.METRIC, "train"), range(8192), [Column("x", "i", None, range(8192))])
    seq = 0
    for number in range(1, 5):
        with (journal / segment_name(WRITER, number)).open("wb") as file:
            file.write(encode_segment_header(WRITER, number, 0, seq + 1))
            for _ in range(380):
                seq += 1
                file.write(encode_frame(seq, [block]))
    feed = JournalFeed(str(journal), WRITER)
    feed.look()
    assert feed.total_bytes > 190_000_000

    tracemalloc.start()
    try:
        count = 0
        while items := feed.next_batch(4 << 20):
            count += len(items)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert count == seq
    assert peak < 16 << 20


def test_it_follows_a_real_writer_that_rolls_its_segments(tmp_path: Path) -> None:
    journal = str(tmp_path / "journal")
    writer = JournalWriter(journal, WRITER, segment_bytes=500)
    feed = JournalFeed(journal, WRITER, settled=lambda: writer.durable_seq)
    found = []
    for number in range(1, 60):
        writer.append([numbers(number)])
        if number % 7 == 0:
            found += everything(feed)
        if number % 20 == 0:
            writer.close()
    writer.close()
    found += everything(feed)

    assert found == list(range(1, 60))
