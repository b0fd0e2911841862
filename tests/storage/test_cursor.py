"""The cursor remembers what servers have acknowledged; a damaged one is as good as none."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from ml_dash.storage.cursor import Cursor, CursorFile
from tests.support.journals import WRITER
from tests.support.unreadable import RefusingDisk

URL = "https://dash.example.org"
OTHER = "http://127.0.0.1:7007"


def test_a_cursor_comes_back_for_its_server_only(tmp_path: Path) -> None:
    file = CursorFile(str(tmp_path / "run"), WRITER)
    assert file.load(URL) is None

    file.save(URL, Cursor(12, "exp_abc", rows=90, rejected_rows=3, lost_frames=1))
    file.save(OTHER, Cursor(5, "exp_def"))
    file.save(URL, Cursor(13, "exp_abc", rows=91, rejected_rows=3, lost_frames=1))

    assert CursorFile(str(tmp_path / "run"), WRITER).load(URL) == Cursor(13, "exp_abc", 91, 3, 1)
    assert file.load(OTHER) == Cursor(5, "exp_def", 0, 0, 0)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [f"{WRITER}.cursor"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"[" * 100_000,
        json.dumps({URL: 7}).encode(),
        json.dumps({URL: "\ud800"}).encode(),
        json.dumps({URL: {"seq": "\ud800", "experimentId": "e", "rows": 1}}).encode(),
        json.dumps({URL: {"seq": "1", "experimentId": "e", "rows": 1}}).encode(),
        json.dumps({URL: {"seq": 1, "experimentId": "e", "rows": 1, "rejectedRows": None}}).encode(),
        json.dumps(
            {URL: {"seq": -1, "experimentId": "e", "rows": 1, "rejectedRows": 0, "lostFrames": 0}}
        ).encode(),
    ],
)
def test_a_damaged_one_counts_as_absent_and_is_replaced(tmp_path: Path, content: bytes) -> None:
    file = CursorFile(str(tmp_path), WRITER)
    Path(file.path).write_bytes(content)

    assert file.load(URL) is None
    file.save(URL, Cursor(1, "exp_abc", 2))
    assert file.load(URL) == Cursor(1, "exp_abc", 2)


def test_nobody_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of small runs have one each; what a power cut takes of it, the server knows."""
    waits: list[int] = []
    monkeypatch.setattr(os, "fsync", waits.append)
    file = CursorFile(str(tmp_path), WRITER)
    file.save(URL, Cursor(1, "exp_abc", 2))
    assert file.load(URL) == Cursor(1, "exp_abc", 2)
    assert waits == []


def test_a_file_that_cannot_be_read_is_not_replaced(tmp_path: Path) -> None:
    """What it says of other servers would be gone."""
    disk = RefusingDisk()
    file = CursorFile(str(tmp_path), WRITER, disk)
    file.save(OTHER, Cursor(5, "exp_def"))
    for number in (errno.EMFILE, errno.EIO, errno.EACCES):
        disk.refuses["read_at"] = number
        assert file.load(OTHER) is None
        with pytest.raises(OSError, match=r".*"):
            file.save(URL, Cursor(12, "exp_abc"))
        disk.refuses.clear()
        assert file.load(OTHER) == Cursor(5, "exp_def")
        assert file.load(URL) is None
