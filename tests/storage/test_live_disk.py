"""Whoever lists a journal through it finds what processes of this machine have logged, dead or alive."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ml_dash.slabs import place as place_module
from ml_dash.storage.live_disk import LiveDisk
from tests.support.slabs import SlabBench, rows_in


@pytest.fixture
def dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a process leaves of which no row is in the journal yet but one, in the place of shared memory."""
    bench = SlabBench(tmp_path / "live")
    bench.log(0)
    bench.channel.pump()
    bench.log(*range(1, 10))
    place = bench.die(tmp_path / "dead")
    (place / "queue").rename(place / f"ml-dash-{os.getuid()}")
    monkeypatch.setattr(place_module, "_SHARED", str(place))
    return place


def test_a_journal_is_listed_with_what_a_dead_process_has_left(dead: Path) -> None:
    journal = dead / "experiment" / "journal"
    before = os.listdir(journal)

    names = LiveDisk(str(dead / "experiment")).list(str(journal))

    assert len(names) == len(before) + 1
    assert rows_in(dead / "experiment") == list(range(10))


def test_other_directories_are_listed_as_they_are(dead: Path) -> None:
    (dead / "experiment" / "files").mkdir()
    assert LiveDisk(str(dead / "experiment")).list(str(dead / "experiment" / "files")) == []
    assert rows_in(dead / "experiment") == [0]


def test_a_journal_that_cannot_be_written_to_is_listed_all_the_same(
    dead: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows stay where they are, for whoever may write."""
    journal = dead / "experiment" / "journal"
    before = sorted(os.listdir(journal))
    open_file = os.open

    def read_only(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(path)
        return open_file(path, flags, mode, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", read_only)
        assert sorted(LiveDisk(str(dead / "experiment")).list(str(journal))) == before
    LiveDisk(str(dead / "experiment")).list(str(journal))
    assert rows_in(dead / "experiment") == list(range(10))


def test_a_journal_that_was_removed_is_no_error(dead: Path) -> None:
    shutil.rmtree(dead / "experiment")
    assert LiveDisk(str(dead / "experiment")).list(str(dead / "experiment" / "journal")) == []
