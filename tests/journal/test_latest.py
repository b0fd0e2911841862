"""The latest time in a journal, for who writes next."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ml_dash.journal.latest import latest_ns
from ml_dash.journal.writer import JournalWriter
from ml_dash.series import Kind, Series
from tests.support.counting_disk import CountingDisk
from tests.support.view_journals import TRAIN, block_of, write

PARAMS, RUN, FILE = Series(Kind.PARAMS, None), Series(Kind.RUN, None), Series(Kind.FILE, None)
LOG = Series(Kind.LOG, None)


def born(time_ns: int) -> str:
    return f"{time_ns:016x}-1-00000000"


def at(series: Series, *times: int) -> Any:
    return block_of(series, [(time_ns, {"x": 1}) for time_ns in times])


def test_a_journal_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert latest_ns(str(tmp_path / "missing")) == 0
    assert latest_ns(str(tmp_path)) == 0
    (tmp_path / "a.mldj").write_bytes(b"no journal")
    assert latest_ns(str(tmp_path)) == 0


@pytest.mark.parametrize("series", [PARAMS, RUN, FILE])
def test_rows_of_which_the_later_one_wins_count_wherever_they_are(series: Series, tmp_path: Path) -> None:
    write(tmp_path, [[at(series, 500, 700, 600)], [at(TRAIN, 9000)], [at(LOG, 8000)]], born(5))
    assert latest_ns(str(tmp_path)) == 700


def test_all_of_these_kinds_count(tmp_path: Path) -> None:
    write(tmp_path, [[at(PARAMS, 900)], [at(RUN, 500), at(FILE, 600)], [at(TRAIN, 1)]], born(5))
    assert latest_ns(str(tmp_path)) == 900


def test_a_writer_counts_from_its_birth_on(tmp_path: Path) -> None:
    """Who is born later must have a later name."""
    write(tmp_path, [[at(TRAIN, 9000)]], born(5000))
    assert latest_ns(str(tmp_path)) == 5000


def test_several_writers_count(tmp_path: Path) -> None:
    for number, time_ns in enumerate((600, 900, 700)):
        write(tmp_path, [[at(RUN, time_ns)]], born(number))
    assert latest_ns(str(tmp_path)) == 900


def test_what_is_damaged_is_passed_over(tmp_path: Path) -> None:
    """A run starts all the same."""
    path = write(tmp_path, [[at(RUN, 500)], [at(RUN, 600)]], born(5))
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) - 1)
    assert latest_ns(str(tmp_path)) == 500


def test_where_the_last_frame_of_a_kind_is_damaged_the_one_before_it_tells(tmp_path: Path) -> None:
    """Its rows count for readers: a parameter that is set next would else be older than they, and lose."""
    path = write(tmp_path, [[at(RUN, 400)], [at(PARAMS, 500)], [at(PARAMS, 600)], [at(LOG, 700)]], born(5))
    damaged = (600).to_bytes(8, "little")
    content = Path(path).read_bytes()
    assert content.count(damaged) == 1
    Path(path).write_bytes(content.replace(damaged, bytes(8)))
    assert latest_ns(str(tmp_path)) == 500


def test_a_segment_without_such_rows_sends_back_to_the_one_before(tmp_path: Path) -> None:
    journal = JournalWriter(str(tmp_path), born(5), segment_bytes=1)
    for block in (at(RUN, 500), at(TRAIN, 600), at(TRAIN, 700)):
        journal.append([block])
    journal.close()
    assert len(os.listdir(tmp_path)) > 1
    assert latest_ns(str(tmp_path)) == 500


def test_a_large_segment_is_looked_into_from_its_end(tmp_path: Path) -> None:
    """A start must not take as long as reading all that earlier runs have logged."""
    bulk = block_of(TRAIN, [(number, {"text": "x" * 1000}) for number in range(1000)])
    write(tmp_path, [[at(RUN, 500)], *[[bulk]] * 8, [at(RUN, 600)], [at(TRAIN, 1)]], born(5))
    disk = CountingDisk()
    assert latest_ns(str(tmp_path), disk) == 600
    assert disk.bytes_read < 3 << 20


def test_it_is_found_before_the_end_of_a_large_segment_too(tmp_path: Path) -> None:
    bulk = block_of(TRAIN, [(number, {"text": "x" * 1000}) for number in range(1000)])
    write(tmp_path, [[at(RUN, 500)], *[[bulk]] * 4], born(5))
    assert latest_ns(str(tmp_path)) == 500
