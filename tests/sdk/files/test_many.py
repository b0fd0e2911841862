"""What thousands of small files cost: linear in their number, whatever was saved before."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from ml_dash import Experiment

FILES = 5_000


def bytes_written() -> int:
    """Bytes that this process has handed to the system so far, by the kernel's own count."""
    counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counts["wchar"])


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what a process writes is counted by Linux")
def test_saving_thousands_of_small_files_writes_no_more_for_the_last_than_for_the_first(
    tmp_path: Path,
) -> None:
    """Bytes written a file stay the same; all are listed, and each has its own content."""
    exp = Experiment("alice/vision/many", dash_root=tmp_path)
    parts = []
    with exp.run:
        for start in range(0, FILES, FILES // 5):
            before = bytes_written()
            for number in range(start, start + FILES // 5):
                exp.files(f"shard-{number % 10}").save_text(f"content {number:06}", to=f"{number}.txt")
            exp.flush()
            parts.append(bytes_written() - before)
        rows = exp.files.list()

    assert len(rows) == len({row["checksum"] for row in rows}) == FILES
    assert max(parts[1:]) < 1.2 * min(parts[1:])
    assert max(parts) < FILES // 5 * 2_000
    assert {os.path.getsize(each) for each in Path(exp.directory, "files").glob("??/*")} == {14}


def test_equal_contents_are_stored_once(tmp_path: Path) -> None:
    """A hundred names, one content."""
    exp = Experiment("alice/vision/same", dash_root=tmp_path)
    with exp.run:
        before = bytes_written() if sys.platform.startswith("linux") else 0
        for number in range(100):
            exp.files.save_blob(bytes(10_000), to=f"{number}.bin")
        after = bytes_written() if sys.platform.startswith("linux") else 0
    contents = list(Path(exp.directory, "files").glob("??/*"))
    assert [each.stat().st_size for each in contents] == [10_000]
    assert after - before < 100 * 12_000
    assert len(exp.files.list()) == 100


def test_a_saved_file_is_listed_however_many_rows_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``overflow="drop"`` and a queue of a few rows: rows of metrics go, counted, and those of files stay."""
    monkeypatch.setenv("ML_DASH_QUEUE_EVENTS", "8")
    monkeypatch.setenv("ML_DASH_CRASH_PROOF", "0")
    exp = Experiment("alice/proj/flood", dash_root=tmp_path, echo=False, overflow="drop")
    over = threading.Event()
    with exp.run:

        def flood() -> None:
            while not over.is_set():
                exp.metrics("train").log(loss=1.0)

        threads = [threading.Thread(target=flood) for _ in range(3)]
        for thread in threads:
            thread.start()
        saved = [exp.files("notes").save_text(f"{number}", to=f"{number}.txt")["id"] for number in range(100)]
        over.set()
        for thread in threads:
            thread.join()
        exp.flush()
        status = exp.status()
        assert status.dropped["overflow"] > 0
        assert status.logged == status.acknowledged + status.pending + sum(status.dropped.values())
    assert sorted(row["id"] for row in exp.files("notes").list()) == sorted(saved)
