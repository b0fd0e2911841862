"""What an experiment says of itself is read once, and again only where that may have changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ml_dash.journal.index import JournalIndex
from ml_dash.series import Kind, Series
from ml_dash.storage.manifest import Manifest
from tests.support.journals import LATER_WRITER, WRITER
from tests.support.view_journals import SECOND, write_rows

URL, OTHER = "https://dash.example.org", "http://127.0.0.1:7007"
RUN = Series(Kind.RUN, None)


class Now:
    """A clock that a test turns."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds

    def time_ns(self) -> int:
        return self.seconds * SECOND

    def monotonic(self) -> float:
        return float(self.seconds)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[JournalIndex]:
    """The indexes that were made."""
    made: list[JournalIndex] = []
    refresh = JournalIndex.refresh

    def count(index: JournalIndex) -> None:
        made.append(index)
        refresh(index)

    monkeypatch.setattr(JournalIndex, "refresh", count)
    return made


def begin(directory: Path, writer: str, url: str | None, at: int, *, ends: bool) -> None:
    about = {"prefix": "alice/p/e", "url": url}
    start = {"event": "start", "status": "RUNNING", "handle": "a", "host": "node1", "experiment": about}
    end = {"event": "end", "status": "COMPLETED", "handle": "a", "host": "node1"}
    rows: list[tuple[int, dict[str, Any]]] = [(at * SECOND, start), ((at + 1) * SECOND, end)]
    write_rows(directory / "journal", RUN, rows if ends else rows[:1], writer)


def test_one_look_at_the_journal_answers_everything(tmp_path: Path, opened: list[JournalIndex]) -> None:
    begin(tmp_path, WRITER, URL, 10, ends=True)
    manifest = Manifest(str(tmp_path), Now(1000))

    assert manifest.describe()["prefix"] == "alice/p/e"
    assert manifest.meant_for() == {WRITER: URL}
    assert manifest.done_writers() == {WRITER}
    assert len(opened) == 1


def test_a_journal_that_has_grown_is_read_again(tmp_path: Path, opened: list[JournalIndex]) -> None:
    begin(tmp_path, WRITER, URL, 10, ends=True)
    manifest = Manifest(str(tmp_path), Now(1000))
    assert manifest.done_writers() == {WRITER}
    begin(tmp_path, LATER_WRITER, OTHER, 999, ends=False)

    assert manifest.meant_for() == {WRITER: URL, LATER_WRITER: OTHER}
    assert manifest.done_writers() == {WRITER}


def test_who_was_alive_may_be_silent_for_too_long_the_next_time(tmp_path: Path) -> None:
    begin(tmp_path, WRITER, URL, 1000, ends=False)
    now = Now(1001)
    manifest = Manifest(str(tmp_path), now)
    assert manifest.done_writers() == set()
    now.seconds += 100
    assert manifest.done_writers() == {WRITER}


def test_a_writer_that_began_no_run_goes_where_all_others_go(tmp_path: Path) -> None:
    begin(tmp_path, WRITER, URL, 10, ends=True)
    write_rows(tmp_path / "journal", Series(Kind.LOG, None), [(SECOND, {"message": "x"})], LATER_WRITER)
    assert Manifest(str(tmp_path)).meant_for() == {WRITER: URL, LATER_WRITER: URL}

    begin(tmp_path, "0123456789abcdf9-1-00000000", OTHER, 20, ends=True)
    assert Manifest(str(tmp_path)).meant_for()[LATER_WRITER] is None


def test_a_local_run_goes_where_the_next_one_goes_that_has_a_server(tmp_path: Path) -> None:
    """One behind the last of them stays here."""
    writers = [f"0123456789abcd{number:02x}-1-00000000" for number in range(6)]
    urls = [None, None, URL, None, OTHER, None]
    for at, (writer, url) in enumerate(zip(writers, urls, strict=True)):
        begin(tmp_path, writer, url, 10 * at, ends=True)
    meant = Manifest(str(tmp_path)).meant_for()
    assert [meant[writer] for writer in writers] == [URL, URL, URL, OTHER, OTHER, None]


def test_what_is_no_experiment_says_nothing(tmp_path: Path) -> None:
    manifest = Manifest(str(tmp_path / "nothing"))
    assert not manifest.describe()
    assert manifest.meant_for() == {}
    assert manifest.done_writers() == set()
