"""Journals from strangers: whatever is in them, readers need little memory and work, say what they found, and go on.

What is asserted is what is allocated and read, not how long it takes. Files of many gigabytes are holes but for a few
bytes.
"""

from __future__ import annotations

import os
import tracemalloc
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ml_dash.errors import JournalDamageWarning, JournalError
from ml_dash.journal import scan as scan_module
from ml_dash.journal.blocks import Block, Column
from ml_dash.journal.feed import FeedFrame, JournalFeed
from ml_dash.journal.frame import (
    FRAME_BYTES_MAX,
    FRAME_HEADER,
    META_BYTES_MAX,
    ROWS_MAX,
    SYNC,
    encode_frame,
    encode_segment_header,
    longest_read,
    segment_name,
)
from ml_dash.journal.index import JournalIndex
from ml_dash.journal.latest import latest_ns
from ml_dash.journal.objects import to_msgpack
from ml_dash.journal.verify import repair, verify
from ml_dash.query.journal_view import JournalView
from ml_dash.series import Kind, Series
from tests.support.counting_disk import CountingDisk
from tests.support.journals import LATER_WRITER, TRAIN, WRITER, frame
from tests.support.strangers import head, numbers_meta, objects
from tests.support.view_journals import SECOND, write

LOG = Series(Kind.LOG, None)
MEMORY = 200 << 20
"""Bytes that a reader may have at any moment."""
HEADER = encode_segment_header(WRITER, 1, 0, 1)


@contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


class Journal:
    """A journal with one segment of a stranger's, and a sound one of somebody else's."""

    def __init__(self, directory: Path, *pieces: bytes | int) -> None:
        """`pieces` are bytes, or how many zeros; they follow a segment's header."""
        self.directory = str(directory)
        directory.mkdir()
        self.path = directory / segment_name(WRITER, 1)
        self.starts = []
        with self.path.open("xb") as file:
            file.write(HEADER)
            for piece in pieces:
                self.starts.append(file.tell())
                if isinstance(piece, bytes):
                    file.write(piece)
                else:
                    file.truncate(file.tell() + piece)
                    file.seek(0, os.SEEK_END)
        sound = encode_segment_header(LATER_WRITER, 1, 0, 1) + frame(1, 100)
        (directory / segment_name(LATER_WRITER, 1)).write_bytes(sound)
        self.disk = CountingDisk()

    def read(self) -> tuple[list[int], JournalIndex]:
        """Read all rows of the metric, and of the logs, as a person does who asks for everything."""
        index = JournalIndex(self.directory, disk=self.disk)
        index.refresh()
        found = [int(time) for _, block in index.blocks(TRAIN) for time in block.times]
        for _ in index.blocks(LOG):
            pass
        _ = index.writers
        return found, index


# --- long frames, and files


def test_a_frame_that_is_too_long_is_named_left_out_and_left_alone(tmp_path: Path) -> None:
    """Its checksums are right; the others are read, a repair does not touch it, and a sync stops there."""
    size = 3_500_000_000
    long = head(numbers_meta(size), size)
    journal = Journal(tmp_path / "journal", frame(1, 1), long, size, frame(3, 3))
    with little_memory():
        found, index = journal.read()
        report = verify(journal.directory, disk=journal.disk)
        assert latest_ns(journal.directory, journal.disk) >= 0
        refused = repair(journal.directory, disk=journal.disk, force=True).refused
        with pytest.warns(JournalDamageWarning, match="ML_DASH_FRAME_BYTES"):
            assert len(JournalView(journal.directory, disk=journal.disk).read(TRAIN, 0, 10)["data"]) == 3
        feed = JournalFeed(journal.directory, WRITER, journal.disk, settled=lambda: float("inf"))
        assert [item.seq for item in feed.next_batch(1 << 20)] == [1]
        with pytest.raises(JournalError, match=f"at byte {journal.starts[1]}: .*ML_DASH_FRAME_BYTES"):
            feed.next_batch(1 << 20)
    assert found == [1, 3, 100]
    for damage in (index.damage, report.damage):
        assert [(each.path, each.offset, each.unread) for each in damage] == [
            (str(journal.path), journal.starts[1], True)
        ]
        assert "3,5" in damage[0].reason
        assert "set ML_DASH_FRAME_BYTES=" in damage[0].reason
    assert list(refused) == [str(journal.path)]
    assert "ML_DASH_FRAME_BYTES" in refused[str(journal.path)]
    assert journal.disk.bytes_read < 1 << 20


