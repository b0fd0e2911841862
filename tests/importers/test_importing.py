"""What holds for an import of any format: interrupted, repeated, in the wrong place, beside another."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ml_dash import Experiment, InvalidArgumentError
from ml_dash.importers import json_files, target
from ml_dash.journal.index import JournalIndex
from ml_dash.query.runs import fold_runs, writer_runs
from ml_dash.storage.file_locks import try_lock
from tests.support.flaky_disk import FlakyDisk, PowerCutError
from tests.support.public_trees import RUN, bring_in, bytes_below, content, metric, problems, tree


@pytest.mark.slow
def test_an_import_that_is_cut_off_anywhere_goes_on_and_adds_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each operation of the disk, in frames of a few rows; then all is there once, as without the cut."""
    monkeypatch.setattr(target, "_BATCH_ROWS", 4)
    theirs = tree(tmp_path) / RUN
    bring_in(theirs, tmp_path / "whole")
    whole = content(tmp_path / "whole")
    cuts = 0
    while True:
        root = tmp_path / f"cut-{cuts}"
        try:
            bring_in(theirs, root, disk=FlakyDisk(cuts))
            break
        except PowerCutError:
            cuts += 1
        bring_in(theirs, root)
        assert content(root) == whole
        shutil.rmtree(root)
    assert cuts > 15


def test_an_import_that_was_killed_runs_no_longer(tmp_path: Path) -> None:
    """It is known to be dead as soon as its process is; the next import ends what it began."""
    theirs, root = tree(tmp_path), tmp_path / "imported"
    with pytest.raises(PowerCutError):
        bring_in(theirs / RUN, root, disk=FlakyDisk(6))

    def stands() -> tuple[str | None, bool]:
        index = JournalIndex(str(root / RUN / "journal"))
        index.refresh()
        info = fold_runs(writer_runs(index).values(), pid_alive=lambda *_: False)
        return info.status, info.stale

    assert stands() == ("RUNNING", True)
    bring_in(theirs / RUN, root)
    assert stands() == (None, False)


def test_nothing_is_written_where_the_source_lies(tmp_path: Path) -> None:
    """Neither into its root nor into the directory of one of its experiments."""
    theirs = tree(tmp_path)
    before = bytes_below(theirs)
    for path, root in ((theirs, theirs), (theirs / RUN, theirs), (theirs / RUN, theirs / RUN)):
        for report in bring_in(path, root):
            assert "where the source is, which is only read" in str(report.refused)
    assert bytes_below(theirs) == before


def test_two_runs_of_one_name_are_not_mixed(tmp_path: Path) -> None:
    """Nor an imported one with one that was logged here: each can be brought in under another name."""
    theirs, root = tree(tmp_path), tmp_path / "imported"
    with Experiment(RUN, dash_root=root, echo=False).run as exp:
        exp.metrics("train").log(loss=1.0)
    first, second = bring_in(theirs, root)
    assert "was not imported: import under another name (--as)" in str(first.refused)
    assert second.refused is None
    (other,) = bring_in(theirs / RUN, root, "alice/vision/other")
    assert (other.prefix, other.events) == ("alice/vision/other", 22)
    copy = theirs / "copy"
    shutil.copytree(theirs / "two/parts", copy)
    record = (copy / "experiment.json").read_text()
    (copy / "experiment.json").write_text(record.replace("2026", "2027"))
    (report,) = bring_in(copy, root)
    assert "was imported from another run of that name" in str(report.refused)
    assert len(metric(root, "m", "two/parts")) == 1


def test_a_name_is_for_one_run_and_one_that_is_none_is_refused(tmp_path: Path) -> None:
    theirs, root = tree(tmp_path), tmp_path / "imported"
    with pytest.raises(InvalidArgumentError, match="a name for one run, and there are 2"):
        bring_in(theirs, root, "a/b/c")
    path = theirs / "two/parts/experiment.json"
    path.write_text(path.read_text().replace('"prefix": "two/parts"', '"prefix": "two/.parts/x"'))
    (report,) = bring_in(theirs / "two", root)
    assert "segment '.parts' starts with a dot" in str(report.refused)
    assert "--as PREFIX" in str(report.refused)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        InvalidArgumentError, match=r"nothing in .* that the public package ml-dash has written"
    ):
        bring_in(tmp_path / "empty", root)


def test_two_imports_do_not_write_one_root_at_once(tmp_path: Path) -> None:
    """Both would take the same rows for new."""
    theirs, root = tree(tmp_path), tmp_path / "imported"
    root.mkdir()
    descriptor = os.open(root / ".import.lock", os.O_RDWR | os.O_CREAT)
    try:
        assert try_lock(descriptor)
        with pytest.raises(InvalidArgumentError, match="another import writes to"):
            bring_in(theirs, root)
    finally:
        os.close(descriptor)
    assert bring_in(theirs, root)[0].events == 22


def test_a_line_that_is_too_long_is_left_out_and_never_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows it is read; so it is by an import that begins behind it."""
    monkeypatch.setattr(json_files, "LINE_BYTES_MAX", 200)
    monkeypatch.setattr(json_files, "PIECE", 64)
    theirs, root = tree(tmp_path), tmp_path / "imported"
    path = theirs / "two/parts/metrics/m/data.jsonl"
    long = '{"data": {"text": "%s"}, "createdAt": "2026-11-29T20:35:00Z"}\n' % ("x" * 500)
    short = '{"data": {"v": %d}, "createdAt": "2026-11-29T20:35:00Z"}\n'
    with path.open("a") as file:
        file.write(long + short % 2)
    report = bring_in(theirs / "two", root)[0]
    assert "line 2: the line is longer than 200 bytes" in problems([report])
    with path.open("a") as file:
        file.write(short % 3)
    assert bring_in(theirs / "two", root)[0].events == 1
    assert [row["v"] for row in metric(root, "m", "two/parts")] == [1, 2, 3]


def test_rows_that_are_too_large_for_one_frame_go_into_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is too large for any is named, and left out."""
    from ml_dash.journal import writer

    theirs, root = tree(tmp_path), tmp_path / "imported"
    path = theirs / "two/parts/metrics/m/data.jsonl"
    with path.open("a") as file:
        for size in (1_000, 1_500, 5_000, 1_200):
            file.write('{"data": {"text": "%s"}, "createdAt": "2026-11-29T20:35:00Z"}\n' % ("x" * size))

    class Small(writer.JournalWriter):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options, frame_bytes=4_000)  # type: ignore[arg-type]

    monkeypatch.setattr(target, "JournalWriter", Small)
    report = bring_in(theirs / "two", root)[0]
    assert report.events == 4
    assert "it cannot be stored" in problems([report])
    assert [len(row.get("text", "")) for row in metric(root, "m", "two/parts")] == [0, 1_000, 1_500, 1_200]
    assert bring_in(theirs / "two", root)[0].events == 0
