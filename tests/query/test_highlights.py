"""What is told of metrics at the end of a run: true of all rows, and no larger for many."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ml_dash.journal.blocks import Block, Column
from ml_dash.query.highlights import MOST, Highlight, Highlights, direction
from ml_dash.series import Kind, Series

NAN = math.nan


def block(values: Any, name: str | None = "train", field: str = "loss", kind: Kind = Kind.METRIC) -> Block:
    type_ = "i" if isinstance(values, np.ndarray) and values.dtype.kind == "i" else "f"
    return Block(Series(kind, name), range(len(values)), [Column(field, type_, None, values)])


def only(*blocks: Block) -> Highlight:
    highlights = Highlights()
    highlights.add(blocks)
    (found,) = highlights.top(9)
    return found


@pytest.mark.parametrize(
    ("name", "field", "wanted"),
    [
        ("train", "loss", "min"),
        ("train", "val_loss", "min"),
        ("train", "lossD", "min"),
        ("train", "loss2", "min"),
        ("train", "accuracy_loss", "min"),
        ("loss", "value", "min"),
        (None, "WER", "min"),
        ("eval", "error_rate", "min"),
        ("batches", "loss.mean", "min"),
        ("eval", "accuracy", "max"),
        ("eval", "top1Acc", "max"),
        ("eval", "f1", "max"),
        ("eval/f1", "macro", "max"),
        ("env", "episode_reward", "max"),
        ("reward", "x", "max"),
        ("train", "grad_norm", None),
        ("train", "blossom", None),
        (None, "x", None),
        ("", "", None),
    ],
)
def test_what_is_good_is_guessed_by_names(name: str | None, field: str, wanted: str | None) -> None:
    assert direction(name, field) == wanted


def test_the_best_is_by_the_direction_and_without_one_there_are_extremes() -> None:
    values = [0.5, 0.1, 0.9, 0.3]
    assert only(block(values)).best == 0.1
    assert only(block(values, field="accuracy")).best == 0.9
    unknown = only(block(values, field="x"))
    assert (unknown.best, unknown.last, unknown.lowest, unknown.highest) == (None, 0.3, 0.1, 0.9)


@pytest.mark.parametrize("make", [list, np.array], ids=["list", "array"])
@pytest.mark.parametrize(
    ("values", "last", "best"),
    [
        ([NAN, 1.0, NAN, 0.5, NAN], NAN, 0.5),
        ([NAN, NAN], NAN, NAN),
        ([math.inf, 2.0, -math.inf], -math.inf, -math.inf),
        ([3.0], 3.0, 3.0),
    ],
)
def test_what_is_no_number_is_the_last_and_never_the_best(
    make: Any, values: list[float], last: float, best: float
) -> None:
    """A loss that has become NaN is what one wants to know; that it was better before, too."""
    found = only(block(make(values)))
    assert [found.last, found.best] == pytest.approx([last, best], nan_ok=True)
    assert all(not math.isinf(value) for value in found.course)


def test_however_the_rows_come_the_same_is_told_and_no_more_is_kept() -> None:
    """One by one, in blocks of lists and of arrays: a million rows have as many samples as a hundred."""
    draw = random.Random(7)
    values = [draw.random() for _ in range(30_000)]
    pieces: list[Sequence[float]] = []
    start = 0
    while start < len(values):
        size = draw.choice([1, 2, 63, 64, 65, 3000])
        pieces.append(values[start : start + size])
        start += size
    by_list = only(*(block(piece) for piece in pieces))
    assert by_list == only(*(block(np.array(piece)) for piece in pieces)) == only(block(np.array(values)))
    assert (by_list.last, by_list.best, by_list.highest) == (values[-1], min(values), max(values))
    assert 32 <= len(by_list.course) <= 64
    stride = 30_000 // len(by_list.course) + 1
    assert by_list.course == values[:: 1 << (stride - 1).bit_length()]


def test_of_thousands_of_metrics_the_telling_ones_are_followed_from_their_first_row_on() -> None:
    """What is followed is chosen once: a field is never taken up in its middle."""
    highlights = Highlights()
    for step in range(3):
        rows = [block([float(step)], f"layer{number}", "norm_of_weights") for number in range(2000)]
        rows += [block([float(step)], "train", "loss"), block([1.0 - step], "eval", "accuracy")]
        highlights.add(rows)
    assert len(highlights._courses) == MOST
    top = highlights.top(3)
    assert [each.name for each in top] == ["eval/accuracy", "train/loss", "layer0/norm_of_weights"]
    assert [each.course for each in top] == [[1.0, 0.0, -1.0], [0.0, 1.0, 2.0], [0.0, 1.0, 2.0]]
    assert all(course.lowest == 0 for name, course in highlights._courses.items() if name[0] != "eval")


def test_what_only_counts_and_what_is_no_metric_is_not_told() -> None:
    highlights = Highlights()
    highlights.add(
        block([1.0, 2.0], field=field) for field in ("step", "epoch", "lr", "loss.std", "loss.p95")
    )
    highlights.add([block([1.0], None, "message", Kind.LOG), block([1.0], None, "x", Kind.TRACK), block([])])
    assert highlights.top(9) == []


def test_integers_are_numbers_and_texts_are_none() -> None:
    assert only(block(np.array([3, 1, 2]))).best == 1
    highlights = Highlights()
    highlights.add([Block(Series(Kind.METRIC, None), [1], [Column("loss", "o", None, ["a"])])])
    assert highlights.top(9) == []