def test_who_trusts_a_long_frame_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As older versions, that knew no limit, may have written it."""
    monkeypatch.setenv("ML_DASH_FRAME_BYTES", "65536")
    block = Block(TRAIN, [2], [Column("n", "o", None, ["x" * 150_000])])
    journal = Journal(tmp_path / "journal", frame(1, 1), encode_frame(2, [block]), frame(3, 3))
    assert journal.read()[0] == [1, 3, 100]
    monkeypatch.setenv("ML_DASH_FRAME_BYTES", "80000")
    found, index = journal.read()
    assert (found, index.damage) == ([1, 2, 3, 100], [])


def test_what_a_writer_writes_is_read() -> None:
    """The reader's limit follows from the writer's, with room for what older versions put into one frame."""
    assert longest_read({}) >= 2 * FRAME_BYTES_MAX
    assert longest_read({"ML_DASH_FRAME_BYTES": "1000000"}) >= 1_000_000


def test_nothing_is_read_where_there_is_nothing(tmp_path: Path) -> None:
    """A file of some bytes that claims to be of 200 GB: read by all, and repaired without a copy."""
    journal = Journal(tmp_path / "journal", frame(1, 1), 100 << 30, frame(2, 2), 100 << 30)
    with little_memory():
        found, index = journal.read()
        report = verify(journal.directory, disk=journal.disk)
        assert latest_ns(journal.directory, journal.disk) >= 0
        feed = JournalFeed(journal.directory, WRITER, journal.disk)
        assert [item.seq for item in feed.next_batch(1 << 20)] == [1, 2]
        repaired = repair(journal.directory, disk=journal.disk, force=True).repaired
    assert found == [1, 2, 100]
    assert [(each.offset, each.length) for each in index.damage] == [(journal.starts[1], 100 << 30)]
    assert report.torn == {str(journal.path): 100 << 30}
    assert [each.frames_kept for each in repaired] == [2]
    assert verify(journal.directory).ok
    assert os.stat(repaired[0].original).st_blocks * 512 < 1 << 20
    assert journal.disk.bytes_read < 16 << 20


@pytest.mark.parametrize("length", [META_BYTES_MAX + 1, 3 << 30])
def test_a_long_meta_is_no_meta(tmp_path: Path, length: int) -> None:
    """It is not read, and so nobody knows whether its checksum is right."""
    bad = FRAME_HEADER.pack(SYNC, length, 0, 2, 0, zlib.crc32(b""))
    journal = Journal(tmp_path / "journal", frame(1, 1), bad, length, frame(3, 3))
    with little_memory():
        found, index = journal.read()
    assert found == [1, 3, 100]
    assert [each.offset for each in index.damage] == [journal.starts[1]]
    assert "a frame's meta" in index.damage[0].reason
    assert journal.disk.bytes_read < 1 << 20


# --- work


def test_markers_that_claim_long_metas_are_not_all_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each costs as much as it claims, and a segment has room for a million of them."""
    monkeypatch.setattr(scan_module, "_IN_VAIN_LEAST", 1 << 20)
    claim = FRAME_HEADER.pack(SYNC, 1 << 20, 0, 2, 0, 0)
    journal = Journal(tmp_path / "journal", frame(1, 1), claim * 50_000, 1 << 20, frame(2, 2))
    found, _ = journal.read()
    assert found == [1, 2, 100]
    assert journal.disk.bytes_read < 12 * journal.path.stat().st_size


