"""Verify and repair: every byte is checked, the original is kept, and what was good stays as it was."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest

from ml_dash.errors import JournalVersionError
from ml_dash.journal.frame import SEGMENT_HEADER, decode_segment_header, segment_name
from ml_dash.journal.index import JournalIndex
from ml_dash.journal.verify import RepairReport, repair, seems_alive, verify
from ml_dash.journal.writer import JournalWriter
from tests.support.journals import (
    LATER_WRITER,
    NAME,
    TRAIN,
    WRITER,
    MemoryDisk,
    disk_with,
    frame,
    numbers,
    opened,
    read,
    segment,
)

HEADER = len(segment())
PATH = f"j/{NAME}"
SECOND = f"j/{segment_name(WRITER, 2)}"
ONE, TWO, THREE = (frame(seq, seq * 10, seq * 10 + 1) for seq in (1, 2, 3))


def dead(_writer: str) -> bool:
    return False


def alive(_writer: str) -> bool:
    return True


def bad_data(raw: bytes) -> bytes:
    return raw[:-1] + bytes([raw[-1] ^ 1])


def bad_head(raw: bytes) -> bytes:
    return raw[:12] + bytes([raw[12] ^ 1]) + raw[13:]


def values(disk: MemoryDisk) -> list[int]:
    return [value for _, value in read(opened(disk))]


def repaired(disk: MemoryDisk) -> RepairReport:
    return repair("j", disk=disk, live=dead)


def test_a_sound_journal_is_told_to_be_sound() -> None:
    disk = disk_with(segment(ONE, TWO), segment(THREE, number=2, first_seq=3))

    report = verify("j", disk=disk)

    assert report.ok
    assert (report.frames, report.rows) == (3, 6)
    assert report.bytes == sum(map(len, disk.files.values()))
    assert (report.damage, report.torn) == ((), {})


def test_verify_finds_damage_that_only_reading_the_data_shows() -> None:
    report = verify("j", disk=disk_with(segment(ONE, bad_data(TWO), THREE)))

    assert not report.ok
    assert (report.frames, report.rows) == (2, 4)
    assert [(damage.offset, damage.frames, damage.events) for damage in report.damage] == [
        (HEADER + len(ONE), 1, 2)
    ]


def test_verify_tells_torn_tails_by_file() -> None:
    disk = disk_with(segment(ONE, TWO[:-1]), segment(TWO, THREE[:9], number=2, first_seq=2))

    report = verify("j", disk=disk)

    assert not report.ok
    assert report.damage == ()
    assert report.torn == {PATH: len(TWO) - 1, SECOND: 9}


def test_an_empty_directory_is_sound(tmp_path: Path) -> None:
    assert verify(str(tmp_path / "none")).ok
    assert repair(str(tmp_path / "none")) == RepairReport((), {})


def test_a_sound_journal_is_not_touched(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path), WRITER, segment_bytes=200)
    for at in range(9):
        writer.append([numbers(at)])
    writer.close()
    (tmp_path / segment_name(LATER_WRITER, 1)).write_bytes(b"")
    before = {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in tmp_path.iterdir()}

    report = repair(str(tmp_path), live=dead)

    assert report == RepairReport((), {})
    assert {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("raw", "left", "cut"),
    [
        (segment(ONE, TWO, THREE[:-1]), [10, 11, 20, 21], len(THREE) - 1),
        (segment(ONE, bad_head(TWO), THREE), [10, 11, 30, 31], len(TWO)),
        (segment(ONE, bad_data(TWO), THREE), [10, 11, 30, 31], len(TWO)),
        (segment(ONE, bytes(99), TWO), [10, 11, 20, 21], 99),
        (segment(bad_head(ONE), TWO), [20, 21], len(ONE)),
        (segment(ONE, TWO[:-5], THREE), [10, 11, 30, 31], len(TWO) - 5),
        (segment(ONE) + segment(TWO, writer=LATER_WRITER), [10, 11], len(segment(TWO))),
    ],
    ids=["torn", "bad head", "bad data", "zeros", "first frame", "bytes missing", "another's segment"],
)
def test_what_is_bad_is_cut_out_and_the_original_kept(raw: bytes, left: list[int], cut: int) -> None:
    disk = disk_with(raw)
    before = values(disk)

    report = repaired(disk)

    assert values(disk) == left == before
    assert report.repaired == ((PATH, f"{PATH}.torn", len(left) // 2, cut),)
    assert report.refused == {}
    assert disk.files[f"{PATH}.torn"] == raw
    assert set(disk.files) == {PATH, f"{PATH}.torn"}
    assert disk.files[PATH].startswith(segment())
    assert repaired(disk) == RepairReport((), {}), "nothing is left to be repaired"


def test_real_files_are_repaired_like_any_other(tmp_path: Path) -> None:
    raw = segment(ONE, bad_data(TWO), THREE, b"torn")
    (tmp_path / NAME).write_bytes(raw)

    repair(str(tmp_path), live=dead)

    assert (tmp_path / NAME).read_bytes() == segment(ONE, THREE)
    assert (tmp_path / f"{NAME}.torn").read_bytes() == raw
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, f"{NAME}.torn"]


def test_what_is_lost_stays_reported_after_the_repair() -> None:
    disk = disk_with(segment(ONE, bad_data(TWO), THREE))
    repaired(disk)

    report = verify("j", disk=disk)

    assert [(damage.offset, damage.length, damage.frames) for damage in report.damage] == [
        (HEADER + len(ONE), 0, 1)
    ]
    assert "missing" in report.damage[0].reason


def test_a_damaged_header_is_made_anew_from_the_files_name() -> None:
    raw = b"\0" * HEADER + TWO + THREE
    disk = MemoryDisk({SECOND: raw})

    repaired(disk)

    header = decode_segment_header(disk.files[SECOND], SECOND)
    assert header is not None
    assert header[1:5] == (WRITER, 2, int(WRITER[:16], 16), 2)
    assert disk.files[SECOND][header.length :] == TWO + THREE
    assert disk.files[f"{SECOND}.torn"] == raw


def test_a_file_of_an_odd_name_is_repaired_under_that_name() -> None:
    disk = MemoryDisk({"j/odd.mldj": b"garbage" + ONE})
    before = values(disk)

    repaired(disk)

    assert values(disk) == before == [10, 11]
    assert verify("j", disk=disk).ok


@pytest.mark.parametrize("raw", [segment()[:10], bytes(500), segment(bad_data(ONE)), segment() + b"torn"])
def test_a_segment_without_a_good_frame_is_only_kept_as_torn(raw: bytes) -> None:
    disk = disk_with(raw, segment(TWO, number=2, first_seq=2))

    report = repaired(disk)

    assert set(disk.files) == {f"{PATH}.torn", SECOND}
    assert disk.files[f"{PATH}.torn"] == raw
    assert report.repaired == ((PATH, f"{PATH}.torn", 0, len(raw)),)
    assert values(disk) == [20, 21]


def test_an_original_is_never_overwritten() -> None:
    disk = disk_with(segment(ONE, b"torn"))
    disk.files |= {f"{PATH}.torn": b"first", f"{PATH}.torn.1": b"second"}

    report = repaired(disk)

    assert report.repaired[0].original == f"{PATH}.torn.2"
    assert disk.files[f"{PATH}.torn"] == b"first"
    assert disk.files[f"{PATH}.torn.1"] == b"second"
    assert disk.files[f"{PATH}.torn.2"] == segment(ONE, b"torn")


def test_a_copy_of_a_lost_frame_survives_the_repair() -> None:
    disk = disk_with(segment(ONE, bad_data(TWO)), segment(TWO, THREE, number=2, first_seq=2))

    repaired(disk)

    assert values(disk) == [10, 11, 20, 21, 30, 31]
    assert verify("j", disk=disk).ok


def test_the_last_segment_of_a_running_writer_is_left_alone() -> None:
    disk = disk_with(segment(ONE, b"torn"), segment(TWO, THREE[:-1], number=2, first_seq=2))
    before = dict(disk.files)

    report = repair("j", disk=disk, live=alive)

    assert [each.path for each in report.repaired] == [PATH], "nobody appends to an earlier one"
    assert list(report.refused) == [SECOND]
    assert WRITER in report.refused[SECOND]
    assert disk.files[SECOND] == before[SECOND]
    assert repair("j", disk=disk, live=alive, force=True).repaired[0].path == SECOND
    assert values(disk) == [10, 11, 20, 21]


def test_a_writer_is_asked_about_by_its_id() -> None:
    disk = disk_with(segment(ONE, b"torn"))
    disk.files[f"j/{segment_name(LATER_WRITER, 1)}"] = segment(ONE, b"torn", writer=LATER_WRITER)

    report = repair("j", disk=disk, live=lambda writer: writer == LATER_WRITER)

    assert [each.path for each in report.repaired] == [PATH]
    assert list(report.refused) == [f"j/{segment_name(LATER_WRITER, 1)}"]


def test_a_file_that_grows_during_the_repair_is_left_alone() -> None:
    class Growing(MemoryDisk):
        sizes = 0

        def size(self, path: str) -> int:
            self.sizes += 1
            return super().size(path) + (self.sizes > 1)

    disk = Growing({PATH: segment(ONE, b"torn")})

    report = repaired(disk)

    assert report.repaired == ()
    assert "changed" in report.refused[PATH]
    assert disk.files == {PATH: segment(ONE, b"torn")}


def test_a_file_that_cannot_be_read_is_left_alone_and_told() -> None:
    disk = disk_with(segment(ONE, b"torn"))
    disk.broken = OSError(errno.EIO, "Input/output error")

    report = repaired(disk)

    assert report.repaired == ()
    assert "Input/output error" in report.refused[PATH]


def test_a_full_disk_leaves_everything_as_it_was() -> None:
    class Full(MemoryDisk):
        def replace(self, path: str, data: bytes | Iterable[bytes], *, durable: bool = True) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    disk = Full({PATH: segment(ONE, b"torn")})

    with pytest.raises(OSError, match="No space"):
        repaired(disk)

    assert disk.files == {PATH: segment(ONE, b"torn")}


def test_a_journal_of_a_later_version_is_not_repaired() -> None:
    start = SEGMENT_HEADER.pack(b"MLDJ", 2, 12, 0)[:8]
    later = start + zlib.crc32(start).to_bytes(4, "little") + b"whatever comes then"
    disk = disk_with(segment(ONE, b"torn"), later)
    before = dict(disk.files)

    for action in (verify, repair):
        with pytest.raises(JournalVersionError, match=segment_name(WRITER, 2)):
            action("j", disk=disk)
    assert disk.files == before


def test_an_index_that_is_open_during_a_repair_goes_on_with_the_new_file() -> None:
    disk = disk_with(segment(ONE, bad_data(TWO), THREE, b"torn"))
    index = opened(disk)
    assert [value for _, value in read(index)] == [10, 11, 30, 31]

    repaired(disk)
    index.refresh()

    assert read(index, TRAIN) == [(0, 10), (1, 11), (2, 30), (3, 31)]


def test_a_writer_seems_alive_as_long_as_a_process_has_its_number() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    writer = f"0123456789abcdef-{process.pid:x}-89abcdef"
    try:
        assert seems_alive(writer)
    finally:
        process.communicate(b"\n")

    assert not seems_alive(writer)
    assert seems_alive(f"0123456789abcdef-{os.getpid():x}-89abcdef")


@pytest.mark.parametrize("writer", ["", "odd", "0123456789abcdef-0-89abcdef", "a-b-c"])
def test_an_id_without_a_processs_number_belongs_to_nobody_alive(writer: str) -> None:
    assert not seems_alive(writer)


def test_a_running_writers_tail_is_left_alone_unless_told_otherwise(tmp_path: Path) -> None:
    """The default asks this machine for the process in the writer's id; this one certainly runs."""
    writer_id = f"0123456789abcdef-{os.getpid():x}-89abcdef"
    writer = JournalWriter(str(tmp_path), writer_id)
    writer.append([numbers(1)])
    writer.close()
    path = tmp_path / segment_name(writer_id, 1)
    path.write_bytes(path.read_bytes() + b"half a frame")

    assert list(repair(str(tmp_path)).refused) == [str(path)]
    assert len(repair(str(tmp_path), force=True).repaired) == 1
    index = JournalIndex(str(tmp_path))
    index.refresh()
    assert (read(index), index.torn) == ([(0, 1)], {})
