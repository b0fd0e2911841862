"""Many charts of one journal: it is read once for all of them, and each is what it would be by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_dash import Experiment
from ml_dash.series import Kind, Series
from ml_dash.server.charts.summaries import gather
from ml_dash.server.local import ahead
from ml_dash.server.local.view import LocalView
from ml_dash.storage.survey import Located

NAMES = [f"layer/{at}" for at in range(40)]
ROOM = 1 << 24
SEVERAL = [Series(Kind.METRIC, name) for name in NAMES]


def log(root: Path, first: int, count: int, **run: Any) -> None:
    """Log rows to all metrics, as one writer, in a frame for every few of them."""
    exp = Experiment("a/wide/run", dash_root=str(root), echo=False)
    exp.run.start(**run)
    for step in range(first, first + count):
        for at, name in enumerate(NAMES):
            exp.metrics(name).log(step=step, v=float(step * at))
        if step % 5 == 0:
            exp.flush()
    exp.run.complete()


def view_of(root: Path) -> LocalView:
    return LocalView(Located("a/wide/run", str(root / "a" / "wide" / "run")), 90.0)


def charts(view: LocalView, attempt: Any = None) -> list[dict[str, Any]]:
    return [view.chart(series, "v", "step", 3.0, None, 100, attempt) for series in SEVERAL]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of two writers, of which the second repeats some steps of the first."""
    root = tmp_path_factory.mktemp("dash")
    log(root, 0, 25)
    log(root, 20, 15, resume_from=20)
    return root


@pytest.mark.parametrize("attempt", [None, 1, "all"])
def test_what_was_read_together_is_what_is_there(root: Path, attempt: Any) -> None:
    view = view_of(root)
    expected = charts(view_of(root), attempt)
    view.prepare([*SEVERAL, Series(Kind.METRIC, "none")], ROOM)
    assert charts(view, attempt) == expected
    assert {each["points"] for each in expected} == (
        {22} if attempt == 1 else {32} if attempt is None else {37}
    )


def test_a_journal_is_read_once_for_many_charts(root: Path) -> None:
    alone, together = view_of(root), view_of(root)
    for view in (alone, together):
        view.chart(SEVERAL[0], "v", "step", None, None, 100)
    before = [alone.index.bytes_read, together.index.bytes_read]
    charts(alone)
    together.prepare(SEVERAL, ROOM)
    charts(together)
    read = [view.index.bytes_read - each for view, each in zip((alone, together), before, strict=True)]
    assert read[1] < read[0] / 20


def test_what_has_come_since_is_seen_and_nothing_is_kept_behind_the_answer(tmp_path: Path) -> None:
    log(tmp_path, 0, 10)
    view = view_of(tmp_path)
    assert view.prepare(SEVERAL, ROOM) == 40 * 10 * 24
    log(tmp_path, 10, 5)
    assert {each["points"] for each in charts(view)} == {12}
    view.release()
    assert not view._ahead._read
    assert charts(view) == charts(view_of(tmp_path))


@pytest.mark.parametrize(
    ("name", "most"), [("_ROWS_MAX", 30), ("_FRAMES_BYTES_MAX", 1000), ("the room for rows", 10_000)]
)
def test_there_is_no_more_in_memory_than_there_is_room_for(
    root: Path, name: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name.startswith("_"):
        monkeypatch.setattr(ahead, name, most)
    view = view_of(root)
    assert view.prepare(SEVERAL, ROOM if name.startswith("_") else most) == 0
    assert not view._ahead._read
    assert charts(view) == charts(view_of(root))


def test_what_is_kept_holds_no_frames(root: Path) -> None:
    """A number that is kept would keep its frame in memory, and all others in it."""
    view = view_of(root)
    view.prepare(SEVERAL, ROOM)
    for _, block in view._ahead._read[SEVERAL[0]].blocks:
        for numbers in (block.times, *(column.values for column in block.columns)):
            assert isinstance(numbers, np.ndarray)
            assert numbers.base is None


def test_a_damaged_frame_is_left_out_alike(tmp_path: Path) -> None:
    log(tmp_path, 0, 30)
    (segment,) = (tmp_path / "a" / "wide" / "run" / "journal").glob("*.mldj")
    raw = bytearray(segment.read_bytes())
    raw[len(raw) // 2] ^= 1
    segment.write_bytes(raw)
    view = view_of(tmp_path)
    view.prepare(SEVERAL, ROOM)
    found = charts(view)
    assert found == charts(view_of(tmp_path))
    assert min(each["points"] for each in found) < 27


def test_kept_buckets_are_those_of_the_journal_whichever_writer_goes_on(tmp_path: Path) -> None:
    """Rows are numbered from writer to writer: one more writer, or more rows of the last one, move none before."""
    prefix = Located("a/long/run", str(tmp_path / "a/long/run"))
    train = Series(Kind.METRIC, "train")
    view = LocalView(prefix, 90.0)

    def write(first: int, count: int, flushed: int) -> None:
        exp = Experiment("a/long/run", dash_root=str(tmp_path), echo=False, capture=False)
        with exp.run:
            for step in range(first, first + count):
                exp.metrics("train").log(step=step, v=step / 7)
                if step - first == flushed:
                    exp.flush()
                    check(step)

    def check(last: int) -> None:
        with view.charting(train, "all") as source:
            found = source.buckets(0, source.rows, ["v", "step"])
            expected = gather(source.summaries(0, source.rows), ["v", "step"])
        assert found.start.tolist() == expected.start.tolist()
        assert all(found.stats[name].tobytes() == expected.stats[name].tobytes() for name in ("v", "step"))
        assert found.stats["step"]["max"].max() == last

    write(0, 9000, 8500)
    check(8999)
    write(9000, 9000, 8600)
    check(17_999)
    write(18_000, 10, 5)
    check(18_009)