def test_frames_within_frames_are_not_all_gone_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is in the data of one that is bad, where a search goes on: each would be read to its end."""
    monkeypatch.setattr(scan_module, "_IN_VAIN_LEAST", 1 << 20)
    inner = bytes(1000)
    for seq in range(3000, 1, -1):
        meta = to_msgpack([[Kind.METRIC, "train", 1, [["n", "o", 1, False, len(inner) - 8]]]])
        raw = head(meta, len(inner), seq)  # the checksum of other data
        inner = raw + inner
    journal = Journal(tmp_path / "journal", frame(1, 1), inner, b"what is no frame")
    journal.read()
    assert (
        journal.disk.bytes_read < 60 * journal.path.stat().st_size
    )  # of each of them, it would be thousands


def test_damage_everywhere_costs_no_more_than_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte that is no frame between any two: each was searched from for a megabyte. And of many, the rest is one."""
    monkeypatch.setattr(scan_module, "HOLES_MAX", 1500)
    journal = Journal(tmp_path / "journal", *[frame(seq, seq) + b"x" for seq in range(1, 2001)])
    found, index = journal.read()
    assert found == [*range(1, 1502), 100]
    assert len(index.damage) == 1501
    assert "nothing more is read" in index.damage[-1].reason
    assert journal.disk.bytes_read < 30 * journal.path.stat().st_size


# --- values


def nested(levels: int, what: bytes = b"\x91") -> bytes:
    return what * levels + b"\xc0"


BAD_OBJECTS: dict[str, bytes] = {
    "100,000 lists in each other": b"\x91" + nested(100_000),
    "a list that claims 4 billion": b"\x91\xdd\xff\xff\xff\xff" + b"\xc0" * 100,
    "lists that claim all there is": b"\x91" + b"\xdd\x00\x1e\x84\x80" * 1000 + b"\xc0" * 2_000_000,
    "a dict that claims 4 billion": b"\x91\xdf\xff\xff\xff\xff" + b"\xc0" * 100,
    "a text that claims 4 GiB": b"\x91\xdb\xff\xff\xff\xff" + b"x" * 100,
    "a key that cannot be one": b"\x91\x81\x90\xc0",
    "no text": b"\x91\xa1\xff",
    "a time beyond all times": b"\x91\xc7\x0c\xff\xff\xff\xff\xff" + b"\xff" * 8,
}


MANY_LISTS = b"\x91\xdd\x00\x4c\x4b\x40" + b"\x90" * 5_000_000


@pytest.mark.parametrize(
    "raw",
    [
        *[pytest.param(raw, id=name) for name, raw in BAD_OBJECTS.items()],
        pytest.param(MANY_LISTS, id="five million empty lists", marks=pytest.mark.slow),
    ],
)
def test_objects_that_are_none_are_damage_and_nothing_more(tmp_path: Path, raw: bytes) -> None:
    journal = Journal(tmp_path / "journal", frame(1, 1), objects(raw), frame(3, 3))
    with little_memory():
        found, index = journal.read()
        report = verify(journal.directory, disk=journal.disk)
    assert found == [1, 3, 100]
    for damage in (index.damage, report.damage):
        assert [(each.path, each.offset) for each in damage] == [(str(journal.path), journal.starts[1])]
    assert isinstance(JournalFeed(journal.directory, WRITER).next_batch(1 << 30)[1], FeedFrame)


@pytest.mark.parametrize("what", [b"\x91", b"\x81\xa1a"], ids=["lists", "dicts"])
@pytest.mark.parametrize("levels", [129, 1000])
def test_what_is_nested_deep_has_a_mark_in_its_place(tmp_path: Path, what: bytes, levels: int) -> None:
    """Whoever walks over a value recurses, and nobody should have to know how deep that may be."""
    journal = Journal(tmp_path / "journal", objects(b"\x92\xa2ok" + nested(levels, what), 2, seq=1))
    index = journal.read()[1]
    (_, block), *_ = index.blocks(LOG)
    ok, value = block.columns[0].values
    depth = 0
    while isinstance(value, (list, dict)) and "__repr__" not in value:
        (value,) = value if isinstance(value, list) else value.values()
        depth += 1
    assert (ok, depth, index.damage) == ("ok", 128, [])
    assert value["__type__"] == ("builtins.list" if what == b"\x91" else "builtins.dict")


