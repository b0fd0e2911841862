"""Which rows are shown: of all attempts, of one, and of the newest for each step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_dash import Experiment, InvalidArgumentError
from ml_dash.query.attempts import Attempt, Opening
from ml_dash.query.selection import Shown, Span, shown
from ml_dash.series import Kind, Series
from ml_dash.server.local.view import LocalView
from ml_dash.storage.survey import survey
from tests.support.view_journals import TRAIN, block_of

PREFIX = "alice/vision/resnet"


def log(root: Path, steps: range, resume_from: int | None = None, **more: Any) -> Experiment:
    """One attempt; the loss tells which."""
    exp = Experiment(PREFIX, dash_root=root, echo=False)
    exp.run.start(resume_from=resume_from)
    number = exp.view.run().attempts
    for step in steps:
        exp.metrics("train").log(step=step, loss=step + number / 10, **more)
    exp.run.complete()
    return exp


def losses(exp: Experiment, **choice: Any) -> list[float]:
    """As all ways to read tell it, which must be the same."""
    metric = exp.metrics("train")
    page = metric.read(limit=10**6, **choice)
    found = [row["data"]["loss"] for row in page["data"]]
    arrays = metric.to_numpy(**choice)
    assert arrays.get("loss", np.empty(0)).tolist() == found
    assert arrays["index"].tolist() == [row["index"] for row in page["data"]]
    stats = metric.stats(**choice)
    assert (page["total"], stats["count"], page["hasMore"]) == (len(found), len(found), False)
    assert stats.get("superseded") == page.get("superseded")
    if found:
        assert (stats["fields"]["loss"]["count"], stats["fields"]["loss"]["max"]) == (len(found), max(found))
    paged: list[float] = []
    at = 0
    while True:
        page = metric.read(at, 3, **choice)
        paged += [row["data"]["loss"] for row in page["data"]]
        at = page["endIndex"] + 1
        if not page["hasMore"]:
            break
    assert paged == found
    return found


def test_without_resume_from_all_rows_are_kept_in_order(tmp_path: Path) -> None:
    log(tmp_path, range(4))
    exp = log(tmp_path, range(2))
    assert losses(exp) == [0.1, 1.1, 2.1, 3.1, 0.2, 1.2]
    assert losses(exp, attempt="all") == losses(exp)
    assert (losses(exp, attempt=1), losses(exp, attempt=2)) == ([0.1, 1.1, 2.1, 3.1], [0.2, 1.2])
    assert "superseded" not in exp.metrics("train").read()


def test_a_resumed_attempt_supersedes_rows_from_its_step_on(tmp_path: Path) -> None:
    log(tmp_path, range(6))
    log(tmp_path, range(3, 8), resume_from=3)
    exp = log(tmp_path, range(5, 7), resume_from=5)
    assert losses(exp) == [0.1, 1.1, 2.1, 3.2, 4.2, 5.3, 6.3]
    assert exp.metrics("train").read()["superseded"] == 6
    assert losses(exp, attempt=1) == [0.1, 1.1, 2.1, 3.1, 4.1, 5.1]
    assert len(losses(exp, attempt="all")) == 13
    assert exp.metrics.list()[0]["count"] == 13
    assert [each["resumeFrom"] for each in exp.view.attempts()] == [None, 3, 5]
    assert [each["number"] for each in exp.view.attempts()] == [1, 2, 3]


def test_rows_without_a_step_and_those_of_any_order_are_told_apart(tmp_path: Path) -> None:
    exp = Experiment(PREFIX, dash_root=tmp_path, echo=False)
    with exp.run:
        for step in (5, 1, None, 2.5, 4, "x", 0, 2**63, True):
            exp.metrics("train").log(**({} if step is None else {"step": step}), loss=1.0)
    log(tmp_path, range(0), resume_from=3)
    kept = [row["data"].get("step") for row in exp.metrics("train").read()["data"]]
    assert kept == [1, None, 2.5, "x", 0, True]


def test_starts_of_one_process_are_told_apart(tmp_path: Path) -> None:
    exp = Experiment(PREFIX, dash_root=tmp_path, echo=False)
    for number in range(3):
        exp.run.start(resume_from=number)
        for step in range(number, 4):
            exp.metrics("train").log(step=step, loss=step + (number + 1) / 10)
        exp.run.complete()
    assert losses(exp) == [0.1, 1.2, 2.3, 3.3]
    assert losses(exp, attempt=2) == [1.2, 2.2, 3.2]


def test_charts_show_the_same_rows(tmp_path: Path) -> None:
    log(tmp_path, range(6))
    exp = log(tmp_path, range(3, 8), resume_from=3)
    (located,) = survey(str(tmp_path)).experiments
    view = LocalView(located, 90)

    def drawn(**choice: Any) -> list[float]:
        chart = view.chart(TRAIN, "loss", "step", None, None, 1000, **choice)
        assert chart.get("superseded") == exp.metrics("train").read(**choice).get("superseded")
        means: list[float] = chart["buckets"]["mean"]
        return means

    for choice in ({}, {"attempt": 1}, {"attempt": 2}):
        assert drawn(**choice) == losses(exp, **choice)
    assert len(drawn(attempt="all")) == 8


@pytest.mark.parametrize("nonsense", [0, -1, True, 1.0, "1", "ALL", [1], 3])
def test_an_attempt_that_there_is_not_is_named(tmp_path: Path, nonsense: Any) -> None:
    log(tmp_path, range(1))
    exp = log(tmp_path, range(1))
    with pytest.raises(InvalidArgumentError, match="attempt="):
        exp.metrics("train").read(attempt=nonsense)


@pytest.mark.parametrize("nonsense", [True, "3", float("nan"), float("inf"), 2**63, [3], object()])
def test_what_is_no_step_starts_nothing(tmp_path: Path, nonsense: Any) -> None:
    exp = Experiment(PREFIX, dash_root=tmp_path)
    with pytest.raises(InvalidArgumentError, match="resume_from="):
        exp.run.start(resume_from=nonsense)
    assert list(tmp_path.iterdir()) == []


def test_an_open_run_takes_no_step_and_numbers_of_arrays_are_steps(tmp_path: Path) -> None:
    exp = Experiment(PREFIX, dash_root=tmp_path, echo=False)
    three: Any = np.int64(3)
    exp.run.start(resume_from=three)
    with pytest.raises(InvalidArgumentError, match="is open"):
        exp.run.start(resume_from=4)
    exp.run.complete()
    assert exp.view.attempts()[0]["resumeFrom"] == 3


def test_blocks_are_cut_to_what_is_shown() -> None:
    """With blocks of any length, and ranges within, across and beside them."""
    rows = [(at, {"step": at % 10, "loss": float(at)}) for at in range(100)]
    opening = Opening("w", b"", 0, 0, 0, 0, 0, {"event": "end"})
    resumed = Opening("w", b"", 1, 1, 1, 1, 1, {"event": "end"}, resume_from=4)
    attempts = [Attempt(1, [opening]), Attempt(2, [resumed])]
    spans = [Span(0, 25, 1), Span(25, 40, 2), Span(40, 100, 1)]
    expected = [at for at in range(100) if 25 <= at < 40 or at % 10 < 4]
    for length in (1, 3, 7, 30, 100):
        blocks = [
            (first, block_of(Series(Kind.METRIC, "train"), rows[first : first + length]))
            for first in range(0, 100, length)
        ]

        def between(start: int, stop: int, blocks: Any = blocks) -> Any:
            return ((first, block) for first, block in blocks if first < stop and first + block.count > start)

        found: Shown = shown(None, attempts, lambda: spans, between, 100, {})
        assert [at + row for at, block in found.blocks() for row in range(block.count)] == expected
        assert (found.count, found.superseded, found.stop) == (len(expected), 100 - len(expected), 94)
        assert [at + row for at, block in found.blocks(22, 43) for row in range(block.count)] == [
            at for at in expected if 22 <= at < 43
        ]
        assert found.covered(20, 10) == 9
