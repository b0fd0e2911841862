"""Importing the logs of wandb's runs: `tests/importers/data/wandb` was written by wandb 0.31."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment, InvalidArgumentError
from ml_dash.importers.growing_file import GrowingFile
from ml_dash.importers.importing import import_runs
from ml_dash.importers.report import RunReport
from ml_dash.importers.wandb.log_file import HEADER, read_log
from ml_dash.importers.wandb.offline import Wandb
from ml_dash.journal.disk import open_regular
from tests.support.public_trees import bytes_below, metric, problems
from tests.support.trackers import WANDB, check, kept, made

PREFIX = "zoe/vision/sweep/first"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return kept("wandb", tmp_path)[0]


@pytest.fixture
def log(place: Path) -> Path:
    return next(place.rglob("*.wandb"))


def bring_in(path: Path, root: Path) -> list[RunReport]:
    return list(import_runs(Wandb(str(path)), str(root)))


def in_order(rows: list[dict[str, Any]]) -> str:
    """Rows with their fields by name: wandb writes those of a row in any order."""
    return repr([sorted(row.items()) for row in rows])


def test_all_that_was_logged_is_here(tmp_path: Path) -> None:
    """Value by value, with what was printed, alerts, media, and how it ended; a second time adds nothing."""
    place, read = kept("wandb", tmp_path)
    before = bytes_below(place)
    root = tmp_path / "root"
    (report,) = bring_in(place, root)
    assert problems([report]) == ""
    check(root, read)
    exp = Experiment(PREFIX, dash_root=root)
    assert exp.params.get() == read[PREFIX]["params"]
    assert (exp.readme, exp.tags, exp.status().status) == ("A *try*", ["a", "b"], "FAILED")
    assert exp.metadata["host"] == "node1"
    console = [row["text"] for row in exp.logs.console()["data"]]
    assert (len(console), console[0], console[-1]) == (61, "step 0", "no line end")
    assert [(row["level"], row["message"]) for row in exp.logs.read()["data"]] == [
        ("error", "trouble: loss is high")
    ]
    odd = metric(root, None, PREFIX)[60]
    assert (odd["words"], odd["nested"], odd["list"]) == ("hello", {"a": 1, "b": {"c": 2.5}}, [1, 2])
    histogram = metric(root, "val", PREFIX)[0]["hist"]
    assert json.loads(exp.files(histogram["file"]).read_bytes())["counts"] == [1, 2, 3]
    table = metric(root, None, PREFIX)[61]["table"]
    assert json.loads(exp.files(table["file"]).read_bytes()) == {
        "columns": ["p", "q"],
        "rows": [["a", 1], ["b", 2.5]],
    }
    assert {row["path"] + "/" + row["filename"] for row in exp.files.list(path="wandb")} == {
        "/wandb/output.log",
        "/wandb/requirements.txt",
    }
    (again,) = bring_in(place, root)
    assert not again.has_news
    assert bytes_below(place) == before


def test_a_log_that_is_cut_off_anywhere_is_gone_on_with(place: Path, log: Path, tmp_path: Path) -> None:
    """At the end of the whole all is here as if it had been imported at once."""
    raw = log.read_bytes()
    bring_in(place, tmp_path / "whole")
    for share in (0.03, 0.3, 0.5, 0.77, 0.999, 1.0):
        log.write_bytes(raw[: int(len(raw) * share)])
        (report,) = bring_in(place, tmp_path / "root")
    assert problems([report]) == "" or "left out before" in problems([report])
    for name in ("train", "val", None):
        assert in_order(metric(tmp_path / "root", name, PREFIX)) == in_order(
            metric(tmp_path / "whole", name, PREFIX)
        )
    one, other = (Experiment(PREFIX, dash_root=tmp_path / name) for name in ("root", "whole"))
    assert one.params.get() == other.params.get()
    assert [row["text"] for row in one.logs.console()["data"]] == [
        row["text"] for row in other.logs.console()["data"]
    ]


def test_a_run_that_was_resumed_is_one(place: Path, log: Path, tmp_path: Path) -> None:
    """It has a directory for each time; the rows of both are here, once."""
    again = log.parent.with_name("offline-run-20991231_000000-again")
    shutil.copytree(log.parent, again)
    (report,) = bring_in(place, tmp_path / "root")
    assert report.rows == 2 * 125
    assert not bring_in(place, tmp_path / "root")[0].has_news


def test_damage_is_named_and_hides_at_most_its_block(place: Path, log: Path, tmp_path: Path) -> None:
    raw = bytearray(log.read_bytes())
    raw[5_000] ^= 0xFF
    log.write_bytes(raw)
    (report,) = bring_in(place, tmp_path / "root")
    assert "damaged" in problems([report])
    assert Experiment(PREFIX, dash_root=tmp_path / "root").metrics("train").read()["total"] > 0


@pytest.mark.parametrize("data", [b"", b":W&", b"something else", HEADER, HEADER + bytes(40_000)])
def test_what_is_no_log_is_told(place: Path, log: Path, tmp_path: Path, data: bytes) -> None:
    """Beside others, which are imported."""
    other = log.parent.with_name("offline-run-1-abc") / "run-abc.wandb"
    other.parent.mkdir()
    other.write_bytes(data)
    reports = bring_in(place, tmp_path / "root")
    assert sorted(report.rows for report in reports) == [0, 125]
    with pytest.raises(InvalidArgumentError, match="there is no run of wandb in"):
        bring_in(tmp_path / "nothing", tmp_path / "root")


def test_records_in_pieces_are_put_together(tmp_path: Path) -> None:
    """And what follows a record that is too large, or in the middle of one, is read."""
    content = [b"a" * 10, b"b" * 40_000, b"c" * 100_000, b"d" * 3]
    raw, at = bytearray(HEADER), len(HEADER)
    for data in content:
        left, first = data, True
        while True:
            room = 32_768 - at % 32_768
            if room < 7:
                raw, at = raw + bytes(room), at + room
                continue
            some, left = left[: room - 7], left[room - 7 :]
            kind = (1 if first else 4) if not left else (2 if first else 3)
            raw += struct.pack("<IHB", zlib.crc32(bytes([kind]) + some), len(some), kind) + some
            at, first = at + 7 + len(some), False
            if not left:
                break
    path = tmp_path / "run-x.wandb"
    path.write_bytes(raw)
    with GrowingFile(str(path), open_regular, None) as file:
        records = list(read_log(file))
    assert [record.data for record in records] == content
    for known in records:
        with GrowingFile(str(path), open_regular, known.position) as file:
            assert [record.data for record in read_log(file)] == content[records.index(known) + 1 :]


def test_no_path_in_a_log_leads_out_of_the_run(place: Path, log: Path, tmp_path: Path) -> None:
    """A table that is said to be elsewhere is not read."""
    (tmp_path / "secret.json").write_text('{"columns": ["a"], "data": [["secret"]]}')
    raw = log.read_bytes()
    media = next(place.rglob("*.table.json"))
    shutil.copy(tmp_path / "secret.json", media)
    media.unlink()
    media.symlink_to(tmp_path / "secret.json")
    (report,) = bring_in(place, tmp_path / "root")
    assert "'table' is left out" in problems([report])
    assert log.read_bytes() == raw


@pytest.mark.slow
def test_what_wandb_writes_now_is_read(tmp_path: Path) -> None:
    read = made("wandb", WANDB, tmp_path / "new")
    bring_in(tmp_path / "new" / "wandb", tmp_path / "root")
    check(tmp_path / "root", read)
    assert Experiment(PREFIX, dash_root=tmp_path / "root").params.get() == read[PREFIX]["params"]