BAD_METAS: dict[str, Callable[[], bytes]] = {
    "nested deep": lambda: b"\x91" * 1000 + b"\xc0",
    "a million blocks": lambda: b"\xdd\x00\x0f\x42\x40" + to_msgpack([1, None, 0, []]) * 1_000_000,
    "a million columns": lambda: to_msgpack([[1, None, 0, [["", "f", 0, True, 0]] * 1_000_000]]),
    "a list that claims all": lambda: b"\x91" + b"\xdd\x00\x1e\x84\x80" * 1000 + b"\xc0" * 2_000_000,
    "an entry of a megabyte": lambda: to_msgpack([["x" * 1_000_000]]),
}


@pytest.mark.sample(5)
@pytest.mark.parametrize("meta", BAD_METAS.values(), ids=BAD_METAS)
def test_a_meta_that_is_none_is_damage_and_nothing_more(tmp_path: Path, meta: Callable[[], bytes]) -> None:
    journal = Journal(tmp_path / "journal", frame(1, 1), head(meta(), 0), frame(3, 3))
    with little_memory():
        found, index = journal.read()
    assert found == [1, 3, 100]
    assert [each.offset for each in index.damage] == [journal.starts[1]]
    assert len(index.damage[0].reason) < 1000


def test_rows_without_fields_do_not_become_millions_of_dicts(tmp_path: Path) -> None:
    rows = ROWS_MAX + 1
    meta = to_msgpack([[Kind.METRIC, "train", rows, []]])
    data = bytes(8 * rows)
    journal = Journal(tmp_path / "journal", frame(1, 1), head(meta, len(data), 2, data) + data, frame(3, 3))
    with little_memory():
        found, index = journal.read()
    assert found == [1, 3, 100]
    assert [each.offset for each in index.damage] == [journal.starts[1]]


# --- what a writer refuses, since no reader would take it


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param(lambda: [Column("n", "o", None, ["x" * (FRAME_BYTES_MAX + 1)])], id="bytes"),
        pytest.param(lambda: [Column("x" * 99_999, "i", None, [1])] * 200, id="names"),
        pytest.param(lambda: [Column("", "i", None, [1])] * 600_000, id="columns", marks=pytest.mark.slow),
        pytest.param(
            lambda: [Column("n", "o", None, [[[]] * 5_000_000])], id="containers", marks=pytest.mark.slow
        ),
    ],
)
def test_a_writer_writes_nothing_that_no_reader_takes(columns: Callable[[], list[Column]]) -> None:
    with pytest.raises(ValueError, match=r"more than|are read|over"):
        encode_frame(1, [Block(TRAIN, [1], columns())])


@pytest.mark.slow
def test_objects_of_all_columns_are_counted_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame with more of them is damage, whose rows are told; one that has just so many is read."""
    values: list[object] = [[[]] * 60_000]
    blocks = [
        Block(Series(Kind.METRIC, name), [SECOND], [Column(field, "o", None, values) for field in "xy"])
        for name in "ab"
    ]
    write(tmp_path, [[block] for block in blocks] + [blocks])
    cases: list[tuple[int, int, list[int]]] = [(250_000, 2, []), (150_000, 1, [2]), (100_000, 0, [1, 1, 2])]
    for most, rows, lost in cases:
        for module in ("reader", "objects"):
            monkeypatch.setattr(f"ml_dash.journal.{module}.READ_CONTAINERS_MAX", most)
        report = verify(str(tmp_path))
        assert [damage.events for damage in report.damage if "lists and dicts" in damage.reason] == lost
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", JournalDamageWarning)
            assert len(JournalView(str(tmp_path)).read(blocks[0].series)["data"]) == rows
    monkeypatch.setattr("ml_dash.journal.frame.CONTAINERS_MAX", 200_000)
    encode_frame(1, blocks[:1])
    with pytest.raises(ValueError, match="200,000 lists and dicts"):
        encode_frame(1, blocks)
