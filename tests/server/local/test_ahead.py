"""Many charts of one journal: it is read once for all of them, and each is what it would be by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from ml_dash.series import Kind, Series
from ml_dash.server.local import ahead
from ml_dash.server.local.view import LocalView
from ml_dash.storage.survey import Located

NAMES = [f"layer/{at}" for at in range(40)]
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
    view.prepare([*SEVERAL, Series(Kind.METRIC, "none")])
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
    together.prepare(SEVERAL)
    charts(together)
    read = [view.index.bytes_read - each for view, each in zip((alone, together), before, strict=True)]
    assert read[1] < read[0] / 20


def test_what_has_come_since_is_seen_and_nothing_is_kept_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(tmp_path, 0, 10)
    view = view_of(tmp_path)
    view.prepare(SEVERAL)
    log(tmp_path, 10, 5)
    assert {each["points"] for each in charts(view)} == {12}
    monkeypatch.setattr(ahead, "_KEPT_SECONDS", -1.0)
    view.prepare(SEVERAL)
    assert charts(view) == charts(view_of(tmp_path))
    assert not view._ahead._read


def test_there_is_no_more_in_memory_than_there_is_room_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "_ROWS_MAX", 130)
    view = view_of(root)
    view.prepare(SEVERAL)
    assert len(view._ahead._read) == 3
    assert charts(view) == charts(view_of(root))


def test_a_damaged_frame_is_left_out_alike(tmp_path: Path) -> None:
    log(tmp_path, 0, 30)
    (segment,) = (tmp_path / "a" / "wide" / "run" / "journal").glob("*.mldj")
    raw = bytearray(segment.read_bytes())
    raw[len(raw) // 2] ^= 1
    segment.write_bytes(raw)
    view = view_of(tmp_path)
    view.prepare(SEVERAL)
    found = charts(view)
    assert found == charts(view_of(tmp_path))
    assert min(each["points"] for each in found) < 27
